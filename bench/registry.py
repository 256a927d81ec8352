"""Debian's docker-registry, fresh for each push, and what its log says of it."""

import collections
import dataclasses
import datetime
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

CONFIG = """\
version: 0.1
log: {{level: info, formatter: json, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}/store, maxthreads: 100}}
  delete: {{enabled: true}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http: {{addr: 127.0.0.1:0}}
"""
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as the registry saw it; times in seconds."""

    method: str
    status: int
    start: float
    end: float
    connection: str


class Registry:
    """A registry over an empty store; gone, store and all, at the end of the `with`."""

    def __init__(self, store):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="registry.", dir=store))

    def __enter__(self):
        config = self.root / "config.yml"
        config.write_text(CONFIG.format(root=self.root))
        self.log = self.root / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"})
        self.address = self._address()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.root)

    def _address(self):
        for _ in range(200):
            found = re.search(r"listening on (127\.0\.0\.1:\d+)", self.log.read_text())
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"docker-registry did not start:\n{self.log.read_text()}")

    def requests(self):
        """Every request answered so far."""
        time.sleep(0.05)  # the last line is written after its answer is sent
        return [_request(line) for line in self.log.read_text().splitlines() if '"http.response.duration"' in line]

    def digest_of(self, repository, tag):
        """The digest of the manifest behind a tag."""
        ask = urllib.request.Request(f"http://{self.address}/v2/{repository}/manifests/{tag}", method="HEAD",
                                     headers={"Accept": MANIFEST_TYPES})
        with urllib.request.urlopen(ask) as answer:
            return answer.headers["Docker-Content-Digest"]


def _request(line):
    entry = json.loads(line)
    # Python reads six decimals, the log has nine.
    written = re.sub(r"(\.\d{6})\d*Z$|Z$", lambda m: (m.group(1) or "") + "+00:00", entry["time"])
    end = datetime.datetime.fromisoformat(written).timestamp()
    return Request(
        method=entry["http.request.method"],
        status=entry["http.response.status"],
        start=end - _seconds(entry["http.response.duration"]),
        end=end,
        connection=entry["http.request.remoteaddr"],
    )


def _seconds(duration):
    """Go's way to write a duration: 1m2.5s, 2.8ms."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|µs|us|ns|s)", duration))


def by_method(requests):
    return collections.Counter(request.method for request in requests)


def depth(requests, rtt=0):
    """The longest chain of requests in which each starts after the previous answer
    had the time to arrive, and it to be sent: as many intervals as can be picked with
    so many seconds between them. (A tenth less: clocks and sleeps are not exact.)"""
    count, free = 0, float("-inf")
    for request in sorted(requests, key=lambda it: it.end):
        if request.start >= free:
            count, free = count + 1, request.end + 0.9 * rtt
    return count
