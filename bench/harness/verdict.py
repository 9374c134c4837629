"""The targets, and whether they are reached. Ratios are formed within a round and never across runs."""

from dataclasses import dataclass
from statistics import median

from .proxies import FLOOR, OURS

BEST = "best peer"


@dataclass(frozen=True)
class Spread:
    """The median of what was seen, and the least and the most."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        values = list(values)
        return cls(median(values), min(values), max(values)) if values else None


@dataclass(frozen=True)
class Target:
    load: str
    limit: float
    against: str = BEST  # a proxy, the best peer, or a unit: then the limit is absolute


TARGETS = [
    Target("h1", 0.80), Target("h1", 1.25, FLOOR), Target("h1", 0.30, "envoy"),
    Target("h1-browser", 0.75), Target("h1-1conn", 0.70), Target("h1-close", 0.90),
    Target("h1-1mb", 0.75), Target("h1-post", 0.75),
    Target("h2", 0.75), Target("h2-browser", 0.75), Target("h2-h2up", 0.35), Target("h2-1mb", 0.75),
    Target("tls-h1", 0.75), Target("tls-h2", 0.75), Target("tls-conn", 0.90), Target("tls-1mb", 0.75),
    Target("tcp", 1.05, FLOOR), Target("tcp-1mb", 0.60), Target("udp", 0.70),
    Target("latency", 1.00), Target("idle", 600, "B"), Target("start", 8, "MiB"),
]
UNITS = {"B": 1, "MiB": 1 << 20}
WHAT = {"latency": "p99 at 60 % of our saturation", "idle": "memory of an idle connection",
        "start": "memory after the start"}


def figures(result, load):
    """{proxy: [value of each round]} of what a target looks at."""
    if load == "latency":
        rounds = result.get("latency", {}).get("rounds", {})
        return {name: [run["0.6"]["p99"] for run in runs] for name, runs in rounds.items()}
    if load in ("idle", "start"):
        return {name: [row[load] for row in rows] for name, rows in result.get("memory", {}).items()}
    return {name: [row["cpu"] for row in rows] for name, rows in result["loads"].get(load, {}).items()}


def best_peer(values):
    """The peer with the lowest median; the floor is none."""
    peers = [name for name in values if name not in (OURS, FLOOR)]
    return min(peers, key=lambda name: median(values[name]), default=None)


def ratio(values, one, other):
    """How one relates to another, round by round."""
    if one not in values or other not in values:
        return None
    return Spread.of(a / b for a, b in zip(values[one], values[other]) if b)


def judge(result):
    """For each target that was measured: (target, against whom, what we reached or None)."""
    for target in TARGETS:
        values = figures(result, target.load)
        if not values:
            continue
        if target.against in UNITS:
            spread = Spread.of(value / UNITS[target.against] for value in values.get(OURS, []))
            yield target, "", spread
        else:
            other = best_peer(values) if target.against == BEST else target.against
            if other in values:
                yield target, other, ratio(values, OURS, other)
