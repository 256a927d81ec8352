#!/usr/bin/env bash
# Clients that others wrote, against `longshore serve` in memory and on disk.
#
#   ci/real-clients.sh                 those that Debian has: skopeo, podman, buildah
#   ci/real-clients.sh --all           crane, oras, regctl, docker and containerd's ctr too
#   ci/real-clients.sh --all --write   also puts the table into docs/clients.md
#   LONGSHORE=path ci/real-clients.sh  with another binary than target/release/longshore
#
# Each pushes an image and an index of two platforms, pushes again, pulls into an
# empty place, lists tags, deletes. After each push everything is read back with
# curl and compared: every blob has its digest, and with clients that do not compress
# anew it is the source's, byte for byte; with those that do, the unpacked files are
# compared. "Pushed again" means that no byte of a blob was sent, by the server's count.
#
# One line a check. A client that is not there is MISSING; Debian's three must be.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"

LONGSHORE=${LONGSHORE:-$here/../target/release/longshore}
PAGE=$here/../docs/clients.md
readonly REQUIRED=(skopeo podman buildah)
readonly ON_DEMAND=(crane oras regctl docker ctr)
readonly COLUMNS_=(push again pull multi-push multi-pull tags delete)
readonly INDEX=application/vnd.oci.image.index.v1+json
readonly ACCEPT="$INDEX, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

all=no
write=no
for argument in "$@"; do
  case $argument in
    --all) all=yes ;;
    --write) write=yes ;;
    *) die "unknown argument: $argument" ;;
  esac
done

need umoci skopeo curl jq tar sha256sum cmp diff
[ "$(id -u)" -eq 0 ] || die "images with owners in them need root"
[ -x "$LONGSHORE" ] || die "no binary at $LONGSHORE: cargo build --release"

# The pinned Go clients are built by, and kept for, the benchmark.
bin=${LONGSHORE_BENCH:-${XDG_CACHE_HOME:-$HOME/.cache}/longshore-bench}/bin
PATH=$PATH:$bin

mkdir -p "$(real_image_dir)"
work=$(mktemp -d "$(real_image_dir)/clients.XXXXXX")
# podman wants its runtime state at a path of at most 50 characters.
short=$(mktemp -d)
trap 'end_all; rm -rf "$work" "$short"' EXIT
export DOCKER_CONFIG=$work/no-credentials REGISTRY_AUTH_FILE=$work/no-credentials/auth.json
mkdir "$DOCKER_CONFIG"
LONGSHORE=$(realpath "$LONGSHORE")
# podman makes names of the directories it reads, and not every path can be one.
cd "$work"
echo '{}' >"$REGISTRY_AUTH_FILE"

# ---- checks -----------------------------------------------------------------

passed=0
failed=0
declare -A cell version

# check COLUMN WHAT COMMAND…: a check of $client at $place. What it prints is the detail.
check() {
  local column=$1 what=$2 detail at="$client|$place|$1"
  shift 2
  if detail=$("$@" 2>&1 </dev/null); then
    passed=$((passed + 1))
    cell[$at]=${cell[$at]:-ok}
    printf 'ok      %-8s %-7s %-38s %s\n' "$client" "$place" "$what" "$(tail -n 1 <<<"$detail")"
  else
    failed=$((failed + 1))
    cell[$at]=FAIL
    printf 'FAIL    %-8s %-7s %-38s %s\n' "$client" "$place" "$what" "$(tail -n 3 <<<"$detail" | tr '\n' ' ')"
  fi
}

equal() {
  [ "$1" = "$2" ] || { printf 'got %s, expected %s' "${1:-nothing}" "$2"; return 1; }
  printf '%s' "$2"
}

# fetch REPOSITORY REFERENCE DIR: reads all of an image with curl into DIR/blobs, each
# blob checked against its name; prints the digest it is under.
fetch() {
  local repository=$1 reference=$2 dir=$3 digest child
  mkdir -p "$dir/blobs/sha256"
  curl -sSf -H "Accept: $ACCEPT" -o "$dir/manifest" "http://$ADDRESS/v2/$repository/manifests/$reference"
  digest=$(sha256sum <"$dir/manifest" | cut -d' ' -f1)
  mv "$dir/manifest" "$dir/blobs/sha256/$digest"
  for child in $(jq -r '.manifests[]?.digest' "$dir/blobs/sha256/$digest"); do
    [ "$(fetch "$repository" "$child" "$dir")" = "$child" ] || { say "$child has another digest"; return 1; }
  done
  for child in $(jq -r '[.config // empty, .layers[]?] | .[].digest' "$dir/blobs/sha256/$digest"); do
    curl -sSf -o "$dir/blobs/sha256/${child#*:}" "http://$ADDRESS/v2/$repository/blobs/$child"
    (cd "$dir/blobs/sha256" && sha256sum --quiet -c <<<"${child#*:}  ${child#*:}") || return 1
  done
  printf 'sha256:%s\n' "$digest"
}

