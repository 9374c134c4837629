//! The configuration of both sides: a listener for each set of options, all on the same clusters.

/// Name of the listener, options of its connection manager, its virtual hosts (`@` for the usual ones).
const LISTENERS: [(&str, &str, &str); 28] = [
    ("plain", "", "@"),
    (
        "stream_errors",
        "http2_protocol_options: {override_stream_error_on_invalid_http_message: true, max_concurrent_streams: 2}",
        "@",
    ),
    ("only_h2", "codec_type: HTTP2\nproxy_100_continue: true", "@"),
    (
        "h2_tunnels",
        "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}]
http2_protocol_options: {allow_connect: true}",
        "@",
    ),
    (
        "edge",
        "use_remote_address: true
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT
via: edge.example
server_name: front
always_set_request_id_in_response: true
append_x_forwarded_port: true",
        "@",
    ),
    (
        "unescape",
        "normalize_path: true
path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD
server_header_transformation: APPEND_IF_ABSENT
preserve_external_request_id: true
use_remote_address: true",
        "@",
    ),
    (
        "reject",
        "path_with_escaped_slashes_action: REJECT_REQUEST
server_header_transformation: PASS_THROUGH
common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
        "@",
    ),
    (
        "merge",
        "merge_slashes: true
common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}
generate_request_id: false",
        "@",
    ),
    ("mapped", "use_remote_address: true\nrepresent_ipv4_remote_address_as_ipv4_mapped_ipv6: true", "@"),
    ("hops0", "use_remote_address: true\nskip_xff_append: true", "@"),
    ("hops1", "use_remote_address: true\nxff_num_trusted_hops: 1", "@"),
    ("hops2", "use_remote_address: false\nxff_num_trusted_hops: 2", "@"),
    (
        "internal",
        "use_remote_address: true
add_user_agent: true
internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}, {address_prefix: 10.0.0.0, prefix_len: 8}]}",
        "@",
    ),
    (
        "internal_xff",
        "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}",
        "@",
    ),
    (
        "old",
        "http_protocol_options: {accept_http_10: true, default_host_for_http_10: old.example}",
        "@",
    ),
    ("trailers", "http_protocol_options: {enable_trailers: true}", "@"),
    (
        "proper",
        "http_protocol_options: {header_key_format: {proper_case_words: {}}}",
        "@",
    ),
    (
        "preserve",
        "http_protocol_options:
  header_key_format:
    stateful_formatter:
      name: preserve
      typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}",
        "@",
    ),
    ("relative", "http_protocol_options: {allow_absolute_url: false}", "@"),
    ("chunked_length", "http_protocol_options: {allow_chunked_length: true}", "@"),
    (
        "small",
        "max_request_headers_kb: 1
common_http_protocol_options: {max_headers_count: 8, max_requests_per_connection: 2}",
        "@",
    ),
    (
        "quick",
        "request_timeout: 0.2s
request_headers_timeout: 0.15s
stream_idle_timeout: 0.3s",
        "@",
    ),
    ("limited", "common_http_protocol_options: {max_stream_duration: 0.2s, idle_timeout: 0.2s}", "@"),
    (
        "upgrades",
        "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: foo, enabled: false}, {upgrade_type: CONNECT}]
http_protocol_options: {ignore_http_11_upgrade: [{exact: ignored}]}",
        "@",
    ),
    ("interim", "proxy_100_continue: true", "@"),
    ("stripped", "strip_any_host_port: true\nstrip_trailing_host_dot: true", "@"),
    (
        "replies",
        "local_reply_config:
  mappers:
  - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 404, runtime_key: x}}}}
    status_code: 410
    body: {inline_string: \"gone: %not an operator\"}
    headers_to_add:
    - {header: {key: x-mapped, value: \"%RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(:path)%\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - filter: {header_filter: {header: {name: x-json, present_match: true}}}
    body_format_override: {json_format: {code: \"%RESPONSE_CODE%\", body: \"%LOCAL_REPLY_BODY%\", flags: \"%RESPONSE_FLAGS%\", none: \"%REQ(x-none)%\"}}
  - filter: {header_filter: {header: {name: x-html, present_match: true}}}
    status_code: 598
    body: {inline_string: changed}
    body_format_override: {text_format: \"<b>%LOCAL_REPLY_BODY%</b> %RESPONSE_CODE_DETAILS%\", content_type: text/html}
  - filter: {response_flag_filter: {flags: [DPE]}}
    status_code: 418
  - filter: {response_flag_filter: {flags: [UH]}}
    headers_to_add: [{header: {key: content-type, value: text/own}}]
    body: {inline_string: other}
  body_format: {text_format: \"[%RESPONSE_CODE% %LOCAL_REPLY_BODY%]\"}",
        "@",
    ),
    (
        "changes",
        "",
        "- name: changed
  domains: [\"*\"]
  request_headers_to_add:
  - {header: {key: x-level, value: vhost}}
  - {header: {key: x-vhost, value: \"%PROTOCOL% %REQ(:path)% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%\"}}
  request_headers_to_remove: [x-gone]
  response_headers_to_add:
  - {header: {key: x-level, value: vhost}}
  response_headers_to_remove: [x-secret]
  routes:
  - match: {prefix: /actions}
    route: {cluster: up}
    request_headers_to_add:
    - {header: {key: x-append, value: two}, append_action: APPEND_IF_EXISTS_OR_ADD}
    - {header: {key: x-absent, value: two}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-over, value: two}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-exists, value: two}, append_action: OVERWRITE_IF_EXISTS}
    - {header: {key: x-empty, value: \"%REQ(x-none)%\"}}
    - {header: {key: x-kept-empty, value: \"\"}, keep_empty_value: true}
    - {header: {key: x-percent, value: \"100%%\"}}
    - {header: {key: user-agent, value: changed}, append: false}
    response_headers_to_add:
    - {header: {key: x-level, value: route}}
    - {header: {key: x-append, value: two}, append_action: APPEND_IF_EXISTS_OR_ADD}
    - {header: {key: x-absent, value: two}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-over, value: two}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-exists, value: two}, append_action: OVERWRITE_IF_EXISTS}
    - {header: {key: x-code, value: \"%RESPONSE_CODE% %RESP(content-type)% %UPSTREAM_CLUSTER%\"}}
    response_headers_to_remove: [x-old, server]
  - match: {prefix: /order}
    route: {cluster: up}
    request_headers_to_add:
    - {header: {key: x-c, value: \"%REQ(x-a)%\"}}
    - {header: {key: x-a, value: \"%REQ(x-b)%\"}}
    - {header: {key: x-a, value: new}, append_action: OVERWRITE_IF_EXISTS}
    - {header: {key: x-d, value: \"%REQ(x-c)%\"}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-e, value: one}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-e, value: two}, append_action: ADD_IF_ABSENT}
    response_headers_to_add:
    - {header: {key: x-b, value: first}}
    - {header: {key: x-b, value: second}, append_action: OVERWRITE_IF_EXISTS}
    - {header: {key: x-c, value: \"%RESP(x-b)%\"}}
    - {header: {key: x-a, value: over}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-d, value: \"%RESP(x-a)%\"}}
  - match: {prefix: /lines}
    route: {cluster: up}
    request_headers_to_add:
    - {header: {key: user-agent, value: two}}
    - {header: {key: accept, value: \"\"}, keep_empty_value: true}
    - {header: {key: x-request-id, value: two}}
    - {header: {key: accept-language, value: one}}
    - {header: {key: accept-language, value: two}}
    - {header: {key: x-forwarded-for, value: one}}
    - {header: {key: x-forwarded-for, value: two}}
    response_headers_to_add:
    - {header: {key: content-type, value: two}}
    - {header: {key: user-agent, value: one}}
    - {header: {key: user-agent, value: two}}
    - {header: {key: cache-control, value: two}}
    - {header: {key: date, value: one}}
    - {header: {key: x-envoy-upstream-service-time, value: x}, append_action: ADD_IF_ABSENT}
  - match: {prefix: /removed}
    route: {cluster: up}
    request_headers_to_remove: [user-agent, x-forwarded-proto, accept]
  - match: {prefix: /direct}
    direct_response: {status: 200, body: {inline_string: direct}}
    response_headers_to_add:
    - {header: {key: x-code, value: \"%RESPONSE_CODE%\"}}
    - {header: {key: content-type, value: text/css}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - match: {prefix: /told}
    direct_response: {status: 204}
    response_headers_to_add:
    - {header: {key: x-told, value: \"%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%\"}}
  - match: {prefix: /refused}
    route: {cluster: refused}
    response_headers_to_add:
    - {header: {key: x-told, value: \"%RESPONSE_FLAGS% %UPSTREAM_CLUSTER%\"}}
  - match: {prefix: /up}
    route: {cluster: up}
    response_headers_to_add:
    - {header: {key: x-told, value: \"%RESPONSE_CODE_DETAILS% %BYTES_RECEIVED%\"}}
  - match: {prefix: /weighted}
    route:
      weighted_clusters:
        clusters:
        - name: up
          weight: 1
          request_headers_to_add: [{header: {key: x-level, value: weighted}}]
          response_headers_to_add: [{header: {key: x-level, value: weighted}}]
          request_headers_to_remove: [x-weighted]
  - match: {prefix: /}
    route: {cluster: up}",
    ),
];

/// The usual virtual hosts.
const HOSTS: &str = r#"
- name: exact
  domains: ["exact.example", "exact.example:8080", "*.suffix.example", "prefix.*"]
  routes:
  - {match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "by domain"}}}
- name: secure
  domains: ["secure.example"]
  require_tls: ALL
  routes: [{match: {prefix: /}, route: {cluster: up}}]
- name: half_secure
  domains: ["half.example"]
  require_tls: EXTERNAL_ONLY
  routes: [{match: {prefix: /}, route: {cluster: up}}]
- name: empty
  domains: ["empty.example"]
- name: all
  domains: ["*"]
  routes:
  - {match: {path: /exact}, name: exact route, direct_response: {status: 200, body: {inline_string: exact}}}
  - {match: {path: /CASE, case_sensitive: false}, direct_response: {status: 202, body: {inline_string: any case}}}
  - {match: {path_separated_prefix: /api}, direct_response: {status: 200, body: {inline_string: api}}}
  - {match: {safe_regex: {regex: "/re/[0-9]+"}}, direct_response: {status: 200, body: {inline_string: number}}}
  - {match: {prefix: /h, headers: [{name: x-exact, string_match: {exact: one}}]}, direct_response: {status: 200, body: {inline_string: header exact}}}
  - {match: {prefix: /h, headers: [{name: x-range, range_match: {start: 5, end: 10}}]}, direct_response: {status: 200, body: {inline_string: header range}}}
  - {match: {prefix: /h, headers: [{name: x-not, string_match: {prefix: a}, invert_match: true, treat_missing_header_as_empty: false}]}, direct_response: {status: 200, body: {inline_string: header not}}}
  - {match: {prefix: /h, headers: [{name: x-present, present_match: false}]}, direct_response: {status: 200, body: {inline_string: header absent}}}
  - {match: {prefix: /q, query_parameters: [{name: a, string_match: {exact: "1"}}, {name: b, present_match: true}]}, direct_response: {status: 200, body: {inline_string: query}}}
  - {match: {prefix: /m, headers: [{name: ":method", string_match: {exact: PUT}}]}, direct_response: {status: 200, body: {inline_string: put}}}
  - {match: {prefix: /d/201}, direct_response: {status: 201, body: {inline_string: made}}}
  - {match: {prefix: /d/204}, direct_response: {status: 204}}
  - {match: {prefix: /d/403}, direct_response: {status: 403, body: {inline_string: "no\n"}}}
  - {match: {prefix: /d/500}, direct_response: {status: 500}}
  - {match: {prefix: /r/https}, redirect: {https_redirect: true}}
  - {match: {prefix: /r/scheme}, redirect: {scheme_redirect: ftp, response_code: FOUND}}
  - {match: {prefix: /r/host}, redirect: {host_redirect: other.example, response_code: SEE_OTHER}}
  - {match: {prefix: /r/port}, redirect: {port_redirect: 8443, https_redirect: true, response_code: TEMPORARY_REDIRECT}}
  - {match: {prefix: /r/path}, redirect: {path_redirect: "/new?x=1", response_code: PERMANENT_REDIRECT}}
  - {match: {prefix: /r/prefix}, redirect: {prefix_rewrite: /other}}
  - {match: {prefix: /r/regex}, redirect: {regex_rewrite: {pattern: {regex: "^/r/regex/(.*)$"}, substitution: '/\1/there'}}}
  - {match: {prefix: /r/strip}, redirect: {path_redirect: /bare, strip_query: true}}
  - {match: {prefix: /w/prefix}, route: {cluster: up, prefix_rewrite: /p}}
  - {match: {prefix: /w/regex}, route: {cluster: up, regex_rewrite: {pattern: {regex: "/w/regex/([a-z]+)/([0-9]+)"}, substitution: '/\2/\1'}}}
  - {match: {prefix: /w/host}, route: {cluster: up, host_rewrite_literal: literal.example, append_x_forwarded_host: true}}
  - {match: {prefix: /w/header}, route: {cluster: up, host_rewrite_header: x-host}}
  - {match: {prefix: /w/path}, route: {cluster: up, host_rewrite_path_regex: {pattern: {regex: "^/w/path/([a-z]+).*$"}, substitution: '\1.example'}}}
  - {match: {prefix: /c/header}, route: {cluster_header: x-cluster}}
  - {match: {prefix: /c/none}, route: {cluster: none}}
  - {match: {prefix: /c/refused}, route: {cluster: refused}}
  - {match: {prefix: /c/closed}, route: {cluster: no_requests}}
  - {match: {prefix: /c/case}, route: {cluster: proper_up}}
  - {match: {prefix: /c/url}, route: {cluster: full_url}}
  - {match: {prefix: /c/trailers}, route: {cluster: trailers_up}}
  - {match: {prefix: /c/once}, route: {cluster: once}}
  - {match: {prefix: /c/small}, route: {cluster: small_up}}
  - {match: {prefix: /c/h2}, route: {cluster: h2_up}}
  - {match: {prefix: /c/follow}, route: {cluster: follow}}
  - {match: {prefix: /c/high}, route: {cluster: up, priority: HIGH}}
  - {match: {prefix: /t/fast}, route: {cluster: up, timeout: 0.2s}}
  - {match: {prefix: /t/idle}, route: {cluster: up, timeout: 0s, idle_timeout: 0.2s}}
  - {match: {prefix: /t/max}, route: {cluster: up, timeout: 0s, max_stream_duration: {max_stream_duration: 0.2s}}}
  - {match: {prefix: /t/grpc}, route: {cluster: up, max_stream_duration: {grpc_timeout_header_max: 0.2s}}}
  - {match: {prefix: /t/cluster}, route: {cluster: brief}}
  - {match: {prefix: /u/yes}, route: {cluster: up, upgrade_configs: [{upgrade_type: foo}]}}
  - {match: {prefix: /u/no}, route: {cluster: up, upgrade_configs: [{upgrade_type: websocket, enabled: false}]}}
  - {match: {connect_matcher: {}}, route: {cluster: up}}
  - {match: {prefix: /nothing/here, headers: [{name: x-never, present_match: true}]}, route: {cluster: up}}
  - {match: {path: /no-route-below}, direct_response: {status: 200}}
  - {match: {prefix: /only}, route: {cluster: up}}
  - {match: {prefix: /}, route: {cluster: up}}
"#;

/// Name of a cluster, its options, its endpoints.
const CLUSTERS: [(&str, &str, &str); 13] = [
    ("up", "", "@UPSTREAM@"),
    ("h2_up", "@HTTP http2_protocol_options: {allow_connect: true}", "@UPSTREAM@"),
    ("follow", "@FOLLOW http_protocol_options: {}, http2_protocol_options: {}", "@UPSTREAM@"),
    ("none", "", ""),
    ("refused", "", "@REFUSED@"),
    (
        "no_requests",
        "circuit_breakers: {thresholds: [{max_requests: 0, max_pending_requests: 0}]}",
        "@UPSTREAM@",
    ),
    ("proper_up", "@HTTP http_protocol_options: {header_key_format: {proper_case_words: {}}}", "@UPSTREAM@"),
    ("full_url", "@HTTP http_protocol_options: {send_fully_qualified_url: true}", "@UPSTREAM@"),
    ("trailers_up", "@HTTP http_protocol_options: {enable_trailers: true}", "@UPSTREAM@"),
    ("once", "@COMMON max_requests_per_connection: 1", "@UPSTREAM@"),
    ("small_up", "@COMMON max_headers_count: 6, max_response_headers_kb: 1", "@UPSTREAM@"),
    ("brief", "@COMMON max_stream_duration: 0.2s", "@UPSTREAM@"),
    ("idle", "@COMMON idle_timeout: 0.2s", "@UPSTREAM@"),
];

/// The whole configuration, with `@…@` for ports and files.
pub fn yaml() -> String {
    let mut out = String::from(
        "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\nstatic_resources:\n  listeners:\n",
    );
    let listeners = LISTENERS.into_iter().chain([(
        "mark",
        "",
        "- {name: mark, domains: [\"*\"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}",
    )]);
    for (name, options, hosts) in listeners {
        let hosts = if hosts == "@" { HOSTS } else { hosts };
        let format = if name == "mark" { "MARK %REQ(:PATH)%\\n" } else { "@FORMAT@" };
        out.push_str(&format!(
            r#"  - name: {name}
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          delayed_close_timeout: 0.02s
          {options}
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: @LOG@
              log_format: {{text_format_source: {{inline_string: "{format}"}}}}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            name: routes
            virtual_hosts:
            {hosts}
"#,
            options = options.replace('\n', "\n          "),
            hosts = hosts.trim().replace('\n', "\n            "),
        ));
    }
    out.push_str("  clusters:\n");
    for (name, options, port) in CLUSTERS {
        let options = ["HTTP", "FOLLOW", "COMMON"].iter().fold(options.to_owned(), |options, kind| {
            match options.strip_prefix(&format!("@{kind} ")) {
                None => options,
                Some(rest) => {
                    let inner = if *kind == "HTTP" {
                        format!("explicit_http_config: {{{rest}}}")
                    } else if *kind == "FOLLOW" {
                        format!("use_downstream_protocol_config: {{{rest}}}")
                    } else {
                        format!("explicit_http_config: {{http_protocol_options: {{}}}}, common_http_protocol_options: {{{rest}}}")
                    };
                    format!(
                        "typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, {inner}}}}}"
                    )
                }
            }
        });
        let endpoints = if port.is_empty() {
            String::new()
        } else {
            format!(
                "endpoints: [{{lb_endpoints: [{{endpoint: {{hostname: {name}.host, address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]"
            )
        };
        out.push_str(&format!(
            "  - name: {name}\n    type: STATIC\n    {options}\n    load_assignment:\n      cluster_name: {name}\n      {endpoints}\n"
        ));
    }
    out
}
