#!/usr/bin/env bash
# Makes a real image that none of this project's code made: Debian by
# debootstrap, real packages on top, layers and manifests written by umoci, the
# archives by skopeo. At least five layers and 200 MB of layer bytes, with
# whiteouts, hard links, symlinks and device-free odd modes, as Debian has them.
#
#   ci/make-image.sh          makes it once, prints the directory it is in
#
# In that directory:
#   layout/      an OCI layout holding one image, tag 1.2
#   multi/       an OCI layout holding an image index of two platforms
#   oci.tar      the same image as an OCI archive; oci.tar.zst, compressed
#   docker.tar   the same image as a docker-save archive; docker.tar.gz, compressed
#
# Needs root (debootstrap, ownership in the layers). The Debian mirror and its
# proxy are those apt is set up with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"

# Changes whenever what is made changes, so that an old image is not taken for a new one.
readonly RECIPE=1
readonly SUITE=bookworm
readonly FALLBACK_MIRROR=http://deb.debian.org/debian
readonly MIN_LAYERS=5
readonly MIN_BYTES=200000000

# One layer per line. Chosen for size, file count and odd names, not for use.
readonly PAYLOADS=(
  "libpython3.11-stdlib python3.11-minimal perl-modules-5.36 libperl5.36 git"
  "openjdk-17-jre-headless"
  "libllvm14 libclang-cpp14"
  "golang-1.19-src"
)

need debootstrap umoci skopeo jq zstd gzip tar dpkg-deb chroot
[ "$(id -u)" -eq 0 ] || die "making the image needs root"

home=$(real_image_dir)
final=$home/image-$RECIPE
if [ -e "$final/done" ]; then
  printf '%s\n' "$final"
  exit 0
fi
mkdir -p "$home"
work=$(mktemp -d "$home/making.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The first Debian mirror apt knows, in either of its two file formats.
mirror() {
  local found
  found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -vE '^[[:space:]]*#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ') || true
  printf '%s\n' "${found:-$FALLBACK_MIRROR}"
}

# debootstrap and the apt inside the new root do not read the host's apt.conf.
use_apt_proxy() {
  local proxy=""
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  if [ -n "$proxy" ] && [ "$proxy" != DIRECT ]; then export http_proxy=$proxy; fi
}

in_root() { chroot "$work/root" /usr/bin/env DEBIAN_FRONTEND=noninteractive "$@" >>"$work/log" 2>&1; }

bootstrap() {
  say "debootstrap $SUITE from $1"
  debootstrap --variant=minbase "$SUITE" "$work/root" "$1" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; die "debootstrap failed"; }
  cp /etc/resolv.conf "$work/root/etc/resolv.conf"
  mkdir "$work/root/payload"
  in_root apt-get -qq update || { tail -n 20 "$work/log" >&2; die "apt-get update failed in the new root"; }
}

# The root's own apt fetches the packages, so that the host's release does not matter.
fetch_payloads() {
  local index
  for index in "${!PAYLOADS[@]}"; do
    say "packages: ${PAYLOADS[$index]}"
    mkdir "$work/root/payload/$index"
    # shellcheck disable=SC2086 # a line is a list of names
    in_root sh -c "cd /payload/$index && chown _apt . && apt-get -qq download ${PAYLOADS[$index]}" ||
      { tail -n 20 "$work/log" >&2; die "could not fetch ${PAYLOADS[$index]}"; }
  done
  mv "$work/root/payload" "$work/payload"
  in_root apt-get clean
}

# repack TEXT: what changed in the bundle's root becomes a layer.
repack() {
  umoci repack --refresh-bundle --image "$work/layout:1.2" --history.comment "$1" "$work/bundle" >>"$work/log" 2>&1
}

layers() {
  umoci init --layout "$work/layout"
  umoci new --image "$work/layout:1.2"
  umoci unpack --image "$work/layout:1.2" "$work/bundle" >>"$work/log" 2>&1

  say "layer: the base system"
  cp -a "$work/root/." "$work/bundle/rootfs/"
  repack "the base system"

  local index deb
  for index in "${!PAYLOADS[@]}"; do
    say "layer: ${PAYLOADS[$index]}"
    for deb in "$work/payload/$index"/*.deb; do
      dpkg-deb -x "$deb" "$work/bundle/rootfs"
    done
    repack "packages ${PAYLOADS[$index]}"
  done

  say "layer: removals"
  rm -rf "$work/bundle/rootfs/var/cache/apt" "$work/bundle/rootfs/var/lib/apt/lists" "$work/bundle/rootfs/usr/share/doc"
  repack "removals"

  say "layer: one inserted file"
  printf 'a file with a name of its own\n' >"$work/note"
  umoci insert --image "$work/layout:1.2" "$work/note" "/srv/näme with spaces" >>"$work/log" 2>&1
  umoci config --image "$work/layout:1.2" --config.cmd /bin/bash --config.env LANG=C.UTF-8 \
    --config.label org.example.made-by=umoci
  umoci gc --layout "$work/layout" >>"$work/log" 2>&1
}

# A layout whose only entry is an image index of two platforms that share every
# layer: the second manifest is umoci's, with another architecture in its config.
multi() {
  local index digest size
  cp -al "$work/layout" "$work/multi"
  rm "$work/multi/index.json"
  cp "$work/layout/index.json" "$work/multi/index.json"
  umoci config --image "$work/multi:1.2" --tag other --architecture arm64
  index=$(jq -cj '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
      .manifests[] | {mediaType, digest, size, platform: {os: "linux",
        architecture: (if .annotations["org.opencontainers.image.ref.name"] == "other" then "arm64" else "amd64" end)}}]}' \
    "$work/multi/index.json")
  digest=$(printf %s "$index" | sha256sum | cut -d' ' -f1)
  size=$(printf %s "$index" | wc -c)
  printf %s "$index" >"$work/multi/blobs/sha256/$digest"
  jq -n --arg digest "sha256:$digest" --argjson size "$size" '{schemaVersion: 2, manifests: [
      {mediaType: "application/vnd.oci.image.index.v1+json", digest: $digest, size: $size,
       annotations: {"org.opencontainers.image.ref.name": "multi"}}]}' >"$work/multi/index.json"
}

archives() {
  say "archives"
  skopeo copy -q "oci:$work/layout:1.2" "oci-archive:$work/oci.tar:1.2"
  skopeo copy -q "oci:$work/layout:1.2" "docker-archive:$work/docker.tar:example.com/team/app:1.2"
  zstd -q -T0 -1 "$work/oci.tar" -o "$work/oci.tar.zst"
  gzip -1 -c "$work/docker.tar" >"$work/docker.tar.gz"
}

measure() {
  local manifest
  manifest=$work/layout/blobs/sha256/$(jq -r '.manifests[0].digest | ltrimstr("sha256:")' "$work/layout/index.json")
  count=$(jq '.layers | length' "$manifest")
  bytes=$(jq '[.layers[].size] | add' "$manifest")
  [ "$count" -ge "$MIN_LAYERS" ] || die "only $count layers"
  [ "$bytes" -ge "$MIN_BYTES" ] || die "only $bytes bytes of layers"
}

use_apt_proxy
bootstrap "$(mirror)"
fetch_payloads
layers
multi
archives
measure
rm -rf "$work/root" "$work/payload" "$work/bundle" "$work/note" "$work/log"
printf '%s layers, %s bytes\n' "$count" "$bytes" >"$work/done"
rm -rf "$final"
mv "$work" "$final"
trap - EXIT
say "made: $count layers, $bytes bytes"
printf '%s\n' "$final"
