//! Wrong TLS contexts: each is refused with the path of the field, its place, and words that say which file is meant and
//! what to do.

use super::certs::{Authority, Pem};
use super::support::Folder;
use nuncio::config::Source;
use nuncio::server::compile::load;

const SERVER: &str = "static_resources.listeners[0].filter_chains[0].transport_socket.typed_config";
const CLIENT: &str = "static_resources.clusters[0].transport_socket.typed_config";
const OPTIONS: &str = "static_resources.clusters[0].typed_extension_protocol_options.\
                       envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A configuration with these lines in a downstream context, in an upstream context, and in the options of the cluster.
fn yaml(server: &str, client: &str, options: &str) -> String {
    let transport = |message: &str, lines: &str| {
        if lines.is_empty() {
            return String::new();
        }
        format!(
            "transport_socket: {{name: tls, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{message},\n {lines}}}}}"
        )
    };
    format!(
        r#"static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters: [{{name: echo, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}}}]
      {}
  clusters:
  - name: up
    typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, {options}}}}}
    {}
"#,
        transport("DownstreamTlsContext", server),
        transport("UpstreamTlsContext", client)
    )
}

/// The files that the rows speak of.
fn files(folder: &Folder) {
    let authority = Authority::new("ca");
    let pems: [Pem; 2] = [authority.issue(&["a.test"]), authority.issue(&["b.test"])];
    for (name, text) in [
        ("ca.pem", &authority.pem[..]),
        ("a.pem", &pems[0].certificate),
        ("a.key", &pems[0].key),
        ("b.key", &pems[1].key),
        ("empty", ""),
        ("half.pem", &pems[0].certificate[..300]),
        ("noise.pem", "-----BEGIN CERTIFICATE-----\n****\n-----END CERTIFICATE-----\n"),
        ("der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        (
            "encrypted.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        ),
        (
            "traditional.key",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
        ),
        ("odd.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("ocsp", "not a response"),
        ("short", "0123456789"),
        ("broken.yaml", "resources:\n- nonsense: 1\n"),
    ] {
        folder.file(name, text);
    }
    let secret = |key: &str| {
        format!("{{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: x, tls_certificate: {{certificate_chain: {{filename: F/a.pem}}, private_key: {{filename: F/{key}}}}}}}")
            .replace("F/", &format!("{}/", folder.0.display()))
    };
    folder.file("x.yaml", &format!("resources: [{}]", secret("b.key")));
    folder.file("good.yaml", &format!("resources: [{}]", secret("a.key")));
    folder.file("two.yaml", &format!("resources: [{}, {}]", secret("a.key"), secret("b.key")));
}

#[test]
fn wrong_contexts_are_refused() {
    let folder = Folder::new();
    files(&folder);
    let good = "common_tls_context: {tls_certificates: [{certificate_chain: {filename: F/a.pem}, private_key: {filename: F/a.key}}],";
    let with = |more: &str| format!("{good} {more}}}");
    let pair = |certificate: &str, key: &str| {
        format!(
            "common_tls_context: {{tls_certificates: [{{certificate_chain: {certificate}, private_key: {key}}}]}}"
        )
    };
    let trusted = "validation_context: {trusted_ca: {filename: F/ca.pem}";
    let rows: &[(String, &str, &str, &[&str])] = &[
        // Certificates and keys.
        (
            "common_tls_context: »{}".to_owned(),
            SERVER,
            ".common_tls_context",
            &["`tls_certificates`", "is required"],
        ),
        (pair("{filename: »F/none.pem}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain.filename", &["F/none.pem"]),
        (pair("»{filename: F/empty}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain", &["F/empty"]),
        (pair("{filename: »F/ca.pemm}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain.filename", &["F/ca.pemm"]),
        (pair("»{filename: F/a.key}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain", &["there is no certificate in F/a.key", "BEGIN CERTIFICATE"]),
        (pair("»{filename: F/half.pem}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain", &["F/half.pem", "-----END CERTIFICATE-----"]),
        (pair("»{filename: F/noise.pem}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain", &["F/noise.pem", "base64"]),
        (pair("»{filename: F/der.pem}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain", &["F/der.pem", "cannot be used"]),
        (pair("»{inline_string: hello}", "{filename: F/a.key}"), SERVER, ".common_tls_context.tls_certificates[0].certificate_chain", &["<inline>"]),
        (pair("{filename: F/a.pem}", "»{filename: F/b.key}"), SERVER, ".common_tls_context.tls_certificates[0].private_key", &["F/b.key does not belong", "F/a.pem"]),
        (pair("{filename: F/a.pem}", "»{filename: F/a.pem}"), SERVER, ".common_tls_context.tls_certificates[0].private_key", &["there is no private key in F/a.pem", "PKCS#8"]),
        (pair("{filename: F/a.pem}", "»{filename: F/encrypted.key}"), SERVER, ".common_tls_context.tls_certificates[0].private_key", &["F/encrypted.key is encrypted", "`password`"]),
        (
            "common_tls_context: {tls_certificates: [{certificate_chain: {filename: F/a.pem}, private_key: »{filename: F/encrypted.key}, password: {inline_string: x}}]}".to_owned(),
            SERVER,
            ".common_tls_context.tls_certificates[0].private_key",
            &["cannot decrypt the private key in F/encrypted.key", "PBES2"],
        ),
        (pair("{filename: F/a.pem}", "»{filename: F/traditional.key}"), SERVER, ".common_tls_context.tls_certificates[0].private_key", &["F/traditional.key", "openssl pkcs8"]),
        (pair("{filename: F/a.pem}", "»{filename: F/odd.key}"), SERVER, ".common_tls_context.tls_certificates[0].private_key", &["F/odd.key", "2048"]),
        (
            "common_tls_context: {tls_certificates: [»{certificate_chain: {filename: F/a.pem}}]}".to_owned(),
            SERVER,
            ".common_tls_context.tls_certificates[0]",
            &["`private_key` is required"],
        ),
        (
            "common_tls_context: {tls_certificates: [{certificate_chain: {filename: F/a.pem}, private_key: {filename: F/a.key}, »pkcs12: {filename: F/empty}}]}".to_owned(),
            SERVER,
            ".common_tls_context.tls_certificates[0].pkcs12",
            &["not supported"],
        ),
        (
            "common_tls_context: {tls_certificates: [{certificate_chain: {filename: F/a.pem}, private_key: {filename: F/a.key}, watched_directory: {path: »F/nowhere}}]}".to_owned(),
            SERVER,
            ".common_tls_context.tls_certificates[0].watched_directory.path",
            &["F/nowhere is not a folder"],
        ),
        (
            "common_tls_context: {tls_certificates: [{certificate_chain: {filename: F/a.pem}, private_key: {filename: F/a.key}, ocsp_staple: »{filename: F/ocsp}}]}".to_owned(),
            SERVER,
            ".common_tls_context.tls_certificates[0].ocsp_staple",
            &["F/ocsp is no OCSP response"],
        ),
        (
            format!("ocsp_staple_policy: MUST_STAPLE, {}", good.replace("[{cert", "[»{cert") + "}"),
            SERVER,
            ".common_tls_context.tls_certificates[0]",
            &["MUST_STAPLE", "`ocsp_staple`"],
        ),
        // Parameters.
        (with("tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: »TLSv1_2}"), SERVER, ".common_tls_context.tls_params.tls_maximum_protocol_version", &["older than"]),
        (with("tls_params: {tls_minimum_protocol_version: »TLSv1_1}"), SERVER, ".common_tls_context.tls_params.tls_minimum_protocol_version", &["TLSv1_1"]),
        (with("tls_params: {cipher_suites: [»AES128-SHA]}"), SERVER, ".common_tls_context.tls_params.cipher_suites[0]", &["`AES128-SHA`", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
        (with("tls_params: {cipher_suites: [»\"[]\"]}"), SERVER, ".common_tls_context.tls_params.cipher_suites[0]", &["no cipher suite"]),
        (with("tls_params: {ecdh_curves: [P-256, »P-224]}"), SERVER, ".common_tls_context.tls_params.ecdh_curves[1]", &["`P-224`", "X25519"]),
        (with("alpn_protocols: [h2, »\"\"]"), SERVER, ".common_tls_context.alpn_protocols[1]", &["1 to 255"]),
        // Who is believed.
        (with("validation_context: {trusted_ca: {filename: »F/none}}"), SERVER, ".common_tls_context.validation_context.trusted_ca.filename", &["F/none"]),
        (with("validation_context: {trusted_ca: »{filename: F/empty}}"), SERVER, ".common_tls_context.validation_context.trusted_ca", &["F/empty"]),
        (with("validation_context: {crl: »{filename: F/ca.pem}, trusted_ca: {filename: F/ca.pem}}"), SERVER, ".common_tls_context.validation_context.crl", &["there is no CRL in F/ca.pem"]),
        (with("validation_context: {verify_certificate_hash: [»abcd]}"), SERVER, ".common_tls_context.validation_context.verify_certificate_hash[0]", &["`abcd`", "in hex"]),
        (with("validation_context: {verify_certificate_spki: [»abcd]}"), SERVER, ".common_tls_context.validation_context.verify_certificate_spki[0]", &["`abcd`", "in base64"]),
        (with("validation_context: »{match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}"), SERVER, ".common_tls_context.validation_context", &["`trusted_ca`"]),
        (with(&format!("{trusted}, match_typed_subject_alt_names: [»{{matcher: {{exact: a}}}}]}}")), SERVER, ".common_tls_context.validation_context.match_typed_subject_alt_names[0]", &["`san_type` is required"]),
        (with(&format!("{trusted}, max_verify_depth: »101}}")), SERVER, ".common_tls_context.validation_context.max_verify_depth", &["101", "0 to 100"]),
        (with(&format!("{trusted}, »custom_validator_config: {{}}}}")), SERVER, ".common_tls_context.validation_context.custom_validator_config", &["not supported"]),
        // Secrets.
        (with("validation_context_sds_secret_config: »{name: x}"), SERVER, ".common_tls_context.validation_context_sds_secret_config", &["no secret called `x`"]),
        (with("validation_context_sds_secret_config: »{}"), SERVER, ".common_tls_context.validation_context_sds_secret_config", &["`name` is required"]),
        (with("validation_context_sds_secret_config: {name: x, sds_config: »{}}"), SERVER, ".common_tls_context.validation_context_sds_secret_config.sds_config", &["path_config_source"]),
        (with("validation_context_sds_secret_config: {name: x, sds_config: {»ads: {}}}"), SERVER, ".common_tls_context.validation_context_sds_secret_config.sds_config.ads", &["not supported"]),
        (with("validation_context_sds_secret_config: {name: x, sds_config: »{path: F/none.yaml}}"), SERVER, ".common_tls_context.validation_context_sds_secret_config.sds_config", &["F/none.yaml"]),
        (with("validation_context_sds_secret_config: {name: x, sds_config: »{path: F/broken.yaml}}"), SERVER, ".common_tls_context.validation_context_sds_secret_config.sds_config", &["F/broken.yaml:2:3: ", "@type"]),
        (with("validation_context_sds_secret_config: {name: y, sds_config: »{path: F/x.yaml}}"), SERVER, ".common_tls_context.validation_context_sds_secret_config.sds_config", &["called `x`", "`y` is expected"]),
        (with("validation_context_sds_secret_config: {name: x, sds_config: »{path: F/x.yaml}}"), SERVER, ".common_tls_context.validation_context_sds_secret_config.sds_config", &["`x` is no `validation_context`"]),
        (with("validation_context_sds_secret_config: {name: x, sds_config: »{path: F/two.yaml}}"), SERVER, ".common_tls_context.validation_context_sds_secret_config.sds_config", &["has 2 `resources`"]),
        (with("combined_validation_context: »{default_validation_context: {}}"), SERVER, ".common_tls_context.combined_validation_context", &["`validation_context_sds_secret_config` is required"]),
        (with("tls_certificate_sds_secret_configs: »[{name: x, sds_config: {path: F/good.yaml}}]"), SERVER, ".common_tls_context.tls_certificate_sds_secret_configs", &["not in both"]),
        ("common_tls_context: {tls_certificate_sds_secret_configs: [»{name: x, sds_config: {path: F/x.yaml}}]}".to_owned(), SERVER, ".common_tls_context.tls_certificate_sds_secret_configs[0].tls_certificate.private_key", &["F/b.key does not belong"]),
        (format!("session_ticket_keys_sds_secret_config: »{{name: x}}, {good}}}"), SERVER, ".session_ticket_keys_sds_secret_config", &["no secret called `x`"]),
        // Sessions, key logs.
        (format!("session_ticket_keys: {{keys: [»{{filename: F/short}}]}}, {good}}}"), SERVER, ".session_ticket_keys.keys[0]", &["80 bytes", "this one has 10"]),
        (format!("session_ticket_keys: »{{}}, {good}}}"), SERVER, ".session_ticket_keys", &["`keys` is required"]),
        (with("key_log: {path: »F/no/such/folder}"), SERVER, ".common_tls_context.key_log.path", &["cannot open F/no/such/folder"]),
        (with("key_log: »{}"), SERVER, ".common_tls_context.key_log", &["`path` is required"]),
        // Clusters.
        ("allow_renegotiation: »true".to_owned(), CLIENT, ".allow_renegotiation", &["never"]),
        ("enforce_rsa_key_usage: »false".to_owned(), CLIENT, ".enforce_rsa_key_usage", &["always respected"]),
        ("sni: »127.0.0.1".to_owned(), CLIENT, ".sni", &["`127.0.0.1` is not a host name"]),
        ("sni: »\"a b\"".to_owned(), CLIENT, ".sni", &["not a host name"]),
        ("sni: a.test, auto_sni_san_validation: »true".to_owned(), CLIENT, ".auto_sni_san_validation", &["`trusted_ca`"]),
        (
            format!("{}}}", good.replace("tls_certificates: [", "tls_certificates: »[").replace("],", ", {certificate_chain: {filename: F/a.pem}, private_key: {filename: F/a.key}}],")),
            CLIENT,
            ".common_tls_context.tls_certificates",
            &["at most one"],
        ),
        ("»require_client_certificate: true".to_owned(), CLIENT, ".require_client_certificate", &["`require_client_certificate`"]),
        // Clusters: what requests decide.
        ("auto_config: »{}".to_owned(), OPTIONS, ".auto_config", &["`UpstreamTlsContext`"]),
        (
            "explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_san_validation: »true}".to_owned(),
            OPTIONS,
            ".upstream_http_protocol_options.auto_san_validation",
            &["`auto_sni` is required"],
        ),
        (
            "explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true, override_auto_sni_header: »\"a b\"}".to_owned(),
            OPTIONS,
            ".upstream_http_protocol_options.override_auto_sni_header",
            &["`a b`"],
        ),
    ];
    let folder = folder.0.display().to_string();
    let mut failures = String::new();
    for (lines, side, path, says) in rows {
        let fine = "explicit_http_config: {http_protocol_options: {}}";
        let text = match *side {
            SERVER => yaml(lines, "", fine),
            CLIENT => yaml("", lines, fine),
            _ => yaml("", "", lines),
        };
        let text = text.replace("F/", &format!("{folder}/"));
        let at = text.find('»').unwrap_or_else(|| panic!("no mark in {lines}"));
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let place = (text[..at].matches('\n').count() + 1, text[line_start..at].chars().count() + 1);
        let diagnostics = match load(&Source::text(&text.replacen('»', "", 1))) {
            Ok(_) => {
                failures += &format!("--- accepted: {lines}\n");
                continue;
            }
            Err(diagnostics) => diagnostics,
        };
        let path = format!("{side}{path}");
        let right = diagnostics.errors().len() == 1
            && diagnostics.errors().iter().all(|error| {
                error.path == path
                    && (error.place.1, error.place.2) == place
                    && says
                        .iter()
                        .all(|part| error.message.contains(&part.replace("F/", &format!("{folder}/"))))
            });
        if !right {
            failures +=
                &format!("--- {lines}: expected {path} at {place:?} saying {says:?}, got\n{diagnostics}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_roots_of_the_system_are_trusted() {
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    if !std::path::Path::new(bundle).exists() {
        eprintln!("skipped: there is no {bundle}");
        return;
    }
    for context in [format!("trusted_ca: {{filename: {bundle}}}"), "system_root_certs: {}".to_owned()] {
        let tls = format!("common_tls_context: {{validation_context: {{{context}}}}}");
        let snapshot =
            load(&Source::text(&yaml("", &tls, "explicit_http_config: {http_protocol_options: {}}")));
        assert!(snapshot.is_ok(), "{context}: {:?}", snapshot.err());
    }
}

#[test]
fn what_is_right_is_accepted() {
    let folder = Folder::new();
    files(&folder);
    let good = "common_tls_context: {tls_certificates: [{certificate_chain: {filename: F/a.pem}, private_key: {filename: F/a.key}}],";
    for (server, client, options) in [
        (format!("{good} }}"), "sni: a.test", "auto_config: {}"),
        (
            format!(
                "require_client_certificate: true, {good} validation_context: {{trusted_ca: {{filename: F/ca.pem}}}}}}"
            ),
            "sni: a.test, enforce_rsa_key_usage: true, allow_renegotiation: false",
            "explicit_http_config: {http2_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true}",
        ),
        // Names from requests mean nothing without TLS, and do no harm.
        (
            format!(
                "{good} tls_params: {{ecdh_curves: [X25519MLKEM768, X25519, P-256, P-384], cipher_suites: [\"[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]\"]}}}}"
            ),
            "",
            "explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true}",
        ),
    ] {
        let text = yaml(&server, client, options).replace("F/", &format!("{}/", folder.0.display()));
        if let Err(diagnostics) = load(&Source::text(&text)) {
            panic!("{text}\n{diagnostics}");
        }
    }
}