# stored REPOSITORY REFERENCE LAYOUT: what the registry has is the layout's, byte for byte.
stored() {
  local out
  out=$(mktemp -d "$work/fetched.XXXXXX")
  equal "$(fetch "$1" "$2" "$out")" "$(root_of "$3")" || return 1
  same_blobs "$out" "$3"
}

same_blobs() { diff -r "$1/blobs" "$2/blobs" && printf ' %s blobs equal' "$(find "$1/blobs" -type f | wc -l)"; }

root_of() { jq -r '.manifests[0].digest' "$1/index.json"; }

# sound REPOSITORY REFERENCE [DIGEST]: all of it is there and has its digest; if given, its own is this one.
sound() {
  local out digest
  out=$(mktemp -d "$work/fetched.XXXXXX")
  digest=$(fetch "$1" "$2" "$out") || return 1
  [ $# -lt 3 ] || equal "$digest" "$3" >/dev/null || { equal "$digest" "$3"; return 1; }
  printf '%s, %s blobs have their digests' "${digest:0:19}" "$(find "$out/blobs" -type f | wc -l)"
}

# unpacked REPOSITORY REFERENCE LISTING: the files of an image, unpacked, are those of the listing.
unpacked() {
  rm -rf "$work/copy" "$work/bundle"
  skopeo copy -q --src-tls-verify=false "docker://$ADDRESS/$1:$2" "oci:$work/copy:it" || return 1
  umoci unpack --image "$work/copy:it" "$work/bundle" >"$work/umoci.log" 2>&1 || { tail -n 3 "$work/umoci.log"; return 1; }
  same_files "$work/bundle/rootfs" "$3"
}

same_files() {
  tree_listing "$1" | diff "$3" - 2>/dev/null || tree_listing "$1" | diff "$2" - || return 1
  printf '%s files equal' "$(grep -c '^f ' "$2")"
}

# received: how many bytes of blobs the registry has been sent so far, by its own count.
received() {
  curl -sSf "http://$ADDRESS/metrics" |
    awk '/^longshore_received_body_bytes_total\{endpoint="(upload|mount)/ {sum += $NF} END {print sum + 0}'
}

# sends COMMAND…: the command, during which bytes of blobs are sent.
sends() {
  local before sent
  before=$(received)
  quiet "$@" || return 1
  sent=$(($(received) - before))
  [ "$sent" -gt 0 ] || { printf 'the registry counted no byte'; return 1; }
  printf '%s bytes' "$sent"
}

# nothing_sent COMMAND…: the command, during which no byte of a blob is sent.
nothing_sent() {
  local before
  before=$(received)
  "$@" >"$work/again.log" 2>&1 || { tail -n 3 "$work/again.log"; return 1; }
  equal "$(($(received) - before)) bytes" "0 bytes"
}

quiet() { "$@" >"$work/quiet.log" 2>&1 || { tail -n 5 "$work/quiet.log"; return 1; }; }

status() { curl -s -o /dev/null -w '%{http_code}' -I -H "Accept: $ACCEPT" "http://$ADDRESS/v2/$1/manifests/$2"; }

# gone REPOSITORY REFERENCE COMMAND…: it is there, and after the command it is not.
gone() {
  local repository=$1 reference=$2
  shift 2
  equal "$(status "$repository" "$reference")" 200 >/dev/null || { printf 'it was not there before'; return 1; }
  quiet "$@" || return 1
  equal "$(status "$repository" "$reference")" 404
}

# lists EXPECTED COMMAND…: the words the command prints, sorted, are those expected.
lists() {
  local expected=$1
  shift
  equal "$("$@" 2>/dev/null | tr -s ' \n' '\n' | LC_ALL=C sort | tr '\n' ' ')" "$expected "
}

# ---- what is pushed ---------------------------------------------------------

# An image of three layers with what file systems have: modes, owners, links, a
# whiteout, a name that is not ASCII, a file of some megabytes.
make_image() {
  local layout=$1 tag=$2 arch=$3 tree=$work/tree/${1##*/}-$3 umoci="umoci --log=error"
  mkdir -p "$tree/base/bin" "$tree/base/share/doc" "$tree/more"
  head -c 3000000 /dev/urandom >"$tree/base/bin/program-$arch"
  chmod 4755 "$tree/base/bin/program-$arch"
  ln "$tree/base/bin/program-$arch" "$tree/base/bin/same"
  ln -s ../bin/same "$tree/base/share/link"
  for n in $(seq 200); do echo "$arch $n" >"$tree/base/share/doc/$n"; done
  echo gone >"$tree/base/share/gone"
  echo grüße >"$tree/more/naïve name"
  chown 1234:5678 "$tree/more/naïve name"
  chmod 600 "$tree/more/naïve name"
  $umoci new --image "$layout:$tag"
  $umoci config --image "$layout:$tag" --architecture "$arch" --os linux --config.cmd /base/bin/same
  $umoci insert --image "$layout:$tag" "$tree/base" /base
  $umoci insert --image "$layout:$tag" "$tree/more" /more
  $umoci insert --image "$layout:$tag" --whiteout /base/share/gone
}

make_images() {
  local child
  image=$work/image
  multi=$work/multi
  umoci init --layout "$image"
  make_image "$image" 1.2 amd64
  umoci gc --layout "$image"
  umoci unpack --image "$image:1.2" "$work/original" >/dev/null 2>&1
  tree_listing "$work/original/rootfs" >"$work/listing"
  rm -rf "$work/original"

  umoci init --layout "$multi"
  for child in amd64 arm64; do make_image "$multi" "$child" "$child"; done
  umoci gc --layout "$multi"
  cp -r "$multi" "$work/parts"
  jq -c '{schemaVersion: 2, mediaType: "'$INDEX'", manifests: [.manifests[]
      | {mediaType, digest, size, platform: {os: "linux", architecture: .annotations["org.opencontainers.image.ref.name"]}}]}' \
    "$multi/index.json" >"$work/index"
  child=$(sha256sum <"$work/index" | cut -d' ' -f1)
  cp "$work/index" "$multi/blobs/sha256/$child"
  jq -nc '{schemaVersion: 2, manifests: [{mediaType: "'$INDEX'", digest: "sha256:'"$child"'", size: '"$(stat -c %s "$work/index")"',
      annotations: {"org.opencontainers.image.ref.name": "1.2"}}]}' >"$multi/index.json"
  # What docker and containerd can load.
  skopeo copy -q "oci:$image:1.2" "docker-archive:$work/docker.tar:example.com/app:1.2"
  tar -C "$multi" -cf "$work/multi.tar" .
  tar -C "$image" -cf "$work/image.tar" .
}

