#!/usr/bin/env bash
# Pushes a real image through real parts and reads it back.
#
#   ci/real-image.sh                 with target/release/longshore
#   LONGSHORE=path ci/real-image.sh  with another binary
#
# The image is ci/make-image.sh's. It goes to Debian's docker-registry and to
# `longshore serve`, from a layout, an index of two platforms, and archives; skopeo pulls
# it back; manifests and blobs must be equal byte for byte, and the unpacked
# trees equal file for file. What is claimed about requests is read from
# docker-registry's own access log, not from our report alone.
#
# One row a check; the last line says how many passed and how many failed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"

LONGSHORE=${LONGSHORE:-$here/../target/release/longshore}

# Where our report says what: the only place that knows its field names.
readonly AT_DIGEST='.digest'
readonly AT_UPLOADED='.bytes.uploaded'
readonly AT_MOUNTED='.bytes.mounted'
readonly AT_PRESENT='.bytes.present'
readonly AT_REQUESTS='.requests.total'

need docker-registry skopeo umoci jq cmp diff sha256sum openssl htpasswd
[ "$(id -u)" -eq 0 ] || die "unpacking the image needs root"
[ -x "$LONGSHORE" ] || die "no binary at $LONGSHORE: cargo build --release"
image=$("$here/make-image.sh")
layout=$image/layout

work=$(mktemp -d "$(real_image_dir)/run.XXXXXX")
trap 'end_all; rm -rf "$work"' EXIT
export DOCKER_CONFIG=$work/no-credentials
mkdir "$DOCKER_CONFIG"

# ---- rows -------------------------------------------------------------------

passed=0
failed=0

# check WHAT COMMAND…: a row. What the command prints is the row's detail.
check() {
  local what=$1 detail
  shift
  if detail=$("$@" 2>&1); then
    passed=$((passed + 1))
    printf 'ok      %-52s %s\n' "$what" "$detail"
  else
    failed=$((failed + 1))
    printf 'FAILED  %-52s %s\n' "$what" "$detail"
  fi
}

equal() {
  [ "$1" = "$2" ] || { printf 'got %s, expected %s' "${1:-nothing}" "$2"; return 1; }
  printf '%s' "$2"
}

at_least() {
  [ "${1:-0}" -ge "$2" ] || { printf 'got %s, expected at least %s' "${1:-nothing}" "$2"; return 1; }
  printf '%s' "$1"
}

# ---- the image, as its layout says -----------------------------------------

blob() { printf '%s/blobs/%s' "$1" "${2/://}"; }
root_of() { jq -r '.manifests[0].digest' "$1/index.json"; }

manifest=$(blob "$layout" "$(root_of "$layout")")
blob_bytes=$(jq '[.config, .layers[]] | unique_by(.digest) | map(.size) | add' "$manifest")
docker_config=$(tar -xOf "$image/docker.tar" manifest.json | jq -r '.[0].Config | sub("\\.json$"; "") | sub("^blobs/sha256/"; "")')

# unpack LAYOUT TAG LISTING: unpacks an image and lists what came out.
unpack() {
  rm -rf "$work/bundle"
  umoci unpack --image "$1:$2" "$work/bundle" >"$work/umoci.log" 2>&1 || { tail -n 5 "$work/umoci.log"; return 1; }
  tree_listing "$work/bundle/rootfs" >"$3"
  rm -rf "$work/bundle"
}

# ---- pushing and pulling ----------------------------------------------------

# push NAME SOURCE REFERENCE [ARGUMENT…]: a row; the report is in reports/NAME.json.
push() {
  local name=$1
  shift
  check "$name: push" run_push "$name" "$@"
}

run_push() {
  local name=$1 report=$work/$1.json
  shift
  "$LONGSHORE" push "$@" --json >"$report" 2>"$work/$name.err" </dev/null ||
    { printf 'exit code %s: ' $?; tail -n 3 "$work/$name.err" | tr '\n' ' '; return 1; }
  jq -j "[$AT_UPLOADED, $AT_MOUNTED, $AT_PRESENT, ($AT_REQUESTS)]"' | if all(type == "number")
    then "\(.[0]) uploaded, \(.[1]) mounted, \(.[2]) present; \(.[3]) requests"
    else error("the report lacks a figure: \(.)") end' "$report"
}

reported() { jq -r "$2" "$work/$1.json" 2>/dev/null || true; }

remote_digest() { skopeo inspect --raw --tls-verify=false "docker://$1" | sha256sum | sed 's/ .*//; s/^/sha256:/'; }
remote_config() { skopeo inspect --raw --tls-verify=false "docker://$1" | jq -r '.config.digest'; }

pull() {
  rm -rf "$work/pulled"
  skopeo copy -q --src-tls-verify=false "${@:2}" "docker://$1" "oci:$work/pulled:pulled"
}

