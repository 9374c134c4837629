//! The process: main thread, workers, their common engine, and the life from start to exit.

mod certificates;
pub mod compile;
mod engine;
pub mod flags;
mod limits;
pub mod log_format;
mod logging;
mod memory;
mod moderation;
mod run;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_tcp;
pub mod snapshot;
mod stops;
#[cfg(test)]
mod udp_filters;
mod worker;

pub use logging::init as init_logging;
pub use run::{DrainStrategy, Options, Server, ShutdownError};
