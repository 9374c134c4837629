//! The operators: what they are called, what they take, and what they say of a stream.

use super::coalesce::Coalesce;
use super::query::{decoded_parameter, query, visible, without_query};
use super::server_name::ServerName;
use super::time::TimeFormat;
use super::tls;
use crate::io::{FilterMetadata, Findings};
use crate::stream_info::{CloseType, Flag, Metadata, MetadataValue, SessionInfo, StreamInfo, Times};
use nuncio_codec::{HeaderId, HeaderKey, HeaderMap, RequestHead, Version};
use nuncio_reactor::Address;
use std::io::Write;
use std::time::Duration;

/// An operator with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    source: Source,
    /// Most bytes of the value.
    limit: Option<usize>,
}

/// Where the value comes from.
#[derive(Clone, Debug)]
enum Source {
    Time(Moment, Box<TimeFormat>),
    Header {
        of: Head,
        name: HeaderKey,
        other: Option<HeaderKey>,
        query: bool,
    },
    QueryParameter(Box<[u8]>),
    Query {
        decoded: bool,
    },
    Path {
        query: bool,
        from: PathFrom,
    },
    GrpcStatus {
        of: Head,
        number: bool,
        snake: bool,
    },
    Text(Text),
    Number(Number),
    Took(Point, Point, Precision),
    Address(End, Part),
    ServerName(ServerName),
    Coalesce(Coalesce),
    Tls(tls::Side, tls::Field),
    Validity(tls::Validity),
    /// Of a namespace: all, or what these names lead to.
    Metadata(Box<str>, Vec<Box<str>>),
    /// Known when the configuration is compiled.
    Fixed(Box<[u8]>),
    UniqueId,
    /// An object of the filter state; typed, or its text.
    FilterState {
        name: Box<str>,
        typed: bool,
    },
    /// What cannot exist here.
    Nothing,
}

#[derive(Copy, Clone, Debug)]
enum Moment {
    Start,
    Now,
}

/// Whose headers.
#[derive(Copy, Clone, Debug)]
enum Head {
    Request,
    Response,
    Trailers,
}

#[derive(Copy, Clone, Debug)]
enum PathFrom {
    Original,
    Path,
    OriginalOrPath,
}

#[derive(Copy, Clone, Debug)]
enum Text {
    Protocol,
    UpstreamProtocol,
    Details,
    Flags,
    FlagsLong,
    RouteName,
    VirtualHost,
    Cluster,
    HostName,
    /// The same without what follows the last colon.
    HostNameAlone,
    TransportFailure,
    DownstreamFailure,
    FilterChain,
    LocalReplyBody,
    StreamId,
    Ja3,
    Ja4,
    LogType,
    Termination,
    DownstreamClose,
    UpstreamClose,
    DownstreamEnd,
    UpstreamEnd,
}

#[derive(Copy, Clone, Debug)]
enum Number {
    ResponseCode,
    BytesReceived,
    BytesSent,
    RequestHeaders,
    ResponseHeaders,
    ResponseTrailers,
    DownstreamWireReceived,
    DownstreamWireSent,
    UpstreamWireReceived,
    UpstreamWireSent,
    DownstreamHeadersReceived,
    DownstreamHeadersSent,
    Attempts,
    ConnectionId,
    UpstreamConnectionId,
    /// What only QUIC counts.
    Zero,
}

/// A milestone of a stream.
#[derive(Copy, Clone, Debug)]
enum Point {
    Start,
    RequestEnd,
    UpstreamFirstSent,
    UpstreamLastSent,
    UpstreamFirstReceived,
    UpstreamLastReceived,
    ResponseBegin,
    ResponseEnd,
    End,
}

#[derive(Copy, Clone, Debug)]
enum Precision {
    Millis,
    Micros,
    Nanos,
}

/// Whose address.
#[derive(Copy, Clone, Debug)]
enum End {
    DownstreamLocal,
    DownstreamDirectLocal,
    DownstreamRemote,
    DownstreamDirectRemote,
    UpstreamHost,
    UpstreamLocal,
    UpstreamRemote,
}

/// Which part of it.
#[derive(Copy, Clone, Debug)]
enum Part {
    Whole,
    Ip,
    Port,
    /// Of an address within the process, of which there are none: empty.
    EndpointId,
}