# same_image REFERENCE LAYOUT [ARGUMENT…]: pulls and compares manifest digest and every blob's bytes, both ways.
same_image() {
  local reference=$1 from=$2 files
  shift 2
  pull "$reference" "$@" || return 1
  equal "$(root_of "$work/pulled")" "$(root_of "$from")" || return 1
  diff -r "$from/blobs" "$work/pulled/blobs" >"$work/diff" || { printf '; '; head -n 3 "$work/diff"; return 1; }
  files=$(find "$work/pulled/blobs" -type f | wc -l)
  printf ', %s blobs equal' "$files"
}

# same_tree REFERENCE: the image last pulled, unpacked, against the original's tree.
same_tree() {
  unpack "$work/pulled" pulled "$work/tree.pulled" || return 1
  diff "$work/tree" "$work/tree.pulled" >"$work/diff" || { head -n 3 "$work/diff"; return 1; }
  printf '%s files equal' "$(grep -c '^f ' "$work/tree.pulled")"
}

pull_docker_archive() {
  equal "$(remote_config "$1")" "sha256:$docker_config" || return 1
  pull "$1"
}

# requests METHODS FROM: how many requests with one of METHODS (a pattern) the
# access log of docker-registry has after line FROM.
requests() { tail -n "+$(($2 + 1))" "$docker_log" | grep -cE "\"($1) /v2/[^\"]* HTTP/" || true; }

# ---- one registry -----------------------------------------------------------

pushes() {
  local to=$1 address=$2 oci_archive=$3 docker_archive=$4 expected moved
  expected=$(root_of "$layout")

  push "$to cold" "$layout" "$address/team/app:1.2" -t latest
  check "$to cold: digest in the report" equal "$(reported "$to cold" "$AT_DIGEST")" "$expected"
  check "$to cold: every byte was sent" equal "$(reported "$to cold" "$AT_UPLOADED")" "$blob_bytes"
  check "$to cold: digest behind the second tag" equal "$(remote_digest "$address/team/app:latest")" "$expected"

  push "$to again" "$layout" "$address/team/app:1.2"
  check "$to again: no byte was sent" equal "$(reported "$to again" "$AT_UPLOADED")" 0

  push "$to sibling" "$layout" "$address/team/sibling:1.2"
  moved=$(reported "$to sibling" "($AT_UPLOADED) + ($AT_MOUNTED) + ($AT_PRESENT)")
  check "$to sibling: every byte is accounted for" equal "$moved" "$blob_bytes"

  push "$to mounted" "$layout" "$address/team/mounted:1.2" --mount-from "$address/team/app"
  check "$to mounted: every blob was linked, none sent" equal "$(reported "$to mounted" "$AT_MOUNTED")" "$blob_bytes"

  push "$to archive" "$image/$oci_archive" "$address/team/archive:1.2"
  push "$to docker" "$image/$docker_archive" "$address/team/docker:1.2"
  push "$to index" "$image/multi" "$address/team/multi:1.2"
}

pulls() {
  local to=$1 address=$2 repository
  for repository in sibling mounted archive app; do
    check "$to $repository: pulled by skopeo" same_image "$address/team/$repository:1.2" "$layout"
  done
  check "$to app: unpacked by umoci" same_tree
  check "$to index: pulled by skopeo" same_image "$address/team/multi:1.2" "$image/multi" --all
  check "$to docker: pulled by skopeo" pull_docker_archive "$address/team/docker:1.2"
  check "$to docker: unpacked by umoci" same_tree
}

# Inside the registry by links alone; out of it into a layout that others read.
copies() {
  local to=$1 address=$2
  check "$to promoted: done" run_promote "$to promoted" "$address/team/app:1.2" "$address/team/promoted:1.2"
  check "$to promoted: every blob was linked, none sent" equal "$(reported "$to promoted" "$AT_MOUNTED")" "$blob_bytes"
  check "$to promoted: digest" equal "$(remote_digest "$address/team/promoted:1.2")" "$(root_of "$layout")"
  check "$to copied: into a layout, read by skopeo" copied_layout "$address/team/app:1.2" "$layout"
  check "$to copied: an index, read by skopeo" copied_layout "$address/team/multi:1.2" "$image/multi" --all
}

run_promote() {
  "$LONGSHORE" promote "$2" "$3" --json >"$work/$1.json" 2>"$work/$1.err" </dev/null ||
    { printf 'exit code %s: ' $?; tail -n 3 "$work/$1.err" | tr '\n' ' '; return 1; }
}

