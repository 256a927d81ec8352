"""Who is measured: how each is had, which version it is, how it is told to push."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

from layouts import TAG

HERE = pathlib.Path(__file__).resolve().parent
LONGSHORE = pathlib.Path(os.environ.get("LONGSHORE", HERE.parent / "target" / "release" / "longshore"))

# Go peers: name -> (module, pinned version, package to build).
GO_PEERS = {
    "crane": ("github.com/google/go-containerregistry", "v0.22.1", "cmd/crane"),
    "oras": ("oras.land/oras", "v1.3.3", "cmd/oras"),
    "regctl": ("github.com/regclient/regclient", "v0.11.7", "cmd/regctl"),
}

# What each is told to do. {layout} a directory, {address} host:port, {repository} a path.
COMMANDS = {
    "longshore": "{longshore} push --json {layout} {address}/{repository}:{tag}",
    "curl": "{here}/curl-push {layout} {address} {repository} {tag}",
    "crane": "{bin}/crane push --insecure {layout} {address}/{repository}:{tag}",
    "oras": "{bin}/oras cp --no-tty --from-oci-layout --to-plain-http --concurrency 32"
                        " {layout}:{tag} {address}/{repository}:{tag}",
    "regctl": "{bin}/regctl --host reg={address},tls=disabled,reqConcurrent=32"
                          " image copy ocidir://{layout}:{tag} {address}/{repository}:{tag}",
    "skopeo": "skopeo copy -q --dest-tls-verify=false oci:{layout}:{tag} docker://{address}/{repository}:{tag}",
}

LABELS = {
    "curl": "curl -T, 4 at once",
    "oras": "oras, 32 at once",
    "regctl": "regctl, 32 at once",
}


def command(tool, home, layout, address):
    """The command line of a push, as a list."""
    text = COMMANDS[tool].format(
        longshore=shlex.quote(str(LONGSHORE)), here=shlex.quote(str(HERE)), bin=shlex.quote(f"{home}/bin"),
        layout=shlex.quote(str(layout)), address=address, repository="bench/app", tag=TAG,
    )
    return shlex.split(text)


def install(home):
    """Builds each Go peer that is not there yet, from its module at its pinned
    version. In a module of its own: what `go install` does, but it also works
    where the module proxy will not answer for the paths above the module."""
    target = pathlib.Path(home) / "bin"
    target.mkdir(parents=True, exist_ok=True)
    for name, (module, version, package) in GO_PEERS.items():
        if built_version(target / name) == version:
            continue
        print(f"building {name} {version}", flush=True)
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


def built_version(binary):
    """The version of the module a Go binary was built from, or None."""
    if not binary.exists():
        return None
    text = _output(["go", "version", "-m", str(binary)])
    for module, version, package in GO_PEERS.values():
        if f"\tpath\t{module}/{package}\n" in text:
            found = re.search(rf"\t(?:dep|mod)\t{re.escape(module)}\t(\S+)", text)
            return found.group(1) if found else None
    return None


def versions(home):
    """Tool -> the version that is measured."""
    found = {name: built_version(pathlib.Path(home) / "bin" / name) for name in GO_PEERS}
    found["skopeo"] = _last_word(["skopeo", "--version"])
    found["curl"] = _output(["curl", "--version"]).split()[1]
    found["docker-registry"] = _last_word(["docker-registry", "--version"])
    if LONGSHORE.exists():
        found["longshore"] = _last_word([str(LONGSHORE), "--version"])
    return found


def _output(line):
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def _last_word(line):
    return _output(line).split("\n", 1)[0].split()[-1]
