//! What configuration decides about HTTP/2 on a connection.
//!
//! Plain values, copied into each codec when a connection starts. Names and defaults are those of
//! `envoy.config.core.v3.Http2ProtocolOptions` and of the header limits of `HttpConnectionManager` and
//! `HttpProtocolOptions`.

/// Limits and options of either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the HPACK table of either direction, as RFC 7541 counts them. Default 4096.
    pub hpack_table_size: u32,
    /// Server: streams that the client may have open at a time. Client: streams that we open at most, whatever the
    /// server allows. Default 1024.
    pub max_concurrent_streams: u32,
    /// Bytes that the peer may send on a stream before they are consumed: 65535 to 2^31-1, default 16 MiB.
    pub initial_stream_window_size: u32,
    /// The same for all streams together: default 24 MiB. Less than one and a half stream windows is raised to that,
    /// so that one stream that is not consumed does not stop the others.
    pub initial_connection_window_size: u32,
    /// Server: take extended CONNECT (RFC 8441) and say so. Default false. A client always may open one if the server
    /// says so.
    pub allow_connect: bool,
    /// Frames that may wait in the output. Default 10000.
    pub max_outbound_frames: u32,
    /// PING, SETTINGS and RST_STREAM frames that may wait in the output. Default 1000.
    pub max_outbound_control_frames: u32,
    /// HEADERS, CONTINUATION and DATA frames without payload and without END_STREAM that may follow each other.
    /// Default 1.
    pub max_consecutive_inbound_frames_with_empty_payload: u32,
    /// PRIORITY and PRIORITY_UPDATE frames for each stream (and one more). Default 100.
    pub max_inbound_priority_frames_per_stream: u32,
    /// WINDOW_UPDATE frames for each DATA frame sent: more than `5 + 2 * (streams + this * frames)` is a flood.
    /// Default 10.
    pub max_inbound_window_update_frames_per_data_frame_sent: u32,
    /// A malformed message resets its stream; otherwise it ends the connection. Default false
    /// (`override_stream_error_on_invalid_http_message`).
    pub stream_error_on_invalid_http_messaging: bool,
    /// Bytes of names and values that a header list or a trailer section may have. Default 60 KiB.
    pub max_headers_bytes: u32,
    /// Number of fields in them. Default 100.
    pub max_headers_count: u32,
    /// Server: with this many streams over, the connection ends if half of them were reset early
    /// (CVE-2023-44487, CVE-2025-8671); before that, if half as many were. 0 for never. Default 500.
    pub premature_reset_total_stream_count: u32,
    /// A reset is early within this time from the head, in the milliseconds of
    /// [`set_time`](super::Connection::set_time). Default 1000.
    pub premature_reset_min_stream_lifetime: u32,
    /// DATA is written as long as the output holds less than this. What is beyond stays with its stream, so that
    /// streams take turns. Default 256 KiB.
    pub output_limit: usize,
    /// From this many bytes on that a stream has queued, its owner is told to pause; at half of it, to go on. Default
    /// 256 KiB.
    pub stream_queue_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hpack_table_size: 4096,
            max_concurrent_streams: 1024,
            initial_stream_window_size: 16 << 20,
            initial_connection_window_size: 24 << 20,
            allow_connect: false,
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1000,
            max_consecutive_inbound_frames_with_empty_payload: 1,
            max_inbound_priority_frames_per_stream: 100,
            max_inbound_window_update_frames_per_data_frame_sent: 10,
            stream_error_on_invalid_http_messaging: false,
            max_headers_bytes: 60 << 10,
            max_headers_count: 100,
            premature_reset_total_stream_count: 500,
            premature_reset_min_stream_lifetime: 1000,
            output_limit: 256 << 10,
            stream_queue_limit: 256 << 10,
        }
    }
}

/// What the peer's SETTINGS say, at their initial values until they arrive (RFC 9113 section 6.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// SETTINGS_HEADER_TABLE_SIZE.
    pub header_table_size: u32,
    /// SETTINGS_MAX_CONCURRENT_STREAMS; `u32::MAX` while there is none.
    pub max_concurrent_streams: u32,
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    pub initial_window_size: u32,
    /// SETTINGS_MAX_FRAME_SIZE.
    pub max_frame_size: u32,
    /// SETTINGS_MAX_HEADER_LIST_SIZE; `u32::MAX` while there is none. Not enforced: the receiver does.
    pub max_header_list_size: u32,
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441).
    pub enable_connect_protocol: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            max_concurrent_streams: u32::MAX,
            initial_window_size: 65_535,
            max_frame_size: 16_384,
            max_header_list_size: u32::MAX,
            enable_connect_protocol: false,
        }
    }
}