config_of() { jq -r .config.digest "$1/blobs/${2/://}"; }

# part ARCHITECTURE: the digest of one image of the index.
part() { jq -r --arg name "$1" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $name) | .digest' "$work/parts/index.json"; }

# ---- the clients ------------------------------------------------------------

client_skopeo() {
  local to="docker://$ADDRESS/skopeo" out=$work/skopeo-$place flags=(--dest-tls-verify=false --src-tls-verify=false)
  check push "push" sends skopeo copy "${flags[@]}" "oci:$image:1.2" "$to/app:1.2"
  check push "every byte is stored" stored skopeo/app 1.2 "$image"
  check again "push again sends no blob" nothing_sent skopeo copy "${flags[@]}" "oci:$image:1.2" "$to/app:1.2"
  check again "push to another tag sends no blob" nothing_sent skopeo copy "${flags[@]}" "oci:$image:1.2" "$to/app:latest"
  check pull "pull" quiet skopeo copy "${flags[@]}" "$to/app:1.2" "oci:$out:1.2"
  check pull "every byte came back" same_blobs "$out" "$image"
  check multi-push "push of an index" sends skopeo copy --all "${flags[@]}" "oci:$multi:1.2" "$to/multi:1.2"
  check multi-push "every byte of the index is stored" stored skopeo/multi 1.2 "$multi"
  check multi-pull "pull of an index" quiet skopeo copy --all "${flags[@]}" "$to/multi:1.2" "oci:$out-multi:1.2"
  check multi-pull "every byte of the index came back" same_blobs "$out-multi" "$multi"
  check tags "list of tags" equal "$(skopeo list-tags --tls-verify=false "$to/app" | jq -c .Tags)" '["1.2","latest"]'
  check delete "delete" gone skopeo/app 1.2 skopeo delete --tls-verify=false "$to/app:1.2"
}

