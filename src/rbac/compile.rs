//! `envoy.config.rbac.v3.RBAC` to [`Rules`].

use super::{Action, Permission, Policy, Principal, Rules};
use crate::api::envoy::config::rbac::v3 as proto;
use crate::api::envoy::r#type::matcher::v3::filter_state_matcher::Matcher;
use crate::config::Cx;
use crate::network::Cidr;
use crate::router::compile::string_match;
use proto::permission::Rule;
use proto::principal::Identifier;

/// Compiles rules.
pub fn rules(rules: &proto::Rbac, cx: &mut Cx<'_>) -> Rules {
    let action = match rules.action() {
        proto::rbac::Action::Allow => Action::Allow,
        proto::rbac::Action::Deny => Action::Deny,
        proto::rbac::Action::Log => Action::Log,
    };
    let mut policies: Vec<_> = rules.policies.iter().collect();
    policies.sort_by_key(|(name, _)| *name);
    let policies = cx.field("policies", |cx| {
        let compiled =
            policies.into_iter().map(|(name, policy)| cx.field(name, |cx| self::policy(name, policy, cx)));
        compiled.collect()
    });
    Rules { action, policies }
}

fn policy(name: &str, policy: &proto::Policy, cx: &mut Cx<'_>) -> Policy {
    if policy.permissions.is_empty() {
        cx.missing(&["permissions"], "`permissions` is required: at least one, which may be `any: true`");
    }
    if policy.principals.is_empty() {
        cx.missing(&["principals"], "`principals` is required: at least one, which may be `any: true`");
    }
    Policy {
        name: name.into(),
        permissions: cx.each("permissions", &policy.permissions, |cx, one| permission(one, cx)),
        principals: cx.each("principals", &policy.principals, |cx, one| principal(one, cx)),
    }
}

fn any(any: bool, cx: &mut Cx<'_>) {
    if !any {
        cx.error_at("any", "must be true; nothing at all is `not_rule` or `not_id` of it");
    }
}

fn permission(permission: &proto::Permission, cx: &mut Cx<'_>) -> Option<Permission> {
    let set = |name: &str, set: &proto::permission::Set, cx: &mut Cx<'_>| {
        cx.field(name, |cx| {
            if set.rules.is_empty() {
                cx.missing(&["rules"], "`rules` is required: at least one");
            }
            cx.each("rules", &set.rules, |cx, one| self::permission(one, cx))
        })
    };
    Some(match &permission.rule {
        None => {
            cx.one_of(&[
                "any",
                "and_rules",
                "or_rules",
                "not_rule",
                "destination_ip",
                "destination_port",
                "destination_port_range",
                "requested_server_name",
            ]);
            return None;
        }
        Some(Rule::Any(given)) => {
            any(*given, cx);
            Permission::Any
        }
        Some(Rule::AndRules(rules)) => Permission::All(set("and_rules", rules, cx)),
        Some(Rule::OrRules(rules)) => Permission::One(set("or_rules", rules, cx)),
        Some(Rule::NotRule(not)) => {
            Permission::Not(Box::new(cx.field("not_rule", |cx| self::permission(not, cx))?))
        }
        Some(Rule::DestinationIp(range)) => {
            Permission::DestinationIp(cx.field("destination_ip", |cx| Cidr::compile(range, cx))?)
        }
        Some(Rule::DestinationPort(port)) => {
            if *port > 65535 {
                cx.error_at("destination_port", format!("{port} is not a port: 0 to 65535"));
            }
            let port = (*port).min(65535) as i32;
            Permission::DestinationPorts(port..port + 1)
        }
        Some(Rule::DestinationPortRange(range)) => cx.field("destination_port_range", |cx| {
            if range.start < 0 || range.end > 65536 || range.start >= range.end {
                cx.error(format!(
                    "{} to {} is no range of ports: from `start`, which is 0 at least, to below `end`, which is \
                     65536 at most",
                    range.start, range.end
                ));
            }
            Permission::DestinationPorts(range.start..range.end)
        }),
        Some(Rule::RequestedServerName(matcher)) => {
            Permission::ServerName(cx.field("requested_server_name", |cx| string_match(matcher, cx))?)
        }
    })
}

fn principal(principal: &proto::Principal, cx: &mut Cx<'_>) -> Option<Principal> {
    let set = |name: &str, set: &proto::principal::Set, cx: &mut Cx<'_>| {
        cx.field(name, |cx| {
            if set.ids.is_empty() {
                cx.missing(&["ids"], "`ids` is required: at least one");
            }
            cx.each("ids", &set.ids, |cx, one| self::principal(one, cx))
        })
    };
    Some(match &principal.identifier {
        None => {
            cx.one_of(&[
                "any",
                "and_ids",
                "or_ids",
                "not_id",
                "authenticated",
                "direct_remote_ip",
                "remote_ip",
                "filter_state",
            ]);
            return None;
        }
        Some(Identifier::Any(given)) => {
            any(*given, cx);
            Principal::Any
        }
        Some(Identifier::AndIds(ids)) => Principal::All(set("and_ids", ids, cx)),
        Some(Identifier::OrIds(ids)) => Principal::One(set("or_ids", ids, cx)),
        Some(Identifier::NotId(not)) => {
            Principal::Not(Box::new(cx.field("not_id", |cx| self::principal(not, cx))?))
        }
        Some(Identifier::Authenticated(authenticated)) => {
            let name = authenticated.principal_name.as_ref();
            match name {
                None => Principal::Authenticated(None),
                Some(name) => cx.field("authenticated", |cx| {
                    let name = cx.field("principal_name", |cx| string_match(name, cx))?;
                    Some(Principal::Authenticated(Some(name)))
                })?,
            }
        }
        Some(Identifier::SourceIp(range)) => {
            Principal::DirectRemoteIp(cx.field("source_ip", |cx| Cidr::compile(range, cx))?)
        }
        Some(Identifier::DirectRemoteIp(range)) => {
            Principal::DirectRemoteIp(cx.field("direct_remote_ip", |cx| Cidr::compile(range, cx))?)
        }
        Some(Identifier::RemoteIp(range)) => {
            Principal::RemoteIp(cx.field("remote_ip", |cx| Cidr::compile(range, cx))?)
        }
        Some(Identifier::FilterState(matcher)) => cx.field("filter_state", |cx| {
            let key = cx.text("key", &matcher.key);
            let Some(Matcher::StringMatch(wanted)) = &matcher.matcher else {
                cx.one_of(&["string_match"]);
                return None;
            };
            let wanted = cx.field("string_match", |cx| string_match(wanted, cx))?;
            Some(Principal::FilterState(key?.into(), wanted))
        })?,
    })
}
