"""The registries: how each is started on loopback, plain, with htpasswd, with tokens or over TLS."""

import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

USER, PASSWORD = "someone", "a-test-password"
SERVICE = "registry.test"
LONGSHORE = pathlib.Path(os.environ.get("LONGSHORE", pathlib.Path(__file__).parents[2] / "target/release/longshore")).resolve()
PROGRAMS = {"docker-registry": shutil.which("docker-registry"), "distribution": os.environ.get("DISTRIBUTION_REGISTRY"),
            "zot": os.environ.get("ZOT"), "longshore": str(LONGSHORE)}


def certificates(directory):
    """A private authority, a certificate of it for loopback, one that signs tokens, and a user with a password."""
    script = f"""
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=longshore test authority'
openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj '/CN=localhost'
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' >extensions
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem
openssl req -x509 -newkey rsa:2048 -nodes -keyout token.key -out token.pem -days 2 -subj '/CN=longshore-test'
htpasswd -Bbn {USER} {PASSWORD} >htpasswd
"""
    subprocess.run(["bash", "-euc", script], cwd=directory, check=True, capture_output=True)


def _distribution(root, port, mode, keys, realm):
    tls = f", tls: {{certificate: {keys}/cert.pem, key: {keys}/key.pem}}" if mode == "tls" else ""
    auth = {"basic": f"auth: {{htpasswd: {{realm: test, path: {keys}/htpasswd}}}}",
            "token": f"auth: {{token: {{realm: '{realm}', service: {SERVICE}, issuer: longshore-test, rootcertbundle: {keys}/token.pem}}}}"}
    (root / "config.yml").write_text(f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}/store, maxthreads: 100}}
  delete: {{enabled: true}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http: {{addr: 127.0.0.1:{port}{tls}}}
{auth.get(mode, '')}
""")
    return ["serve", str(root / "config.yml")]


def _zot(root, port, mode, keys, realm):
    http = {"address": "127.0.0.1", "port": str(port)}
    if mode == "tls":
        http["tls"] = {"cert": f"{keys}/cert.pem", "key": f"{keys}/key.pem"}
    if mode == "basic":
        http["auth"] = {"htpasswd": {"path": f"{keys}/htpasswd"}}
    if mode == "token":
        http["auth"] = {"bearer": {"realm": realm, "service": SERVICE, "cert": f"{keys}/token.pem"}}
    config = {"distSpecVersion": "1.1.1", "storage": {"rootDirectory": f"{root}/store"}, "http": http, "log": {"level": "error"}}
    (root / "config.json").write_text(json.dumps(config))
    return ["serve", str(root / "config.json")]


def _longshore(root, port, mode, keys, _realm):
    flags = {"basic": ["--htpasswd", f"{keys}/htpasswd"], "token": ["--htpasswd", f"{keys}/htpasswd", "--token"],
             "tls": ["--tls-cert", f"{keys}/cert.pem", "--tls-key", f"{keys}/key.pem"]}
    return ["serve", "--store", f"{root}/store", "--listen", f"127.0.0.1:{port}", "--access-log", "off", *flags.get(mode, [])]


ARGUMENTS = {"docker-registry": _distribution, "distribution": _distribution, "zot": _zot, "longshore": _longshore}


def version(name):
    """The version of a program, as it says itself."""
    done = subprocess.run([PROGRAMS[name], "--version"], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    found = re.search(r'(?<="commit":")[^"]+', said) or re.search(r"v?\d+\.\d+\.\d+[\w.+-]*", said)
    return found.group(0) if found else "unknown"


class Server:
    """A registry over an empty store; gone, store and all, at the end of the `with`."""

    def __init__(self, name, mode, keys, realm, work):
        self.name, self.mode, self.keys = name, mode, keys
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-{mode}.", dir=work))
        (self.root / "store").mkdir()
        self.realm = realm

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def start(self):
        # A port that is free now may be somebody else's by the time the registry listens.
        for _ in range(5):
            with socket.create_server(("127.0.0.1", 0)) as it:
                self.port = it.getsockname()[1]
            self.arguments = ARGUMENTS[self.name](self.root, self.port, self.mode, self.keys, self.realm)
            if self.serves():
                return
        raise SystemExit(f"{self.name} ({self.mode}) did not start:\n{(self.root / 'log').read_text()[-1500:]}")

    def serves(self):
        """Starts it; whether it answers. If not, it is gone."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "OTEL_TRACES_EXPORTER": "none"}
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen([PROGRAMS[self.name], *self.arguments], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment)
        scheme, context = "http", None
        if self.mode == "tls":
            scheme, context = "https", ssl.create_default_context(cafile=f"{self.keys}/ca.pem")
        for _ in range(2400):
            try:
                urllib.request.urlopen(f"{scheme}://127.0.0.1:{self.port}/v2/", timeout=5, context=context).read()
                return self.process.poll() is None
            except urllib.error.HTTPError:
                return self.process.poll() is None
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        return False

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
