"""Stand-ins for Microsoft's bases, as OCI layouts: the documents have the shapes that
mcr.microsoft.com serves, the layers are small and made here.

usage: windows_bases.py DIRECTORY
"""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

DOCKER = "application/vnd.docker."
MANIFEST = DOCKER + "distribution.manifest.v2+json"
LIST = DOCKER + "distribution.manifest.list.v2+json"


def layer_of(files):
    """A layer's tar: what Windows wants of one, and files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ["Files", "Files/Windows", "Files/Windows/System32", "Hives"]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, 1720000000
            entry.pax_headers = {"MSWINDOWS.fileattr": "16"}
            tar.addfile(entry)
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1720000000
            entry.pax_headers = {"MSWINDOWS.fileattr": "32"}
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Layout:
    def __init__(self, path):
        self.path = path
        os.makedirs(os.path.join(path, "blobs/sha256"))

    def put(self, media_type, content, keep=True, **more):
        it = {"mediaType": media_type, "size": len(content), "digest": digest(content)} | more
        if keep:
            name = it["digest"].removeprefix("sha256:")
            with open(os.path.join(self.path, "blobs/sha256", name), "wb") as file:
                file.write(content)
        return it

    def put_json(self, media_type, value, **more):
        return self.put(media_type, json.dumps(value, separators=(",", ":")).encode(), **more)

    def image(self, version, diff_ids, layers):
        config = {"architecture": "amd64", "config": {
            "Hostname": "", "Domainname": "", "User": "ContainerUser", "AttachStdin": False,
            "AttachStdout": False, "AttachStderr": False, "Tty": False, "OpenStdin": False,
            "StdinOnce": False, "Env": None, "Cmd": ["c:\\windows\\system32\\cmd.exe"], "Image": "",
            "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None},
            "created": "2024-07-06T05:41:17.1234567Z",
            "history": [{"created": "2024-07-06T05:41:17.1234567Z", "created_by": "Apply image " + version} for _ in layers],
            "os": "windows", "rootfs": {"type": "layers", "diff_ids": diff_ids}, "os.version": version}
        config = self.put_json(DOCKER + "container.image.v1+json", config)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        platform = {"architecture": "amd64", "os": "windows", "os.version": version}
        manifest = self.put_json(MANIFEST, manifest, platform=platform)
        index = {"schemaVersion": 2, "mediaType": LIST, "manifests": [manifest]}
        index = self.put_json(LIST, index)
        for name, value in [("index.json", {"schemaVersion": 2, "manifests": [index]}), ("oci-layout", {"imageLayoutVersion": "1.0.0"})]:
            with open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
                json.dump(value, file)


def main(directory):
    layer_type = DOCKER + "image.rootfs.diff.tar.gzip"
    modern = Layout(os.path.join(directory, "modern"))
    layers, diff_ids = [], []
    for number in (1, 2):
        # Bytes that do not compress: so much that sending them would show.
        state, content = number, bytearray()
        while len(content) < 2_000_000:
            state = hashlib.sha256(str(state).encode()).hexdigest()
            content += bytes.fromhex(state)
        tar = layer_of([(f"Files/Windows/System32/base{number}.dll", bytes(content))])
        diff_ids.append(digest(tar))
        layers.append(modern.put(layer_type, gzip.compress(tar, 6, mtime=0)))
    modern.image("10.0.20348.2582", diff_ids, layers)

    foreign = Layout(os.path.join(directory, "foreign"))
    tar = layer_of([("Files/Windows/System32/old.dll", b"MZ old")])
    packed = gzip.compress(tar, 6, mtime=0)
    url = "https://mcr.microsoft.com/v2/windows/nanoserver/blobs/" + digest(packed)
    layer = foreign.put(DOCKER + "image.rootfs.foreign.diff.tar.gzip", packed, keep=False, urls=[url])
    foreign.image("10.0.18363.1556", [digest(tar)], [layer])
    with open(os.path.join(directory, "facts.json"), "w", encoding="utf-8") as file:
        json.dump({"foreign": layer["digest"], "layer": layer, "base": [it["digest"] for it in layers]}, file)


main(sys.argv[1])
