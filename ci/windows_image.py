"""An image as skopeo pulled it (WORK/pulled), against the base it is on and the files in it. Prints
a line for each check that passed, and fails at the first that does not.

usage: windows_image.py WORK BASE FILES
"""
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile

work, base, files = sys.argv[1:]
pulled = os.path.join(work, "pulled")


def blob(digest, directory=pulled):
    name = digest.removeprefix("sha256:")
    in_layout = os.path.join(directory, "blobs/sha256", name)
    path = in_layout if os.path.exists(in_layout) else os.path.join(directory, name)
    with open(path, "rb") as file:
        content = file.read()
    assert "sha256:" + hashlib.sha256(content).hexdigest() == digest, f"{digest} is altered"
    return content


def of_base():
    with open(os.path.join(base, "index.json"), encoding="utf-8") as file:
        it = json.load(file)
    while "manifests" in it:
        it = json.loads(blob(it["manifests"][0]["digest"], base))
    return it, json.loads(blob(it["config"]["digest"], base))


with open(os.path.join(pulled, "manifest.json"), "rb") as file:
    manifest = json.load(file)
config = json.loads(blob(manifest["config"]["digest"]))
base_manifest, base_config = of_base()
count = len(base_manifest["layers"])

assert manifest["layers"][:count] == base_manifest["layers"]
print("the base's layers are listed field for field")
diff_ids = config["rootfs"]["diff_ids"]
assert len(diff_ids) == len(manifest["layers"]) == len([it for it in config["history"] if not it.get("empty_layer")])
for diff_id, layer in zip(diff_ids, manifest["layers"]):
    assert "sha256:" + hashlib.sha256(gzip.decompress(blob(layer["digest"]))).hexdigest() == diff_id
print("every byte is its digest's, and every layer its diff ID's")
assert config["os.version"] == base_config["os.version"] and config["os"] == "windows"
assert config["rootfs"]["diff_ids"][:count] == base_config["rootfs"]["diff_ids"]
assert config["config"]["Entrypoint"] == ["C:\\app\\hello.exe"] and config["config"]["User"] == "ContainerUser"
print("the config is the base's with what the Dockerfile says, os.version " + config["os.version"])

found = {}
for number, layer in enumerate(manifest["layers"][count:]):
    path = os.path.join(work, f"own-{number}.tar")
    with open(path, "wb") as file:
        file.write(gzip.decompress(blob(layer["digest"])))
    with tarfile.open(path) as tar:
        names = [it.name for it in tar]
        for it in tar:
            if it.isfile():
                found[it.name] = tar.extractfile(it).read()
    for reader in ("tar", "bsdtar"):
        listed = subprocess.run([reader, "-tf", path], check=True, capture_output=True, text=True).stdout
        assert [it.rstrip("/") for it in listed.splitlines()] == names, reader
    assert "Files" in names and "Hives" in names
for name in os.listdir(files):
    with open(os.path.join(files, name), "rb") as file:
        assert found["Files/app/" + name] == file.read(), name
print("GNU tar, bsdtar and tarfile list the new layers alike, and the program in them is the one that was compiled")
