//! `envoy.config.accesslog.v3.AccessLog` to [`AccessLogConfig`].

use super::config::{AccessLogConfig, Sink};
use crate::api::envoy::config::accesslog::v3::{AccessLog, access_log::ConfigType};
use crate::api::envoy::extensions::access_loggers::file::v3::FileAccessLog;
use crate::api::envoy::extensions::access_loggers::stream::v3::{StderrAccessLog, StdoutAccessLog};
use crate::config::{Cx, is};
use prost::Name;

/// Compiles an access log.
pub fn access_log(proto: &AccessLog, cx: &mut Cx<'_>) -> Option<AccessLogConfig> {
    let Some(ConfigType::TypedConfig(any)) = &proto.config_type else {
        cx.missing(&["typed_config"], "`typed_config` is required");
        return None;
    };
    let sink = cx.field("typed_config", |cx| {
        if is::<FileAccessLog>(any) {
            let file = cx.unpack::<FileAccessLog>(any)?;
            // The system's names for the streams work too, without opening them a second time.
            Some(match cx.text("path", &file.path)? {
                "/dev/stdout" => Sink::Stdout,
                "/dev/stderr" => Sink::Stderr,
                path => Sink::File(path.into()),
            })
        } else if is::<StdoutAccessLog>(any) {
            Some(Sink::Stdout)
        } else if is::<StderrAccessLog>(any) {
            Some(Sink::Stderr)
        } else {
            let allowed =
                [FileAccessLog::full_name(), StdoutAccessLog::full_name(), StderrAccessLog::full_name()];
            cx.wrong_extension(any, "access log", &allowed.each_ref().map(String::as_str));
            None
        }
    })?;
    Some(AccessLogConfig { sink })
}
