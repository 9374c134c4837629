//! The command line: Envoy's flags.
//!
//! Read once, before anything else, by the binary. Flags of Envoy that make no sense here are taken and do nothing.

use super::log_format::LogFormat;
use super::snapshot::Node;
use crate::config::Source;
use clap::{Parser, ValueEnum};
use log::LevelFilter;
use serde_json::{Map, Value};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  nuncio                                  serve the embedded demo and print what to try
  nuncio -c envoy.yaml                    serve a configuration
  nuncio -c envoy.yaml --mode validate    check it: exit code 0 if it is right, 1 if not
  nuncio -c envoy.yaml --concurrency 2 -l debug
  nuncio -c envoy.yaml --config-yaml 'admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}'

Signals: SIGTERM and SIGINT finish open requests and exit with 0, a second one ends at once; SIGUSR1 reopens access
logs and the file of --log-path. Exit codes: 0 after an orderly end or for a right configuration, 1 if the configuration is wrong or cannot be
served, 2 for wrong flags. Documentation: docs/ in the source, README.md.";

/// An Envoy-class L4/L7 proxy: reads Envoy's v3 configuration.
#[derive(Clone, Debug, Parser)]
#[command(name = "nuncio", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Flags {
    /// Configuration file: YAML or JSON of envoy.config.bootstrap.v3.Bootstrap
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config_path: Option<PathBuf>,

    /// Configuration as YAML text; merged over --config-path if both are given
    #[arg(long, value_name = "YAML")]
    pub config_yaml: Option<String>,

    /// Number of worker threads [default: the CPUs that this process may use; 0 means 1]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,

    /// What is logged
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info")]
    pub log_level: Level,

    /// File that is logged to, in place of standard error; SIGUSR1 reopens it. Not with --mode validate
    #[arg(long, value_name = "FILE")]
    pub log_path: Option<PathBuf>,

    /// What a line of the log looks like, by spdlog's flags
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = checked_log_format,
        help = "What a line of the log looks like, as in '[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v' (spdlog's flags)"
    )]
    pub log_format: Option<String>,

    /// Serve, or only check the configuration
    #[arg(long, value_name = "MODE", default_value = "serve")]
    pub mode: Mode,

    /// File to which the address of the admin interface is written
    #[arg(long, value_name = "FILE")]
    pub admin_address_path: Option<PathBuf>,

    /// Taken for compatibility: there is no shared memory between processes whose names could clash
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub base_id: u32,

    /// Taken for compatibility, like --base-id
    #[arg(long)]
    pub use_dynamic_base_id: bool,

    /// Taken for compatibility: there is no hot restart, see docs/operations.md for the rolling one
    #[arg(long)]
    pub disable_hot_restart: bool,

    /// Print that there is no hot restart, as Envoy does without it, and exit
    #[arg(long)]
    pub hot_restart_version: bool,

    /// Taken for compatibility: the CPUs that this process may use are the default of --concurrency
    #[arg(long)]
    pub cpuset_threads: bool,

    /// Most seconds that open requests may go on after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub drain_time_s: u64,

    /// How /drain_listeners?graceful treats connections until the listeners close
    #[arg(long, value_name = "STRATEGY", default_value = "gradual")]
    pub drain_strategy: Strategy,

    /// Access log lines are written at least so often
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub file_flush_interval_msec: u64,

    /// Access log lines are written as soon as a worker has so many
    #[arg(long, value_name = "KIB", default_value_t = 64)]
    pub file_flush_min_size_kb: usize,

    /// node.id, unless the configuration sets it
    #[arg(long, value_name = "NAME")]
    pub service_node: Option<String>,

    /// node.cluster, unless the configuration sets it
    #[arg(long, value_name = "NAME")]
    pub service_cluster: Option<String>,

    /// node.locality.zone, unless the configuration sets it
    #[arg(long, value_name = "NAME")]
    pub service_zone: Option<String>,
}

/// `--mode`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Serve until told to end.
    Serve,
    /// Check the configuration and exit.
    Validate,
}

/// `--drain-strategy`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// Ever more responses close their connections.
    Gradual,
    /// Every response closes its connection.
    Immediate,
}

/// `--log-level`; Envoy's names.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything.
    Trace,
    /// What developers ask for.
    Debug,
    /// Milestones.
    Info,
    /// What somebody should look at.
    #[value(alias = "warn")]
    Warning,
    /// What does not work.
    Error,
    /// The same: nothing is worse.
    Critical,
    /// Nothing.
    Off,
}

fn checked_log_format(text: &str) -> Result<String, String> {
    text.parse::<LogFormat>().map(|_| text.to_owned())
}