# podman_at DIR ARGUMENT…: podman with a storage of its own.
podman_at() {
  local dir=$1
  shift
  podman --root "$dir/root" --runroot "$short/${dir##*/}" --tmpdir "$short/tmp-${dir##*/}" --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"
}

podman_files() {
  local at
  at=$(podman_at "$1" image mount "$2") || return 1
  same_files "$at" "$work/listing"
}

client_podman() {
  local first=$work/podman-$place second=$work/podman-$place-2 to=$ADDRESS/podman id child
  id=$(podman_at "$first" pull -q oci:image:1.2)
  check push "push" sends podman_at "$first" push --tls-verify=false --digestfile "$work/digest" "$id" "docker://$to/app:1.2"
  check push "all is stored under its digests" sound podman/app 1.2 "$(cat "$work/digest")"
  check push "what is stored unpacks to the same files" unpacked podman/app 1.2 "$work/listing"
  check again "push again sends no blob" nothing_sent podman_at "$first" push --tls-verify=false "$id" "docker://$to/app:1.2"
  check pull "pull" quiet podman_at "$second" pull --tls-verify=false "$to/app:1.2"
  check pull "it is the same image" equal "$(podman_at "$second" image inspect --format '{{.Id}}' "$to/app:1.2")" "$id"
  check pull "it has the same files" podman_files "$second" "$to/app:1.2"
  podman_at "$first" manifest create both >/dev/null
  for child in amd64 arm64; do quiet podman_at "$first" manifest add both "oci:parts:$child"; done
  check multi-push "push of an index" sends podman_at "$first" manifest push --all --tls-verify=false --digestfile "$work/digest" both "docker://$to/multi:1.2"
  check multi-push "all of the index is stored" sound podman/multi 1.2 "$(cat "$work/digest")"
  for child in amd64 arm64; do
    check multi-pull "pull of one platform" quiet podman_at "$second" pull --tls-verify=false --platform "linux/$child" "$to/multi:1.2"
    check multi-pull "it is that platform's image" equal "sha256:$(podman_at "$second" image inspect --format '{{.Id}}' "$to/multi:1.2")" \
      "$(config_of "$work/parts" "$(part "$child")")"
  done
  check tags "list of tags" equal "$(podman_at "$first" search --list-tags --tls-verify=false --format json "$to/app" | jq -c '.[].Tags')" '["1.2"]'
}

buildah_at() {
  local dir=$1
  shift
  buildah --root "$dir/root" --runroot "$dir/run" --storage-driver vfs "$@"
}

buildah_files() {
  local container at
  container=$(buildah_at "$1" from --pull-never "$2") || return 1
  at=$(buildah_at "$1" mount "$container") || return 1
  same_files "$at" "$3"
}

client_buildah() {
  local first=$work/buildah-$place second=$work/buildah-$place-2 to=$ADDRESS/buildah container id child
  container=$(buildah_at "$first" from -q oci:image:1.2)
  head -c 100000 /dev/urandom >"$work/added"
  buildah_at "$first" copy -q --chown 7:8 "$container" "$work/added" /more/added >/dev/null
  id=$(buildah_at "$first" commit -q "$container" built)
  tree_listing "$(buildah_at "$first" mount "$container")" >"$work/listing.built"
  check push "push of an image it has built" sends buildah_at "$first" push --tls-verify=false --digestfile "$work/digest" "$id" "docker://$to/app:1.2"
  check push "all is stored under its digests" sound buildah/app 1.2 "$(cat "$work/digest")"
  check push "what is stored unpacks to the same files" unpacked buildah/app 1.2 "$work/listing.built"
  check again "push again sends no blob" nothing_sent buildah_at "$first" push --tls-verify=false "$id" "docker://$to/app:1.2"
  check pull "pull" quiet buildah_at "$second" pull --tls-verify=false "$to/app:1.2"
  check pull "it is the same image" equal "$(buildah_at "$second" inspect --type image --format '{{.FromImageID}}' "$to/app:1.2")" "$id"
  check pull "it has the same files" buildah_files "$second" "$to/app:1.2" "$work/listing.built"
  buildah_at "$first" manifest create both >/dev/null
  for child in amd64 arm64; do quiet buildah_at "$first" manifest add both "oci:parts:$child"; done
  check multi-push "push of an index" sends buildah_at "$first" manifest push --all --tls-verify=false --digestfile "$work/digest" both "docker://$to/multi:1.2"
  check multi-push "all of the index is stored" sound buildah/multi 1.2 "$(cat "$work/digest")"
  check multi-pull "pull of one platform" quiet buildah_at "$second" pull --tls-verify=false --arch arm64 "$to/multi:1.2"
  check multi-pull "it is that platform's image" equal \
    "sha256:$(buildah_at "$second" inspect --type image --format '{{.FromImageID}}' "$to/multi:1.2")" "$(config_of "$work/parts" "$(part arm64)")"
}

