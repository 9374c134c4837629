"""Latency of small HTTP/1 requests: in a closed loop, and at rates that do not wait for the proxy."""

from dataclasses import asdict, replace
from statistics import median

from .generators import Failed
from .loads import LOADS
from .proxies import FLOOR, OURS, Refused, backend

SHARES = (0.3, 0.6, 0.9)
# `load.c` for the closed loop too, so that its latencies compare with those at fixed rates.
LOAD = replace(LOADS["h1"], tool="load")


def measure(bench):
    """{saturation, of, rates, rounds: {proxy: [{closed: run, share: run}]}}.

    The rates are shares of what we ourselves answer in a closed loop, the same for every proxy: so one that is
    slower than that shows what it does when it is asked for more than it can."""
    reference = bench.proxies.get(OURS) or next(iter(bench.proxies.values()))
    saturation = median(saturate(bench, reference) for _ in range(3))
    rounds = {}
    for proxy, upstream in bench.each():
        if proxy.name == FLOOR:
            continue
        try:
            with bench.serving(proxy, "h1", upstream) as (_, port):
                with LOAD.generator(bench.workshop, bench.load_cpu, port) as generator:
                    rounds.setdefault(proxy.name, []).append(runs(bench, generator, saturation))
        except (Refused, Failed) as error:
            bench.leave_out(proxy, error)
            rounds.pop(proxy.name, None)
    rates = {str(share): share * saturation for share in SHARES}
    return {"saturation": saturation, "of": reference.name, "rates": rates, "rounds": rounds}


def runs(bench, generator, saturation):
    warm = generator.run(LOAD.warm)
    result = {"closed": asdict(generator.run(max(LOAD.least, int(warm.rate * bench.seconds))))}
    for share in SHARES:
        rate = share * saturation
        result[str(share)] = asdict(generator.run(int(rate * bench.seconds), rate))
    return result


def saturate(bench, proxy):
    """Requests in a second that a proxy answers in a closed loop."""
    with backend(bench.workshop, "h1", bench.load_cpu) as upstream:
        with bench.serving(proxy, "h1", upstream) as (_, port):
            with LOAD.generator(bench.workshop, bench.load_cpu, port) as generator:
                warm = generator.run(LOAD.warm)
                return generator.run(int(warm.rate * bench.seconds)).rate
