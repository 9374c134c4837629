"""The loads: what is asked of every proxy."""

from contextlib import contextmanager
from dataclasses import dataclass, field

from .generators import H2load, Udp, http1
from .workshop import BIG, BROWSER, SMALL


@dataclass(frozen=True)
class Load:
    """A load.

    h2load offers most of them, as a tool that everybody has and knows. `load.c` stands in where h2load cannot do it
    (a new connection for each request) or would measure the connecting as well (thousands of connections)."""

    name: str
    title: str
    kind: str  # of configuration: see `proxies`
    tool: str = "h2load"
    connections: int | None = 64  # None: a new one for each request
    path: str = "/small"
    body: int = SMALL  # of the response
    upload: int = 0
    headers: tuple = ()
    streams: int = 1  # HTTP/2: at a time on one connection
    options: tuple = field(default=(), repr=False)  # of h2load
    warm: int = 1000  # requests before the measuring begins
    least: int = 2000  # requests measured, however slow the proxy
    unit: str = "request"

    @property
    def backend(self):
        """What has to stand behind the proxy."""
        return {"udp": "udp", "h2up": "h2"}.get(self.kind, "upload" if self.upload else "h1")

    @contextmanager
    def generator(self, workshop, cpu, port):
        """The generator that offers this load to a port."""
        if self.tool == "udp":
            yield Udp(workshop, cpu, port, self.connections, 200)
        elif self.tool == "load":
            method = "POST" if self.upload else "GET"
            request = workshop.request(self.path, self.headers, b"x" * self.upload, method)
            close = self.connections is None
            with http1(workshop, cpu, port, request, self.body, 32 if close else self.connections, close) as generator:
                yield generator
        else:
            scheme, host = ("https", "localhost") if self.kind == "tls" else ("http", "127.0.0.1")
            options = ["--h1"] if self.kind in ("h1", "tcp") else []
            options += ["-m", self.streams, *self.options]
            for header in self.headers:
                options += ["-H", header]
            if self.upload:
                options += ["-d", workshop.upload(self.upload)]
            yield H2load(workshop, cpu, f"{scheme}://{host}:{port}{self.path}", self.connections, options)


BULK = dict(path="/big", body=BIG, warm=100, least=200)
WINDOWS = ("-w", "20", "-W", "22")  # 1 MiB for a stream, 4 MiB for a connection

LOADS = {load.name: load for load in [
    Load("h1", "64 keep-alive connections, 128 bytes", "h1"),
    Load("h1-browser", "64 keep-alive connections, a browser's headers", "h1", headers=tuple(BROWSER)),
    Load("h1-1conn", "one connection", "h1", connections=1),
    Load("h1-close", "a new connection for each request", "h1", tool="load", connections=None,
         headers=("Connection: close",)),
    Load("h1-1mb", "1 MiB responses, 16 connections", "h1", connections=16, **BULK),
    Load("h1-post", "1 MiB uploads, 16 connections", "h1", connections=16, path="/post", body=2, upload=BIG,
         warm=100, least=200),
    Load("h1-1k", "1000 keep-alive connections", "h1", tool="load", connections=1000, warm=3000),
    Load("h1-5k", "5000 keep-alive connections", "h1", tool="load", connections=5000, warm=15000, least=15000),
    Load("h2", "HTTP/2 to HTTP/1, 16 connections × 16 streams", "h2", connections=16, streams=16),
    Load("h2-browser", "HTTP/2 to HTTP/1, a browser's headers", "h2", connections=16, streams=16,
         headers=tuple(BROWSER)),
    Load("h2-h2up", "HTTP/2 on both sides", "h2up", connections=16, streams=16),
    Load("h2-1mb", "1 MiB over HTTP/2, 8 connections × 4 streams", "h2", connections=8, streams=4, options=WINDOWS,
         **BULK),
    Load("tls-h1", "HTTP/1 over TLS, 64 connections", "tls", options=("--h1",), least=20000),
    Load("tls-h2", "HTTP/2 over TLS, 16 connections × 16 streams", "tls", connections=16, streams=16),
    Load("tls-1mb", "1 MiB over TLS, 16 connections", "tls", connections=16, options=("--h1",), **BULK),
    Load("tls-conn", "a new TLS connection for each request", "tls", connections=None, options=("--h1",), warm=100,
         least=500),
    Load("tcp", "TCP proxying, 64 connections, 128 bytes", "tcp"),
    Load("tcp-1mb", "TCP proxying, 1 MiB responses", "tcp", connections=16, **BULK),
    Load("udp", "UDP proxying, 64 sessions, 200 bytes", "udp", tool="udp", unit="datagram"),
]}
