"""What is done one after the other by one tool, against registries a round trip away."""

import contextlib
import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time

import delay
import layouts
import measure
import registry
import tools

# A chain that took longer than this, in seconds, is run once.
ONCE = 20


@dataclasses.dataclass(frozen=True)
class Step:
    """One command. `how` is "push" (of the layout of that name), "copy within" the registry
    or "copy across" to the other; a copy is of `source`, which has that layout's digest."""

    case: str
    how: str
    layout: str
    repository: str
    tag: str
    source: str = ""


@dataclasses.dataclass
class Sample:
    """One command, measured. Times in seconds, memory and bytes in bytes; requests and depth at the destination."""

    wall: float
    memory: int
    methods: dict
    requests: int
    depth: int
    connections: int
    sent: int
    received: int


@dataclasses.dataclass(frozen=True)
class Yard:
    """Where it is done: a directory on tmpfs, the program that puts a round trip between, what was
    built, and the seconds after which a command is ended."""

    store: str
    program: pathlib.Path
    cache: pathlib.Path
    limit: float

    def layout(self, name):
        return layouts.make(self.store, name)

    def run(self, tool, steps, rtt):
        """case -> Sample, None for one that took too long; what comes after that is not begun. A
        case the tool has no command for is left out."""
        samples = {}
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            home = enter(tempfile.TemporaryDirectory(prefix="home.", dir=self.store))
            here, there = enter(registry.Registry(self.store)), enter(registry.Registry(self.store))
            near, far = enter(delay.Delayed(self.program, here.address, rtt)), enter(delay.Delayed(self.program, there.address, rtt))
            client = enter(tools.start(tool, home, self.cache))
            client.meet(near.address, far.address)
            for step in steps:
                target, way = (there, far) if step.how == "copy across" else (here, near)
                line = self._line(client, step, near.address, way.address)
                if not line:
                    continue
                before = len(target.requests())
                way.figures()
                try:
                    cost = measure.measure(line, home, client.processes, self.limit)
                except measure.TooLong:
                    samples[step.case] = None
                    break
                seen, through = target.requests()[before:], way.figures()
                if target.digest_of(step.repository, step.tag) != layouts.manifest_digest(self.layout(step.layout)):
                    raise SystemExit(f"{tool}: another digest arrived ({step.case})")
                samples[step.case] = Sample(cost.wall, cost.memory, dict(registry.by_method(seen)), len(seen),
                                            registry.depth(seen, rtt / 1000), **through)
        return samples

    def _line(self, client, step, near, address):
        reference = f"{address}/{step.repository}:{step.tag}"
        if step.how != "push":
            return client.copy(f"{near}/{step.source}", reference)
        layout = self.layout(step.layout)
        client.prepare(layout, reference)
        return client.push(layout, reference)


def in_turns(yard, names, rtts, runs, steps):
    """rtt -> tool -> case -> samples; each round begins with another tool. A tool that was
    ended is not tried again, nor at a longer round-trip time, and one that is slow is
    run once: both would only take time."""
    found = {rtt: {tool: {step.case: [] for step in steps} for tool in names} for rtt in rtts}
    ended, slow = {}, set()
    for turn in range(runs):
        shift = turn % len(names)
        for rtt in sorted(rtts):
            for tool in [*names[shift:], *names[:shift]]:
                if (tool, rtt) in slow or ended.get(tool, rtt + 1) <= rtt:
                    continue
                began = time.monotonic()
                for case, sample in yard.run(tool, steps, rtt).items():
                    found[rtt][tool][case].append(sample)
                    if sample is None:
                        ended[tool] = rtt
                if time.monotonic() - began > ONCE:
                    slow.add((tool, rtt))
                print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return found


def middle(samples, what):
    return statistics.median(getattr(it, what) for it in samples)


def whole(samples):
    """Whether they were measured, and none was ended."""
    return bool(samples) and None not in samples
