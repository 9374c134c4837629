"""Counting instead of timing: instructions and system calls of a proxy for a fixed number of requests."""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace

from .generators import Failed
from .loads import LOADS
from .processes import Process, read
from .proxies import backend
from .workshop import Missing

PROXY_CPU, LOAD_CPU = 0, 1
EVENT = "instructions:u"
PATIENCE = 60


@contextmanager
def warm(workshop, proxy, name):
    """A proxy that has served some of this load already: (process, function that offers n requests)."""
    load = LOADS[name]
    if load.kind in ("h1", "tcp"):
        # Its connections stay open, so that connecting is not counted.
        load = replace(load, tool="load")
    with backend(workshop, load.backend, LOAD_CPU) as upstream:
        with proxy.serving(workshop, load.kind, upstream, PROXY_CPU) as (process, port):
            with load.generator(workshop, LOAD_CPU, port) as generator:
                generator.run(load.warm)

                def offer(requests):
                    if generator.run(requests).requests != requests:
                        raise Failed(f"not all of {requests} requests were answered")

                yield process, offer


def counts_instructions():
    """Whether this machine's counters can be used."""
    if not shutil.which("perf"):
        return False
    said = subprocess.run(["perf", "stat", "-x", ",", "-e", EVENT, "true"], capture_output=True, text=True)
    return said.stderr.split(",")[0].strip().isdigit()


def by_perf(workshop, process, work):
    """User instructions of a process while `work` runs, by the machine's counters."""
    out, control, answer = (workshop.dir / f"perf-{what}" for what in ("out", "control", "answer"))
    for path in (control, answer):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    pids = ",".join(map(str, process.family()))
    command = ["perf", "stat", "-x", ",", "-e", EVENT, "-p", pids, "-D", "-1", "-o", out,
               "--control", f"fifo:{control},{answer}"]
    with Process(LOAD_CPU, command, cwd=workshop.dir) as perf:
        with control.open("w") as ask, answer.open() as hear:
            for word in ("enable", "disable"):
                ask.write(word + "\n")
                ask.flush()
                hear.readline()
                if word == "enable":
                    work()
        perf.popen.send_signal(signal.SIGINT)
        perf.popen.wait(PATIENCE)
    match = re.search(r"^(\d+),", out.read_text(), re.MULTILINE)
    if not match:
        raise Missing(f"perf counted nothing: {perf.last_words()}")
    return int(match.group(1))


def under_callgrind(workshop, proxy):
    """The proxy, to be run by valgrind, which executes and counts every instruction itself."""
    if not shutil.which("valgrind") or not shutil.which("vgdb"):
        raise Missing("neither the machine's counters nor valgrind can be used; bench/install gets valgrind")
    wrapper = workshop.dir / "callgrind"
    wrapper.write_text(
        "#!/bin/sh\n"
        f"exec valgrind --tool=callgrind --callgrind-out-file={workshop.dir}/counted {proxy.binary} \"$@\"\n")
    wrapper.chmod(0o755)
    return replace(proxy, binary=wrapper)


def by_callgrind(workshop, process, work):
    """User instructions of a process under callgrind while `work` runs."""

    def tell(command):
        subprocess.run(["vgdb", f"--pid={process.pid}", command], check=True, capture_output=True, timeout=PATIENCE)

    for old in workshop.dir.glob("counted.*"):
        old.unlink()
    tell("zero")
    work()
    tell("dump")
    (part,) = workshop.dir.glob("counted.*")
    return int(re.search(r"^(?:summary|totals): (\d+)", part.read_text(), re.MULTILINE).group(1))


def system_calls(workshop, process, work):
    """{name: number} of the system calls of a process while `work` runs."""
    if not shutil.which("strace"):
        raise Missing("strace is needed; bench/install gets it")
    out = workshop.dir / "calls"
    threads = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in process.family())
    command = ["strace", "-c", "-f", "-o", out]
    for pid in process.family():
        command += ["-p", pid]
    with Process(LOAD_CPU, command, cwd=workshop.dir) as strace:
        end = time.monotonic() + PATIENCE
        # One line says all threads of a process; what counts is that every thread is traced.
        while traced(process) < threads:
            if not strace.running() or time.monotonic() > end:
                raise Missing(f"strace does not attach: {strace.last_words()}")
            time.sleep(0.01)
        work()
        strace.popen.send_signal(signal.SIGINT)
        strace.popen.wait(PATIENCE)
    calls = {}
    for line in out.read_text().splitlines():
        # % time, seconds, usecs/call, calls, [errors,] name
        fields = line.split()
        if len(fields) in (5, 6) and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3])
    return calls


def traced(process):
    """How many of its threads have a tracer."""
    return sum(
        "TracerPid:\t0\n" not in read(f"/proc/{pid}/task/{task}/status")
        for pid in process.family() for task in os.listdir(f"/proc/{pid}/task"))
