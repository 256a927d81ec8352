#!/usr/bin/env bash
# Where skopeo and longshore go by the same registries.conf: reading, pushing, blocked. On demand;
# needs docker-registry and skopeo (Debian's packages of these names).
#
#   ci/hosts.sh [LONGSHORE]              target/debug/longshore
set -euo pipefail
cd "$(dirname "$0")/.."
longshore=$(realpath "${1:-target/debug/longshore}")
work=$(mktemp -d)
registry=
trap '[ -z "$registry" ] || kill "$registry"; rm -rf "$work"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$work/registry.yml" <<EOF
version: 0.1
storage: {filesystem: {rootdirectory: $work/store}}
http: {addr: "127.0.0.1:$port"}
EOF
docker-registry serve "$work/registry.yml" > "$work/registry.log" 2>&1 &
registry=$!
for _ in $(seq 50); do curl -fs "http://127.0.0.1:$port/v2/" > /dev/null && break; sleep 0.1; done
curl -fs "http://127.0.0.1:$port/v2/" > /dev/null || { cat "$work/registry.log" >&2; exit 1; }
conf=$work/registries.conf
cat > "$conf" <<EOF
[[registry]]
prefix = "registry.example.test/team"
location = "127.0.0.1:$port/mirror"
insecure = true
[[registry]]
location = "127.0.0.1:$port"
insecure = true
[[registry]]
location = "blocked.example.test"
blocked = true
EOF
python3 - "$work/image" <<'EOF'
import hashlib, io, json, os, sys, tarfile
root = sys.argv[1]
os.makedirs(f"{root}/blobs/sha256")
def put(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    open(f"{root}/blobs/sha256/{digest}", "wb").write(content)
    kind = f"application/vnd.oci.image.{kind}"
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as tar:
    tar.addfile(tarfile.TarInfo("empty"))
layer = put("layer.v1.tar", packed.getvalue())
rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
config = put("config.v1+json", json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode())
kind = "application/vnd.oci.image.manifest.v1+json"
manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}
index = {"schemaVersion": 2, "manifests": [put("manifest.v1+json", json.dumps(manifest).encode())]}
json.dump(index, open(f"{root}/index.json", "w"))
open(f"{root}/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
EOF
export HOME=$work
failed=0

# skopeo and longshore, each with its outcome: the first word that fits what they said.
compare() {
  local what=$1 expected=$2 ours theirs
  shift 2
  theirs=$(outcome skopeo --registries-conf "$conf" --insecure-policy copy -q "$1" "docker://$2")
  ours=$(CONTAINERS_REGISTRIES_CONF=$conf outcome "$longshore" push "${1#oci:}" "$2" --connect-timeout 5s)
  printf '%-46s skopeo: %-12s longshore: %s\n' "$what" "$theirs" "$ours"
  [ "$theirs/$ours" = "$expected/$expected" ] || failed=1
}

outcome() {
  local said
  if said=$("$@" 2>&1); then echo done
  elif grep -q "is blocked" <<< "$said"; then echo blocked
  elif grep -q "registry.example.test" <<< "$said"; then echo "by name"
  else echo "$said" >&2; echo failed
  fi
}

compare "push to a registry that is insecure" done "oci:$work/image" "127.0.0.1:$port/mirror/app:1"
compare "push to a name with another location" "by name" "oci:$work/image" registry.example.test/team/app:2
compare "read from a name with another location" done docker://registry.example.test/team/app:1 "127.0.0.1:$port/copy/app:1"
compare "push to what is blocked" blocked "oci:$work/image" blocked.example.test/app:1
compare "push to another port of what is blocked" blocked "oci:$work/image" blocked.example.test:5000/app:1
exit "$failed"