/// Operators without arguments.
const PLAIN: &[(&str, Source)] = &[
    ("PROTOCOL", Source::Text(Text::Protocol)),
    ("UPSTREAM_PROTOCOL", Source::Text(Text::UpstreamProtocol)),
    ("RESPONSE_CODE", Source::Number(Number::ResponseCode)),
    ("RESPONSE_CODE_DETAILS", Source::Text(Text::Details)),
    ("RESPONSE_FLAGS", Source::Text(Text::Flags)),
    ("RESPONSE_FLAGS_LONG", Source::Text(Text::FlagsLong)),
    ("CONNECTION_TERMINATION_DETAILS", Source::Text(Text::Termination)),
    ("ACCESS_LOG_TYPE", Source::Text(Text::LogType)),
    ("BYTES_RECEIVED", Source::Number(Number::BytesReceived)),
    ("BYTES_SENT", Source::Number(Number::BytesSent)),
    ("REQUEST_HEADERS_BYTES", Source::Number(Number::RequestHeaders)),
    ("RESPONSE_HEADERS_BYTES", Source::Number(Number::ResponseHeaders)),
    ("RESPONSE_TRAILERS_BYTES", Source::Number(Number::ResponseTrailers)),
    ("DOWNSTREAM_WIRE_BYTES_RECEIVED", Source::Number(Number::DownstreamWireReceived)),
    ("DOWNSTREAM_WIRE_BYTES_SENT", Source::Number(Number::DownstreamWireSent)),
    ("DOWNSTREAM_HEADER_BYTES_RECEIVED", Source::Number(Number::DownstreamHeadersReceived)),
    ("DOWNSTREAM_HEADER_BYTES_SENT", Source::Number(Number::DownstreamHeadersSent)),
    ("UPSTREAM_WIRE_BYTES_RECEIVED", Source::Number(Number::UpstreamWireReceived)),
    ("UPSTREAM_WIRE_BYTES_SENT", Source::Number(Number::UpstreamWireSent)),
    ("DURATION", Source::Took(Point::Start, Point::End, Precision::Millis)),
    ("REQUEST_DURATION", Source::Took(Point::Start, Point::RequestEnd, Precision::Millis)),
    ("REQUEST_TX_DURATION", Source::Took(Point::Start, Point::UpstreamLastSent, Precision::Millis)),
    ("RESPONSE_DURATION", Source::Took(Point::Start, Point::UpstreamFirstReceived, Precision::Millis)),
    (
        "RESPONSE_TX_DURATION",
        Source::Took(Point::UpstreamFirstReceived, Point::ResponseEnd, Precision::Millis),
    ),
    ("ROUTE_NAME", Source::Text(Text::RouteName)),
    ("VIRTUAL_HOST_NAME", Source::Text(Text::VirtualHost)),
    ("VIRTUAL_CLUSTER_NAME", Source::Nothing),
    ("UPSTREAM_HOST", Source::Address(End::UpstreamHost, Part::Whole)),
    ("UPSTREAM_HOST_NAME", Source::Text(Text::HostName)),
    ("UPSTREAM_HOST_NAME_WITHOUT_PORT", Source::Text(Text::HostNameAlone)),
    ("UPSTREAM_CLUSTER", Source::Text(Text::Cluster)),
    ("UPSTREAM_CLUSTER_RAW", Source::Text(Text::Cluster)),
    ("UPSTREAM_LOCAL_ADDRESS", Source::Address(End::UpstreamLocal, Part::Whole)),
    ("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Source::Address(End::UpstreamLocal, Part::Ip)),
    ("UPSTREAM_LOCAL_PORT", Source::Address(End::UpstreamLocal, Part::Port)),
    ("UPSTREAM_REMOTE_ADDRESS", Source::Address(End::UpstreamRemote, Part::Whole)),
    ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Source::Address(End::UpstreamRemote, Part::Ip)),
    ("UPSTREAM_REMOTE_PORT", Source::Address(End::UpstreamRemote, Part::Port)),
    ("UPSTREAM_TRANSPORT_FAILURE_REASON", Source::Text(Text::TransportFailure)),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", Source::Number(Number::Attempts)),
    ("UPSTREAM_CONNECTION_ID", Source::Number(Number::UpstreamConnectionId)),
    ("DOWNSTREAM_LOCAL_ADDRESS", Source::Address(End::DownstreamLocal, Part::Whole)),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Source::Address(End::DownstreamLocal, Part::Ip)),
    ("DOWNSTREAM_LOCAL_PORT", Source::Address(End::DownstreamLocal, Part::Port)),
    ("DOWNSTREAM_DIRECT_LOCAL_ADDRESS", Source::Address(End::DownstreamDirectLocal, Part::Whole)),
    ("DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT", Source::Address(End::DownstreamDirectLocal, Part::Ip)),
    ("DOWNSTREAM_DIRECT_LOCAL_PORT", Source::Address(End::DownstreamDirectLocal, Part::Port)),
    ("DOWNSTREAM_REMOTE_ADDRESS", Source::Address(End::DownstreamRemote, Part::Whole)),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Source::Address(End::DownstreamRemote, Part::Ip)),
    ("DOWNSTREAM_REMOTE_PORT", Source::Address(End::DownstreamRemote, Part::Port)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Source::Address(End::DownstreamDirectRemote, Part::Whole)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Source::Address(End::DownstreamDirectRemote, Part::Ip)),
    ("DOWNSTREAM_DIRECT_REMOTE_PORT", Source::Address(End::DownstreamDirectRemote, Part::Port)),
    ("CONNECTION_ID", Source::Number(Number::ConnectionId)),
    ("STREAM_ID", Source::Text(Text::StreamId)),
    ("FILTER_CHAIN_NAME", Source::Text(Text::FilterChain)),
    ("LOCAL_REPLY_BODY", Source::Text(Text::LocalReplyBody)),
    ("UNIQUE_ID", Source::UniqueId),
    ("GRPC_STATUS_NUMBER", Source::GrpcStatus { of: Head::Trailers, number: true, snake: false }),
    ("DOWNSTREAM_LOCAL_CLOSE_REASON", Source::Text(Text::DownstreamClose)),
    ("UPSTREAM_LOCAL_CLOSE_REASON", Source::Text(Text::UpstreamClose)),
    ("UPSTREAM_DETECTED_CLOSE_TYPE", Source::Text(Text::UpstreamEnd)),
    ("DOWNSTREAM_DETECTED_CLOSE_TYPE", Source::Text(Text::DownstreamEnd)),
    ("DOWNSTREAM_TRANSPORT_FAILURE_REASON", Source::Text(Text::DownstreamFailure)),
    ("DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", Source::Address(End::DownstreamLocal, Part::EndpointId)),
    (
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID",
        Source::Address(End::DownstreamDirectLocal, Part::EndpointId),
    ),
    ("UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", Source::Address(End::UpstreamRemote, Part::EndpointId)),
    // There is no QUIC.
    ("ROUNDTRIP_DURATION", Source::Nothing),
    ("BYTES_RETRANSMITTED", Source::Number(Number::Zero)),
    ("PACKETS_RETRANSMITTED", Source::Number(Number::Zero)),
    // There is no tracing.
    ("TRACE_ID", Source::Nothing),
    ("SPAN_ID", Source::Nothing),
    ("TLS_JA3_FINGERPRINT", Source::Text(Text::Ja3)),
    ("TLS_JA4_FINGERPRINT", Source::Text(Text::Ja4)),
];

