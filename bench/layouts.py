"""Makes the OCI layouts that are pushed: real layers, real digests, the same on
every machine. A layer is a gzip member of stored blocks around a tar with one
file of random bytes, so no client gains by compressing it again."""

import gzip
import hashlib
import io
import json
import pathlib
import random
import re
import tarfile

MIB = 1 << 20
TAG = "bench"
# What a shape's name ends with where its last layer is another one.
CHANGED = " changed"
UNITS = {"KiB": 1 << 10, "MiB": MIB}


def shape(name):
    """The layers, and the bytes of payload in each, of an image whose name begins with
    `10x20MiB` or the like; None where it does not."""
    found = re.match(r"([1-9]\d*)x([1-9]\d*)(KiB|MiB)(?= |$)", name)
    return (int(found[1]), int(found[2]) * UNITS[found[3]]) if found else None


def release(name, number):
    """The name of the so-many-th release, from 1 on, of an application of that shape."""
    return f"{name} release {number}"


def seeds(name):
    """What each layer's bytes are made from. With each release the last layer is another
    one, with each even one the layer before it as well."""
    first = name.split(" ")[0]
    made = [f"{first} {number}" for number in range(shape(name)[0])]
    if name.endswith(CHANGED):
        made[-1] += CHANGED
    elif " release " in name:
        number = int(name.rsplit(" ", 1)[1])
        made[-1] += f" release {number}"
        if len(made) > 1:
            made[-2] += f" release {number // 2 * 2}"
    return made


class _Hashing(io.RawIOBase):
    """A file that hashes what is written through it."""

    def __init__(self, under):
        self.under, self.sha256, self.size = under, hashlib.sha256(), 0

    def writable(self):
        return True

    def write(self, data):
        self.sha256.update(data)
        self.size += len(data)
        return self.under.write(data)

    def digest(self):
        return f"sha256:{self.sha256.hexdigest()}"


class _Random(io.RawIOBase):
    """So many random bytes, the same for the same seed."""

    def __init__(self, seed, size):
        self.source, self.left = random.Random(seed), size

    def read(self, count=-1):
        count = self.left if count < 0 else min(count, self.left)
        self.left -= count
        return self.source.randbytes(count)


def _layer(blobs, seed, size):
    """Writes one layer; its descriptor and its diff ID."""
    draft = blobs / "draft"
    with open(draft, "wb") as file:
        packed = _Hashing(file)
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=0, mtime=0) as member:
            plain = _Hashing(member)
            with tarfile.open(fileobj=plain, mode="w|", bufsize=MIB) as archive:
                entry = tarfile.TarInfo(f"payload/{seed}")
                entry.size = size
                archive.addfile(entry, _Random(seed, size))
    draft.rename(blobs / packed.sha256.hexdigest())
    descriptor = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": packed.digest(),
        "size": packed.size,
    }
    return descriptor, plain.digest()


def _document(blobs, media_type, value):
    data = json.dumps(value, separators=(",", ":")).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def make(home, name):
    """The layout of that name under `home`, made if it is not there yet."""
    size = shape(name)[1]
    layout = pathlib.Path(home) / f"layout-{name.replace(' ', '-')}"
    if (layout / "index.json").exists():
        return layout
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    made = [_layer(blobs, seed, size) for seed in seeds(name)]
    config = _document(blobs, "application/vnd.oci.image.config.v1+json", {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]},
    })
    manifest = _document(blobs, "application/vnd.oci.image.manifest.v1+json", {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [descriptor for descriptor, _ in made],
    })
    manifest["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    return layout


def manifest_digest(layout):
    return json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
