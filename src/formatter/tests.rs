use super::*;
use crate::filter_state::{FilterState, Kind, Object};
use crate::stream_info::{
    Bytes, CloseType, Downstream, Flag, Flags, Metadata, MetadataValue, Occasion, RouteInfo, SessionInfo,
    Times, UpstreamInfo,
};
use nuncio_codec::{HeaderMap, Method, RequestHead, ResponseHead, Version};
use nuncio_reactor::Address;
use std::time::{Duration, UNIX_EPOCH};

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(name.as_bytes(), value.as_bytes());
    }
    map
}

/// Calls `with` with a stream of which everything is known.
fn full(with: impl FnOnce(&StreamInfo<'_>)) {
    let request = RequestHead {
        version: Version::Http11,
        method: Method::Get,
        headers: headers(&[
            (":method", "GET"),
            (":path", "/new?q=1&r"),
            (":authority", "a.example:80"),
            ("x-envoy-original-path", "/old?z"),
            ("user-agent", "curl/8"),
            ("x-request-id", "some-id"),
            ("x-quote", "say \"hi\"\\"),
            ("content-type", "application/grpc"),
        ]),
    };
    let response =
        ResponseHead { version: Version::Http11, status: 200, headers: headers(&[("x-up", "yes")]) };
    let trailers = headers(&[("grpc-status", "14"), ("t", "v")]);
    let address = |text: &str| text.parse::<Address>().expect("an address");
    let (local, peer, host) = (address("10.0.0.1:80"), address("10.9.9.9:4000"), address("[::1]:81"));
    let client = address("1.2.3.4:0");
    let millis = |n| Some(Duration::from_millis(n));
    let mut state = FilterState::default();
    let object = |kind, value: &[u8]| Object { kind, value: value.into(), read_only: false };
    state.set(&"text".into(), object(Kind::Text, b"a \"b\""));
    state.set(&"cluster".into(), object(Kind::Cluster, b"up"));
    with(&StreamInfo {
        occasion: Occasion::DownstreamEnd,
        metadata: None,
        request: &request,
        request_trailers: None,
        response: Some(&response),
        response_trailers: Some(&trailers),
        start: UNIX_EPOCH + Duration::from_nanos(784_111_777_005_006_007),
        now: UNIX_EPOCH + Duration::from_secs(784_111_778),
        times: Times {
            request_end: millis(1),
            upstream_first_sent: millis(2),
            upstream_last_sent: millis(3),
            upstream_first_received: millis(10),
            upstream_last_received: millis(15),
            response_begin: millis(11),
            response_end: millis(16),
            end: Some(Duration::from_micros(17_900)),
        },
        bytes: Bytes {
            received: 1,
            sent: 2,
            request_headers: 3,
            response_headers: 4,
            downstream_wire_received: 50,
            downstream_wire_sent: 60,
            upstream_wire_received: 70,
            upstream_wire_sent: 80,
        },
        flag: Flag::UpstreamOverflow,
        details: "a detail",
        local_reply_body: b"body",
        stream_id: 9,
        downstream: Downstream {
            local: Some(&local),
            direct_remote: Some(&peer),
            remote: Some(&client),
            connection_id: 12,
            filter_chain: "chain",
            provenance: None,
            tls: None,
            transport_failure: "TLS_error",
            server_name: "sni.example",
            filter_state: Some(&state),
        },
        route: Some(RouteInfo { name: "r", virtual_host: "v" }),
        upstream: Some(UpstreamInfo {
            cluster: "c",
            host: Some(&host),
            hostname: "",
            local: Some(&local),
            connection_id: Some(13),
            attempts: 2,
            transport_failure: "delayed connect error: 111",
            protocol: Some(Version::Http11),
            tls: None,
        }),
        session: None,
    });
}

/// Calls `with` with a stream of which nothing is known.
fn empty(with: impl FnOnce(&StreamInfo<'_>)) {
    let request = RequestHead { version: Version::Http10, method: Method::Other, headers: HeaderMap::new() };
    with(&StreamInfo {
        occasion: Occasion::DownstreamEnd,
        metadata: None,
        request: &request,
        request_trailers: None,
        response: None,
        response_trailers: None,
        start: UNIX_EPOCH,
        now: UNIX_EPOCH,
        times: Times::default(),
        bytes: Bytes::default(),
        flag: Flag::None,
        details: "",
        local_reply_body: b"",
        stream_id: 0,
        downstream: Downstream {
            local: None,
            direct_remote: None,
            remote: None,
            connection_id: 0,
            filter_chain: "",
            provenance: None,
            tls: None,
            transport_failure: "",
            server_name: "",
            filter_state: None,
        },
        route: None,
        upstream: None,
        session: None,
    });
}

fn text(format: &str, info: &StreamInfo<'_>) -> String {
    let mut out = Vec::new();
    Format::parse(format).unwrap_or_else(|error| panic!("{format}: {error}")).write(
        info,
        Absent::Dash,
        &mut out,
    );
    String::from_utf8(out).expect("UTF-8")
}

/// Operator, with everything known, with nothing known.
const OPERATORS: &[(&str, &str, &str)] = &[
    ("%START_TIME%", "1994-11-06T08:49:37.005Z", "1970-01-01T00:00:00.000Z"),
    ("%START_TIME(%Y/%m/%d %H:%M:%S)%", "1994/11/06 08:49:37", "1970/01/01 00:00:00"),
    ("%START_TIME(%s.%6f)%", "784111777.005006", "0.000000"),
    ("%START_TIME(%3s %9f %f)%", "784111777005 005006007 005006007", "0000 000000000 000000000"),
    ("%EMIT_TIME(%s)%", "784111778", "0"),
    ("%REQ(:METHOD)%", "GET", "-"),
    ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/old?z", "-"),
    ("%REQ(x-none?:path)%", "/new?q=1&r", "-"),
    ("%REQ(x-none?:path):4%", "/new", "-"),
    ("%REQ(host)%", "a.example:80", "-"),
    ("%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/old", "-"),
    ("%RESP(x-up)%", "yes", "-"),
    ("%TRAILER(t)%", "v", "-"),
    ("%REQUEST_HEADER(x-none?:path):4% %RESPONSE_HEADER(x-up)% %RESPONSE_TRAILER(t)%", "/new yes v", "- - -"),
    ("%QUERY_PARAM(q)%", "1", "-"),
    (
        "%QUERY_PARAMS%|%QUERY_PARAMS():3%|%QUERY_PARAMS(DECODED)%|%QUERY_PARAMS(ORIG)%",
        "q=1&r|q=1|q=1&r|q=1&r",
        "-|-|-|-",
    ),
    ("%PATH%", "/old?z", "-"),
    ("%PATH(NQ)%", "/old", "-"),
    ("%PATH(WQ:PATH)%", "/new?q=1&r", "-"),
    ("%PATH(NQ:ORIG)%", "/old", "-"),
    ("%PROTOCOL%", "HTTP/1.1", "HTTP/1.0"),
    ("%UPSTREAM_PROTOCOL%", "HTTP/1.1", "-"),
    ("%RESPONSE_CODE%", "200", "0"),
    ("%RESPONSE_CODE_DETAILS%", "a_detail", "-"),
    ("%RESPONSE_FLAGS%", "UO", "-"),
    ("%RESPONSE_FLAGS_LONG%", "UpstreamOverflow", "-"),
    ("%BYTES_RECEIVED% %BYTES_SENT%", "1 2", "0 0"),
    ("%REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES%", "3 4", "0 0"),
    ("%RESPONSE_TRAILERS_BYTES%", "15", "0"),
    ("%DOWNSTREAM_WIRE_BYTES_RECEIVED% %DOWNSTREAM_WIRE_BYTES_SENT%", "50 60", "0 0"),
    ("%UPSTREAM_WIRE_BYTES_RECEIVED% %UPSTREAM_WIRE_BYTES_SENT%", "70 80", "0 0"),
    ("%DOWNSTREAM_HEADER_BYTES_RECEIVED% %DOWNSTREAM_HEADER_BYTES_SENT%", "49 58", "0 0"),
    ("%DURATION%", "17", "-"),
    ("%REQUEST_DURATION% %REQUEST_TX_DURATION%", "1 3", "- -"),
    ("%RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "10 6", "- -"),
    ("%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%", "13000", "-"),
    ("%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG)%", "11", "-"),
    ("%ROUTE_NAME% %VIRTUAL_HOST_NAME%", "r v", "- -"),
    ("%UPSTREAM_HOST% %UPSTREAM_HOST_NAME%", "[::1]:81 [::1]:81", "- -"),
    ("%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "[::1]", "-"),
    ("%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%", "c c", "- -"),
    ("%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_PORT%", "10.0.0.1:80 80", "- -"),
    ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "::1", "-"),
    ("%UPSTREAM_TRANSPORT_FAILURE_REASON%", "delayed_connect_error:_111", "-"),
    ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2", "0"),
    ("%UPSTREAM_CONNECTION_ID% %CONNECTION_ID%", "13 12", "- 0"),
    ("%DOWNSTREAM_LOCAL_ADDRESS%", "10.0.0.1:80", "-"),
    ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%", "1.2.3.4 0", "- -"),
    ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.9.9.9:4000", "-"),
    ("%STREAM_ID%", "some-id", "-"),
    ("%FILTER_CHAIN_NAME%", "chain", "-"),
    ("%ACCESS_LOG_TYPE%", "DownstreamEnd", "DownstreamEnd"),
    ("%LOCAL_REPLY_BODY%", "body", ""),
    ("%REQUESTED_SERVER_NAME% %REQUESTED_SERVER_NAME(SNI_ONLY:ORIG)%", "sni.example sni.example", "- -"),
    ("%REQUESTED_SERVER_NAME(SNI_FIRST)%", "sni.example", "-"),
    ("%REQUESTED_SERVER_NAME(HOST_FIRST)%", "a.example:80", "-"),
    ("%REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)%", "sni.example", "-"),
    (
        "%COALESCE({\"operators\": [\"DOWNSTREAM_TLS_GROUP\", \"UPSTREAM_CLUSTER\", \"PROTOCOL\"]})%",
        "c",
        "HTTP/1.0",
    ),
    (
        "%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": \"user-agent\", \"max_length\": 3}]})%",
        "cur",
        "-",
    ),
    ("%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": \"user-agent\"}]}):2%", "cu", "-"),
    ("%COALESCE({\"operators\": [\"LOCAL_REPLY_BODY\", \"PROTOCOL\"]})%", "body", ""),
    ("%DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%|%UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID%", "|", "-|-"),
    ("%ROUNDTRIP_DURATION% %BYTES_RETRANSMITTED% %PACKETS_RETRANSMITTED%", "- 0 0", "- 0 0"),
    ("%FILTER_STATE(text)% %FILTER_STATE(text:PLAIN)%", "\"a \\\"b\\\"\" a \"b\"", "- -"),
    ("%FILTER_STATE(cluster:TYPED)% %FILTER_STATE(cluster:PLAIN)% %FILTER_STATE(none)%", "- up -", "- - -"),
    ("%CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_DETECTED_CLOSE_TYPE%", "- Normal", "- Normal"),
    ("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%", "Unavailable UNAVAILABLE 14", "- - -"),
    ("%DOWNSTREAM_TLS_VERSION% %DYNAMIC_METADATA(a:b)%", "- -", "- -"),
    ("100%% %PROTOCOL%", "100% HTTP/1.1", "100% HTTP/1.0"),
];

#[test]
fn operators() {
    full(|info| {
        for (format, expected, _) in OPERATORS {
            assert_eq!(text(format, info), *expected, "{format}");
        }
    });
    empty(|info| {
        for (format, _, expected) in OPERATORS {
            assert_eq!(text(format, info), *expected, "{format}");
        }
    });
}

#[test]
fn a_session_has_no_request_and_several_flags() {
    empty(|info| {
        let mut flags = Flags::default();
        let session = SessionInfo {
            moment: "TcpConnectionEnd",
            protocol: None,
            flags,
            termination: "denied [p]",
            downstream_close: "idle",
            upstream_close: "",
            downstream_end: CloseType::RemoteReset,
            upstream_end: CloseType::Normal,
        };
        let quiet = StreamInfo { session: Some(session.clone()), ..info.clone() };
        assert_eq!(text("%PROTOCOL% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", &quiet), "- - -");
        flags.add(Flag::UpstreamRetryLimitExceeded);
        flags.add(Flag::UpstreamConnectionFailure);
        let info = StreamInfo { session: Some(SessionInfo { flags, ..session }), ..info.clone() };
        assert_eq!(text("%RESPONSE_FLAGS%", &info), "UF,URX");
        assert_eq!(
            text("%RESPONSE_FLAGS_LONG%", &info),
            "UpstreamConnectionFailure,UpstreamRetryLimitExceeded"
        );
        let format = "%ACCESS_LOG_TYPE% %CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% \
             %UPSTREAM_LOCAL_CLOSE_REASON% %DOWNSTREAM_DETECTED_CLOSE_TYPE% %UPSTREAM_DETECTED_CLOSE_TYPE%";
        assert_eq!(text(format, &info), "TcpConnectionEnd denied [p] idle - RemoteReset Normal");
    });
}

#[test]
fn what_is_wrong_is_said() {
    for (format, says) in [
        ("%REQ%", "needs the name of a header"),
        ("%REQ(a b)%", "not a header name"),
        ("%REQ(a", "no closing parenthesis"),
        ("%PROTOCOLL%", "Did you mean `PROTOCOL`?"),
        ("%PROTOCOL", "is no operator"),
        ("%PROTOCOL(x)%", "takes no arguments"),
        ("%BYTES_SENT:3%", "cannot be cut"),
        ("%REQ(a):x%", "a length is expected"),
        ("100%", "is no operator"),
        ("%COMMON_DURATION(A:B)%", "none of the milestones"),
        ("%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:h)%", "none of ms, us, ns"),
        ("%PATH(XX)%", "neither WQ"),
        ("%GRPC_STATUS(x)%", "none of CAMEL_STRING"),
        ("%START_TIME(%12f)%", "1 to 9 digits"),
        ("%FILTER_STATE%", "needs the name of an object"),
        ("%FILTER_STATE(a:FIELD)%", "neither PLAIN nor TYPED"),
        ("%QUERY_PARAMS(X)%", "neither ORIG nor DECODED"),
        ("%REQUESTED_SERVER_NAME(X)%", "none of SNI_ONLY"),
        ("%REQUESTED_SERVER_NAME(SNI_FIRST:X)%", "none of ORIG"),
        ("%REQUESTED_SERVER_NAME(SNI_FIRST):3%", "cannot be cut"),
        ("%COALESCE%", "needs a JSON object"),
        ("%COALESCE(x)%", "needs a JSON object: "),
        ("%COALESCE([])%", "needs a JSON object"),
        ("%COALESCE({})%", "needs a list"),
        ("%COALESCE({\"operators\": []})%", "are empty"),
        ("%COALESCE({\"operators\": [\"PROTOCOL\"], \"x\": 1})%", "knows no `x`"),
        (
            "%COALESCE({\"operators\": [\"PROTOCOL\", \"PROTOCOLL\"]})%",
            "operators[1] of %COALESCE%: `%PROTOCOLL%`",
        ),
        ("%COALESCE({\"operators\": [\"REQ\"]})%", "needs the name of a header"),
        ("%COALESCE({\"operators\": [1]})%", "the name of an operator"),
        ("%COALESCE({\"operators\": [{\"param\": \"a\"}]})%", "the `command` must be"),
        ("%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": 1}]})%", "the `param` must be"),
        (
            "%COALESCE({\"operators\": [{\"command\": \"PROTOCOL\", \"max_length\": 0}]})%",
            "the `max_length` must be",
        ),
        ("%COALESCE({\"operators\": [{\"command\": \"PROTOCOL\", \"max_length\": 3}]})%", "cannot be cut"),
    ] {
        let error = Format::parse(format).expect_err(format).to_string();
        assert!(error.contains(says), "{format}: {error}");
    }
}

