//! `envoy.config.accesslog.v3.AccessLog` to [`AccessLogConfig`].

use super::config::{AccessLogConfig, Sink};
use super::filter::{Comparison, Filter, Op};
use crate::api::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use crate::api::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, ComparisonFilter, access_log::ConfigType, comparison_filter,
};
use crate::api::envoy::config::core::v3::SubstitutionFormatString;
use crate::api::envoy::extensions::access_loggers::file::v3::{
    FileAccessLog, file_access_log::AccessLogFormat as FileFormat,
};
use crate::api::envoy::extensions::access_loggers::stream::v3::{
    StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log,
};
use crate::config::{Cx, is};
use crate::formatter::Format;
use crate::formatter::compile::{BodyFormat, object, plain, substitution};
use crate::router;
use crate::stream_info::Flag;
use prost::Name;
use std::sync::Arc;

/// Envoy's default format.
pub const DEFAULT_FORMAT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
    \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// Compiles an access log.
pub fn access_log(proto: &AccessLog, cx: &mut Cx<'_>) -> Option<AccessLogConfig> {
    let filter = proto.filter.as_ref().map(|filter| cx.field("filter", |cx| self::filter(filter, cx)));
    let Some(ConfigType::TypedConfig(any)) = &proto.config_type else {
        cx.missing(&["typed_config"], "`typed_config` is required");
        return None;
    };
    let (sink, format) = cx.field("typed_config", |cx| {
        if is::<FileAccessLog>(any) {
            let file = cx.unpack::<FileAccessLog>(any)?;
            let format = file_format(&file, cx);
            let sink = sink(cx.text("path", &file.path)?);
            Some((sink, format?))
        } else if is::<StdoutAccessLog>(any) {
            let stream = cx.unpack::<StdoutAccessLog>(any)?;
            let format = stream.access_log_format.map(|format| match format {
                stdout_access_log::AccessLogFormat::LogFormat(format) => format,
            });
            Some((Sink::Stdout, log_format(format.as_ref(), cx)?))
        } else if is::<StderrAccessLog>(any) {
            let stream = cx.unpack::<StderrAccessLog>(any)?;
            let format = stream.access_log_format.map(|format| match format {
                stderr_access_log::AccessLogFormat::LogFormat(format) => format,
            });
            Some((Sink::Stderr, log_format(format.as_ref(), cx)?))
        } else {
            let allowed =
                [FileAccessLog::full_name(), StdoutAccessLog::full_name(), StderrAccessLog::full_name()];
            cx.wrong_extension(any, "access log", &allowed.each_ref().map(String::as_str));
            None
        }
    })?;
    let filter = match filter {
        None => None,
        Some(filter) => Some(Arc::new(filter?)),
    };
    Some(AccessLogConfig { sink, format: Arc::new(format), filter })
}

/// A log in the default format.
pub fn file(path: &str) -> AccessLogConfig {
    AccessLogConfig { sink: sink(path), format: Arc::new(default_format()), filter: None }
}

/// The system's names for the streams work too, without opening them a second time.
fn sink(path: &str) -> Sink {
    match path {
        "/dev/stdout" => Sink::Stdout,
        "/dev/stderr" => Sink::Stderr,
        path => Sink::File(path.into()),
    }
}

fn default_format() -> BodyFormat {
    BodyFormat::text(Format::parse(DEFAULT_FORMAT).expect("the default format is right"))
}

fn log_format(format: Option<&SubstitutionFormatString>, cx: &mut Cx<'_>) -> Option<BodyFormat> {
    match format {
        None => Some(default_format()),
        Some(format) => cx.field("log_format", |cx| substitution(format, cx)),
    }
}

