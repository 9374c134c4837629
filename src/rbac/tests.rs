//! Tables of rules and of who is judged by them.

use super::*;
use crate::api::envoy::config::rbac::v3 as proto;
use crate::config::Diagnostics;
use crate::filter_state::{Kind, Object};
use crate::stats::Registry;
use crate::tls::{Certificate, TlsInfo};
use prost::Message;
use prost_reflect::DynamicMessage;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

/// Rules as they are written in YAML; what is wrong with them, as paths.
fn rules(yaml: &str) -> Result<Rules, Vec<String>> {
    let value: serde_json::Value = serde_saphyr::from_str(yaml).expect("YAML");
    let descriptor =
        crate::api::pool().get_message_by_name("envoy.config.rbac.v3.RBAC").expect("in the schema");
    let message = DynamicMessage::deserialize(descriptor, value).expect("it fits the schema");
    let proto = proto::Rbac::decode(&message.encode_to_vec()[..]).expect("the same schema");
    let (mut diagnostics, mut registry) = (Diagnostics::default(), Registry::new());
    let rules = compile::rules(&proto, &mut crate::config::Cx::new(&mut diagnostics, &mut registry));
    if diagnostics.is_empty() {
        Ok(rules)
    } else {
        Err(diagnostics.errors().iter().map(|error| error.path.clone()).collect())
    }
}

/// One policy of one permission and one principal that allows.
fn allow(permission: &str, principal: &str) -> Rules {
    rules(&format!("policies: {{p: {{permissions: [{permission}], principals: [{principal}]}}}}"))
        .expect("right")
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// The TLS of a client whose certificate has these alternative names and the common name `somebody`; without a
/// certificate if there are none.
fn tls(names: &[&str]) -> TlsInfo {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(|name| {
            let text = (*name).try_into().expect("an ASCII name");
            if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }
        })
        .collect();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "somebody");
    let key = KeyPair::generate().expect("a key");
    let certificate = Certificate::new(params.self_signed(&key).expect("a certificate").der().clone());
    TlsInfo {
        version: "TLSv1.3",
        cipher: "",
        group: "",
        alpn: None,
        session_id: Box::default(),
        resumed: false,
        peer: if names.is_empty() { Box::default() } else { [certificate].into() },
        validated: true,
        local: None,
    }
}

struct Case {
    local: Address,
    direct: Address,
    remote: Address,
    name: &'static str,
    tls: Option<TlsInfo>,
    state: FilterState,
}

impl Default for Case {
    fn default() -> Self {
        let mut state = FilterState::default();
        state.set(&"k".into(), Object { kind: Kind::Text, value: b"value"[..].into(), read_only: false });
        Self {
            local: address("10.0.0.1:443"),
            direct: address("192.168.1.2:5000"),
            remote: address("203.0.113.9:6000"),
            name: "www.example.com",
            tls: Some(tls(&["web.example", "spiffe://x/web"])),
            state,
        }
    }
}

impl Case {
    fn allowed(&self, rules: &Rules) -> bool {
        let subject = Subject {
            local: Some(&self.local),
            direct_remote: &self.direct,
            remote: &self.remote,
            server_name: self.name,
            tls: self.tls.as_ref(),
            filter_state: Some(&self.state),
        };
        rules.judge(&subject).allowed
    }
}

#[test]
fn permissions() {
    let case = Case::default();
    for (permission, expected) in [
        ("{any: true}", true),
        ("{not_rule: {any: true}}", false),
        ("{destination_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}", true),
        ("{destination_ip: {address_prefix: 192.168.0.0, prefix_len: 16}}", false),
        ("{destination_port: 443}", true),
        ("{destination_port: 442}", false),
        ("{destination_port_range: {start: 443, end: 444}}", true),
        ("{destination_port_range: {start: 400, end: 443}}", false),
        ("{requested_server_name: {exact: www.example.com}}", true),
        ("{requested_server_name: {suffix: .example.com}}", true),
        ("{requested_server_name: {exact: example.com}}", false),
        ("{and_rules: {rules: [{any: true}, {destination_port: 443}]}}", true),
        ("{and_rules: {rules: [{any: true}, {destination_port: 1}]}}", false),
        ("{or_rules: {rules: [{destination_port: 1}, {destination_port: 443}]}}", true),
        ("{or_rules: {rules: [{destination_port: 1}, {destination_port: 2}]}}", false),
        ("{not_rule: {and_rules: {rules: [{destination_port: 443}, {destination_port: 2}]}}}", true),
    ] {
        assert_eq!(case.allowed(&allow(permission, "{any: true}")), expected, "{permission}");
    }
}

