"""Who is measured: how each is had, and which version it is."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
LONGSHORE = pathlib.Path(os.environ.get("LONGSHORE", HERE.parent / "target" / "release" / "longshore"))

# Go peers: name -> (module, pinned version, package to build).
GO_PEERS = {
    "crane": ("github.com/google/go-containerregistry", "v0.22.1", "cmd/crane"),
    "oras": ("oras.land/oras", "v1.3.3", "cmd/oras"),
    "regctl": ("github.com/regclient/regclient", "v0.11.7", "cmd/regctl"),
}
# Built only by a benchmark that measures them: it takes minutes the first time. What
# Debian has of docker is older than its containerd store.
DAEMONS = {
    "containerd": ("github.com/containerd/containerd/v2", "v2.4.2", "cmd/containerd"),
    "ctr": ("github.com/containerd/containerd/v2", "v2.4.2", "cmd/ctr"),
    "dockerd": ("github.com/moby/moby/v2", "v2.0.0-beta.24", "cmd/dockerd"),
}

def cache():
    """Where what was built is kept."""
    kept = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "longshore-bench"
    return pathlib.Path(os.environ.get("LONGSHORE_BENCH") or kept)


def install(home):
    """Builds each Go peer that is not there yet, from its module at its pinned version."""
    for name in GO_PEERS:
        build(home, name)


def build(home, name):
    """Builds one of `GO_PEERS` or `DAEMONS`, if it is not there. In a module of its own:
    what `go install` does, but it also works where the module proxy will not answer
    for the paths above the module."""
    module, version, package = {**GO_PEERS, **DAEMONS}[name]
    target = pathlib.Path(home) / "bin"
    target.mkdir(parents=True, exist_ok=True)
    if built_version(target / name) == version:
        return
    print(f"building {name} {version}", flush=True, file=sys.stderr)
    scratch = pathlib.Path(home) / "build" / name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    for line in (
        ["go", "mod", "init", "bench.invalid/peer"],
        ["go", "mod", "edit", f"-require={module}@{version}"],
        ["go", "build", "-o", str(target / name), f"{module}/{package}"],
    ):
        subprocess.run(line, cwd=scratch, env=environment, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
    shutil.rmtree(scratch)


def why_not(home, name):
    """Has a peer of that name built or found; why it cannot be had, or None."""
    if name in GO_PEERS or name in DAEMONS:
        if not shutil.which("go"):
            return "go, which builds it, is not installed"
        try:
            build(home, name)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
            return f"it could not be built: {said[-1] if said else error}"
    elif not shutil.which(name):
        return f"{name} is not installed"
    return None


def built_version(binary):
    """The version of the module a Go binary was built from, or None."""
    if not binary.exists():
        return None
    text = _output(["go", "version", "-m", str(binary)])
    for module, _, package in (*GO_PEERS.values(), *DAEMONS.values()):
        if f"\tpath\t{module}/{package}\n" in text:
            found = re.search(rf"\t(?:dep|mod)\t{re.escape(module)}\t(\S+)", text)
            return found.group(1) if found else None
    return None


def versions(home, names):
    """What is measured, and what it is measured with: name -> version, for those names that are here."""
    found = {}
    for name in names:
        if name in GO_PEERS or name in DAEMONS:
            found[name] = built_version(pathlib.Path(home) / "bin" / name)
        elif name == "curl":
            found[name] = _output(["curl", "--version"]).split()[1]
        elif name == "docker":
            found["docker's client"] = re.search(r"\d+(\.\d+)+", _output(["docker", "--version"])).group()
        elif name == "longshore":
            found[name] = _last_word([str(LONGSHORE), "--version"])
        else:
            found[name] = _last_word([name, "--version"])
    return found


def _output(line):
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def _last_word(line):
    return _output(line).split("\n", 1)[0].split()[-1]
