"""What the benchmarks that go through `chain` have in common: what they are asked, how a
figure is written, where the tables go."""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import statistics
import tempfile

import chain
import delay
import layouts
import peers
import plots
import tools

HERE = pathlib.Path(__file__).resolve().parent
METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")


def words(text):
    return text.split(",")


def arguments(described, names, runs=3):
    """What each of them takes; the caller may add more."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs, help=f"of each; what takes longer than {chain.ONCE} s is run once")
    parser.add_argument("--tools", type=words, default=list(names), help=f"comma-separated, of {' '.join(tools.NAMES)}; default: {' '.join(names)}")
    parser.add_argument("--limit", type=float, default=30, help="seconds after which a command is ended")
    parser.add_argument("--store", default="/dev/shm", help="a directory on tmpfs")
    parser.add_argument("--write", type=pathlib.Path, help="put the tables between the marks of this page")
    parser.add_argument("--plots", type=pathlib.Path, help="draw pictures into this directory (takes matplotlib)")
    return parser


def checked(parser):
    """What was asked, where all of it can be known."""
    asked = parser.parse_args()
    unknown = [it for it in asked.tools if it not in tools.NAMES]
    unknown += [it for it in getattr(asked, "layouts", ()) if not layouts.shape(it)]
    if unknown:
        raise SystemExit(f"unknown: {' '.join(unknown)}; tools are {' '.join(tools.NAMES)}, layouts 10x20MiB and the like")
    if asked.runs < 1:
        raise SystemExit("--runs is at least 1")
    tools.needed(["go"])
    if asked.plots:
        plots.needed()
    return asked


@contextlib.contextmanager
def yard(asked):
    """The yard; the tools that can be measured in it; the lines that stand above the tables."""
    cache = peers.cache()
    program = delay.build(cache)
    with tempfile.TemporaryDirectory(prefix="longshore-bench.", dir=asked.store) as store:
        here, reasons = tools.choose(asked.tools, cache, store)
        if not here:
            raise SystemExit("\n".join(reasons))
        found = peers.versions(cache, ["docker-registry", *tools.names_of_programs(here)])
        versions = ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
        head = [f"{os.cpu_count()} cores; median of {asked.runs} (least–most), of one run where that took longer than {chain.ONCE} s. {versions}.",
                *reasons]
        yield chain.Yard(store, program, cache, asked.limit), here, head


def spread(values):
    """median (least–most), in seconds; where all are one, that"""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def seconds(samples, limit):
    if not samples:
        return "–"
    if None in samples:
        return f"> {limit:.0f}"
    return spread([it.wall for it in samples])


def methods(samples):
    """4 HEAD 3 POST 4 PUT: the medians."""
    counted = {method: statistics.median_low([it.methods.get(method, 0) for it in samples]) for method in METHODS}
    return " ".join(f"{count} {method}" for method, count in counted.items() if count)


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def publish(name, parts, found, page):
    """Prints the report, keeps it and every single sample under `bench/out`, and puts it
    between the marks of that name of a page."""
    text = "\n\n".join(parts) + "\n"
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    stem = datetime.datetime.now().strftime(f"{name}-%Y%m%d-%H%M%S")
    (out / f"{stem}.md").write_text(text)
    (out / f"{stem}.json").write_text(json.dumps(found, indent=1, default=vars))
    if page:
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, rest = page.read_text().split(begin, 1)
        page.write_text(f"{before}{begin}{text}{end}{rest.split(end, 1)[1]}")
    print(text)
    print(f"written to bench/out/{stem}.md and .json")
