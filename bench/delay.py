"""A round trip between a client and a registry on loopback: `bench/delay/main.go`,
because the kernels this runs on often have no netem, and the network of a
container no second machine."""

import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def build(home):
    """The program, built into `home`."""
    program = pathlib.Path(home) / "bin" / "delay"
    source = HERE / "delay" / "main.go"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "build", "-o", str(program), str(source)], check=True,
                       env={**os.environ, "CGO_ENABLED": "0"})
    return program


class Delayed:
    """The registry at `address`, `rtt` milliseconds away; `address` is then the near end."""

    def __init__(self, program, address, rtt):
        self.process = subprocess.Popen([str(program), "--to", address, "--rtt", f"{rtt}ms"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def figures(self):
        """What went through since the last time: connections, bytes sent, bytes received."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