/// Of what %METADATA% may be.
const METADATA: [&str; 7] =
    ["DYNAMIC", "CLUSTER", "ROUTE", "UPSTREAM_HOST", "LISTENER", "VIRTUAL_HOST", "LISTENER_FILTER_CHAIN"];

/// Operators with arguments, for messages.
const WITH_ARGUMENTS: &[&str] = &[
    "START_TIME",
    "START_TIME_LOCAL",
    "EMIT_TIME",
    "EMIT_TIME_LOCAL",
    "REQ",
    "REQUEST_HEADER",
    "REQ_WITHOUT_QUERY",
    "RESP",
    "RESPONSE_HEADER",
    "RESP_WITHOUT_QUERY",
    "TRAILER",
    "RESPONSE_TRAILER",
    "QUERY_PARAM",
    "QUERY_PARAMS",
    "COALESCE",
    "REQUESTED_SERVER_NAME",
    "PATH",
    "GRPC_STATUS",
    "COMMON_DURATION",
    "ENVIRONMENT",
    "HOSTNAME",
    "DYNAMIC_METADATA",
    "CLUSTER_METADATA",
    "UPSTREAM_METADATA",
    "METADATA",
    "FILTER_STATE",
    "UPSTREAM_FILTER_STATE",
    "DOWNSTREAM_PEER_CERT_V_START",
    "DOWNSTREAM_PEER_CERT_V_END",
    "UPSTREAM_PEER_CERT_V_START",
    "UPSTREAM_PEER_CERT_V_END",
];

impl Operator {
    /// An operator by its name, the text in its parentheses and the number behind its colon.
    pub(super) fn parse(name: &str, arguments: Option<&str>, limit: Option<usize>) -> Result<Self, String> {
        let plain = PLAIN.iter().find(|(known, _)| *known == name).map(|(_, source)| source.clone());
        let plain = plain.or_else(|| tls::plain(name).map(|(side, field)| Source::Tls(side, field)));
        let fixed = plain.is_some() || matches!(name, "HOSTNAME" | "GRPC_STATUS" | "REQUESTED_SERVER_NAME");
        let source = if let Some(source) = plain {
            if arguments.is_some_and(|arguments| !arguments.is_empty()) {
                return Err(format!("%{name}% takes no arguments"));
            }
            source
        } else {
            with_arguments(name, arguments)?
        };
        if limit.is_some() && (fixed || !source.is_text()) {
            return Err(format!("%{name}% cannot be cut to a length"));
        }
        Ok(Self { source, limit })
    }

