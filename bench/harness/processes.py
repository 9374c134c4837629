"""Processes pinned to a CPU, and what the kernel says they have used."""

import ctypes
import os
import random
import re
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds. `total` is exact to the nanosecond; its parts are sampled by the kernel's clock tick."""

    total: float = 0.0
    user: float = 0.0
    system: float = 0.0

    def __sub__(self, other):
        return Cpu(self.total - other.total, self.user - other.user, self.system - other.system)


class Process:
    """A child, its children with it. Stops when the block that opened it ends."""

    def __init__(self, cpu, command, *, cwd, log=None, stdin=subprocess.DEVNULL, stdout=None):
        def before_exec():
            os.sched_setaffinity(0, {cpu})
            # Whatever kills the harness, nothing keeps running.
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        self.name = Path(command[0]).name
        self.log = Path(log or Path(cwd) / f"{self.name}.log")
        with self.log.open("wb") as file:
            self.popen = subprocess.Popen(
                [str(word) for word in command], cwd=cwd, stdin=stdin, stdout=stdout or file, stderr=file,
                start_new_session=True, preexec_fn=before_exec,
            )
        self.pid = self.popen.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the whole process group, by force if it does not go in two seconds."""
        for number, patience in ((signal.SIGTERM, 2), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.pid, number)
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                self.popen.wait(patience)
                return
        # What a dead leader may have left behind.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def running(self):
        return self.popen.poll() is None

    def last_words(self):
        """The line of its log that most likely says why it ended."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        bad = [line for line in lines if re.search("error|alert|emerg|critical|refused", line, re.IGNORECASE)]
        return next(iter(bad or lines), "it said nothing")

    def family(self):
        """It and all its descendants."""
        pids, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            for task in tasks(pid):
                todo += [int(child) for child in read(f"{task}/children").split()]
        return pids

    def cpu(self):
        """What all of it has used so far."""
        total = user = system = 0
        for pid in self.family():
            fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            if not fields:
                continue
            user += int(fields[11])
            system += int(fields[12])
            total += sum(int((read(f"{task}/schedstat") or "0").split()[0]) for task in tasks(pid))
        return Cpu(total / 1e9, user / TICKS, system / TICKS)

    def memory(self):
        """Its resident memory in bytes, pages that processes share divided among them (PSS)."""
        kib = 0
        for pid in self.family():
            for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
        return kib * 1024


def tasks(pid):
    try:
        return [f"/proc/{pid}/task/{task}" for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def read(path):
    """A file's text, empty if the process is gone."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def busy(cpu):
    """Seconds that a CPU has worked so far, for anybody, and that the hypervisor gave to others."""
    for line in read("/proc/stat").splitlines():
        name, *fields = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _wait, irq, softirq, steal = (int(field) for field in fields[:8])
            return (user + nice + system + irq + softirq) / TICKS, steal / TICKS
    return 0.0, 0.0


def free_port(kind=socket.SOCK_STREAM):
    """A port that nobody uses, below those that the kernel gives to outgoing connections."""
    first = int(read("/proc/sys/net/ipv4/ip_local_port_range").split()[0])
    while True:
        port = random.randrange(max(1025, first // 2), first)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
