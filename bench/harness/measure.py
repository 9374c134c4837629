"""CPU time per request: proxies in turn, round by round."""

import random
import time
from dataclasses import asdict, dataclass

from .generators import Failed
from .processes import busy
from .proxies import OURS, Refused, backend


@dataclass
class Sample:
    """One proxy under one load in one round. Times in microseconds, CPU times per request."""

    cpu: float
    user: float
    system: float
    rate: float
    p50: float
    p99: float
    p999: float
    memory: int
    disturbed: float  # share of the proxy's CPU that others used meanwhile


class Bench:
    """What a run has to know: the proxies, the CPUs, how long and how often."""

    def __init__(self, workshop, proxies, *, cpus=(0, 1), rounds=3, seconds=1.0, say=print):
        self.workshop, self.proxies, self.say = workshop, proxies, say
        self.proxy_cpu, self.load_cpu = cpus
        self.rounds, self.seconds = rounds, seconds

    def each(self, kind="h1", behind="h1"):
        """Round after round, every proxy that does this kind of work, in changing order: (proxy, backend's port).

        Those that were told to `leave_out` come no more."""
        self.out = set()
        able = [proxy for proxy in self.proxies.values() if proxy.can(self.workshop, kind)]
        with backend(self.workshop, behind, self.load_cpu) as upstream:
            for round_ in range(self.rounds):
                for proxy in random.Random(round_).sample(able, len(able)):
                    if proxy.name not in self.out:
                        yield proxy, upstream

    def serving(self, proxy, kind, upstream):
        return proxy.serving(self.workshop, kind, upstream, self.proxy_cpu)

    def leave_out(self, proxy, error):
        """Takes a proxy out of the rounds."""
        self.out.add(proxy.name)
        if proxy.name == OURS and isinstance(error, Refused):
            self.say(f"  {proxy.name:12} does not support this yet")
        else:
            self.say(f"  {proxy.name:12} left out: {error}")

    def load(self, load):
        """All rounds of one load: {proxy: [sample]}, without those that failed."""
        samples = {}
        for proxy, upstream in self.each(load.kind, load.backend):
            try:
                with self.serving(proxy, load.kind, upstream) as (process, port):
                    with load.generator(self.workshop, self.load_cpu, port) as generator:
                        sample = self.sample(process, generator, load)
                        samples.setdefault(proxy.name, []).append(asdict(sample))
            except (Refused, Failed) as error:
                self.leave_out(proxy, error)
                samples.pop(proxy.name, None)
        return samples

    def sample(self, process, generator, load):
        warm = generator.run(load.warm)
        requests = max(load.least, int(warm.rate * self.seconds))
        started, cpu, others = time.monotonic(), process.cpu(), sum(busy(self.proxy_cpu))
        run = generator.run(requests)
        took, cpu, others = time.monotonic() - started, process.cpu() - cpu, sum(busy(self.proxy_cpu)) - others
        if run.requests < 0.99 * requests:
            raise Failed(f"{run.requests} of {requests} requests were answered")
        each = 1e6 / run.requests
        # The kernel splits by sampling; the exact total is divided in that proportion.
        user = cpu.user / ((cpu.user + cpu.system) or 1)
        return Sample(
            cpu=cpu.total * each, user=cpu.total * each * user, system=cpu.total * each * (1 - user), rate=run.rate,
            p50=run.p50, p99=run.p99, p999=run.p999, memory=process.memory(),
            disturbed=max(0.0, others - cpu.total) / took,
        )
