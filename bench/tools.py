"""How each tool is told what to do. A tool is made for one registry and what comes
after another there, in a home of its own; `with` ends what it started."""

import json
import pathlib
import shlex
import shutil

import daemons
import peers
from layouts import TAG

HERE = pathlib.Path(__file__).resolve().parent

# {reference}, {source}, {target}: host:port/repository:tag. {layout}: a directory.
PUSH = {
    "longshore": "{longshore} push --json {layout} {reference}",
    "curl": "{here}/curl-push {layout} {address} {repository} {tag}",
    "crane": "{bin}/crane push --insecure {layout} {reference}",
    "oras": "{bin}/oras cp --no-tty --from-oci-layout --to-plain-http --concurrency 32 {layout}:{inside} {reference}",
    "oras-3": "{bin}/oras cp --no-tty --from-oci-layout --to-plain-http {layout}:{inside} {reference}",
    "regctl": "{bin}/regctl image copy ocidir://{layout}:{inside} {reference}",
    "skopeo": "skopeo copy -q --dest-tls-verify=false oci:{layout}:{inside} docker://{reference}",
}
COPY = {
    "longshore": "{longshore} copy --json {source} {target}",
    "crane": "{bin}/crane copy --insecure {source} {target}",
    "oras": "{bin}/oras cp --no-tty --from-plain-http --to-plain-http --concurrency 32 {source} {target}",
    "oras-3": "{bin}/oras cp --no-tty --from-plain-http --to-plain-http {source} {target}",
    "regctl": "{bin}/regctl image copy {source} {target}",
    "skopeo": "skopeo copy -q --src-tls-verify=false --dest-tls-verify=false docker://{source} docker://{target}",
}
LABELS = {
    "curl": "curl -T, 4 at once",
    "oras": "oras, 32 at once",
    "oras-3": "oras, as it comes",
    "regctl": "regctl, 32 at once",
    "regctl-3": "regctl, as it comes",
    "docker": "docker, 32 at once",
    "docker-5": "docker, as it comes",
    "containerd": "containerd, 32 at once",
    "containerd-3": "containerd, as it comes",
}
# What each takes beside itself: names `peers` can look for.
NEEDS = {
    "longshore": (), "curl": ("curl", "jq"), "crane": ("crane",), "oras": ("oras",), "regctl": ("regctl",), "skopeo": ("skopeo",),
    "docker": ("docker", "dockerd", "containerd", "ctr"), "containerd": ("containerd", "ctr"),
}


def program(name):
    """The tool's name without how many requests it has at once."""
    return name.split("-")[0]


def label(name):
    return LABELS.get(name, name)


class Commands:
    """A tool that is a command: what it keeps is in its home."""

    processes = ()

    def __init__(self, name, home, cache):
        self.name, self.home = name, pathlib.Path(home)
        self.words = {"longshore": peers.LONGSHORE, "bin": pathlib.Path(cache) / "bin", "here": HERE, "inside": TAG}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def meet(self, *addresses):
        """Told before anything else which registries it will speak to."""

    def prepare(self, layout, reference):
        """What is not measured: a layout is where it is."""

    def push(self, layout, reference):
        address, path = reference.split("/", 1)
        repository, tag = path.split(":")
        return self._line(PUSH, layout=layout, reference=reference, address=address, repository=repository, tag=tag)

    def copy(self, source, target):
        """None where the tool has no such thing."""
        return self._line(COPY, source=source, target=target)

    def _line(self, texts, **words):
        text = texts.get(self.name) or texts[program(self.name)]
        return shlex.split(text.format(**{key: shlex.quote(str(value)) for key, value in {**self.words, **words}.items()}))


class Regctl(Commands):
    """How many requests it has at once is a setting of the registry's, in a file: a
    `reqConcurrent` of its `--host` flag is taken, and not heeded."""

    def meet(self, *addresses):
        at_once = {} if self.name.endswith("-3") else {"reqConcurrent": 32}
        settings = self.home / ".regctl" / "config.json"
        settings.parent.mkdir()
        settings.write_text(json.dumps({"hosts": {it: {"tls": "disabled", "hostname": it, **at_once} for it in addresses}}))


KINDS = {"regctl": Regctl, "docker": daemons.Docker, "containerd": daemons.Containerd}
NAMES = ("longshore", "curl", "crane", "oras", "oras-3", "regctl", "regctl-3", "skopeo", "docker", "docker-5", "containerd", "containerd-3")


def start(name, home, cache):
    """A tool, for a `with`."""
    return KINDS.get(program(name), Commands)(name, home, cache)


def choose(names, cache, store):
    """Those that are here, and why others are not: nobody shall think one was forgotten."""
    here, reasons = [], []
    for name in names:
        why = _why_not(name, cache, store)
        if why:
            reasons.append(f"NOT MEASURED: {label(name)} ({why}).")
        else:
            here.append(name)
    return here, reasons


def _why_not(name, cache, store):
    if program(name) == "longshore":
        return None if peers.LONGSHORE.exists() else f"no binary at {peers.LONGSHORE.name}: cargo build --release"
    reasons = (peers.why_not(cache, it) for it in NEEDS[program(name)])
    found = next((it for it in reasons if it), None)
    if not found and program(name) in ("docker", "containerd"):
        found = daemons.why_not(lambda home: start(name, home, cache), store)
    return found


def names_of_programs(names):
    """What `peers.versions` is asked of these tools."""
    return sorted({it for name in names for it in (*NEEDS[program(name)], program(name)) if it not in ("jq", "ctr")})


def needed(extra=()):
    """Ends the program where something is missing without which nothing can be measured."""
    missing = [it for it in ("docker-registry", "/usr/bin/time", *extra) if not shutil.which(it)]
    if missing:
        raise SystemExit(f"missing: {' '.join(missing)}; docs/benchmarks.md says what is needed")
