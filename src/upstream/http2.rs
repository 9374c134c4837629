//! HTTP/2 on a connection, either side: its options, and the PINGs that keep it alive.

use crate::api::envoy::config::core::v3 as proto;
use crate::config::Cx;
use crate::io::Rng;
use nuncio_codec::{Buffer, h2};
use nuncio_reactor::Time;
use std::time::Duration;

/// What a connection of HTTP/2 is made with.
#[derive(Copy, Clone, Debug, Default)]
pub struct Http2Config {
    /// What the codec is told.
    pub settings: h2::Settings,
    /// `connection_keepalive`.
    pub keepalive: Option<KeepaliveConfig>,
}

/// `envoy.config.core.v3.KeepaliveSettings`.
#[derive(Copy, Clone, Debug)]
pub struct KeepaliveConfig {
    /// How often a PING is sent.
    pub interval: Option<Duration>,
    /// How long its answer may take.
    pub timeout: Duration,
    /// How much longer the interval may be, in per cent.
    pub jitter: u32,
    /// A connection that was idle for so long is asked before it is used.
    pub idle: Option<Duration>,
}

/// How long the peer may take to confirm our SETTINGS (RFC 9113 section 6.5.3).
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(30);

/// The smallest window that may be configured, and the largest there is.
const WINDOWS: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;

/// Compiles `Http2ProtocolOptions`; the limits on heads come from elsewhere.
pub fn http2(
    proto: &proto::Http2ProtocolOptions,
    base: h2::Settings,
    stream_error: bool,
    cx: &mut Cx<'_>,
) -> Http2Config {
    let mut range = |field: &str, value: Option<u32>, allowed: std::ops::RangeInclusive<u32>, default| {
        if let Some(value) = value
            && !allowed.contains(&value)
        {
            let (least, most) = (allowed.start(), allowed.end());
            cx.error_at(field, format!("{value} is out of range: {least} to {most}"));
        }
        value.unwrap_or(default)
    };
    let streams = 1..=0x7fff_ffff;
    let at_least_1 = 1..=u32::MAX;
    let settings = h2::Settings {
        hpack_table_size: proto.hpack_table_size.unwrap_or(base.hpack_table_size),
        max_concurrent_streams: range(
            "max_concurrent_streams",
            proto.max_concurrent_streams,
            streams,
            base.max_concurrent_streams,
        ),
        initial_stream_window_size: range(
            "initial_stream_window_size",
            proto.initial_stream_window_size,
            WINDOWS,
            base.initial_stream_window_size,
        ),
        initial_connection_window_size: range(
            "initial_connection_window_size",
            proto.initial_connection_window_size,
            WINDOWS,
            base.initial_connection_window_size,
        ),
        allow_connect: proto.allow_connect,
        max_outbound_frames: range(
            "max_outbound_frames",
            proto.max_outbound_frames,
            at_least_1.clone(),
            base.max_outbound_frames,
        ),
        max_outbound_control_frames: range(
            "max_outbound_control_frames",
            proto.max_outbound_control_frames,
            at_least_1.clone(),
            base.max_outbound_control_frames,
        ),
        max_consecutive_inbound_frames_with_empty_payload: proto
            .max_consecutive_inbound_frames_with_empty_payload
            .unwrap_or(base.max_consecutive_inbound_frames_with_empty_payload),
        max_inbound_priority_frames_per_stream: proto
            .max_inbound_priority_frames_per_stream
            .unwrap_or(base.max_inbound_priority_frames_per_stream),
        max_inbound_window_update_frames_per_data_frame_sent: range(
            "max_inbound_window_update_frames_per_data_frame_sent",
            proto.max_inbound_window_update_frames_per_data_frame_sent,
            at_least_1,
            base.max_inbound_window_update_frames_per_data_frame_sent,
        ),
        stream_error_on_invalid_http_messaging: proto
            .override_stream_error_on_invalid_http_message
            .unwrap_or(proto.stream_error_on_invalid_http_messaging || stream_error),
        ..base
    };
    let keepalive = proto
        .connection_keepalive
        .as_ref()
        .map(|proto| cx.field("connection_keepalive", |cx| keepalive(proto, cx)));
    Http2Config { settings, keepalive }
}

fn keepalive(proto: &proto::KeepaliveSettings, cx: &mut Cx<'_>) -> KeepaliveConfig {
    let least = Duration::from_millis(1);
    for (field, value) in [
        ("interval", &proto.interval),
        ("timeout", &proto.timeout),
        ("connection_idle_interval", &proto.connection_idle_interval),
    ] {
        // Negative ones are complained about below.
        let given = value.and_then(|value| Duration::try_from(value).ok());
        if given.is_some_and(|given| given < least) {
            cx.error_at(field, "at least 0.001s is required");
        }
    }
    if proto.timeout.is_none() {
        cx.missing(&["timeout"], "`timeout` is required");
    }
    let jitter = proto.interval_jitter.as_ref().map_or(15.0, |percent| percent.value);
    if !(0.0..=100.0).contains(&jitter) {
        cx.error_at("interval_jitter", format!("{jitter} is out of range: 0 to 100"));
    }
    KeepaliveConfig {
        interval: cx.limit("interval", proto.interval.as_ref(), None),
        timeout: cx.duration("timeout", proto.timeout.as_ref(), least),
        jitter: jitter.clamp(0.0, 100.0) as u32,
        idle: cx.limit("connection_idle_interval", proto.connection_idle_interval.as_ref(), None),
    }
}