fn file_format(file: &FileAccessLog, cx: &mut Cx<'_>) -> Option<BodyFormat> {
    match &file.access_log_format {
        None => Some(default_format()),
        Some(FileFormat::Format(format)) if format.is_empty() => Some(default_format()),
        Some(FileFormat::Format(format)) => plain("format", format, cx),
        Some(FileFormat::JsonFormat(format)) => object("json_format", format, cx),
        Some(FileFormat::TypedJsonFormat(format)) => object("typed_json_format", format, cx),
        Some(FileFormat::LogFormat(format)) => log_format(Some(format), cx),
    }
}

/// Compiles a filter.
pub fn filter(proto: &AccessLogFilter, cx: &mut Cx<'_>) -> Option<Filter> {
    match &proto.filter_specifier {
        None => {
            cx.one_of(&[
                "status_code_filter",
                "duration_filter",
                "not_health_check_filter",
                "and_filter",
                "or_filter",
                "header_filter",
                "response_flag_filter",
            ]);
            None
        }
        Some(FilterSpecifier::StatusCodeFilter(filter)) => cx
            .field("status_code_filter", |cx| comparison(filter.comparison.as_ref(), cx))
            .map(Filter::Status),
        Some(FilterSpecifier::DurationFilter(filter)) => {
            cx.field("duration_filter", |cx| comparison(filter.comparison.as_ref(), cx)).map(Filter::Duration)
        }
        Some(FilterSpecifier::NotHealthCheckFilter(_)) => Some(Filter::NotHealthCheck),
        Some(FilterSpecifier::AndFilter(filter)) => {
            cx.field("and_filter", |cx| filters(&filter.filters, cx)).map(Filter::All)
        }
        Some(FilterSpecifier::OrFilter(filter)) => {
            cx.field("or_filter", |cx| filters(&filter.filters, cx)).map(Filter::Any)
        }
        Some(FilterSpecifier::HeaderFilter(filter)) => cx.field("header_filter", |cx| {
            let header = cx.required("header", &filter.header)?;
            cx.field("header", |cx| router::compile::header_match(header, cx)).map(Filter::Header)
        }),
        Some(FilterSpecifier::ResponseFlagFilter(filter)) => cx.field("response_flag_filter", |cx| {
            let flags = cx.each("flags", &filter.flags, |cx, name| flag(name, cx));
            (flags.len() == filter.flags.len()).then(|| Filter::Flags(flags.into_iter().flatten().collect()))
        }),
    }
}

fn filters(protos: &[AccessLogFilter], cx: &mut Cx<'_>) -> Option<Vec<Filter>> {
    if protos.len() < 2 {
        cx.missing(&["filters"], "`filters` is required: at least two filters");
    }
    let filters = cx.each("filters", protos, |cx, proto| filter(proto, cx));
    (filters.len() == protos.len()).then_some(filters)
}

fn comparison(proto: Option<&ComparisonFilter>, cx: &mut Cx<'_>) -> Option<Comparison> {
    let Some(proto) = proto else {
        cx.missing(&["comparison"], "`comparison` is required");
        return None;
    };
    cx.field("comparison", |cx| {
        let value = cx.required("value", &proto.value)?;
        let op = match proto.op() {
            comparison_filter::Op::Eq => Op::Equal,
            comparison_filter::Op::Ge => Op::AtLeast,
            comparison_filter::Op::Le => Op::AtMost,
            comparison_filter::Op::Ne => Op::NotEqual,
        };
        Some(Comparison { op, value: value.default_value.into() })
    })
}

/// A response flag by its short name; one that is never given here matches nothing.
fn flag(name: &str, cx: &mut Cx<'_>) -> Option<Option<Flag>> {
    /// Flags of Envoy for what there is not.
    const OTHERS: [&str; 13] =
        ["LH", "DI", "FI", "RL", "UAEX", "RLSE", "IH", "RFCF", "NFCF", "OM", "DF", "DO", "DR"];
    let found = Flag::ALL.iter().find(|flag| flag.names().0 == name);
    if found.is_none() && !OTHERS.contains(&name) {
        cx.error(format!("`{name}` is no response flag"));
        return None;
    }
    Some(found.copied())
}