#[test]
fn principals() {
    let case = Case::default();
    for (principal, expected) in [
        ("{any: true}", true),
        ("{not_id: {any: true}}", false),
        ("{source_ip: {address_prefix: 192.168.1.2, prefix_len: 32}}", true),
        ("{source_ip: {address_prefix: 203.0.113.9, prefix_len: 32}}", false),
        ("{direct_remote_ip: {address_prefix: 192.168.0.0, prefix_len: 16}}", true),
        ("{remote_ip: {address_prefix: 203.0.113.0, prefix_len: 24}}", true),
        ("{remote_ip: {address_prefix: 192.168.0.0, prefix_len: 16}}", false),
        ("{remote_ip: {address_prefix: '::', prefix_len: 0}}", false),
        ("{authenticated: {}}", true),
        ("{authenticated: {principal_name: {exact: web.example}}}", true),
        ("{authenticated: {principal_name: {prefix: 'spiffe://y'}}}", false),
        ("{authenticated: {principal_name: {exact: 'spiffe://x/web'}}}", true),
        ("{authenticated: {principal_name: {exact: CN=somebody}}}", true),
        ("{filter_state: {key: k, string_match: {exact: value}}}", true),
        ("{filter_state: {key: k, string_match: {exact: other}}}", false),
        ("{filter_state: {key: none, string_match: {prefix: v}}}", false),
        ("{and_ids: {ids: [{any: true}, {authenticated: {}}]}}", true),
        ("{and_ids: {ids: [{any: true}, {not_id: {authenticated: {}}}]}}", false),
        ("{or_ids: {ids: [{filter_state: {key: none, string_match: {exact: a}}}, {any: true}]}}", true),
    ] {
        assert_eq!(case.allowed(&allow("{any: true}", principal)), expected, "{principal}");
    }
    let plain = Case { tls: None, name: "", ..Case::default() };
    for (permission, principal, expected) in [
        ("{any: true}", "{authenticated: {}}", false),
        ("{any: true}", "{not_id: {authenticated: {}}}", true),
        ("{requested_server_name: {exact: ''}}", "{any: true}", true),
        ("{not_rule: {requested_server_name: {suffix: .example.com}}}", "{any: true}", true),
    ] {
        assert_eq!(plain.allowed(&allow(permission, principal)), expected, "{permission} {principal}");
    }
    let anonymous = Case { tls: Some(tls(&[])), ..Case::default() };
    for (principal, expected) in [
        ("{authenticated: {}}", true),
        ("{authenticated: {principal_name: {exact: web.example}}}", false),
        ("{authenticated: {principal_name: {suffix: 'e'}}}", false),
    ] {
        assert_eq!(anonymous.allowed(&allow("{any: true}", principal)), expected, "{principal}");
    }
    let unix = Case { direct: Address::unix("@a"), local: Address::unix("@b"), ..Case::default() };
    for (permission, principal) in [
        ("{destination_port_range: {start: 0, end: 65536}}", "{any: true}"),
        ("{destination_ip: {address_prefix: 0.0.0.0}}", "{any: true}"),
        ("{any: true}", "{source_ip: {address_prefix: 0.0.0.0}}"),
    ] {
        assert!(!unix.allowed(&allow(permission, principal)), "{permission} {principal}");
    }
}

#[test]
fn actions_and_the_order_of_policies() {
    let any = "permissions: [{any: true}], principals: [{any: true}]";
    let none = "permissions: [{not_rule: {any: true}}], principals: [{any: true}]";
    let case = Case::default();
    for (text, allowed, policy) in [
        (String::new(), false, None),
        ("action: DENY".to_owned(), true, None),
        ("action: LOG".to_owned(), true, None),
        (format!("policies: {{b: {{{any}}}, a: {{{any}}}, c: {{{any}}}}}"), true, Some("a")),
        (format!("policies: {{b: {{{any}}}, a: {{{none}}}}}"), true, Some("b")),
        (format!("action: DENY\npolicies: {{b: {{{any}}}, a: {{{none}}}}}"), false, Some("b")),
        (format!("action: DENY\npolicies: {{a: {{{none}}}}}"), true, None),
        (format!("action: LOG\npolicies: {{a: {{{any}}}}}"), true, Some("a")),
        (format!("policies: {{a: {{{none}}}}}"), false, None),
    ] {
        let rules = rules(if text.is_empty() { "{}" } else { &text }).expect("right");
        let subject = Subject {
            local: None,
            direct_remote: &case.direct,
            remote: &case.remote,
            server_name: "",
            tls: None,
            filter_state: None,
        };
        assert_eq!(rules.judge(&subject), Judgement { allowed, policy }, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_where() {
    for (policy, path) in [
        ("permissions: [], principals: [{any: true}]", ""),
        ("permissions: [{any: true}]", ""),
        ("permissions: [{any: false}], principals: [{any: true}]", ".permissions[0].any"),
        ("permissions: [{}], principals: [{any: true}]", ".permissions[0]"),
        ("permissions: [{and_rules: {}}], principals: [{any: true}]", ".permissions[0].and_rules"),
        (
            "permissions: [{destination_port: 70000}], principals: [{any: true}]",
            ".permissions[0].destination_port",
        ),
        (
            "permissions: [{destination_port_range: {start: 9, end: 9}}], principals: [{any: true}]",
            ".permissions[0].destination_port_range",
        ),
        (
            "permissions: [{destination_ip: {address_prefix: x}}], principals: [{any: true}]",
            ".permissions[0].destination_ip.address_prefix",
        ),
        ("permissions: [{any: true}], principals: [{or_ids: {ids: [{}]}}]", ".principals[0].or_ids.ids[0]"),
        ("permissions: [{any: true}], principals: [{filter_state: {key: a}}]", ".principals[0].filter_state"),
        (
            "permissions: [{requested_server_name: {safe_regex: {regex: '('}}}], principals: [{any: true}]",
            ".permissions[0].requested_server_name.safe_regex.regex",
        ),
    ] {
        let wrong = rules(&format!("policies: {{p: {{{policy}}}}}")).expect_err(policy);
        assert_eq!(wrong, [format!("policies.p{path}")], "{policy}");
    }
}
