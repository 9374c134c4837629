"""Load generators. Each has `run(requests, rate)`, which returns what came of it."""

import json
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass

from .processes import Process
from .workshop import Missing

LONGEST_RUN = 90


class Failed(Exception):
    """The load did not go through as it should."""


@dataclass
class Run:
    """The result of one run; latencies in microseconds, 0 where the generator does not tell."""

    requests: int
    seconds: float
    unanswered: int = 0
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    late_p99: float = 0.0

    @property
    def rate(self):
        return self.requests / self.seconds if self.seconds else 0.0


class Http1:
    """`load.c`: connections stay open from run to run, so a measured run has no connecting in it."""

    def __init__(self, process):
        self.process = process.popen

    def run(self, requests, rate=0):
        self.process.stdin.write(f"{requests} {rate}\n".encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed("the load generator ended")
        result = json.loads(line)
        if result["errors"]:
            raise Failed(f"{result['errors']} of {requests} requests were not answered as expected")
        fields = ("requests", "seconds", "unanswered", "p50", "p99", "p999", "late_p99")
        return Run(*(result[name] for name in fields))


@contextmanager
def http1(workshop, cpu, port, request, body, connections, close=False):
    """HTTP/1 load with the request in a file; each answer must have a body of this length."""
    command = [workshop.tool("load"), port, request, body, connections, *(["close"] if close else [])]
    with Process(cpu, command, cwd=workshop.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Http1(process)


class H2load:
    """nghttp2's h2load, for HTTP/2 and TLS. Each run opens its connections anew."""

    def __init__(self, workshop, cpu, url, connections, options):
        self.program = shutil.which("h2load")
        if not self.program:
            raise Missing("h2load (nghttp2) is needed for this load; bench/install gets it")
        self.workshop, self.cpu, self.url = workshop, cpu, url
        self.connections, self.options = connections, options

    def run(self, requests, rate=0):
        assert not rate, "closed loop only"
        # None: a new connection for each request.
        connections = min(self.connections or requests, requests)
        command = ["taskset", "-c", self.cpu, self.program, "-n", requests, "-c", connections, *self.options, self.url]
        out = said(command, self.workshop)
        good = re.search(r"status codes: (\d+) 2xx", out)
        time = re.search(r"finished in ([\d.]+)(us|ms|s|m)\b", out)
        if not good or not time or int(good.group(1)) != requests:
            raise Failed(f"{good.group(1) if good else 0} of {requests} requests succeeded")
        unit = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[time.group(2)]
        return Run(requests, float(time.group(1)) * unit)


class Udp:
    """`udp.c`: one datagram under way on each socket."""

    def __init__(self, workshop, cpu, port, sockets, size):
        self.workshop, self.command = workshop, ["taskset", "-c", cpu, workshop.tool("udp"), "load", port, sockets]
        self.size = size

    def run(self, requests, rate=0):
        assert not rate, "closed loop only"
        result = json.loads(said([*self.command, requests, self.size], self.workshop))
        if result["requests"] < 0.99 * requests:
            raise Failed(f"{result['requests']} of {requests} datagrams came back")
        return Run(result["requests"], result["seconds"])


def said(command, workshop):
    """What a program printed."""
    try:
        run = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LONGEST_RUN,
                             cwd=workshop.dir)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end after {LONGEST_RUN} s") from None
    return run.stdout
