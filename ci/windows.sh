#!/usr/bin/env bash
# A Windows image from here to a registry and back, with parts that are not ours: a real Windows
# program (cross-compiled by mingw), put on stand-ins for Microsoft's bases of today and of before
# 2023 by `longshore build`, pushed to Debian's docker-registry and `longshore serve`, pulled by
# skopeo, its layer listed by GNU tar, bsdtar and Python's tarfile.
#
#   ci/windows.sh                    with target/release/longshore
#   LONGSHORE=path ci/windows.sh     with another binary
#
# $ZOT_REGISTRY is a zot binary, $CRANE one of crane: without them what they would check is named as
# NOT CHECKED. No Windows takes part: whether an image starts there is not checked here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"
LONGSHORE=${LONGSHORE:-$here/../target/release/longshore}
# Debian's: another Python may come first.
readonly PYTHON=/usr/bin/python3
need docker-registry skopeo jq tar bsdtar sha256sum x86_64-w64-mingw32-gcc "$PYTHON"
[ -x "$LONGSHORE" ] || die "no binary at $LONGSHORE: cargo build --release"

work=$(mktemp -d)
trap 'end_all; rm -rf "$work"' EXIT
export HOME=$work DOCKER_CONFIG=$work/no-credentials
mkdir "$DOCKER_CONFIG"
passed=0
ok() { printf 'ok      %s\n' "$*"; passed=$((passed + 1)); }
longshore() { "$LONGSHORE" "$@"; }

# ---- a program, and what it is put on -----------------------------------------

mkdir -p "$work/context/publish"
cat >"$work/hello.c" <<'C'
#include <stdio.h>
int main(void) { puts("hello from a container"); return 0; }
C
x86_64-w64-mingw32-gcc -O2 -s -o "$work/context/publish/hello.exe" "$work/hello.c"
[ "$(head -c 2 "$work/context/publish/hello.exe")" = MZ ] || die "mingw made no Windows program"
printf 'setting=1\r\n' >"$work/context/publish/settings.ini"
"$PYTHON" "$here/windows_bases.py" "$work/bases"

start_longshore "$LONGSHORE" "$work/bases-registry"
bases=$ADDRESS
for base in modern foreign; do
  longshore push "$work/bases/$base" "$bases/windows/nanoserver:$base" --no-state --quiet >/dev/null
done
ok "bases: a registry has the one of today and the one with a foreign layer"

dockerfile() {
  cat <<D
# escape=\`
FROM $bases/windows/nanoserver:$1
WORKDIR C:\\app
COPY publish/ C:\\app\\
USER ContainerUser
ENTRYPOINT ["C:\\\\app\\\\hello.exe"]
D
}
for base in modern foreign; do dockerfile "$base" >"$work/context/Dockerfile.$base"; done

# built REFERENCE BASE [ARGUMENT…]: builds and pushes; the report is in $work/report.json.
built() {
  local reference=$1 base=$2
  shift 2
  longshore build "$work/context" -f "$work/context/Dockerfile.$base" --platform windows/amd64 \
    -t "$reference" --push --json --quiet "$@" >"$work/report.json" 2>"$work/build.err"
}

# checked NAME REFERENCE: what a registry has, as skopeo pulls it.
checked() {
  local name=$1 reference=$2
  rm -rf "$work/pulled"
  skopeo copy --quiet --src-tls-verify=false --override-os windows --override-arch amd64 \
    "docker://$reference" "dir:$work/pulled" 2>"$work/skopeo.err" || { cat "$work/skopeo.err"; return 1; }
  "$PYTHON" "$here/windows_image.py" "$work" "$work/bases/modern" "$work/context/publish" | sed "s|^|ok      $name: |"
  passed=$((passed + $("$PYTHON" "$here/windows_image.py" "$work" "$work/bases/modern" "$work/context/publish" | wc -l)))
}

# named DIGEST: how many lines of an access log send a blob by its name. Reads all of them: who leaves
# early breaks the pipe.
named() { grep -E '(PUT|PATCH) ' | grep -c "${1#sha256:}" || true; }

