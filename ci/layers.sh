#!/usr/bin/env bash
# Layers as longshore writes them, read by programs that know nothing of it: GNU tar, bsdtar (libarchive),
# Python's tarfile, gzip, zstd, and umoci, which reads as container engines do (Go's archive/tar). Each has to
# list every entry with its type, size and link, and give every file back as it was. And the same layer again
# from a copy of the files with other times, modes, owners and order, under another umask, locale, time zone
# and number of threads: the same bytes.
#
# What reads a Windows layer in earnest, hcsshim's importer, runs on Windows only and is not among them.
#
# usage: ci/layers.sh
#
# $LAYER_OF is the program to run (default: the example of crates/wcow, built here). Installs nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"
cd "$here/.."

# Debian's: another Python may come first.
readonly PYTHON=/usr/bin/python3

need tar bsdtar gzip zstd umoci jq sha256sum "$PYTHON"
if [ -z "${LAYER_OF:-}" ]; then
  cargo build --quiet --locked -p longshore-wcow --example layer_of
  LAYER_OF=${CARGO_TARGET_DIR:-target}/debug/examples/layer_of
fi
[ -x "$LAYER_OF" ] || die "there is no $LAYER_OF"

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
passed=0
ok() { echo "ok      $*"; passed=$((passed + 1)); }

# ---- what goes in -------------------------------------------------------------

# make_source DIRECTORY: names long and foreign, files empty and of several blocks.
make_source() (
  mkdir -p "$1"
  cd "$1"
  mkdir -p "Program Files/App/empty" Straße/東京 a a-b
  long=$(printf 'long-directory-name-%d/' 1 2 3 4 5 6 7)
  mkdir -p "$long"
  printf 'MZ hello\r\n' >"Program Files/App/hello.exe"
  : >a/nothing
  printf x >a-b/one
  head -c 511 /dev/zero >a/511
  head -c 512 /dev/zero >a/512
  head -c 513 /dev/zero >a/513
  printf deep >"$long/$(printf 'n%.0s' $(seq 200)).txt"
  printf tokyo >"Straße/東京/😀.txt"
  seq 400000 >a/numbers
  ln -s numbers a/link
  ln -s ../a a-b/to-a
)

make_source "$WORK/source"
# The same again, later, by another order and for its owner only.
(umask 077; make_source "$WORK/first"; mkdir "$WORK/again"; cd "$WORK/first"; tar -c . | tar -x -C "$WORK/again")
find "$WORK/again" -exec touch -h -d 2001-02-03 {} +
chmod -R u=rwX,go= "$WORK/again"
# Only root can give files away; who reads them then is root as well.
[ "$(id -u)" -ne 0 ] || chown -hR 12345:6789 "$WORK/again"

# ---- the same bytes -----------------------------------------------------------

(
  umask 022
  export LC_ALL=C TZ=UTC
  for system in windows linux; do
    for format in none gzip zstd; do
      "$LAYER_OF" "$system" "$WORK/source" "$WORK/$system.$format" "$format" 1 >"$WORK/$system.$format.json"
    done
  done
)
(
  umask 077
  for system in windows linux; do
    for format in none gzip zstd; do
      env LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 TZ=Asia/Tokyo \
        "$LAYER_OF" "$system" "$WORK/again" "$WORK/$system.$format.again" "$format" 3 >/dev/null
    done
  done
)
for system in windows linux; do
  for format in none gzip zstd; do
    cmp "$WORK/$system.$format" "$WORK/$system.$format.again"
    ok "$system $format: the same bytes from other times, modes, owners, umask, locale and threads"
    [ "sha256:$(sha256sum <"$WORK/$system.$format" | cut -d' ' -f1)" = "$(jq -r .digest "$WORK/$system.$format.json")" ]
    [ "sha256:$(sha256sum <"$WORK/$system.none" | cut -d' ' -f1)" = "$(jq -r .diff_id "$WORK/$system.$format.json")" ]
    ok "$system $format: digest and diff_id are those of sha256sum"
  done
  gzip -dc <"$WORK/$system.gzip" | cmp - "$WORK/$system.none"
  zstd -dqc <"$WORK/$system.zstd" | cmp - "$WORK/$system.none"
  ok "$system: gzip and zstd give the tar back"
done

# ---- other readers ------------------------------------------------------------

"$PYTHON" - "$WORK" <<'PY'
import gzip, os, stat, subprocess, sys, tarfile

work, passed = sys.argv[1], 0
source = os.path.join(work, "source")
environment = dict(os.environ, LC_ALL="C.UTF-8", TZ="UTC")


def check(what, actual, expected):
    if actual != expected:
        for a, b in zip(actual, expected):
            if a != b:
                sys.exit(f"layers: {what}: {a} is not {b}")
        sys.exit(f"layers: {what}: {len(actual)} entries, not {len(expected)}")
    print(f"ok      {what}: {len(actual)} entries")


