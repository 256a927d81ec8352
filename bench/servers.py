"""The registries that are loaded: how each is had, started, and asked what it used."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LONGSHORE = pathlib.Path(os.environ.get("LONGSHORE", HERE.parent / "target" / "release" / "longshore"))
DISTRIBUTION = ("github.com/distribution/distribution/v3", "v3.1.2", "cmd/registry")
TICK = os.sysconf("SC_CLK_TCK")

DISTRIBUTION_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}, maxthreads: 100}}
  delete: {{enabled: true}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http: {{addr: {address}}}
"""


def longshore(root, address):
    return [str(LONGSHORE), "serve", "--store", f"{root}/store", "--listen", address]


def _distribution(binary, root, address):
    config = root / "config.yml"
    text = DISTRIBUTION_CONFIG.format(root=root / "store", address=address)
    config.write_text(text)
    return [binary, "serve", str(config)]


def docker_registry(root, address):
    return _distribution("docker-registry", root, address)


def distribution(root, address):
    return _distribution(str(home() / "bin" / "registry"), root, address)


def zot(root, address):
    config = root / "config.json"
    host, port = address.rsplit(":", 1)
    config.write_text(json.dumps({
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": str(root / "store"), "dedupe": True, "gc": False, "commit": True},
        "http": {"address": host, "port": port},
        "log": {"level": "error", "output": "/dev/null"},
    }))
    return [os.environ["ZOT"], "serve", str(config)]


# Name -> how it is started. Each gets a directory of its own and the address to listen on.
SERVERS = {
    "longshore": longshore,
    "docker-registry": docker_registry,
    "distribution": distribution,
    "zot": zot,
}


def home():
    """Where what is built for benchmarks is kept."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return pathlib.Path(os.environ.get("LONGSHORE_BENCH") or cache / "longshore-bench")


def install():
    """Builds distribution from its module if it is not there yet."""
    binary, (module, version, package) = home() / "bin" / "registry", DISTRIBUTION
    if _module_version(binary) == version:
        return
    print(f"building {module} {version}", flush=True)
    scratch = home() / "build" / "registry"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    binary.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    for line in (
        ["go", "mod", "init", "bench.invalid/peer"],
        ["go", "mod", "edit", f"-require={module}@{version}"],
        ["go", "build", "-o", str(binary), f"{module}/{package}"],
    ):
        subprocess.run(line, cwd=scratch, env=environment, check=True, capture_output=True)
    shutil.rmtree(scratch)


def _module_version(binary):
    if not binary.exists():
        return None
    text = subprocess.run(["go", "version", "-m", str(binary)], capture_output=True, text=True).stdout
    found = re.search(rf"\t(?:dep|mod)\t{re.escape(DISTRIBUTION[0])}\t(\S+)", text)
    return found.group(1) if found else None


def missing():
    """Name -> why it cannot be measured."""
    reasons = {}
    if not LONGSHORE.exists():
        reasons["longshore"] = "no binary: cargo build --release"
    if not shutil.which("docker-registry"):
        reasons["docker-registry"] = "not installed"
    if not pathlib.Path(os.environ.get("ZOT", "")).is_file():
        reasons["zot"] = "$ZOT names no binary"
    return reasons


def versions(names):
    """Name -> the version that is measured."""
    asked = {
        "longshore": [str(LONGSHORE), "--version"],
        "docker-registry": ["docker-registry", "--version"],
        "distribution": [str(home() / "bin" / "registry"), "--version"],
        "zot": [os.environ.get("ZOT", "zot"), "--version"],
    }
    found = {}
    for name in names:
        done = subprocess.run(asked[name], capture_output=True, text=True)
        said = done.stdout + done.stderr
        match = re.search(r'(?<="commit":")[^"]+', said) or re.search(r"v?\d+\.\d+\.\d+[\w.+-]*", said)
        found[name] = match.group(0) if match else "unknown"
    return found


class Server:
    """A registry that runs over an empty store; gone, store and all, at the end of the `with`."""

    def __init__(self, name, place, under=()):
        self.name, self.place, self.under = name, place, under

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="server.", dir=self.place))
        (self.root / "store").mkdir()
        self.address = f"127.0.0.1:{_free_port()}"
        self.log = open(self.root / "log", "wb")
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "OTEL_TRACES_EXPORTER": "none"}
        self.process = subprocess.Popen([*self.under, *SERVERS[self.name](self.root, self.address)],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment,
                                        start_new_session=True)
        self._wait()
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def stop(self):
        if self.process.poll() is None:
            # Its group: under strace the server is a child, which strace would leave running.
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def _wait(self):
        for _ in range(400):
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5).read()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.025)
        raise SystemExit(f"{self.name} did not start:\n{(self.root / 'log').read_text()[-2000:]}")

    def cpu(self):
        """Processor seconds so far, user's and system's."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def peak(self):
        """The largest resident size so far, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) * 1024


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as it:
        return it.getsockname()[1]
