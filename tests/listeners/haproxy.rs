//! A real HAProxy with one frontend.

use super::support::Folder;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// It wants no port 0, so it gets a socket that listens already.
const START: &str = r#"
import os, shutil, socket, sys
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen(64)
listening.set_inheritable(True)
text = open(sys.argv[1]).read().replace("FD", str(listening.fileno()))
open(sys.argv[1], "w").write(text)
print(listening.getsockname()[1], flush=True)
os.execv(shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), ["haproxy", "-db", "-q", "-f", sys.argv[1]])
"#;

/// A running HAProxy.
pub struct Haproxy {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _folder: Folder,
}

impl Haproxy {
    /// Starts it with these options of its frontend, and these lines.
    pub fn start(bind: &str, lines: &str) -> Self {
        let times = "timeout connect 5s\n  timeout client 20s\n  timeout server 20s";
        let text = format!("defaults\n  mode tcp\n  {times}\nlisten l\n  bind fd@FD {bind}\n  {lines}\n");
        let folder = Folder::new();
        let path = folder.file("haproxy.cfg", &text);
        let mut child = Command::new("python3")
            .args(["-c", START])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut port).expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().expect("a port")));
        Self { child, address, _folder: folder }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