def found(prefix):
    """What a layer has to have: name, type, size, link."""
    for directory, directories, files in os.walk(source):
        for name in directories + files:
            path = os.path.join(directory, name)
            inner = prefix + os.path.relpath(path, source)
            if os.path.islink(path):
                yield inner, "l", 0, os.readlink(path)
            elif os.path.isdir(path):
                yield inner, "d", 0, ""
            else:
                yield inner, "-", os.path.getsize(path), ""


def by_bytes(entries):
    return sorted(entries, key=lambda it: it[0].encode())


windows = [("Files", "d", 0, "")] + by_bytes(found("Files/")) + [("Hives", "d", 0, "")]
linux = by_bytes(found(""))


def of_listing(text, size_column, name_column):
    for line in text.splitlines():
        fields = line.split(None, name_column)
        name, _, link = fields[name_column].partition(" -> ")
        yield name.rstrip("/"), line[0], int(fields[size_column]) if line[0] == "-" else 0, link


def run(*command):
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout.decode()


KINDS = {tarfile.REGTYPE: "-", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l"}
for system, expected in ("windows", windows), ("linux", linux):
    for ending in "none", "gzip":
        path = os.path.join(work, f"{system}.{ending}")
        listed = run("tar", "--warning=no-unknown-keyword", "--quoting-style=literal", "-tvf", path)
        check(f"{system} {ending}: GNU tar", list(of_listing(listed, 2, 5)), expected)
        check(f"{system} {ending}: bsdtar", list(of_listing(run("bsdtar", "-tvf", path), 4, 8)), expected)
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            check(f"{system} {ending}: tarfile", [(it.name, KINDS[it.type], it.size, it.linkname) for it in members], expected)
            for it in members:
                if it.isfile():
                    with open(os.path.join(source, it.name.removeprefix("Files/")), "rb") as file:
                        assert tar.extractfile(it).read() == file.read(), it.name
                if system == "windows":
                    records = it.pax_headers
                    assert records["LIBARCHIVE.creationtime"] == records["atime"] == records["ctime"] == "0", it.name
                    assert int(records["MSWINDOWS.fileattr"]) in (16, 32, 1040, 1056), it.name
                    assert ("MSWINDOWS.rawsd" in records) == (it.name not in ("Files", "Hives")), it.name
                    assert (it.mtime, it.uid, it.gid, it.uname, it.gname) == (0, 0, 0, "", ""), it.name
PY
passed=$((passed + 12))

# ---- unpacked -----------------------------------------------------------------

for reader in tar bsdtar; do
  mkdir "$WORK/$reader"
  "$reader" -xf "$WORK/windows.gzip" -C "$WORK/$reader" 2>"$WORK/said" || { cat "$WORK/said"; die "$reader could not unpack"; }
  diff -r --no-dereference "$WORK/source" "$WORK/$reader/Files"
  [ -z "$(ls -A "$WORK/$reader/Hives")" ]
  ok "windows gzip: unpacked by $reader, every file is the same"
done

# umoci unpacks as engines do: config and manifest have to name the layer.
blob() {
  local digest
  digest=$(sha256sum <"$1" | cut -d' ' -f1)
  cp "$1" "$2/blobs/sha256/$digest"
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%s' "$3" "$digest" "$(stat -c %s "$1")"
}
for system in windows linux; do
  image=$WORK/$system-image
  mkdir -p "$image/blobs/sha256"
  layer=$(blob "$WORK/$system.gzip" "$image" application/vnd.oci.image.layer.v1.tar+gzip)
  diff_id=$(jq -r .diff_id "$WORK/$system.gzip.json")
  # As an image for Linux, since nothing here runs the other.
  printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["%s"]}}' "$diff_id" >"$WORK/config"
  config=$(blob "$WORK/config" "$image" application/vnd.oci.image.config.v1+json)
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s},"layers":[%s}]}' \
    "$config" "$layer" >"$WORK/manifest"
  manifest=$(blob "$WORK/manifest" "$image" application/vnd.oci.image.manifest.v1+json)
  printf '{"schemaVersion":2,"manifests":[%s,"annotations":{"org.opencontainers.image.ref.name":"1"}}]}' "$manifest" >"$image/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$image/oci-layout"
  umoci unpack --rootless --image "$image:1" "$WORK/$system-bundle" >"$WORK/said" 2>&1 || { cat "$WORK/said"; die "umoci could not unpack"; }
  below=$WORK/$system-bundle/rootfs
  [ "$system" = linux ] || below=$below/Files
  diff -r --no-dereference "$WORK/source" "$below"
  ok "$system gzip: unpacked by umoci, every file is the same"
done

echo "layers: $passed checks passed, 0 failed"
