//! The statistics of each kind of thing, under Envoy's names.
//!
//! One struct per scope; the field name is the last part of the statistic's name unless a string says
//! otherwise; sparse ones are shown only once they have counted. A name is added here when the event that it counts exists in the code, never before.

use super::registry::{Counter, Gauge, Registry, StatusCounters};

macro_rules! scope {
    ($(#[$meta:meta])* $name:ident { counters: $($counter:ident)* ; sparse: $($sparse:ident)* ; gauges: $($gauge:ident)* ; codes: $($codes:ident = $text:literal)* ; }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "the fields carry the names that Envoy documents")]
        pub struct $name {
            $(pub $counter: Counter,)*
            $(pub $sparse: Counter,)*
            $(pub $gauge: Gauge,)*
            $(pub $codes: StatusCounters,)*
        }
        impl $name {
            /// Registers every name of this scope below `prefix`, which ends with a dot or is empty.
            pub fn register(registry: &mut Registry, prefix: &str) -> Self {
                Self {
                    $($counter: registry.counter(&format!("{prefix}{}", stringify!($counter))),)*
                    $($sparse: registry.sparse_counter(&format!("{prefix}{}", stringify!($sparse))),)*
                    $($gauge: registry.gauge(&format!("{prefix}{}", stringify!($gauge))),)*
                    $($codes: registry.status_counters(&format!("{prefix}{}", $text)),)*
                }
            }
        }
    };
}

scope! {
    /// `http.<stat_prefix>.`: one HTTP connection manager.
    HttpStats {
        counters:
            downstream_cx_total downstream_cx_destroy downstream_cx_destroy_local downstream_cx_destroy_remote
            downstream_cx_destroy_active_rq downstream_cx_destroy_local_active_rq
            downstream_cx_destroy_remote_active_rq downstream_cx_http1_total downstream_cx_protocol_error
            downstream_cx_idle_timeout downstream_cx_drain_close downstream_cx_delayed_close_timeout
            downstream_cx_rx_bytes_total downstream_cx_tx_bytes_total downstream_cx_max_requests_reached
            downstream_rq_total downstream_rq_http1_total downstream_rq_completed
            downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx downstream_rq_4xx downstream_rq_5xx
            downstream_rq_rx_reset downstream_rq_tx_reset downstream_rq_too_large downstream_rq_timeout
            downstream_rq_header_timeout downstream_rq_max_duration_reached downstream_rq_failed_path_normalization
            downstream_rq_redirected_with_normalized_path requests_rejected_with_underscores_in_headers
            dropped_headers_with_underscores downstream_cx_max_duration_reached downstream_cx_upgrades_total downstream_rq_idle_timeout downstream_rq_response_before_rq_complete
            downstream_rq_non_relative_path downstream_rq_ws_on_non_ws_route
            downstream_flow_control_paused_reading_total downstream_flow_control_resumed_reading_total
            no_route no_cluster rq_direct_response rq_total rs_too_large;
        sparse: ;
        gauges: downstream_cx_active downstream_cx_http1_active downstream_cx_upgrades_active downstream_rq_active;
        codes: ;
    }
}

scope! {
    /// `cluster.<name>.`: one cluster, all its hosts and pools.
    ClusterStats {
        counters:
            upstream_cx_total upstream_cx_http1_total upstream_cx_connect_fail upstream_cx_connect_timeout
            upstream_cx_connect_attempts_exceeded upstream_cx_overflow upstream_cx_none_healthy
            upstream_cx_destroy upstream_cx_destroy_local upstream_cx_destroy_remote
            upstream_cx_destroy_with_active_rq upstream_cx_destroy_local_with_active_rq
            upstream_cx_destroy_remote_with_active_rq upstream_cx_close_notify upstream_cx_idle_timeout
            upstream_cx_max_requests upstream_cx_max_duration_reached upstream_cx_protocol_error
            upstream_cx_rx_bytes_total upstream_cx_tx_bytes_total
            upstream_rq_total upstream_rq_completed upstream_rq_timeout upstream_rq_max_duration_reached upstream_rq_cancelled
            upstream_rq_pending_total upstream_rq_pending_overflow
            upstream_rq_pending_failure_eject upstream_rq_retry upstream_rq_retry_success
            upstream_flow_control_paused_reading_total upstream_flow_control_resumed_reading_total
            upstream_flow_control_backed_up_total upstream_flow_control_drained_total;
        sparse: upstream_rq_1xx upstream_rq_2xx upstream_rq_3xx upstream_rq_4xx upstream_rq_5xx;
        gauges: upstream_cx_active upstream_rq_active upstream_rq_pending_active membership_total membership_healthy
            upstream_cx_rx_bytes_buffered upstream_cx_tx_bytes_buffered;
        codes: upstream_rq_code = "upstream_rq_";
    }
}

scope! {
    /// `listener.<address>.`: one listener.
    ListenerStats {
        counters: downstream_cx_total downstream_cx_destroy downstream_cx_overflow no_filter_chain_match;
        sparse: ;
        gauges: downstream_cx_active;
        codes: ;
    }
}

scope! {
    /// `listener_manager.`: all listeners.
    ListenerManagerStats {
        counters: listener_added listener_create_success listener_create_failure;
        sparse: ;
        gauges: total_listeners_active total_listeners_draining total_listeners_warming workers_started;
        codes: ;
    }
}

scope! {
    /// `server.`: the process.
    ServerStats {
        counters: ;
        sparse: ;
        gauges: uptime live state concurrency total_connections memory_physical_size initialization_time_ms;
        codes: ;
    }
}