# copied_layout REFERENCE LAYOUT [ARGUMENT…]: copied into a layout, which skopeo copies to
# $work/pulled; manifest digest and every blob's bytes compared, both ways.
copied_layout() {
  local reference=$1 from=$2
  shift 2
  rm -rf "$work/copied" "$work/pulled"
  "$LONGSHORE" copy "$reference" "oci:$work/copied:pulled" --quiet >/dev/null </dev/null || return 1
  equal "$(root_of "$work/copied")" "$(root_of "$from")" || return 1
  skopeo copy -q "$@" "oci:$work/copied:pulled" "oci:$work/pulled:pulled" || return 1
  diff -r "$from/blobs" "$work/pulled/blobs" >"$work/diff" || { printf '; '; head -n 3 "$work/diff"; return 1; }
}

# make_certificates DIR: a private authority, a certificate of it for localhost,
# and a user with a password.
make_certificates() {
  mkdir -p "$1"
  (
    cd "$1"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=longshore test authority'
    openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj '/CN=localhost'
    printf 'subjectAltName=DNS:localhost\n' >extensions
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem
    htpasswd -Bbn "$LONGSHORE_USERNAME" "$LONGSHORE_PASSWORD" >htpasswd
  ) >/dev/null 2>&1
}

# exit_code CODE COMMAND…: the command ends with exactly that code.
exit_code() {
  local expected=$1 code=0
  shift
  "$@" >"$work/refused" 2>&1 </dev/null || code=$?
  equal "$code" "$expected"
}

# Bodies over HTTP/1.1, questions over HTTP/2, a private authority, a password.
over_tls() (
  export LONGSHORE_USERNAME=someone LONGSHORE_PASSWORD=a-test-password
  local tls=$work/tls to="https://localhost:${2##*:}/team/app:1.2"
  case $1 in
    certificates) make_certificates "$tls" ;;
    push) run_push tls "$layout" "$to" --ca "$tls/ca.pem" ;;
    stranger) exit_code 7 "$LONGSHORE" push "$layout" "$to" --quiet ;;
    wrong) LONGSHORE_PASSWORD=wrong exit_code 3 "$LONGSHORE" push "$layout" "$to" --ca "$tls/ca.pem" --quiet ;;
  esac
)

# lanes LOG: which version of HTTP carried bodies, and which questions.
lanes() {
  local bodies questions
  bodies=$(grep -oE '"PUT /v2/[^ ]*/blobs/uploads/[^ ]* HTTP/[0-9.]+"' "$1" | grep -oE 'HTTP/[0-9.]+' | sort -u)
  questions=$(grep -oE '"(HEAD|POST) /v2/[^ ]* HTTP/[0-9.]+"' "$1" | grep -oE 'HTTP/[0-9.]+' | sort -u)
  equal "bodies $bodies, questions $questions" "bodies HTTP/1.1, questions HTTP/2.0"
}

# ---- the run ----------------------------------------------------------------

printf 'image: %s\n' "$(cat "$image/done")"
unpack "$layout" 1.2 "$work/tree" || die "umoci cannot unpack its own image"
check "the original, unpacked by umoci" at_least "$(grep -c '^f ' "$work/tree")" 1000

start_docker_registry "$work/docker-registry"
docker_log=$LOG
docker_address=$ADDRESS
start_longshore "$LONGSHORE" "$work/longshore"
longshore_address=$ADDRESS

from=$(wc -l <"$docker_log")
check "plan" "$LONGSHORE" plan "$layout" "$docker_address/team/app:1.2" >"$work/plan.row"
sed -n '1p' "$work/plan.row"
check "plan: the registry was asked" at_least "$(requests 'HEAD|GET' "$from")" 1
check "plan: nothing that writes was sent" equal "$(requests 'POST|PUT|PATCH|DELETE' "$from")" 0

pushes docker-registry "$docker_address" oci.tar docker.tar
from=$(wc -l <"$docker_log")
push "docker-registry third" "$layout" "$docker_address/team/app:1.2"
check "docker-registry third: no upload in its log" equal "$(requests 'PATCH|POST' "$from")" 0
pulls docker-registry "$docker_address"
copies docker-registry "$docker_address"

over_tls certificates none || die "no certificates"
start_docker_registry "$work/docker-registry-tls" "$work/tls"
check "docker-registry over TLS: an unknown authority is refused" over_tls stranger "$ADDRESS"
check "docker-registry over TLS: a wrong password is refused" over_tls wrong "$ADDRESS"
check "docker-registry over TLS: push" over_tls push "$ADDRESS"
check "docker-registry over TLS: digest in the report" equal "$(reported tls "$AT_DIGEST")" "$(root_of "$layout")"
check "docker-registry over TLS: lanes" lanes "$LOG"

pushes longshore-serve "$longshore_address" oci.tar.zst docker.tar.gz
pulls longshore-serve "$longshore_address"
copies longshore-serve "$longshore_address"

printf 'real-image: %s checks passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
