"""The machine, and the state that the code is in."""

import os
import platform
import subprocess
from datetime import datetime, timezone

from .processes import read
from .workshop import BENCH


def describe(cpus):
    """What a reader has to know to judge the figures."""
    info = read("/proc/cpuinfo")
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "unknown")
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": model,
        "cores": os.cpu_count(),
        "virtual": "hypervisor" in info,
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "cpus": list(cpus),
        "commit": commit(),
        "compiler": said("rustc", "--version"),
    }


def commit():
    """The commit that was measured, with a `+` if the tree differs from it."""
    head = said("git", "-C", str(BENCH), "rev-parse", "--short=10", "HEAD")
    changed = said("git", "-C", str(BENCH.parent), "status", "--porcelain", "--untracked-files=no", "--", ":!docs")
    return head + ("+" if changed else "")


def said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except OSError:
        return ""
