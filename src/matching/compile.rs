//! `xds.type.matcher.v3.Matcher` to [`Matcher`].

use super::{Input, Matcher, Predicate, Ranges, Tests, Then};
use crate::api::envoy::config::core::v3::CidrRange;
use crate::api::envoy::extensions::matching::common_inputs::network::v3::{
    DestinationIpInput, DestinationPortInput, SourceIpInput, SourcePortInput,
};
use crate::api::envoy::r#type::matcher::v3 as usual;
use crate::api::xds::core::v3::TypedExtensionConfig;
use crate::api::xds::r#type::matcher::v3 as proto;
use crate::config::{Cx, is};
use crate::network::Cidr;
use crate::router;
use prost::Name;
use prost_types::Any;
use proto::matcher::matcher_list::{Predicate as ProtoPredicate, predicate};
use proto::matcher::matcher_tree::{MatchMap, TreeType};
use proto::matcher::{MatcherList, MatcherTree, MatcherType, OnMatch, on_match};

/// Compiles an action from its `typed_config`.
pub(crate) type Action<'a, A> = &'a mut dyn FnMut(&Any, &mut Cx<'_>) -> Option<A>;

/// Compiles a matcher.
pub(crate) fn matcher<A>(
    proto: &proto::Matcher,
    action: Action<'_, A>,
    cx: &mut Cx<'_>,
) -> Option<Matcher<A>> {
    let tests = match &proto.matcher_type {
        None => Some(Tests::None),
        Some(MatcherType::MatcherList(list)) => cx.field("matcher_list", |cx| self::list(list, action, cx)),
        Some(MatcherType::MatcherTree(tree)) => cx.field("matcher_tree", |cx| self::tree(tree, action, cx)),
    };
    let otherwise = match &proto.on_no_match {
        None => None,
        Some(proto) => Some(cx.field("on_no_match", |cx| then(proto, action, cx))?),
    };
    Some(Matcher { tests: tests?, otherwise })
}

fn then<A>(proto: &OnMatch, action: Action<'_, A>, cx: &mut Cx<'_>) -> Option<Then<A>> {
    let then = match &proto.on_match {
        None => {
            cx.one_of(&["action", "matcher"]);
            None
        }
        Some(on_match::OnMatch::Matcher(matcher)) => cx
            .field("matcher", |cx| self::matcher(matcher, action, cx))
            .map(|matcher| Then::Matcher(Box::new(matcher))),
        Some(on_match::OnMatch::Action(extension)) => cx.field("action", |cx| {
            let any = cx.required("typed_config", &extension.typed_config)?;
            cx.field("typed_config", |cx| action(any, cx)).map(Then::Action)
        }),
    }?;
    Some(if proto.keep_matching { Then::GoOn } else { then })
}

/// A required field that is followed by something.
fn required_then<A>(proto: &Option<OnMatch>, action: Action<'_, A>, cx: &mut Cx<'_>) -> Option<Then<A>> {
    let proto = cx.required("on_match", proto)?;
    cx.field("on_match", |cx| then(proto, action, cx))
}

fn list<A>(proto: &MatcherList, action: Action<'_, A>, cx: &mut Cx<'_>) -> Option<Tests<A>> {
    if proto.matchers.is_empty() {
        cx.missing(&["matchers"], "`matchers` is required: at least one");
    }
    let matchers = cx.each("matchers", &proto.matchers, |cx, matcher| {
        let condition = match cx.required("predicate", &matcher.predicate) {
            Some(predicate) => cx.field("predicate", |cx| self::predicate(predicate, cx)),
            None => None,
        };
        let then = required_then(&matcher.on_match, action, cx);
        Some((condition?, then?))
    });
    (matchers.len() == proto.matchers.len()).then_some(Tests::List(matchers))
}

fn predicate(proto: &ProtoPredicate, cx: &mut Cx<'_>) -> Option<Predicate> {
    match &proto.match_type {
        None => {
            cx.one_of(&["single_predicate", "or_matcher", "and_matcher", "not_matcher"]);
            None
        }
        Some(predicate::MatchType::SinglePredicate(single)) => {
            cx.field("single_predicate", |cx| self::single(single, cx))
        }
        Some(predicate::MatchType::OrMatcher(list)) => {
            cx.field("or_matcher", |cx| predicates(&list.predicate, cx)).map(Predicate::Any)
        }
        Some(predicate::MatchType::AndMatcher(list)) => {
            cx.field("and_matcher", |cx| predicates(&list.predicate, cx)).map(Predicate::All)
        }
        Some(predicate::MatchType::NotMatcher(other)) => cx
            .field("not_matcher", |cx| predicate(other, cx))
            .map(|predicate| Predicate::Not(Box::new(predicate))),
    }
}

fn predicates(protos: &[ProtoPredicate], cx: &mut Cx<'_>) -> Option<Vec<Predicate>> {
    if protos.len() < 2 {
        cx.missing(&["predicate"], "`predicate` is required: at least two conditions");
    }
    let predicates = cx.each("predicate", protos, |cx, proto| predicate(proto, cx));
    (predicates.len() == protos.len()).then_some(predicates)
}

fn single(proto: &predicate::SinglePredicate, cx: &mut Cx<'_>) -> Option<Predicate> {
    let input = input(&proto.input, cx);
    let matcher = match &proto.matcher {
        None => {
            cx.missing(&["value_match", "custom_match"], "`value_match` is required");
            None
        }
        Some(predicate::single_predicate::Matcher::ValueMatch(matcher)) => {
            cx.field("value_match", |cx| router::compile::string_match(&string(matcher), cx))
        }
    };
    Some(Predicate::Value(input?, matcher?))
}

/// The same condition as Envoy's own message.
fn string(proto: &proto::StringMatcher) -> usual::StringMatcher {
    use proto::string_matcher::MatchPattern as From;
    use usual::string_matcher::MatchPattern as To;
    let pattern = proto.match_pattern.clone().map(|pattern| match pattern {
        From::Exact(text) => To::Exact(text),
        From::Prefix(text) => To::Prefix(text),
        From::Suffix(text) => To::Suffix(text),
        From::Contains(text) => To::Contains(text),
        From::SafeRegex(regex) => {
            To::SafeRegex(usual::RegexMatcher { regex: regex.regex, ..usual::RegexMatcher::default() })
        }
    });
    usual::StringMatcher { ignore_case: proto.ignore_case, match_pattern: pattern }
}

fn input(extension: &Option<TypedExtensionConfig>, cx: &mut Cx<'_>) -> Option<Input> {
    let extension = cx.required("input", extension)?;
    cx.field("input", |cx| {
        let any = cx.required("typed_config", &extension.typed_config)?;
        cx.field("typed_config", |cx| {
            if is::<SourceIpInput>(any) {
                return Some(Input::SourceIp);
            } else if is::<SourcePortInput>(any) {
                return Some(Input::SourcePort);
            } else if is::<DestinationIpInput>(any) {
                return Some(Input::DestinationIp);
            } else if is::<DestinationPortInput>(any) {
                return Some(Input::DestinationPort);
            }
            let allowed = [
                SourceIpInput::full_name(),
                SourcePortInput::full_name(),
                DestinationIpInput::full_name(),
                DestinationPortInput::full_name(),
            ];
            cx.wrong_extension(any, "input of a matcher", &allowed.each_ref().map(String::as_str));
            None
        })
    })
}

fn tree<A>(proto: &MatcherTree, action: Action<'_, A>, cx: &mut Cx<'_>) -> Option<Tests<A>> {
    let input = input(&proto.input, cx);
    match &proto.tree_type {
        None => {
            cx.one_of(&["exact_match_map", "prefix_match_map", "custom_match"]);
            None
        }
        Some(TreeType::ExactMatchMap(map)) => {
            let entries = cx.field("exact_match_map", |cx| entries(map, action, cx))?;
            Some(Tests::Exact(input?, entries.into_iter().collect()))
        }
        Some(TreeType::PrefixMatchMap(map)) => {
            let mut entries = cx.field("prefix_match_map", |cx| entries(map, action, cx))?;
            entries.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            Some(Tests::Prefix(input?, entries))
        }
        Some(TreeType::CustomMatch(extension)) => cx.field("custom_match", |cx| {
            let any = cx.required("typed_config", &extension.typed_config)?;
            let ranges = cx.field("typed_config", |cx| {
                if !is::<proto::IpMatcher>(any) {
                    cx.wrong_extension(any, "table of a matcher", &[&proto::IpMatcher::full_name()]);
                    return None;
                }
                let matcher = cx.unpack::<proto::IpMatcher>(any)?;
                ranges(&matcher, action, cx)
            });
            Some(Tests::Ranges(input?, ranges?))
        }),
    }
}

fn entries<A>(proto: &MatchMap, action: Action<'_, A>, cx: &mut Cx<'_>) -> Option<Vec<(Box<str>, Then<A>)>> {
    if proto.map.is_empty() {
        cx.missing(&["map"], "`map` is required: at least one entry");
    }
    // In a fixed order, so that complaints are.
    let mut entries: Vec<_> = proto.map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    cx.field("map", |cx| {
        let compiled: Vec<_> = entries
            .iter()
            .filter_map(|(key, value)| {
                cx.field(key, |cx| then(value, action, cx)).map(|then| (key.as_str().into(), then))
            })
            .collect();
        (compiled.len() == entries.len()).then_some(compiled)
    })
}

fn ranges<A>(proto: &proto::IpMatcher, action: Action<'_, A>, cx: &mut Cx<'_>) -> Option<Ranges<A>> {
    if proto.range_matchers.is_empty() {
        cx.missing(&["range_matchers"], "`range_matchers` is required: at least one");
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    let then = cx.each("range_matchers", &proto.range_matchers, |cx, matcher| {
        if matcher.ranges.is_empty() {
            cx.missing(&["ranges"], "`ranges` is required: at least one");
        }
        for range in cx.each("ranges", &matcher.ranges, |cx, range| {
            let (address_prefix, prefix_len) = (range.address_prefix.clone(), range.prefix_len);
            let cidr = Cidr::compile(&CidrRange { address_prefix, prefix_len }, cx)?;
            Some((prefix_len.unwrap_or(0), cidr))
        }) {
            ranges.push((range.0, (range.1, at)));
        }
        at += 1;
        let then = required_then(&matcher.on_match, action, cx)?;
        Some((then, matcher.exclusive))
    });
    // Stable: of two ranges that are the same, the first in the configuration comes first.
    ranges.sort_by_key(|(bits, _)| std::cmp::Reverse(*bits));
    let complete = then.len() == proto.range_matchers.len();
    complete.then(|| Ranges { ranges: ranges.into_iter().map(|(_, range)| range).collect(), then })
}

#[cfg(test)]
mod tests;