client_crane() {
  local to=$ADDRESS/crane out=$work/crane-$place
  check push "push" sends crane push --insecure "$image" "$to/app:1.2"
  check push "every byte is stored" stored crane/app 1.2 "$image"
  check again "push again sends no blob" nothing_sent crane push --insecure "$image" "$to/app:1.2"
  check again "tag" quiet crane tag --insecure "$to/app:1.2" latest
  check again "copy to another repository mounts" nothing_sent crane copy --insecure "$to/app:1.2" "$to/copy:1.2"
  check pull "pull" quiet crane pull --insecure --format=oci "$to/app:1.2" "$out"
  check pull "every byte came back" same_blobs "$out" "$image"
  check multi-push "push of an index" sends crane push --index --insecure "$multi" "$to/multi:1.2"
  check multi-push "the index is complete" sound crane/multi 1.2
  check multi-pull "pull of an index" quiet crane pull --insecure --format=oci "$to/multi:1.2" "$out-multi"
  check multi-pull "validation of all it has" quiet crane validate --insecure --remote "$to/multi:1.2"
  check tags "list of tags" lists "1.2 latest" crane ls --insecure "$to/app"
  check delete "delete" gone crane/app 1.2 crane delete --insecure "$to/app:1.2"
}

client_oras() {
  local to=$ADDRESS/oras out=$work/oras-$place subject
  subject=$to/app@$(root_of "$image")
  check push "push" sends oras cp --no-tty --from-oci-layout --to-plain-http "$image:1.2" "$to/app:1.2"
  check push "every byte is stored" stored oras/app 1.2 "$image"
  check again "push again sends no blob" nothing_sent oras cp --no-tty --from-oci-layout --to-plain-http "$image:1.2" "$to/app:1.2,latest"
  check pull "pull" quiet oras cp --no-tty --from-plain-http --to-oci-layout "$to/app:1.2" "$out:1.2"
  check pull "every byte came back" same_blobs "$out" "$image"
  check multi-push "push of an index" sends oras cp --no-tty --from-oci-layout --to-plain-http "$multi:1.2" "$to/multi:1.2"
  check multi-push "every byte of the index is stored" stored oras/multi 1.2 "$multi"
  check multi-pull "pull of an index" quiet oras cp --no-tty --from-plain-http --to-oci-layout "$to/multi:1.2" "$out-multi:1.2"
  check multi-pull "every byte of the index came back" same_blobs "$out-multi" "$multi"
  echo signed >"$work/signature.txt"
  check push "attach an artifact" quiet env -C "$work" oras attach --no-tty --plain-http --artifact-type application/vnd.example.signature "$subject" signature.txt
  check tags "discover it" equal "$(oras discover --plain-http --format json "$subject" | jq -r '(.referrers // .manifests)[].artifactType')" application/vnd.example.signature
  check tags "list of tags" lists "1.2 latest" oras repo tags --plain-http "$to/app"
  check delete "delete" gone oras/app 1.2 oras manifest delete --force --plain-http "$to/app:1.2"
}

