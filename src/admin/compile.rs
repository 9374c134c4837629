//! `envoy.config.bootstrap.v3.Admin` to [`AdminConfig`].

use super::config::AdminConfig;
use crate::access_log;
use crate::api::envoy::config::bootstrap::v3::Admin;
use crate::config::Cx;
use crate::router;
use crate::upstream::compile::address;

/// Compiles the admin interface; one without an address listens nowhere.
pub fn admin(proto: &Admin, cx: &mut Cx<'_>) -> Option<AdminConfig> {
    let mut access_log =
        cx.each("access_log", &proto.access_log, |cx, log| access_log::compile::access_log(log, cx));
    if !proto.access_log_path.is_empty() {
        access_log.push(access_log::compile::file(&proto.access_log_path));
    }
    let allow_paths =
        cx.each("allow_paths", &proto.allow_paths, |cx, path| router::compile::string_match(path, cx));
    let address = proto.address.as_ref()?;
    let (address, _) = cx.field("address", |cx| self::address(address, cx))?;
    let ignores_global_limit = proto.ignore_global_conn_limit;
    Some(AdminConfig { address, allow_paths, ignores_global_limit, access_log })
}