#[test]
fn header_values_are_empty_where_there_is_nothing() {
    empty(|info| {
        let mut out = Vec::new();
        Format::parse("%REQ(a)%%RESPONSE_CODE_DETAILS%").expect("valid").write_value(info, &mut out);
        assert_eq!(out, b"");
    });
}

#[test]
fn bytes_that_are_not_utf8_are_replaced() {
    let request = RequestHead {
        version: Version::Http11,
        method: Method::Get,
        headers: {
            let mut map = HeaderMap::new();
            map.append(b"x", b"a\xffb");
            map
        },
    };
    empty(|info| {
        assert_eq!(text("%REQ(x)%", &StreamInfo { request: &request, ..info.clone() }), "a\u{fffd}b")
    });
}

#[test]
fn metadata_and_what_datagrams_do_not_have() {
    full(|info| {
        let fields =
            [("bytes", MetadataValue::Number(1_234_567_890_123)), ("name", MetadataValue::Text("a \"b\""))];
        let metadata = Some(Metadata { namespace: "udp.proxy.session", fields: &fields });
        let info = StreamInfo { occasion: Occasion::UdpPeriodic, metadata, ..info.clone() };
        for (format, wanted) in [
            ("%DYNAMIC_METADATA(udp.proxy.session)%", r#"{"bytes":1234567890123,"name":"a \"b\""}"#),
            ("%DYNAMIC_METADATA(udp.proxy.session:bytes)%", "1234567890123"),
            ("%DYNAMIC_METADATA(udp.proxy.session:name)%", "a \"b\""),
            ("%DYNAMIC_METADATA(udp.proxy.session:name):3%", "a \""),
            ("%DYNAMIC_METADATA(udp.proxy.session:none)%", "-"),
            ("%DYNAMIC_METADATA(udp.proxy.session:name:deeper)%", "-"),
            ("%DYNAMIC_METADATA(udp.proxy)%", "-"),
            ("%ACCESS_LOG_TYPE% %PROTOCOL%", "UdpPeriodic -"),
        ] {
            assert_eq!(text(format, &info), wanted, "{format}");
        }
        let format = |text: &str| prost_types::value::Kind::StringValue(text.to_owned());
        let got = json(
            &[
                ("all", format("%DYNAMIC_METADATA(udp.proxy.session)%")),
                ("cut", format("%DYNAMIC_METADATA(udp.proxy.session:bytes):4%")),
                ("name", format("%DYNAMIC_METADATA(udp.proxy.session:name)%")),
                ("none", format("%DYNAMIC_METADATA(udp.proxy.session:none)%")),
                ("number", format("%DYNAMIC_METADATA(udp.proxy.session:bytes)%")),
                ("text", format("x%DYNAMIC_METADATA(udp.proxy.session:bytes)%")),
            ],
            false,
            &info,
        );
        assert_eq!(
            got,
            r#"{"all":{"bytes":1234567890123,"name":"a \"b\""},"cut":"1234","name":"a \"b\"","none":null,"number":1234567890123,"text":"x1234567890123"}"#
        );
    });
}

fn json(yaml: &[(&str, prost_types::value::Kind)], omit: bool, info: &StreamInfo<'_>) -> String {
    let fields = yaml.iter().map(|(name, kind)| ((*name).to_owned(), value(kind.clone()))).collect();
    let format = JsonFormat::compile(&prost_types::Struct { fields }, omit).expect("valid");
    let mut out = Vec::new();
    format.write(info, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn value(kind: prost_types::value::Kind) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

#[test]
fn json_says_all_that_is_wrong() {
    use prost_types::value::Kind;
    let string = |text: &str| Kind::StringValue(text.to_owned());
    let fields = |fields: &[(&str, Kind)]| prost_types::Struct {
        fields: fields.iter().map(|(name, kind)| ((*name).to_owned(), value(kind.clone()))).collect(),
    };
    let list = prost_types::ListValue { values: vec![value(string("%PROTOCOL%")), value(string("%NONE%"))] };
    let nested = fields(&[("n", string("%REQ%")), ("right", string("%REQ(x)%"))]);
    let object = fields(&[
        ("a", string("%NONE%")),
        ("list", Kind::ListValue(list)),
        ("nested", Kind::StructValue(nested)),
        ("right", string("%PROTOCOL%")),
    ]);
    let errors = JsonFormat::compile(&object, false).expect_err("wrong");
    let places: Vec<_> = errors.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["a", "list[1]", "nested.n"]);
}

#[test]
fn json_keeps_types() {
    use prost_types::value::Kind;
    let string = |text: &str| Kind::StringValue(text.to_owned());
    let nested = prost_types::Struct {
        fields: [("n".to_owned(), value(string("%BYTES_SENT%")))].into_iter().collect(),
    };
    let list =
        prost_types::ListValue { values: vec![value(string("%REQ(none)%")), value(Kind::NumberValue(1.5))] };
    let object = [
        ("status", string("%RESPONSE_CODE%")),
        ("text", string("%RESPONSE_CODE% %REQ(none)%")),
        ("quote", string("%REQ(x-quote)%")),
        ("none", string("%REQ(none)%")),
        ("b", Kind::BoolValue(true)),
        ("nested", Kind::StructValue(nested)),
        ("list", Kind::ListValue(list)),
        ("port", string("%DOWNSTREAM_LOCAL_PORT%")),
    ];
    full(|info| {
        assert_eq!(
            json(&object, false, info),
            r#"{"b":true,"list":[null,1.5],"nested":{"n":2},"none":null,"port":80,"quote":"say \"hi\"\\","status":200,"text":"200 -"}"#
        );
        assert_eq!(
            json(&object, true, info),
            r#"{"b":true,"list":[1.5],"nested":{"n":2},"port":80,"quote":"say \"hi\"\\","status":200,"text":"200 "}"#
        );
    });
}

#[test]
fn queries_are_decoded_as_far_as_they_are_visible() {
    for (query, wanted) in [
        ("x=%41%3d%26%2B+%7e%2fz", "x=A=&++~/z"),
        ("%20%7f%7e%80%ff|%0A%00", "%20%7f~%80%ff|%0A%00"),
        ("%zz%%25%c3%a4", "zz%%c3%a4"),
        ("%g1|%1g|%%|%%%|%+1|%-1|%", "g1|1g|||+1|-1|%"),
        ("%%%41%%41%41", "AAA"),
        ("a%", "a%"),
        ("a%4", "a%4"),
        ("%2541", "%41"),
        ("", ""),
    ] {
        assert_eq!(String::from_utf8_lossy(&query::visible(query.as_bytes())), wanted, "{query}");
    }
    assert_eq!(query::query(b"/a?"), Some(&b""[..]));
    assert_eq!(query::query(b"/a"), None);
    assert_eq!(query::query(b"/a?b?c#d"), Some(&b"b?c#d"[..]));
}

#[test]
fn the_first_of_several_keeps_its_type() {
    let format = |text: &str| prost_types::value::Kind::StringValue(text.to_owned());
    let written = |info: &StreamInfo<'_>, text: &str| {
        let fields = [("v".to_owned(), prost_types::Value { kind: Some(format(text)) })];
        let object = prost_types::Struct { fields: fields.into_iter().collect() };
        let mut out = Vec::new();
        JsonFormat::compile(&object, false).expect("valid").write(info, &mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    let number = r#"%COALESCE({"operators": ["TRACE_ID", "DOWNSTREAM_WIRE_BYTES_SENT", "PROTOCOL"]}):1%"#;
    let nested = r#"%COALESCE({"operators": [{"command": "COALESCE", "param": "{\"operators\": [\"ROUTE_NAME\"]}"}]})%"#;
    full(|info| {
        // A length cuts texts only.
        assert_eq!(written(info, number), r#"{"v":60}"#);
        assert_eq!(written(info, nested), r#"{"v":"r"}"#);
        assert_eq!(written(info, "%COALESCE({\"operators\": [\"PROTOCOL\"]}):4%"), r#"{"v":"HTTP"}"#);
    });
    empty(|info| assert_eq!(written(info, nested), r#"{"v":null}"#));
}
