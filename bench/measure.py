"""One command, measured: how long it took and what it used, its daemons' share as well."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")


class TooLong(Exception):
    """It did not end within the limit."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Times in seconds; memory in bytes, the largest resident size of any one process."""

    wall: float
    cpu: float
    memory: int


def environment(home):
    """No credentials, no proxy, no settings; a home of its own, where tools keep what they keep."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "DOCKER_CONFIG": "/nonexistent"}


def measure(line, home, daemons=(), limit=None):
    """Runs a command under `time`; `daemons` are the processes that work for it. (The
    kernel counts what a child held before its exec as the child's own; `time` is small
    where an interpreter is not.) `limit` is in seconds."""
    for pid in daemons:
        _forget_peak(pid)
    before = sum(_cpu(pid) for pid in daemons)
    with tempfile.NamedTemporaryFile("r") as figures:
        began = time.monotonic()
        command = subprocess.Popen(["/usr/bin/time", "-q", "-f", "%U %S %M", "-o", figures.name, *line], env=environment(home),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True)
        try:
            output, _ = command.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(command.pid, signal.SIGTERM)
            command.communicate()
            raise TooLong from None
        wall = time.monotonic() - began
        if command.returncode:
            raise SystemExit(f"{' '.join(line)}\nexit code {command.returncode}\n{output[-2000:]}")
        user, system, kib = figures.read().split()
    cpu = float(user) + float(system) + sum(_cpu(pid) for pid in daemons) - before
    return Cost(wall, cpu, max([int(kib) * 1024, *(_peak(pid) for pid in daemons)]))


def _forget_peak(pid):
    """From here on the peak counts anew: what came before was not what is measured."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def _cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK
