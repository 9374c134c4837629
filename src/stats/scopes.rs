//! The statistics of each kind of thing, under Envoy's names.
//!
//! One struct per scope; the field name is the last part of the statistic's name unless a string says otherwise; sparse
//! ones are shown only once they have counted. A name is added here when the event that it counts exists in the code;
//! the few that count what this version cannot do yet are there because dashboards ask for them.

use super::registry::{Counter, Gauge, Histogram, Registry, StatusCounters, Unit};

macro_rules! name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $text:literal) => {
        $text
    };
}

macro_rules! scope {
    ($(#[$meta:meta])* $name:ident {
        counters: $($counter:ident $(= $counter_text:literal)?)* ;
        sparse: $($sparse:ident $(= $sparse_text:literal)?)* ;
        gauges: $($gauge:ident $(= $gauge_text:literal)?)* ;
        sparse_gauges: $($sparse_gauge:ident $(= $sparse_gauge_text:literal)?)* ;
        codes: $($codes:ident = $text:literal)* ;
        histograms: $($histogram:ident $(= $histogram_text:literal)?)* ;
        sparse_histograms: $($sparse_histogram:ident $(= $sparse_histogram_text:literal)?)* ;
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "the fields carry the names that Envoy documents")]
        pub struct $name {
            $(pub $counter: Counter,)*
            $(pub $sparse: Counter,)*
            $(pub $gauge: Gauge,)*
            $(pub $sparse_gauge: Gauge,)*
            $(pub $codes: StatusCounters,)*
            $(pub $histogram: Histogram,)*
            $(pub $sparse_histogram: Histogram,)*
        }
        impl $name {
            /// Registers every name of this scope below `prefix`, which ends with a dot or is empty.
            pub fn register(registry: &mut Registry, prefix: &str) -> Self {
                let _full = |name: &str| format!("{prefix}{name}");
                Self {
                    $($counter: registry.counter(&_full(name!($counter $($counter_text)?))),)*
                    $($sparse: registry.sparse_counter(&_full(name!($sparse $($sparse_text)?))),)*
                    $($gauge: registry.gauge(&_full(name!($gauge $($gauge_text)?))),)*
                    $($sparse_gauge: registry.sparse_gauge(&_full(name!($sparse_gauge $($sparse_gauge_text)?))),)*
                    $($codes: registry.status_counters(&_full($text)),)*
                    $($histogram: registry
                        .histogram(&_full(name!($histogram $($histogram_text)?)), Unit::Milliseconds),)*
                    $($sparse_histogram: registry
                        .sparse_histogram(&_full(name!($sparse_histogram $($sparse_histogram_text)?)), Unit::Milliseconds),)*
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
            downstream_cx_max_duration_reached downstream_cx_http1_soft_drain downstream_cx_upgrades_total
            downstream_cx_http2_total downstream_cx_ssl_total
            downstream_rq_total downstream_rq_http1_total downstream_rq_http2_total downstream_rq_completed
            downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx downstream_rq_4xx downstream_rq_5xx
            downstream_rq_rx_reset downstream_rq_tx_reset downstream_rq_too_large downstream_rq_timeout
            downstream_rq_header_timeout downstream_rq_idle_timeout downstream_rq_max_duration_reached
            downstream_rq_response_before_rq_complete downstream_rq_failed_path_normalization
            downstream_rq_redirected_with_normalized_path
            downstream_rq_non_relative_path downstream_rq_ws_on_non_ws_route
            downstream_rq_too_many_premature_resets
            downstream_flow_control_paused_reading_total downstream_flow_control_resumed_reading_total
            no_route no_cluster rq_direct_response rq_redirect rq_reset_after_downstream_response_started rq_total
            rs_too_large;
        sparse: ;
        gauges:
            downstream_cx_active downstream_cx_http1_active downstream_cx_http2_active downstream_cx_ssl_active
            downstream_cx_upgrades_active downstream_rq_active
            downstream_cx_rx_bytes_buffered downstream_cx_tx_bytes_buffered;
        sparse_gauges: ;
        codes: ;
        histograms: downstream_cx_length_ms downstream_rq_time;
        sparse_histograms: ;
    }
}

scope! {
    /// `http1.` for all listeners and `cluster.<name>.http1.` for a cluster: the HTTP/1 codec.
    Http1Stats {
        counters: dropped_headers_with_underscores requests_rejected_with_underscores_in_headers response_flood;
        sparse: ;
        gauges: ;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `http2.` for all listeners and `cluster.<name>.http2.` for a cluster: the HTTP/2 codec.
    Http2Stats {
        counters: ;
        sparse:
            dropped_headers_with_underscores requests_rejected_with_underscores_in_headers
            goaway_sent header_list_size_too_large header_overflow headers_cb_no_stream inbound_continuation_flood
            inbound_empty_frames_flood inbound_priority_frames_flood inbound_window_update_frames_flood
            keepalive_timeout outbound_control_flood outbound_flood rx_messaging_error rx_reset
            settings_timeout stream_refused_errors trailers tx_flush_timeout tx_reset;
        gauges: ;
        sparse_gauges: streams_active;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `listener.<address>.http.<stat_prefix>.`: the answers of one connection manager at one listener.
    ListenerHttpStats {
        counters:
            downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx downstream_rq_4xx downstream_rq_5xx
            downstream_rq_completed;
        sparse: ;
        gauges: ;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `cluster.<name>.circuit_breakers.<priority>.`: the limits of a cluster for one priority.
    BreakerStats {
        counters: ;
        sparse: ;
        gauges: cx_open cx_pool_open rq_open rq_pending_open rq_retry_open;
        sparse_gauges: remaining_cx remaining_pending remaining_rq;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `cluster.<name>.external.` and `cluster.<name>.internal.`: the answers that callers of one kind got.
    CallerStats {
        counters: ;
        sparse:
            upstream_rq_1xx upstream_rq_2xx upstream_rq_3xx upstream_rq_4xx upstream_rq_5xx
            upstream_rq_unknown upstream_rq_completed;
        gauges: ;
        sparse_gauges: ;
        codes: upstream_rq_code = "upstream_rq_";
        histograms: ;
        sparse_histograms: upstream_rq_time;
    }
}

/// One host of a cluster: what `/clusters` shows of it. These have no names of their own.
#[derive(Copy, Clone, Debug)]
#[allow(missing_docs, reason = "the fields carry the names that Envoy documents")]
pub struct HostStats {
    pub cx_connect_fail: Counter,
    pub cx_total: Counter,
    pub rq_error: Counter,
    pub rq_success: Counter,
    pub rq_timeout: Counter,
    pub rq_total: Counter,
    pub cx_active: Gauge,
    pub rq_active: Gauge,
    pub rq_pending_active: Gauge,
}

impl HostStats {
    /// Cells for one host.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            cx_connect_fail: registry.nameless_counter(),
            cx_total: registry.nameless_counter(),
            rq_error: registry.nameless_counter(),
            rq_success: registry.nameless_counter(),
            rq_timeout: registry.nameless_counter(),
            rq_total: registry.nameless_counter(),
            cx_active: registry.nameless_gauge(),
            rq_active: registry.nameless_gauge(),
            rq_pending_active: registry.nameless_gauge(),
        }
    }
}

scope! {
    /// `cluster.<name>.`: one cluster, all its hosts and pools.
    ClusterStats {
        counters:
            bind_errors lb_healthy_panic membership_change retry_or_shadow_abandoned
            upstream_cx_total upstream_cx_http1_total upstream_cx_http2_total
            upstream_cx_connect_fail upstream_cx_connect_timeout
            upstream_cx_connect_attempts_exceeded upstream_cx_overflow upstream_cx_pool_overflow
            upstream_cx_none_healthy
            upstream_cx_destroy upstream_cx_destroy_local upstream_cx_destroy_remote
            upstream_cx_destroy_with_active_rq upstream_cx_destroy_local_with_active_rq
            upstream_cx_destroy_remote_with_active_rq upstream_cx_close_notify upstream_cx_idle_timeout
            upstream_cx_max_duration_reached upstream_cx_max_requests upstream_cx_protocol_error
            upstream_cx_rx_bytes_total upstream_cx_tx_bytes_total
            upstream_rq_total upstream_rq_completed upstream_rq_timeout upstream_rq_cancelled
            upstream_rq_max_duration_reached upstream_rq_per_try_timeout upstream_rq_per_try_idle_timeout
            upstream_rq_pending_total upstream_rq_pending_overflow
            upstream_rq_pending_failure_eject upstream_rq_retry upstream_rq_retry_success
            upstream_rq_retry_overflow upstream_rq_retry_limit_exceeded
            upstream_rq_rx_reset upstream_rq_tx_reset
            upstream_flow_control_paused_reading_total upstream_flow_control_resumed_reading_total
            upstream_flow_control_backed_up_total upstream_flow_control_drained_total;
        sparse:
            upstream_rq_1xx upstream_rq_2xx upstream_rq_3xx upstream_rq_4xx upstream_rq_5xx
            upstream_rq_unknown;
        gauges:
            upstream_cx_active upstream_rq_active upstream_rq_pending_active membership_total membership_healthy
            membership_degraded membership_excluded
            upstream_cx_rx_bytes_buffered upstream_cx_tx_bytes_buffered;
        sparse_gauges: ;
        codes: upstream_rq_code = "upstream_rq_";
        histograms: upstream_cx_connect_ms upstream_cx_length_ms upstream_rq_per_cx;
        sparse_histograms: upstream_rq_time;
    }
}

scope! {
    /// `udp.<stat_prefix>.`: one UDP proxy.
    UdpStats {
        counters:
            downstream_sess_no_route downstream_sess_rx_bytes downstream_sess_rx_datagrams downstream_sess_rx_errors
            downstream_sess_total downstream_sess_tx_bytes downstream_sess_tx_datagrams downstream_sess_tx_errors
            idle_timeout session_filter_config_missing;
        sparse: ;
        gauges: downstream_sess_active;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `tcp.<stat_prefix>.`: one TCP proxy.
    TcpStats {
        counters:
            downstream_cx_total downstream_cx_no_route downstream_cx_drain_close downstream_cx_overload_close
            downstream_cx_rx_bytes_total downstream_cx_tx_bytes_total
            downstream_flow_control_paused_reading_total downstream_flow_control_resumed_reading_total
            early_data_received_count_total idle_timeout max_downstream_connection_duration route_delayed_total
            upstream_flush_total;
        sparse: ;
        gauges: downstream_cx_rx_bytes_buffered downstream_cx_tx_bytes_buffered upstream_flush_active;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `cluster.<name>.udp.`: what UDP proxies exchange with one cluster.
    UdpClusterStats {
        counters:
            sess_rx_datagrams sess_rx_datagrams_dropped sess_rx_errors sess_tx_datagrams sess_tx_errors;
        sparse: ;
        gauges: ;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `connection_limit.<stat_prefix>.`: one connection limit.
    ConnectionLimitStats {
        counters: limited_connections;
        sparse: ;
        gauges: active_connections;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `local_rate_limit.<stat_prefix>.`: one rate limit of connections.
    LocalRateLimitStats {
        counters: rate_limited;
        sparse: ;
        gauges: ;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

/// `listener.<address>.` of a UDP listener.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields carry the names that Envoy documents")]
pub struct UdpListenerStats {
    pub downstream_rx_datagram_dropped: Counter,
}

impl UdpListenerStats {
    /// Registers every name below `prefix`, which ends with a dot. Those of connections never count, as in Envoy.
    pub fn register(registry: &mut Registry, prefix: &str) -> Self {
        let name = |name: &str| format!("{prefix}{name}");
        for never in ["downstream_cx_destroy", "downstream_cx_overflow", "no_filter_chain_match"] {
            registry.counter(&name(never));
        }
        registry.counter(&name("downstream_cx_total"));
        registry.gauge(&name("downstream_cx_active"));
        registry.show_each_worker(prefix, "downstream_cx_total");
        registry.show_each_worker(prefix, "downstream_cx_active");
        registry.histogram(&name("downstream_cx_length_ms"), Unit::Milliseconds);
        Self { downstream_rx_datagram_dropped: registry.counter(&name("udp.downstream_rx_datagram_dropped")) }
    }
}

scope! {
    /// `listener_manager.`: all listeners.
    ListenerManagerStats {
        counters:
            listener_added listener_create_success listener_create_failure listener_modified listener_removed
            listener_stopped;
        sparse: ;
        gauges: total_listeners_active total_listeners_draining total_listeners_warming workers_started;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `cluster_manager.`: all clusters.
    ClusterManagerStats {
        counters: cluster_added cluster_modified cluster_removed;
        sparse: ;
        gauges: active_clusters warming_clusters;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `filesystem.`: access log files. `write_dropped` is our own: buffers that were thrown away.
    FilesystemStats {
        counters: flushed_by_timer reopen_failed write_buffered write_completed write_dropped write_failed;
        sparse: ;
        gauges: write_total_buffered;
        sparse_gauges: ;
        codes: ;
        histograms: ;
        sparse_histograms: ;
    }
}

scope! {
    /// `server.`: the process.
    ServerStats {
        counters:
            dropped_stat_datagrams dropped_stat_flushes static_unknown_fields dynamic_unknown_fields wip_protos
            debug_assertion_failures envoy_bug_failures envoy_notifications;
        sparse: ;
        gauges:
            uptime live state concurrency total_connections memory_allocated memory_heap_size memory_physical_size
            days_until_first_cert_expiring hot_restart_epoch hot_restart_generation parent_connections
            seconds_until_first_ocsp_response_expiring;
        sparse_gauges: ;
        codes: ;
        histograms: initialization_time_ms;
        sparse_histograms: ;
    }
}