    /// Appends the value; says whether there is one.
    pub(super) fn write(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let there = self.source.write(info, out);
        if let Some(limit) = self.limit {
            out.truncate(before.saturating_add(limit));
        }
        there
    }

    /// Appends the value, of which nothing is cut; says whether there is one.
    pub(super) fn write_whole(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        self.source.write(info, out)
    }

    /// Whether the value, whole, is JSON as it stands.
    pub(super) fn is_json(&self, info: &StreamInfo<'_>) -> bool {
        match &self.source {
            Source::Metadata(_, path) if path.is_empty() => self.limit.is_none(),
            Source::Metadata(..) => {
                self.limit.is_none() && matches!(self.source.metadata(info), Some(MetadataValue::Number(_)))
            }
            Source::Coalesce(operators) => operators.is_json(info),
            _ => self.is_number(),
        }
    }

    /// Whether the value is a number.
    fn is_number(&self) -> bool {
        matches!(
            self.source,
            Source::Number(_)
                | Source::Took(..)
                | Source::Address(_, Part::Port)
                | Source::GrpcStatus { number: true, .. }
        )
    }
}

fn with_arguments(name: &str, arguments: Option<&str>) -> Result<Source, String> {
    let required = |what: &str| {
        arguments.filter(|text| !text.is_empty()).ok_or_else(|| format!("%{name}% needs {what}: %{name}(…)%"))
    };
    let time = |moment, local| match arguments.filter(|text| !text.is_empty()) {
        None => Ok(Source::Time(moment, Box::new(TimeFormat::iso(local)))),
        Some(text) => Ok(Source::Time(moment, Box::new(TimeFormat::parse(text, local)?))),
    };
    let header = |of, query| {
        let text = required("the name of a header")?;
        let (name, other) = text.split_once('?').map_or((text, None), |(name, other)| (name, Some(other)));
        let key = |name: &str| {
            let name = if name.eq_ignore_ascii_case("host") { ":authority" } else { name };
            HeaderKey::new(name).map_err(|error| format!("`{name}` is {error}"))
        };
        let other = other.filter(|other| !other.is_empty()).map(key).transpose()?;
        Ok(Source::Header { of, name: key(name)?, other, query })
    };
    match name {
        "START_TIME" => time(Moment::Start, false),
        "START_TIME_LOCAL" => time(Moment::Start, true),
        "EMIT_TIME" => time(Moment::Now, false),
        "EMIT_TIME_LOCAL" => time(Moment::Now, true),
        "REQ" | "REQUEST_HEADER" => header(Head::Request, true),
        "REQ_WITHOUT_QUERY" => header(Head::Request, false),
        "RESP" | "RESPONSE_HEADER" => header(Head::Response, true),
        "RESP_WITHOUT_QUERY" => header(Head::Response, false),
        "TRAILER" | "RESPONSE_TRAILER" => header(Head::Trailers, true),
        "QUERY_PARAM" => Ok(Source::QueryParameter(required("the name of a parameter")?.as_bytes().into())),
        "QUERY_PARAMS" => match arguments.unwrap_or_default() {
            "" | "ORIG" => Ok(Source::Query { decoded: false }),
            "DECODED" => Ok(Source::Query { decoded: true }),
            other => Err(format!("`{other}` is neither ORIG nor DECODED")),
        },
        "COALESCE" => Ok(Source::Coalesce(Coalesce::parse(required("a JSON object with `operators`")?)?)),
        "REQUESTED_SERVER_NAME" => Ok(Source::ServerName(ServerName::parse(arguments.unwrap_or_default())?)),
        "PATH" => path(arguments.unwrap_or_default()),
        "GRPC_STATUS" => match arguments.unwrap_or("CAMEL_STRING") {
            "CAMEL_STRING" => Ok(Source::GrpcStatus { of: Head::Trailers, number: false, snake: false }),
            "SNAKE_STRING" => Ok(Source::GrpcStatus { of: Head::Trailers, number: false, snake: true }),
            "NUMBER" => Ok(Source::GrpcStatus { of: Head::Trailers, number: true, snake: false }),
            other => Err(format!("`{other}` is none of CAMEL_STRING, SNAKE_STRING, NUMBER")),
        },
        "COMMON_DURATION" => duration(required("two milestones")?),
        "ENVIRONMENT" => {
            let value = std::env::var(required("the name of a variable")?).unwrap_or_else(|_| "-".to_owned());
            Ok(Source::Fixed(value.into_bytes().into()))
        }
        "HOSTNAME" => Ok(Source::Fixed(hostname().into())),
        "DYNAMIC_METADATA" => {
            let mut parts = required("a namespace")?.split(':');
            let namespace = parts.next().unwrap_or_default().into();
            Ok(Source::Metadata(namespace, parts.map(Into::into).collect()))
        }
        "METADATA" => {
            let kind = required("the kind of metadata")?.split(':').next().unwrap_or_default();
            match METADATA.contains(&kind) {
                true => Ok(Source::Nothing),
                false => Err(format!("`{kind}` is none of {}", METADATA.join(", "))),
            }
        }
        "CLUSTER_METADATA" | "UPSTREAM_METADATA" | "UPSTREAM_FILTER_STATE" => {
            required("a name").map(|_| Source::Nothing)
        }
        "FILTER_STATE" => filter_state(required("the name of an object")?),
        _ => {
            if let Some(validity) = tls::Validity::parse(name, arguments) {
                return validity.map(Source::Validity);
            }
            let known: Vec<_> = PLAIN
                .iter()
                .map(|(name, _)| *name)
                .chain(tls::PLAIN.iter().map(|(name, ..)| *name))
                .chain(WITH_ARGUMENTS.iter().copied())
                .map(str::to_owned)
                .collect();
            Err(format!("`%{name}%` is no operator.{}", crate::config::hint(name, &known)))
        }
    }
}

