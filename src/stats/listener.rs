//! The statistics of listeners and of listener filters, under Envoy's names.

use super::registry::{Counter, Gauge, Histogram, Registry, Unit};

macro_rules! scope {
    ($(#[$meta:meta])* $name:ident {
        counters: $($counter:ident)* ;
        gauges: $($gauge:ident)* ;
        histograms: $($histogram:ident: $unit:ident)* ;
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "the fields carry the names that Envoy documents")]
        pub struct $name {
            $(pub $counter: Counter,)*
            $(pub $gauge: Gauge,)*
            $(pub $histogram: Histogram,)*
        }
        impl $name {
            /// Registers every name below `prefix`, which ends with a dot or is empty.
            pub fn register(registry: &mut Registry, prefix: &str) -> Self {
                Self {
                    $($counter: registry.counter(&format!("{prefix}{}", stringify!($counter))),)*
                    $($gauge: registry.gauge(&format!("{prefix}{}", stringify!($gauge))),)*
                    $($histogram: registry
                        .histogram(&format!("{prefix}{}", stringify!($histogram)), Unit::$unit),)*
                }
            }
        }
    };
}

scope! {
    /// `listener.<address>.`: one listener.
    ListenerStats {
        counters:
            downstream_cx_total downstream_cx_destroy downstream_cx_overflow downstream_global_cx_overflow
            downstream_cx_overload_reject downstream_cx_transport_socket_connect_timeout downstream_pre_cx_timeout
            downstream_listener_filter_remote_close downstream_listener_filter_error no_filter_chain_match;
        gauges: downstream_cx_active downstream_pre_cx_active;
        histograms: downstream_cx_length_ms: Milliseconds connections_accepted_per_socket_event: Plain;
    }
}

impl ListenerStats {
    /// The same, with those that are shown for each worker too.
    pub fn of_listener(registry: &mut Registry, prefix: &str) -> Self {
        let stats = Self::register(registry, prefix);
        registry.show_each_worker(prefix, "downstream_cx_total");
        registry.show_each_worker(prefix, "downstream_cx_active");
        stats
    }
}

scope! {
    /// `tls_inspector.`: all of these filters.
    TlsInspectorStats {
        counters:
            alpn_found alpn_not_found client_hello_too_large sni_found sni_not_found tls_found tls_not_found;
        gauges: ;
        histograms: bytes_processed: Bytes;
    }
}

scope! {
    /// `http_inspector.`: all of these filters.
    HttpInspectorStats {
        counters: read_error http10_found http11_found http2_found http_not_found;
        gauges: ;
        histograms: ;
    }
}

scope! {
    /// `proxy_proto.<stat_prefix>.`: connections with and without a header.
    ProxyProtocolStats {
        counters: not_found_allowed not_found_disallowed;
        gauges: ;
        histograms: ;
    }
}

scope! {
    /// `proxy_proto.<stat_prefix>.versions.<version>.`: headers of one version.
    ProxyVersionStats {
        counters: found disallowed error;
        gauges: ;
        histograms: ;
    }
}
