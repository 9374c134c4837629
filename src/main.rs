//! The `nuncio` binary: flags, configuration, server.

use clap::Parser;
use nuncio::access_log::Settings;
use nuncio::server::flags::{Flags, Mode, Strategy};
use nuncio::server::{DrainStrategy, Options, Server, compile, init_logging};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// What is served when no configuration is given.
const QUICKSTART: &str = include_str!("../examples/quickstart.yaml");

fn main() -> ExitCode {
    let flags = Flags::parse();
    if flags.hot_restart_version {
        eprint!("disabled");
        return ExitCode::SUCCESS;
    }
    match log(&flags).and_then(|()| serve(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the log.
fn log(flags: &Flags) -> Result<(), String> {
    let format = flags.log_format().map_err(|error| format!("nuncio: --log-format: {error}"))?;
    let path = flags.log_path.as_deref().filter(|_| flags.mode == Mode::Serve);
    init_logging(flags.log_level(), format, path).map_err(|error| {
        format!(
            "nuncio: --log-path {}: {error}",
            flags.log_path.as_deref().unwrap_or(Path::new("")).display()
        )
    })
}

fn serve(flags: &Flags) -> Result<(), String> {
    let embedded = !flags.has_configuration();
    let snapshot = compile::load_as(&flags.source(QUICKSTART), &flags.node())
        .map_err(|diagnostics| diagnostics.to_string())?;
    if flags.mode == Mode::Validate {
        println!("configuration '{}' OK", flags.configuration_name());
        return Ok(());
    }
    let (concurrency, origin) = flags.concurrency();
    log::info!("nuncio {} starting with {concurrency} workers ({origin})", env!("CARGO_PKG_VERSION"));
    let options = Options {
        concurrency,
        drain_time: Duration::from_secs(flags.drain_time_s),
        drain_strategy: match flags.drain_strategy {
            Strategy::Gradual => DrainStrategy::Gradual,
            Strategy::Immediate => DrainStrategy::Immediate,
        },
        command_line: flags.command_line(),
        access_log: Settings {
            interval: Duration::from_millis(flags.file_flush_interval_msec),
            min_bytes: flags.file_flush_min_size_kb << 10,
        },
    };
    let server = Server::start(snapshot, options).map_err(|error| format!("nuncio: {error}"))?;
    for (name, address) in server.listeners() {
        log::info!("listener '{name}' at {address}");
    }
    if let Some(address) = server.admin_address() {
        log::info!("admin interface at {address}");
        if let Some(path) = &flags.admin_address_path {
            write(path, &address.to_string())?;
        }
    }
    if embedded {
        print_quickstart();
    }
    log::info!("starting main dispatch loop");
    server.run().map_err(|error| format!("nuncio: {error}"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text)
        .map_err(|error| format!("nuncio: --admin-address-path {}: {error}", path.display()))
}

fn print_quickstart() {
    println!("No configuration given: serving the embedded examples/quickstart.yaml. Try");
    println!("  curl -i http://127.0.0.1:10000/");
    println!("  curl -i http://127.0.0.1:10000/green");
    println!("  curl http://127.0.0.1:9901/stats");
    println!("Stop with Ctrl-C. `nuncio --help` tells how to use your own configuration.");
}