fn filter_state(arguments: &str) -> Result<Source, String> {
    let (name, form) = arguments.split_once(':').unwrap_or((arguments, "TYPED"));
    let typed = match form {
        "TYPED" => true,
        "PLAIN" => false,
        other => return Err(format!("`{other}` is neither PLAIN nor TYPED; objects have no fields here")),
    };
    Ok(Source::FilterState { name: name.into(), typed })
}

fn path(arguments: &str) -> Result<Source, String> {
    let (query, from) = arguments.split_once(':').unwrap_or((arguments, ""));
    let query = match query {
        "" | "WQ" => true,
        "NQ" => false,
        other => return Err(format!("`{other}` is neither WQ (with the query) nor NQ")),
    };
    let from = match from {
        "ORIG" => PathFrom::Original,
        "PATH" => PathFrom::Path,
        "" | "ORIG_OR_PATH" => PathFrom::OriginalOrPath,
        other => return Err(format!("`{other}` is none of ORIG, PATH, ORIG_OR_PATH")),
    };
    Ok(Source::Path { query, from })
}

fn duration(arguments: &str) -> Result<Source, String> {
    let mut parts = arguments.split(':');
    let mut point = || {
        let name = parts.next().unwrap_or_default();
        Ok(match name {
            "DS_RX_BEG" => Point::Start,
            "DS_RX_END" => Point::RequestEnd,
            "US_TX_BEG" => Point::UpstreamFirstSent,
            "US_TX_END" => Point::UpstreamLastSent,
            "US_RX_BEG" => Point::UpstreamFirstReceived,
            "US_RX_END" => Point::UpstreamLastReceived,
            "DS_TX_BEG" => Point::ResponseBegin,
            "DS_TX_END" => Point::ResponseEnd,
            other => {
                return Err(format!(
                    "`{other}` is none of the milestones DS_RX_BEG, DS_RX_END, US_TX_BEG, US_TX_END, US_RX_BEG, \
                     US_RX_END, DS_TX_BEG, DS_TX_END"
                ));
            }
        })
    };
    let (from, to) = (point()?, point()?);
    let precision = match parts.next() {
        None | Some("ms") => Precision::Millis,
        Some("us") => Precision::Micros,
        Some("ns") => Precision::Nanos,
        Some(other) => return Err(format!("`{other}` is none of ms, us, ns")),
    };
    Ok(Source::Took(from, to, precision))
}

fn hostname() -> Vec<u8> {
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim_ascii();
    if name.is_empty() { b"-".to_vec() } else { name.to_vec() }
}

impl Source {
    fn is_text(&self) -> bool {
        !matches!(self, Self::Number(_) | Self::Took(..) | Self::Time(..) | Self::Validity(_))
    }

