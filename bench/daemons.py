"""Tools that work through a daemon: containerd, and docker with its containerd store.
Each has daemons of its own, that listen on sockets in a temporary directory and
nowhere else, with a store on tmpfs, and are ended by their process IDs. An image is
imported before anything is measured, as it would be after a build, and not unpacked:
a push only reads what is packed."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from layouts import TAG

# Sockets' names are short: the system allows a hundred characters or so.
CONTAINERD = """\
version = 3
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri",
                    "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{root}/c"
[plugins."io.containerd.transfer.v1.local"]
max_concurrent_uploaded_layers = {at_once}
"""
STARTS_WITHIN = 30  # seconds


class NotStarted(Exception):
    """A daemon ended, or did not answer."""


class Containerd:
    """containerd, told by `ctr`."""

    namespace, as_it_comes = "bench", 3

    def __init__(self, name, home, cache):
        self.at_once = self.as_it_comes if "-" in name else 32
        self.bin, self.root, self.imported = pathlib.Path(cache) / "bin", pathlib.Path(home), set()
        self.started = []

    @property
    def processes(self):
        return [it.pid for it in self.started]

    def __enter__(self):
        try:
            config = self.root / "containerd.toml"
            config.write_text(CONTAINERD.format(root=self.root, at_once=self.at_once))
            self._start([self.bin / "containerd", "--config", config], [*self._ctr(), "version"])
            self._start_more()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        while self.started:
            process = self.started.pop()
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def meet(self, *addresses):
        """It is told with each push that a registry speaks plain HTTP."""

    def prepare(self, layout, reference):
        """The image is in the daemon's store. Not measured."""
        if layout in self.imported:
            return
        archive = subprocess.Popen(["tar", "-cf", "-", "-C", layout, "."], stdout=subprocess.PIPE)
        _quiet([*self._ctr(), "images", "import", "--no-unpack", "--base-name", self._local(layout).rsplit(":", 1)[0], "-"], archive.stdout)
        if archive.wait():
            raise SystemExit(f"{layout} could not be packed")
        self.imported.add(layout)

    def push(self, layout, reference):
        return [*self._ctr(), "images", "push", "--plain-http", reference, self._local(layout)]

    def copy(self, source, target):
        """There is none: it would be a pull and a push."""
        return None

    def _ctr(self):
        return [str(self.bin / "ctr"), "--address", f"{self.root}/c", "--namespace", self.namespace]

    @staticmethod
    def _local(layout):
        return f"bench.invalid/{layout.name.lower()}:{TAG}"

    def _start_more(self):
        """What works beside containerd."""

    def _start(self, line, ask):
        """A daemon, up when what asks it succeeds."""
        log = self.root / f"{pathlib.Path(line[0]).name}.log"
        with open(log, "wb") as file:
            # Clients of an older API than a new daemon wants are what distributions have.
            process = subprocess.Popen([str(it) for it in line], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                       env={"PATH": os.environ["PATH"], "HOME": str(self.root), "DOCKER_MIN_API_VERSION": "1.24"})
        self.started.append(process)
        end = time.monotonic() + STARTS_WITHIN
        while subprocess.run(ask, capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace").strip().splitlines()
                raise NotStarted(f"{log.stem} did not start: {said[-1] if said else 'it said nothing'}")
            time.sleep(0.05)


class Docker(Containerd):
    """docker with its containerd store: the client, dockerd, and containerd."""

    namespace, as_it_comes = "moby", 5

    def prepare(self, layout, reference):
        super().prepare(layout, reference)
        _quiet([*self._docker(), "tag", self._local(layout), reference])

    def push(self, layout, reference):
        return [*self._docker(), "push", "-q", reference]

    def _docker(self):
        return ["docker", "--host", f"unix://{self.root}/d"]

    def _start_more(self):
        config = self.root / "daemon.json"
        config.write_text(json.dumps({
            "features": {"containerd-snapshotter": True},
            # Nothing is unpacked: the one that takes nothing of the system.
            "storage-driver": "native",
            "max-concurrent-uploads": self.at_once,
            "iptables": False, "ip6tables": False, "bridge": "none",
        }))
        self._start([self.bin / "dockerd", "--config-file", config, "--containerd", f"{self.root}/c", "--data-root", self.root / "data",
                     "--exec-root", self.root / "exec", "--pidfile", self.root / "pid", "--host", f"unix://{self.root}/d"],
                    [*self._docker(), "version"])


def why_not(tool, store):
    """Tries it; why it does not run here, or None. `tool` makes one for a directory."""
    if os.geteuid() != 0:
        return "its daemon takes root"
    if not shutil.which("tar"):
        return "tar is not installed"
    with tempfile.TemporaryDirectory(prefix="daemon.", dir=store) as home:
        try:
            with tool(home):
                return None
        except NotStarted as error:
            return str(error)


def _quiet(line, stdin=subprocess.DEVNULL):
    done = subprocess.run(line, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\nexit code {done.returncode}\n{done.stderr[-2000:]}")
