//! A network of a proxy's own, whose addresses and rules are a test's to choose.

use super::support::{Folder, Proxy, tool};
use std::process::Command;

/// A proxy in a network of its own, in which these commands have run before; none if that cannot be had.
pub fn in_a_network(commands: &str, yaml: &str) -> Option<Proxy> {
    if !["unshare", "nsenter", "ip", "iptables", "curl"].iter().all(|name| tool(name)) {
        return None;
    }
    let allowed =
        Command::new("unshare").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("skipped: no network of its own without privileges");
        return None;
    }
    let folder = Folder::new();
    let path = folder.file("config.yaml", yaml);
    let script =
        format!("set -e\nip link set lo up\n{commands}\nexec \"$0\" -c \"$1\" -l info --concurrency 2");
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", &script, env!("CARGO_BIN_EXE_nuncio")]).arg(path);
    Some(Proxy::spawn(command, folder))
}

/// What curl gets in that network.
pub fn curl(proxy: &Proxy, args: &[&str]) -> String {
    inside(proxy, &[&["curl", "-gsS", "-m", "20"], args].concat())
}

/// What a command says in that network.
pub fn inside(proxy: &Proxy, command: &[&str]) -> String {
    let output = Command::new("nsenter")
        .args(["-t", &proxy.pid().to_string(), "-n"])
        .args(command)
        .output()
        .expect("nsenter runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