client_regctl() {
  local to=$ADDRESS/regctl out=$work/regctl-$place regctl=(regctl --host "reg=$ADDRESS,tls=disabled")
  check push "push" sends "${regctl[@]}" image copy "ocidir://$image:1.2" "$to/app:1.2"
  check push "every byte is stored" stored regctl/app 1.2 "$image"
  check again "push again sends no blob" nothing_sent "${regctl[@]}" image copy "ocidir://$image:1.2" "$to/app:latest"
  check again "copy to another repository mounts" nothing_sent "${regctl[@]}" image copy "$to/app:1.2" "$to/copy:1.2"
  check pull "pull" quiet "${regctl[@]}" image copy "$to/app:1.2" "ocidir://$out:1.2"
  check pull "every byte came back" same_blobs "$out" "$image"
  check multi-push "push of an index" sends "${regctl[@]}" image copy "ocidir://$multi:1.2" "$to/multi:1.2"
  check multi-push "every byte of the index is stored" stored regctl/multi 1.2 "$multi"
  check multi-pull "pull of an index" quiet "${regctl[@]}" image copy "$to/multi:1.2" "ocidir://$out-multi:1.2"
  check multi-pull "every byte of the index came back" same_blobs "$out-multi" "$multi"
  check tags "list of tags" lists "1.2 latest" "${regctl[@]}" tag ls "$to/app"
  check delete "delete of a tag" gone regctl/app latest "${regctl[@]}" tag delete "$to/app:latest"
  check delete "the other tag is still there" equal "$(status regctl/app 1.2)" 200
  check delete "delete of a manifest" gone regctl/app 1.2 "${regctl[@]}" manifest delete "$to/app@$(root_of "$image")"
}

# start_docker DIR: a daemon of its own. Sets DOCKER_HOST.
start_docker() {
  local dir=$1 try
  mkdir -p "$dir"
  echo '{}' >"$dir/config.json"
  dockerd --config-file "$dir/config.json" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" -H "unix://$dir/socket" \
    --storage-driver vfs --bridge=none --iptables=false --ip6tables=false >"$dir/log" 2>&1 </dev/null &
  BACKGROUND+=("$!")
  export DOCKER_HOST=unix://$dir/socket
  for ((try = 0; try < 200; try++)); do
    docker version >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  tail -n 2 "$dir/log" >&2
  return 1
}

client_docker() {
  local to=$ADDRESS/docker id
  start_docker "$work/docker-$place" || { check push "the daemon starts" false; return 0; }
  quiet docker load -i "$work/docker.tar"
  quiet docker tag example.com/app:1.2 "$to/app:1.2"
  id=$(docker image inspect --format '{{.Id}}' "$to/app:1.2")
  check push "push" sends docker push "$to/app:1.2"
  check push "all is stored under its digests" sound docker/app 1.2
  check push "what is stored unpacks to the same files" unpacked docker/app 1.2 "$work/listing"
  quiet docker tag "$to/app:1.2" "$to/app:latest"
  check again "push again sends no blob" nothing_sent docker push "$to/app:latest"
  quiet docker rmi "$to/app:1.2" "$to/app:latest" example.com/app:1.2
  check pull "pull" quiet docker pull "$to/app:1.2"
  check pull "it is the same image" equal "$(docker image inspect --format '{{.Id}}' "$to/app:1.2")" "$id"
  quiet skopeo copy --all --dest-tls-verify=false "oci:$multi:1.2" "docker://$to/multi:1.2"
  check multi-pull "pull of one platform" quiet docker pull --platform linux/arm64 "$to/multi:1.2"
  check multi-pull "it is that platform's image" equal "$(docker image inspect --format '{{.Architecture}}' "$to/multi:1.2")" arm64
}

# start_containerd DIR: a daemon of its own, for `ctr_at DIR`.
start_containerd() {
  local dir=$1 try
  mkdir -p "$dir"
  cat >"$dir/config.toml" <<TOML
version = 2
root = "$dir/root"
state = "$dir/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$dir/socket"
TOML
  containerd --config "$dir/config.toml" >"$dir/log" 2>&1 </dev/null &
  BACKGROUND+=("$!")
  for ((try = 0; try < 200; try++)); do
    ctr_at "$dir" version >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  tail -n 2 "$dir/log" >&2
  return 1
}

ctr_at() {
  local dir=$1
  shift
  ctr -a "$dir/socket" "$@"
}

# came_back DIR LAYOUT: every blob of the layout is in the containerd of DIR.
came_back() {
  local blob
  for blob in "$2"/blobs/sha256/*; do
    ctr_at "$1" content get "sha256:${blob##*/}" | cmp - "$blob" || return 1
  done
  printf '%s blobs equal' "$(find "$2/blobs" -type f | wc -l)"
}