    fn write(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Time(Moment::Start, format) => format.write(info.start, out),
            Self::Time(Moment::Now, format) => format.write(info.now, out),
            Self::Header { of, name, other, query } => {
                let Some(headers) = of.headers(info) else { return false };
                if let (Head::Response, true) = (of, name.id() == HeaderId::STATUS) {
                    return info.response.is_some_and(|head| put_number(head.status.into(), out));
                }
                let other = || other.as_ref().and_then(|other| headers.get_key(other));
                let Some(value) = headers.get_key(name).or_else(other) else { return false };
                put(Some(if *query { value } else { without_query(value) }), out)
            }
            Self::QueryParameter(name) => {
                let parameter = decoded_parameter(info.request.path(), name);
                put(parameter.as_deref(), out)
            }
            Self::Query { decoded } => {
                let Some(query) = query(info.request.path()) else { return false };
                if *decoded { put(Some(&visible(query)), out) } else { put(Some(query), out) }
            }
            Self::ServerName(name) => name.write(info, out),
            Self::Coalesce(operators) => operators.write(info, out),
            Self::Path { query, from } => {
                let headers = &info.request.headers;
                let original = || headers.get(HeaderId::X_ENVOY_ORIGINAL_PATH);
                let path = || headers.get(HeaderId::PATH);
                let found = match from {
                    PathFrom::Original => original(),
                    PathFrom::Path => path(),
                    PathFrom::OriginalOrPath => original().or_else(path),
                };
                put(found.map(|found| if *query { found } else { without_query(found) }), out)
            }
            Self::GrpcStatus { of, number, snake } => grpc_status(info, *of, (*number, *snake), out),
            Self::Text(text) => text.write(info, out),
            Self::Number(number) => number.of(info).is_some_and(|number| put_number(number.into(), out)),
            Self::Took(from, to, precision) => {
                let (Some(from), Some(to)) = (from.of(&info.times), to.of(&info.times)) else { return false };
                let Some(took) = to.checked_sub(from) else { return false };
                put_number(
                    match precision {
                        Precision::Millis => took.as_millis(),
                        Precision::Micros => took.as_micros(),
                        Precision::Nanos => took.as_nanos(),
                    },
                    out,
                )
            }
            Self::Address(end, part) => end.of(info).is_some_and(|address| part.write(address, out)),
            Self::Tls(side, field) => field.write(*side, info, out),
            Self::Validity(validity) => validity.write(info, out),
            Self::Metadata(namespace, path) if path.is_empty() => {
                let metadata = info.metadata.filter(|metadata| *metadata.namespace == **namespace);
                if let Some(metadata) = metadata {
                    return super::json::metadata(&metadata, out);
                }
                let Some(values) = left(info).and_then(|left| left.namespace(namespace)) else {
                    return false;
                };
                let mut fields: Vec<_> =
                    values.iter().map(|(key, value)| (&**key, MetadataValue::Text(value))).collect();
                fields.sort_unstable_by_key(|(key, _)| *key);
                super::json::metadata(&Metadata { namespace, fields: &fields }, out)
            }
            Self::Metadata(..) => match self.metadata(info) {
                None => false,
                Some(MetadataValue::Text(text)) => put(Some(text.as_bytes()), out),
                Some(MetadataValue::Number(number)) => put_number(number.into(), out),
            },
            Self::Fixed(text) => put(Some(text), out),
            Self::UniqueId => {
                let mut rng = crate::io::Rng::new();
                put(Some(&rng.uuid()), out)
            }
            Self::FilterState { name, typed } => {
                let Some(object) = info.downstream.filter_state.and_then(|state| state.get(name)) else {
                    return false;
                };
                if *typed { object.write_typed(out) } else { put(Some(&object.value), out) }
            }
            Self::Nothing => false,
        }
    }

    /// The value in dynamic metadata that this leads to.
    fn metadata<'a>(&self, info: &StreamInfo<'a>) -> Option<MetadataValue<'a>> {
        let Self::Metadata(namespace, path) = self else { return None };
        // No value has others in it.
        let [name] = &path[..] else { return None };
        match info.metadata.filter(|metadata| *metadata.namespace == **namespace) {
            Some(metadata) => metadata.field(name),
            None => left(info)?.get(namespace, name).map(MetadataValue::Text),
        }
    }
}

/// What listener filters have found out about the connection.
fn findings<'a>(info: &StreamInfo<'a>) -> Option<&'a Findings> {
    info.downstream.provenance?.findings.as_deref()
}

/// The metadata that they have left, which is the connection's and not its requests'.
fn left<'a>(info: &StreamInfo<'a>) -> Option<&'a FilterMetadata> {
    info.session.as_ref()?;
    Some(&findings(info)?.metadata)
}

impl Head {
    fn headers<'a>(self, info: &StreamInfo<'a>) -> Option<&'a HeaderMap> {
        match self {
            Self::Request => Some(&info.request.headers),
            Self::Response => info.response.map(|response| &response.headers),
            Self::Trailers => info.response_trailers,
        }
    }
}

