"""Pushes to real registries and notes what each allows; see ci/real-registries.sh."""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import allowed
import servers
from tokens import TokenService
from wire import Wire

MIB = 1 << 20
LAYER = 40 * MIB
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "registries.md"
MODES = ["plain", "basic", "token", "tls"]
results = []


def check(where, what, ok, detail=""):
    results.append(ok)
    print(f"{'ok    ' if ok else 'FAILED'}  {where:26} {what:44} {detail}", flush=True)
    return ok


def make_image(directory, annotation=0, large=LAYER, seed=7):
    """A layout of two layers and a config, of bytes that do not compress."""
    directory.mkdir(parents=True)
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    seeded = random.Random(seed)
    layers = [blob(seeded.randbytes(size), "layer.v1.tar+gzip") for size in (large, 300_000)]
    config = {"architecture": "amd64", "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [it["digest"] for it in layers]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": layers}
    if annotation:
        manifest["annotations"] = {"padding": "x" * annotation}
    root = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [root]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory


class Stage:
    """One registry in one mode, and what was noted of it."""

    def __init__(self, name, mode, server, wire, work):
        self.where, self.mode, self.server, self.wire, self.work = f"{name} {mode}", mode, server, wire, work
        self.home = pathlib.Path(tempfile.mkdtemp(dir=work))

    def address(self):
        return f"localhost:{self.server.port}" if self.mode == "tls" else self.wire.address

    def start(self, image, name, *flags):
        return self.command("push", str(image), f"{self.address()}/{name}", *flags)

    def command(self, verb, source, target, *flags):
        arguments = [str(servers.LONGSHORE), verb, source, target, "--json", "--quiet"]
        if self.mode == "tls":
            arguments += ["--ca", f"{self.server.keys}/ca.pem"]
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}
        if self.mode in ("basic", "token"):
            environment |= {"LONGSHORE_USERNAME": servers.USER, "LONGSHORE_PASSWORD": servers.PASSWORD}
        return subprocess.Popen([*arguments, *flags], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def links(self, what, expected, *arguments):
        """A command that has every blob linked and moves no byte of one: how many were, of how many."""
        self.wire.take()
        process = self.command(*arguments)
        _, err = process.communicate(timeout=300)
        log = self.wire.take()
        linked = sum(it.status == 201 for it in log if "mount=" in it.target)
        fetched = sum(it.method == "GET" for it in log if it.is_blob)
        ok = process.returncode == 0 and blob_bytes(log) == 0 and fetched == 0 and linked == expected
        check(self.where, what, ok, f"{linked} linked, {len(log)} requests {err.strip()[-200:]}")
        return f"{linked} of {expected}, {len(log)}"

    def stops(self, what, *arguments):
        """A command that may not send what it would have to: nothing is written."""
        self.wire.take()
        process = self.command(*arguments)
        process.communicate(timeout=300)
        log = self.wire.take()
        written = [it.line() for it in log if it.method == "PUT" or it.sent and it.is_blob]
        check(self.where, what, process.returncode == 9 and not written, f"exit code {process.returncode} {written}")

    def push(self, what, image, name, *flags):
        """A push to its end: its report, and the requests on the wire."""
        if self.wire:
            self.wire.take()
        out, err = (process := self.start(image, name, *flags)).communicate(timeout=300)
        log = self.wire.take() if self.wire else []
        ok = process.returncode == 0
        report = json.loads(out) if ok else {}
        uploaded = report.get("bytes", {}).get("uploaded", 0)
        detail = f"{uploaded} bytes, {len(log) or '?'} requests" if ok else err.strip()[-300:].replace("\n", " ")
        check(self.where, what, ok, detail)
        return report, log

    def killed(self, image, name, at, *flags):
        """Killed in the middle of a body, and gone on with: what the second process did."""
        self.wire.take()
        self.wire.hold_at(at)
        process = self.start(image, name, *flags)
        held = self.wire.wait_held(lambda: process.poll() is not None)
        process.kill()
        process.communicate()
        self.wire.cut()
        first = blob_bytes(self.wire.take())
        if not check(self.where, f"killed after {at // MIB} MiB {' '.join(flags)}", held):
            return {}
        report, log = self.push("the next process goes on", image, name, *flags)
        asked = [it for it in log if it.method == "GET" and "/uploads/" in it.target]
        again = first + blob_bytes(log) - report.get("bytes", {}).get("uploaded", 0) - report.get("bytes", {}).get("resumed", 0)
        total = first + blob_bytes(log) - image_bytes(image)
        return {"status": asked[0].status if asked else "–", "range": asked[0].answer.get("range", "–") if asked else "–",
                "again": max(total, 0), "said": again}


def blob_bytes(log):
    return sum(it.sent for it in log if it.is_blob)


def image_bytes(image):
    return sum(it.stat().st_size for it in (image / "blobs" / "sha256").iterdir()) - json.loads(
        (image / "index.json").read_text())["manifests"][0]["size"]


def run(name, mode, keys, image, big, work):
    """All of one registry in one mode; what the page says of it."""
    service = TokenService(keys, servers.USER, servers.PASSWORD) if mode == "token" and name != "longshore" else None
    noted = {}
    with servers.Server(name, mode, keys, service.realm if service else "", work) as server:
        wire = None if mode == "tls" else Wire(("127.0.0.1", server.port))
        stage = Stage(name, mode, server, wire, work)
        stage.push("push", image, "team/app:1")
        report, log = stage.push("push again", image, "team/app:1")
        noted["again"] = len(log)
        check(stage.where, "push again sends no byte", blob_bytes(log) == 0 and report.get("bytes", {}).get("uploaded") == 0)
        report, log = stage.push("another tag", image, "team/app:2")
        check(stage.where, "another tag sends no byte", blob_bytes(log) == 0, f"{len(log)} requests")
        report, log = stage.push("mount from a sibling", image, "team/other:1", "--mount-from", f"{stage.address()}/team/app")
        mounts = [it.status for it in log if "mount=" in it.target]
        noted["mounts"] = " ".join(str(it) for it in sorted(set(mounts))) or "–"
        check(stage.where, "mounting sends no byte", report.get("bytes", {}).get("uploaded") == 0)
        stage.push("a manifest of 3.5 MB", big, "team/big:1")
        if wire:
            noted |= never_twice(stage, image)
        if mode == "plain":
            noted["allowed"] = allowed.all_of(server.port)
        if wire:
            # Images of their own: some registries know a blob in whatever repository it is.
            for number, (what, flags) in enumerate((("put", ()), ("chunks", ("--chunk-size", str(8 * MIB))))):
                other = make_image(server.root / what, seed=number)
                noted[what] = stage.killed(other, f"team/{what}:1", 20 * MIB, *flags)
        if service:
            token_ends(stage, service, make_image(server.root / "token", seed=9))
        if wire:
            wire.close()
    if service:
        service.close()
    return noted


def never_twice(stage, image):
    """What is in one repository gets into others without a byte of it."""
    here = f"{stage.address()}/team/app:1"
    noted = {"sibling": stage.links("a sibling, where blobs are is remembered", 3, "push", str(image), f"{stage.address()}/team/sibling:1")}
    # Somebody else, who has seen nothing.
    stage.home = pathlib.Path(tempfile.mkdtemp(dir=stage.work))
    noted["copy"] = stage.links("a copy, nothing known", 3, "copy", here, f"{stage.address()}/team/copied:1")
    stage.home = pathlib.Path(tempfile.mkdtemp(dir=stage.work))
    noted["promote"] = stage.links("a promotion, nothing known", 3, "promote", here, f"{stage.address()}/prod/app:1")
    other = make_image(stage.server.root / "unknown", large=100_000, seed=11)
    stage.stops("what must be linked and cannot be", "push", str(other), f"{stage.address()}/team/strict:1", "--must-mount")
    return noted


def token_ends(stage, service, image):
    """A token that is worth nothing any more in the middle of a push, though it was said to last."""
    leeway = 0 if stage.server.name == "zot" else service.LEEWAY
    service.worth, service.leeway, before = 3, leeway, service.issued
    stage.wire.when_at(20 * MIB, lambda: time.sleep(5))
    _, log = stage.push("a token ends in the middle", image, "team/ends:1", "--chunk-size", str(8 * MIB))
    refused = [it.line() for it in log if it.status == 401]
    again = blob_bytes(log) - image_bytes(image)
    check(stage.where, "another token was fetched, a chunk sent again", service.issued - before >= 2 and 0 <= again <= 8 * MIB,
          f"{again} bytes again; {len(refused)} refused")


def page(measured):
    """The table, as docs/registries.md has it."""
    lines = [f"Measured {datetime.date.today().isoformat()}, a layer of 40 MiB, killed (SIGKILL) after 20 MiB; plain HTTP, through a wire that counts.", "",
             "| registry | one body: status, `Range`, bytes sent again | chunks of 8 MiB: status, `Range`, bytes sent again | mount of a sibling's blob | requests of a push again: plain, Basic, tokens |",
             "|---|---|---|---|---|"]
    for name, modes in measured.items():
        plain = modes["plain"]
        cells = [", ".join(f"{plain.get(it, {}).get(key, '–'):,}" if key == "again" and it in plain and plain[it] else str(plain.get(it, {}).get(key, "–"))
                           for key in ("status", "range", "again")) for it in ("put", "chunks")]
        again = ", ".join(str(modes[it]["again"]) for it in ("plain", "basic", "token") if it in modes)
        lines.append(f"| {name} {servers.version(name)} | {cells[0]} | {cells[1]} | {plain['mounts']} | {again} |")
    lines += ["", "The same image in other repositories: blobs linked, of how many, and requests in all. Nothing of them was sent or fetched.", "",
              "| registry | pushed to a sibling, where blobs are is remembered | copied, nothing known | promoted, nothing known |", "|---|---|---|---|"]
    lines += [f"| {name} | {modes['plain']['sibling']} | {modes['plain']['copy']} | {modes['plain']['promote']} |" for name, modes in measured.items()]
    questions = list(next(iter(measured.values()))["plain"]["allowed"])
    lines += ["", "What each answers to plain requests, asked without longshore (`ci/registries/allowed.py`):", "",
              f"| registry | {' | '.join(questions)} |", "|---" * (len(questions) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(str(modes['plain']['allowed'][it]) for it in questions)} |" for name, modes in measured.items()]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="longshore,docker-registry,distribution,zot")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory(prefix="registries.") as work:
        work = pathlib.Path(work)
        keys = work / "keys"
        keys.mkdir()
        servers.certificates(keys)
        image, big = make_image(work / "image"), make_image(work / "big", 3_500_000, 100_000)
        for name in options.only.split(","):
            if not servers.PROGRAMS[name] or not os.access(servers.PROGRAMS[name], os.X_OK):
                print(f"NOT CHECKED: {name} (it cannot be had here)")
                continue
            measured[name] = {mode: run(name, mode, keys, image, big, work) for mode in options.modes.split(",")}
        text = page(measured)
        print(text)
        if options.write:
            before, rest = PAGE.read_text().split("<!-- results -->\n", 1)
            after = rest.split("<!-- /results -->", 1)[1]
            PAGE.write_text(f"{before}<!-- results -->\n{text}\n<!-- /results -->{after}")
    print(f"real-registries: {sum(results)} checks passed, {len(results) - sum(results)} failed")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
