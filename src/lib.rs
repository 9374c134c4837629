//! Nuncio: an Envoy-class L4/L7 proxy.
//!
//! The library behind the `nuncio` binary. Modules are layers, and each knows only those below it; see
//! `docs/architecture.md` for the life of a request through them.

pub mod access_log;
pub mod admin;
pub mod api;
pub mod config;
pub mod filter_state;
pub mod formatter;
pub mod http;
pub mod io;
pub mod listener;
pub mod matching;
pub mod network;
pub mod rbac;
pub mod router;
pub mod server;
pub mod stats;
pub mod stream_info;
pub mod tls;
pub mod udp;
pub mod upstream;