/// What a connection of HTTP/2 waits for from its peer.
#[derive(Debug, Default)]
pub struct Vigil {
    /// When the next PING is due.
    ping: Option<Time>,
    /// When the answer to the last must have come.
    pong: Option<Time>,
    /// When our SETTINGS must have been confirmed.
    settings: Option<Time>,
    sent: u64,
}

/// How long a connection waited in vain, or still has to wait.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Until then.
    Until(Option<Time>),
    /// A PING was not answered in time.
    Dead,
    /// SETTINGS were not confirmed in time.
    Unsettled,
}

impl Vigil {
    /// Of a connection that begins.
    pub fn new(config: &Http2Config, now: Time, rng: &mut Rng) -> Self {
        let mut vigil = Self { settings: Some(now + SETTINGS_TIMEOUT), ..Self::default() };
        vigil.schedule(config, now, rng);
        vigil
    }

    fn schedule(&mut self, config: &Http2Config, now: Time, rng: &mut Rng) {
        self.ping = config.keepalive.and_then(|keepalive| {
            let interval = keepalive.interval?;
            let most = interval.as_millis() as u64 * u64::from(keepalive.jitter) / 100;
            Some(now + interval + Duration::from_millis(if most == 0 { 0 } else { rng.below(most) }))
        });
    }

    /// Our SETTINGS were confirmed.
    pub fn on_settings_ack(&mut self) {
        self.settings = None;
    }

    /// A PING was answered.
    pub fn on_pong(&mut self, payload: u64, config: &Http2Config, now: Time, rng: &mut Rng) {
        if payload == self.sent && self.pong.take().is_some() {
            self.schedule(config, now, rng);
        }
    }

    /// A connection that was idle since then is about to be used.
    pub fn before_use<S: h2::Side>(
        &mut self,
        idle_since: Time,
        config: &Http2Config,
        now: Time,
        codec: &mut h2::Connection<S>,
        out: &mut Buffer,
    ) -> Option<Time> {
        let keepalive = config.keepalive?;
        if self.pong.is_none() && keepalive.idle.is_some_and(|idle| now.saturating_since(idle_since) >= idle)
        {
            self.send(now + keepalive.timeout, codec, out);
        }
        self.pong
    }

    fn send<S: h2::Side>(&mut self, answer_by: Time, codec: &mut h2::Connection<S>, out: &mut Buffer) {
        self.sent += 1;
        codec.ping(self.sent, out);
        self.ping = None;
        self.pong = Some(answer_by);
    }

    /// Sends what is due, and says what time has made of the connection.
    pub fn watch<S: h2::Side>(
        &mut self,
        config: &Http2Config,
        now: Time,
        codec: &mut h2::Connection<S>,
        out: &mut Buffer,
    ) -> Watch {
        let passed = |limit: Option<Time>| limit.is_some_and(|limit| now >= limit);
        if passed(self.pong) {
            return Watch::Dead;
        }
        if passed(self.settings) {
            return Watch::Unsettled;
        }
        if let (true, Some(keepalive)) = (passed(self.ping), config.keepalive) {
            self.send(now + keepalive.timeout, codec, out);
        }
        Watch::Until(self.next())
    }

    /// When to watch again.
    pub fn next(&self) -> Option<Time> {
        [self.ping, self.pong, self.settings].into_iter().flatten().min()
    }
}

/// Carries what a codec has counted to statistics.
pub fn count(counted: h2::Counters, stats: &crate::stats::Http2Stats, block: &crate::stats::Block) {
    if counted == h2::Counters::default() {
        return;
    }
    let h2::Counters {
        header_list_size_too_large,
        header_overflow,
        headers_cb_no_stream,
        inbound_empty_frames_flood,
        inbound_priority_frames_flood,
        inbound_window_update_frames_flood,
        outbound_flood,
        outbound_control_flood,
        inbound_continuation_flood,
        premature_resets: _,
        rx_messaging_error,
        rx_reset,
        tx_reset,
        trailers,
        goaway_sent,
        refused_streams,
    } = counted;
    for (counter, count) in [
        (stats.header_list_size_too_large, header_list_size_too_large),
        (stats.header_overflow, header_overflow),
        (stats.headers_cb_no_stream, headers_cb_no_stream),
        (stats.inbound_empty_frames_flood, inbound_empty_frames_flood),
        (stats.inbound_priority_frames_flood, inbound_priority_frames_flood),
        (stats.inbound_window_update_frames_flood, inbound_window_update_frames_flood),
        (stats.outbound_flood, outbound_flood),
        (stats.outbound_control_flood, outbound_control_flood),
        (stats.inbound_continuation_flood, inbound_continuation_flood),
        (stats.rx_messaging_error, rx_messaging_error),
        (stats.rx_reset, rx_reset),
        (stats.tx_reset, tx_reset),
        (stats.trailers, trailers),
        (stats.goaway_sent, goaway_sent),
        (stats.stream_refused_errors, refused_streams),
    ] {
        if count > 0 {
            block.add(counter, u64::from(count));
        }
    }
}