impl Text {
    fn write(self, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        let (upstream, session) = (info.upstream.as_ref(), info.session.as_ref());
        let text = match self {
            Self::Protocol => match session {
                Some(SessionInfo { protocol: Some(version), .. }) => protocol(*version),
                None if info.occasion.is_http() => protocol(info.request.version),
                _ => return false,
            },
            Self::UpstreamProtocol => match upstream.and_then(|upstream| upstream.protocol) {
                Some(version) => protocol(version),
                None => return false,
            },
            Self::Details => return put_joined(info.details, out),
            Self::Flags | Self::FlagsLong => {
                let short = matches!(self, Self::Flags);
                let name = |flag: Flag| if short { flag.names().0 } else { flag.names().1 };
                let Some(session) = session else { return put(Some(name(info.flag).as_bytes()), out) };
                let before = out.len();
                for flag in session.flags.iter() {
                    if out.len() > before {
                        out.push(b',');
                    }
                    out.extend_from_slice(name(flag).as_bytes());
                }
                return out.len() > before;
            }
            Self::RouteName => info.route.as_ref().map_or("", |route| route.name),
            Self::VirtualHost => info.route.as_ref().map_or("", |route| route.virtual_host),
            Self::Cluster => upstream.map_or("", |upstream| upstream.cluster),
            Self::HostName => {
                let name = upstream.map_or("", |upstream| upstream.hostname);
                if name.is_empty() {
                    return End::UpstreamHost.of(info).is_some_and(|host| Part::Whole.write(host, out));
                }
                name
            }
            Self::HostNameAlone => {
                let before = out.len();
                let there = Self::HostName.write(info, out);
                if let Some(colon) = out[before..].iter().rposition(|byte| *byte == b':') {
                    out.truncate(before + colon);
                }
                return there;
            }
            Self::TransportFailure => {
                return put_joined(upstream.map_or("", |upstream| upstream.transport_failure), out);
            }
            Self::DownstreamFailure => return put_joined(info.downstream.transport_failure, out),
            Self::FilterChain => info.downstream.filter_chain,
            Self::LocalReplyBody => {
                // Empty is a value here.
                return put(Some(info.local_reply_body), out);
            }
            Self::StreamId if !info.occasion.is_http() => {
                return put(Some(&crate::io::Rng::new().uuid()), out);
            }
            Self::StreamId => return put(info.request.headers.get(HeaderId::X_REQUEST_ID), out),
            Self::Ja3 => findings(info).map_or("", |findings| &findings.ja3),
            Self::Ja4 => findings(info).map_or("", |findings| &findings.ja4),
            Self::LogType => session.map_or(info.occasion.name(), |session| session.moment),
            Self::Termination => session.map_or("", |session| session.termination),
            Self::DownstreamClose => session.map_or("", |session| session.downstream_close),
            Self::UpstreamClose => session.map_or("", |session| session.upstream_close),
            Self::DownstreamEnd => match session {
                Some(session) => session.downstream_end.name(),
                None if info.occasion.is_http() => CloseType::Normal.name(),
                None => "",
            },
            Self::UpstreamEnd => match session {
                Some(session) => session.upstream_end.name(),
                // As in Envoy, how an attempt's connection ends is not what a request's log tells.
                None if upstream.is_some_and(|upstream| {
                    upstream.attempts > 0 && info.flag != Flag::NoHealthyUpstream
                }) =>
                {
                    CloseType::Normal.name()
                }
                None => "",
            },
        };
        put(Some(text.as_bytes()), out) && !text.is_empty()
    }
}

impl Number {
    fn of(self, info: &StreamInfo<'_>) -> Option<u64> {
        let bytes = &info.bytes;
        Some(match self {
            Self::ResponseCode => info.response.map_or(0, |response| response.status).into(),
            Self::BytesReceived => bytes.received,
            Self::BytesSent => bytes.sent,
            Self::RequestHeaders => bytes.request_headers,
            Self::ResponseHeaders => bytes.response_headers,
            Self::ResponseTrailers => {
                info.response_trailers.map_or(0, |trailers| trailers.byte_size() as u64)
            }
            Self::DownstreamWireReceived => bytes.downstream_wire_received,
            Self::DownstreamWireSent => bytes.downstream_wire_sent,
            Self::DownstreamHeadersReceived => bytes.downstream_wire_received.saturating_sub(bytes.received),
            Self::DownstreamHeadersSent => bytes.downstream_wire_sent.saturating_sub(bytes.sent),
            Self::UpstreamWireReceived => bytes.upstream_wire_received,
            Self::UpstreamWireSent => bytes.upstream_wire_sent,
            Self::Attempts => info.upstream.as_ref().map_or(0, |upstream| upstream.attempts).into(),
            Self::ConnectionId => info.downstream.connection_id,
            Self::Zero => 0,
            Self::UpstreamConnectionId => info.upstream.as_ref()?.connection_id?,
        })
    }
}