impl Flags {
    /// What is logged.
    pub fn log_level(&self) -> LevelFilter {
        match self.log_level {
            Level::Trace => LevelFilter::Trace,
            Level::Debug => LevelFilter::Debug,
            Level::Info => LevelFilter::Info,
            Level::Warning => LevelFilter::Warn,
            Level::Error | Level::Critical => LevelFilter::Error,
            Level::Off => LevelFilter::Off,
        }
    }

    /// What a line of the log looks like, if it is said.
    pub fn log_format(&self) -> Option<LogFormat> {
        // It was checked when the flags were read.
        self.log_format.as_deref()?.parse().ok()
    }

    /// Whether there is anything to serve but the embedded demo.
    pub fn has_configuration(&self) -> bool {
        self.config_path.is_some() || self.config_yaml.is_some()
    }

    /// How to call the configuration.
    pub fn configuration_name(&self) -> String {
        match (&self.config_path, &self.config_yaml) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(_)) => "--config-yaml".to_owned(),
            (None, None) => "embedded".to_owned(),
        }
    }

    /// Where the configuration comes from.
    pub fn source(&self, embedded: &'static str) -> Source {
        Source {
            path: self.config_path.clone(),
            yaml: self.config_yaml.clone(),
            embedded: Some(("embedded examples/quickstart.yaml", embedded)),
        }
    }

    /// The flags as `/server_info` shows them (`envoy.admin.v3.CommandLineOptions`).
    pub fn command_line(&self) -> Map<String, Value> {
        let text = |value: &Option<String>| Value::from(value.as_deref().unwrap_or_default());
        let path = |value: &Option<PathBuf>| {
            Value::from(value.as_ref().map(|path| path.display().to_string()).unwrap_or_default())
        };
        let level = self.log_level.to_possible_value();
        [
            ("base_id", Value::from(self.base_id.to_string())),
            ("use_dynamic_base_id", self.use_dynamic_base_id.into()),
            ("concurrency", self.concurrency().0.into()),
            ("config_path", path(&self.config_path)),
            ("config_yaml", text(&self.config_yaml)),
            ("admin_address_path", path(&self.admin_address_path)),
            ("log_level", level.map_or(Value::Null, |level| level.get_name().into())),
            ("log_format", text(&self.log_format)),
            ("log_path", path(&self.log_path)),
            ("service_cluster", text(&self.service_cluster)),
            ("service_node", text(&self.service_node)),
            ("service_zone", text(&self.service_zone)),
            ("file_flush_interval", seconds(self.file_flush_interval_msec).into()),
            ("file_flush_min_size", self.file_flush_min_size_kb.into()),
            ("drain_time", format!("{}s", self.drain_time_s).into()),
            (
                "drain_strategy",
                if self.drain_strategy == Strategy::Gradual { "Gradual" } else { "Immediate" }.into(),
            ),
            ("mode", if self.mode == Mode::Serve { "Serve" } else { "Validate" }.into()),
            ("disable_hot_restart", true.into()),
            ("cpuset_threads", true.into()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// What the process is called where the configuration does not say so.
    pub fn node(&self) -> Node {
        let name = |flag: &Option<String>| flag.clone().unwrap_or_default();
        Node {
            id: name(&self.service_node),
            cluster: name(&self.service_cluster),
            zone: name(&self.service_zone),
        }
    }

    /// Number of workers, and where the number comes from.
    pub fn concurrency(&self) -> (usize, &'static str) {
        match self.concurrency {
            Some(workers) => (workers.max(1), "--concurrency"),
            None => (nuncio_reactor::cpus_available(), "the CPUs that this process may use"),
        }
    }
}

/// A duration as protobuf's JSON has it.
fn seconds(millis: u64) -> String {
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        rest => format!("{}.{rest:03}s", millis / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_well_formed() {
        Flags::command().debug_assert();
    }

    #[test]
    fn envoys_command_lines_are_understood() {
        let parse = |line: &str| Flags::try_parse_from(line.split(' ')).expect("valid");
        let flags = parse("nuncio -c x.yaml --concurrency 0 -l warn --use-dynamic-base-id --base-id 3");
        assert_eq!(flags.concurrency(), (1, "--concurrency"));
        assert_eq!(flags.log_level(), LevelFilter::Warn);
        assert!(flags.has_configuration());
        let flags = parse("nuncio --mode validate --config-path x -l critical --drain-time-s 5");
        assert_eq!((flags.mode, flags.drain_time_s), (Mode::Validate, 5));
        assert_eq!(flags.log_level(), LevelFilter::Error);
        assert!(parse("nuncio").concurrency().0 >= 1);
        for line in ["nuncio -c", "nuncio --mode maybe", "nuncio --nonsense", "nuncio --concurrency x"] {
            assert!(Flags::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