client_ctr() {
  local to=$ADDRESS/ctr first=$work/ctr-$place second=$work/ctr-$place-2 what layout column
  { start_containerd "$first" && start_containerd "$second"; } || { check push "the daemons start" false; return 0; }
  for what in image multi; do
    layout=$work/$what
    column=
    [ $what = image ] || column=multi-
    quiet ctr_at "$first" image import --all-platforms --no-unpack --base-name "$what" "$work/$what.tar"
    check "${column}push" "push of $what" sends ctr_at "$first" image push --plain-http "$to/$what:1.2" "$what:1.2"
    check "${column}push" "every byte of $what is stored" stored "ctr/$what" 1.2 "$layout"
    [ $what = multi ] || check again "push again sends no blob" nothing_sent ctr_at "$first" image push --plain-http "$to/$what:1.2" "$what:1.2"
    check "${column}pull" "pull of $what" quiet ctr_at "$second" content fetch --plain-http --all-platforms "$to/$what:1.2"
    check "${column}pull" "every byte of $what came back" came_back "$second" "$layout"
  done
}

# ---- versions and the page --------------------------------------------------

version_of() {
  case $1 in
    skopeo | podman | buildah) "$1" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 ;;
    crane | oras | regctl) go version -m "$bin/$1" 2>/dev/null | awk '($1 == "mod") {print $3; exit} ($1 == "dep") && $2 ~ /(go-containerregistry|oras|regclient)$/ {print $3; exit}' ;;
    docker) dockerd --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 ;;
    ctr) containerd --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 ;;
  esac
}

table() {
  local column
  # shellcheck disable=SC2016 # backticks are Markdown's
  printf '`longshore serve` %s, %s. A dash: the client has no such command, or the script does not ask for it.\n\n' \
    "$("$LONGSHORE" --version | awk '{print $NF}')" "$(date -u +%F)"
  printf '| Client | Store | Push | Push again | Pull | Push of an index | Pull of an index | List | Delete |\n|---|---|---|---|---|---|---|---|---|\n'
  for client in "${clients[@]}"; do
    for place in memory disk; do
      printf '| %s %s | %s |' "$client" "${version[$client]:-}" "$place"
      for column in "${COLUMNS_[@]}"; do
        printf ' %s |' "${cell[$client|$place|$column]:-${cell[$client|$place|all]:-–}}"
      done
      echo
    done
  done
  echo
}

write_page() {
  table >"$work/table"
  awk -v table="$work/table" '
    /^<!-- \/results -->$/ {on = 0; found++}
    !on
    /^<!-- results -->$/ {on = 1; while ((getline line < table) > 0) print line}
    END {exit !found}' "$PAGE" >"$work/page" || die "$PAGE has no results markers"
  cat "$work/page" >"$PAGE"
}

# ---- the run ----------------------------------------------------------------

is_there() {
  case $1 in
    docker) command -v docker >/dev/null && command -v dockerd >/dev/null ;;
    ctr) command -v ctr >/dev/null && command -v containerd >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing() {
  cell[$1|$2|all]=MISSING
  printf 'MISSING %-8s %-7s\n' "$1" "$2"
  case " ${REQUIRED[*]} " in *" $1 "*) failed=$((failed + 1)) ;; esac
}

clients=("${REQUIRED[@]}")
if [ "$all" = yes ]; then
  clients+=("${ON_DEMAND[@]}")
  (cd "$here/../bench" && python3 -B -c 'import os, peers, sys; peers.install(os.path.dirname(sys.argv[1]))' "$bin") ||
    say "the Go clients could not all be built"
fi

make_images
for place in memory disk; do
  for client in "${clients[@]}"; do
    is_there "$client" || { missing "$client" "$place"; continue; }
    version[$client]=$(version_of "$client" || true)
    # A registry for each: what one client left would be mounted by the next.
    arguments=()
    [ "$place" = memory ] || arguments=(--store "$work/serve-$client/store")
    start_serve "$LONGSHORE" "$work/serve-$client" "${arguments[@]}"
    began=$SECONDS
    "client_$client"
    printf '        %-8s %-7s %s s\n' "$client" "$place" $((SECONDS - began))
    end_all
    rm -rf "$work/serve-$client"
  done
done
[ "$write" = no ] || write_page

printf 'real-clients: %s checks passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