impl Point {
    fn of(self, times: &Times) -> Option<Duration> {
        match self {
            Self::Start => Some(Duration::ZERO),
            Self::RequestEnd => times.request_end,
            Self::UpstreamFirstSent => times.upstream_first_sent,
            Self::UpstreamLastSent => times.upstream_last_sent,
            Self::UpstreamFirstReceived => times.upstream_first_received,
            Self::UpstreamLastReceived => times.upstream_last_received,
            Self::ResponseBegin => times.response_begin,
            Self::ResponseEnd => times.response_end,
            Self::End => times.end,
        }
    }
}

impl End {
    fn of<'a>(self, info: &StreamInfo<'a>) -> Option<&'a Address> {
        let upstream = info.upstream.as_ref();
        match self {
            Self::DownstreamLocal => info.downstream.local,
            Self::DownstreamDirectLocal => {
                info.downstream.provenance.map(|provenance| &provenance.socket_local)
            }
            Self::DownstreamRemote => info.downstream.remote,
            Self::DownstreamDirectRemote => info.downstream.direct_remote,
            Self::UpstreamHost => upstream?.host,
            Self::UpstreamLocal => upstream?.local,
            // Without proxies between us and the host these are the same, once there is a connection.
            Self::UpstreamRemote => upstream.filter(|upstream| upstream.connection_id.is_some())?.host,
        }
    }
}

impl Part {
    fn write(self, address: &Address, out: &mut Vec<u8>) -> bool {
        // Writing into memory does not fail.
        match (self, address) {
            (Self::Ip, Address::Inet(address)) => write!(out, "{}", address.ip()).is_ok(),
            (Self::Port, Address::Inet(address)) => put_number(address.port().into(), out),
            (Self::Port, Address::Unix(_)) => false,
            (Self::EndpointId, _) => true,
            (Self::Whole | Self::Ip, address) => write!(out, "{address}").is_ok(),
        }
    }
}

fn grpc_status(info: &StreamInfo<'_>, of: Head, (number, snake): (bool, bool), out: &mut Vec<u8>) -> bool {
    const NAMES: [(&str, &str); 17] = [
        ("OK", "OK"),
        ("Canceled", "CANCELLED"),
        ("Unknown", "UNKNOWN"),
        ("InvalidArgument", "INVALID_ARGUMENT"),
        ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
        ("NotFound", "NOT_FOUND"),
        ("AlreadyExists", "ALREADY_EXISTS"),
        ("PermissionDenied", "PERMISSION_DENIED"),
        ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
        ("FailedPrecondition", "FAILED_PRECONDITION"),
        ("Aborted", "ABORTED"),
        ("OutOfRange", "OUT_OF_RANGE"),
        ("Unimplemented", "UNIMPLEMENTED"),
        ("Internal", "INTERNAL"),
        ("Unavailable", "UNAVAILABLE"),
        ("DataLoss", "DATA_LOSS"),
        ("Unauthenticated", "UNAUTHENTICATED"),
    ];
    if !is_grpc(info.request) {
        return false;
    }
    let in_trailers = of.headers(info).and_then(|trailers| trailers.get(HeaderId::GRPC_STATUS));
    let in_headers = || info.response.and_then(|response| response.headers.get(HeaderId::GRPC_STATUS));
    let code = match (in_trailers.or_else(in_headers), info.response) {
        (Some(status), _) => std::str::from_utf8(status).ok().and_then(|text| text.parse::<usize>().ok()),
        (None, Some(response)) => Some(grpc_status_of_http(response.status).into()),
        (None, None) => return false,
    };
    let Some(code) = code else { return put(Some(b"-1"), out) };
    match NAMES.get(code).filter(|_| !number) {
        Some((camel, snaky)) => put(Some(if snake { snaky } else { camel }.as_bytes()), out),
        None => put_number(code as u128, out),
    }
}

/// Whether a request is one of gRPC, which has a path: CONNECT would take its status of 200 for a tunnel.
pub(crate) fn is_grpc(request: &RequestHead) -> bool {
    let kind = request.headers.get(HeaderId::CONTENT_TYPE).unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc");
    !request.path().is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

/// What a response that says nothing of gRPC means in gRPC ("HTTP to gRPC Status Code Mapping").
pub(crate) fn grpc_status_of_http(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::H2 => "HTTP/2",
    }
}

/// Appends bytes of a peer as text: what is not UTF-8 is replaced.
pub(super) fn put(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    if value.is_ascii() {
        out.extend_from_slice(value);
        return true;
    }
    for chunk in value.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    true
}

/// The words of a text as one word.
fn put_joined(text: &str, out: &mut Vec<u8>) -> bool {
    out.extend(text.bytes().map(|byte| if byte == b' ' { b'_' } else { byte }));
    !text.is_empty()
}

fn put_number(number: u128, out: &mut Vec<u8>) -> bool {
    let mut digits = [0; 40];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    true
}
