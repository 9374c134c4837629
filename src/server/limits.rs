//! `envoy.config.overload.v3.OverloadManager`: limits of the whole process. One resource is watched: connections.

use crate::api::envoy::config::overload::v3::{OverloadManager, resource_monitor::ConfigType};
use crate::api::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;
use crate::config::{Cx, is};
use prost::Name;

/// The key by which the limit was set before there was a monitor.
const KEY: &str = "overload.global_downstream_max_connections";

/// Most connections of all listeners at a time, if there is a limit.
pub(super) fn connections(proto: Option<&OverloadManager>, cx: &mut Cx<'_>) -> Option<u32> {
    let mut limit = None;
    if let Some(manager) = proto {
        cx.field("overload_manager", |cx| {
            if manager.resource_monitors.is_empty() {
                cx.missing(&["resource_monitors"], "`resource_monitors` is required: at least one");
            }
            cx.each("resource_monitors", &manager.resource_monitors, |cx, monitor| {
                let name = cx.text("name", &monitor.name);
                let Some(ConfigType::TypedConfig(any)) = &monitor.config_type else {
                    cx.missing(&["typed_config"], "`typed_config` is required");
                    return None::<()>;
                };
                if is::<DownstreamConnectionsConfig>(any) {
                    if limit.is_some() {
                        cx.error("this resource is watched already");
                    }
                    let config =
                        cx.field("typed_config", |cx| cx.unpack::<DownstreamConnectionsConfig>(any))?;
                    let most = config.max_active_downstream_connections;
                    if most < 1 {
                        cx.field("typed_config", |cx| {
                            cx.error_at(
                                "max_active_downstream_connections",
                                "at least 1 connection is required",
                            );
                        });
                    }
                    limit = Some(u32::try_from(most).unwrap_or(u32::MAX));
                    let scope = format!("overload.{}.", name.unwrap_or_default());
                    cx.registry.counter(&format!("{scope}failed_updates"));
                    cx.registry.gauge(&format!("{scope}pressure"));
                } else {
                    let allowed = [DownstreamConnectionsConfig::full_name()];
                    cx.field("typed_config", |cx| {
                        cx.wrong_extension(any, "resource monitor", &allowed.each_ref().map(String::as_str));
                    });
                }
                None
            });
        });
    }
    let key = cx.runtime.integer(KEY).map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    limit.or(key)
}