# of_registry NAME ADDRESS: everything with one registry.
of_registry() {
  local name=$1 address=$2 layer bytes lines=0 digest
  built "$address/team/app:1" modern || { cat "$work/build.err"; return 1; }
  checked "$name" "$address/team/app:1"
  printf 'setting=2\r\n' >"$work/context/publish/settings.ini"
  [ "$address" != "${serve:-}" ] || lines=$(wc -l <"$work/access")
  built "$address/team/app:2" modern
  printf 'setting=1\r\n' >"$work/context/publish/settings.ini"
  layer=$(jq '[.blobs[] | select(.done == "uploaded") | .blob.size] | add' "$work/report.json")
  bytes=$(jq '.bytes.uploaded' "$work/report.json")
  [ "$bytes" -eq "$layer" ] && [ "$bytes" -lt 1000000 ] || { echo "$name: $bytes bytes were sent"; return 1; }
  [ "$(jq '[.blobs[] | select(.done == "uploaded")] | length' "$work/report.json")" -le 4 ] ||
    { echo "$name: more than the image's own layers was sent"; return 1; }
  if [ "$lines" -gt 0 ]; then
    for digest in $(jq -r '.base[]' "$work/bases/facts.json"); do
      # The first image had it sent, and the log says so: so it would say it again.
      [ "$(head -n "$lines" "$work/access" | named "$digest")" -gt 0 ] || { echo "$name: the log does not show what was sent"; return 1; }
      [ "$(tail -n "+$((lines + 1))" "$work/access" | named "$digest")" -eq 0 ] ||
        { echo "$name: a base layer was sent again"; return 1; }
    done
  fi
  ok "$name: a second image on that base moved only its own $bytes bytes"
}

start_docker_registry "$work/docker-registry"
docker_registry=$ADDRESS
of_registry docker-registry "$docker_registry"
mkdir -p "$work/serve/store"
start_serve "$LONGSHORE" "$work/serve" --store "$work/serve/store" --access-log "$work/access"
serve=$ADDRESS
of_registry longshore-serve "$serve"

# ---- foreign layers -----------------------------------------------------------

far=$(jq -r .foreign "$work/bases/facts.json")
built "$serve/team/old:1" foreign || { cat "$work/build.err"; exit 1; }
raw() { skopeo inspect --raw --tls-verify=false "docker://$1"; }
raw "$serve/team/old:1" >"$work/old.json"
child=$(jq -r '.manifests[0].digest // empty' "$work/old.json")
[ -z "$child" ] || raw "$serve/team/old@$child" >"$work/old.json"
jq -e --slurpfile facts "$work/bases/facts.json" '.layers[0] == $facts[0].layer' "$work/old.json" >/dev/null ||
  die "the foreign layer is not in the manifest as it was in the base's"
ok "longshore-serve: a foreign base layer stays in the manifest as it was"
! grep -q "${far#sha256:}" "$work/access" || die "a request named the foreign layer"
ok "longshore-serve: no request named it"
! built "$docker_registry/team/old:1" foreign || die "docker-registry took urls in its default configuration"
grep -q 'validation.manifests.urls.allow' "$work/build.err" || { cat "$work/build.err"; exit 1; }
grep -q -- '--foreign=embed' "$work/build.err"
ok "docker-registry: urls are refused by default, and the error says what to do"

# ---- the same digest ----------------------------------------------------------

digest_of_build() { longshore build "$work/again/$1" -f "$work/again/$1/Dockerfile.modern" --platform windows/amd64 -t "$serve/team/again:$1" --push --json --quiet | jq -r .digest; }
mkdir "$work/again"
cp -r "$work/context" "$work/again/one"
(umask 077; cp -r --no-preserve=all "$work/context" "$work/again/two")
find "$work/again/two" -exec touch -d 2001-02-03 {} +
one=$(umask 022; LC_ALL=C TZ=UTC digest_of_build one)
two=$(umask 077; LC_ALL=C.UTF-8 TZ=Asia/Tokyo digest_of_build two)
[ -n "$one" ] && [ "$one" = "$two" ] || die "two builds, two digests: $one and $two"
ok "the same digest from other times, modes, umask, locale and time zone: $one"

# ---- on demand ----------------------------------------------------------------

if [ -n "${ZOT_REGISTRY:-}" ]; then
  cat >"$work/zot.json" <<Z
{"storage": {"rootDirectory": "$work/zot"}, "http": {"address": "127.0.0.1", "port": "0", "compat": ["docker2s2"]}, "log": {"level": "info"}}
Z
  "$ZOT_REGISTRY" serve "$work/zot.json" >"$work/zot.log" 2>&1 </dev/null &
  BACKGROUND+=("$!")
  port=$(wait_for_line "$work/zot.log" '"port":[0-9]+' "$!") || die "zot did not start"
  of_registry zot "127.0.0.1:${port#*:}"
else
  echo "NOT CHECKED: zot (\$ZOT_REGISTRY names no binary)"
fi
if [ -n "${CRANE:-}" ]; then
  "$CRANE" validate --insecure --platform windows/amd64 --remote "$serve/team/app:1"
  ok "crane validate"
else
  echo "NOT CHECKED: crane validate (\$CRANE names no binary)"
fi
echo "NOT CHECKED: whether the image starts (there is no Windows here)"
printf 'windows: %s checks passed, 0 failed\n' "$passed"
