#!/usr/bin/env bash
# The page of the embedded registry in a real browser: `longshore serve` with an image in it,
# opened in headless Chromium. What the browser made of the page has the repository, the tag, the
# size, the platform and how to pull; nothing on it runs; and nothing was asked for from elsewhere.
#
# usage: ci/page.sh [DIRECTORY]
#
# DIRECTORY gets screenshots: light, dark, and as wide as a phone. $LONGSHORE_BIN is the binary to run.
# Needs chromium and python3; installs nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"

readonly BINARY=${LONGSHORE_BIN:-target/release/longshore}
readonly PICTURES=${1:-}

[ -x "$BINARY" ] || die "there is no $BINARY: build it, or name it in LONGSHORE_BIN"
for tool in chromium python3; do
  command -v "$tool" >/dev/null || die "$tool is not installed"
done

WORK=$(mktemp -d)
trap 'kill "${BACKGROUND[@]}" 2>/dev/null || true; wait; rm -rf "$WORK"' EXIT

passed=0
check() { # check WHAT COMMAND…
  local what=$1
  shift
  "$@" || die "page: $what"
  say "ok      $what"
  passed=$((passed + 1))
}

# A browser without an account, without updates and without a past, that finds no other host.
browser() {
  timeout 120 chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' --user-data-dir="$(mktemp -d -p "$WORK")" "$@" 2>>"$WORK/browser.err"
}

# dom PATH FILE: what the browser made of a page, and what it asked for. A browser that does not come
# to its end says nothing of the page: it is asked again.
dom() {
  local try
  for try in 1 2 3; do
    ! dom_once "$@" || return 0
    say "the browser failed, attempt $try of 3"
  done
  return 1
}
dom_once() {
  browser --log-net-log="$2.net" --net-log-capture-mode=Default --virtual-time-budget=5000 --dump-dom "http://$ADDRESS$1" >"$2" ||
    { tail -n 5 "$WORK/browser.err" >&2; return 1; }
  [ -s "$2" ]
}

has() { grep -qF -- "$2" "$1" || { say "not on the page: $2"; return 1; }; }
has_not() { ! grep -qF -- "$2" "$1" || { say "on the page: $2"; return 1; }; }

# stayed_home FILE: at least the page, its style and its icon were asked for, and nothing elsewhere.
stayed_home() {
  python3 - "$1.net" "http://$ADDRESS/" <<'PY'
import json, sys
path, home = sys.argv[1:]
text = open(path).read().rstrip().rstrip(",")
try:
    log = json.loads(text)
except json.JSONDecodeError:  # the browser left before it closed the list
    log = json.loads(text + "]}")
asked = {(it["params"]["url"], it["params"].get("initiator", "")) for it in log["events"] if "url" in it.get("params", {})}
# What the browser asks on its own account, its maker's services, has no page as its initiator.
by_page = {url for url, initiator in asked if initiator + "/" == home}
strangers = sorted(it for it in by_page if not it.startswith(home))
missing = [it for it in ("style.css", "icon.svg") if home + it not in by_page]
print("asked for:", *sorted(by_page), file=sys.stderr)
sys.exit(f"asked for elsewhere: {strangers}, not asked for: {missing}" if strangers or missing else 0)
PY
}

start_longshore "$BINARY" "$WORK"
python3 - "$WORK/image" <<'PY'
import hashlib, json, os, sys
root = sys.argv[1]
os.makedirs(f"{root}/blobs/sha256")
def blob(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    open(f"{root}/blobs/sha256/{digest}", "wb").write(content)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}
config = blob("config.v1+json", json.dumps({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode())
layer = blob("layer.v1.tar", b"x" * (5 << 20))
words = {"org.opencontainers.image.title": "<script>document.title='ran'</script><img src=//elsewhere.example/x onerror=\"document.title='ran'\">"}
manifest = blob("manifest.v1+json", json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": config, "layers": [layer], "annotations": words}).encode())
open(f"{root}/index.json", "w").write(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
open(f"{root}/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
PY
"$BINARY" push "$WORK/image" "$ADDRESS/team/app:1.0" >/dev/null 2>"$WORK/push" || { cat "$WORK/push" >&2; die "the push failed"; }

check "the list of repositories is there" dom / "$WORK/home"
check "it has the repository" has "$WORK/home" 'href="/repositories/team/app"'
check "it has its tag" has "$WORK/home" '<span class="tag">1.0</span>'
check "it asked for nothing elsewhere" stayed_home "$WORK/home"
check "the repository's page is there" dom /repositories/team/app "$WORK/app"
check "it has the tag" has "$WORK/app" '<h2>1.0</h2>'
check "it has the size" has "$WORK/app" '<span class="size">5.0 MiB</span>'
check "it has the platform" has "$WORK/app" '<span class="platform">linux/arm64</span>'
# The browser may take its time.
check "it says when it was pushed" grep -qE '>(just now|[0-9]+ minutes? ago)</time>' "$WORK/app"
for tool in 'docker pull' 'podman pull --tls-verify=false' 'crane pull --insecure'; do
  check "it says how to $tool" has "$WORK/app" "$tool $ADDRESS/team/app:1.0"
done
check "it says how to skopeo copy" has "$WORK/app" "docker://$ADDRESS/team/app:1.0"
check "what an image says of itself is text" has "$WORK/app" "&lt;script&gt;document.title='ran'&lt;/script&gt;"
check "nothing ran" has_not "$WORK/app" '<title>ran</title>'
check "it asked for nothing elsewhere either" stayed_home "$WORK/app"

if [ -n "$PICTURES" ]; then
  mkdir -p "$PICTURES"
  browser --window-size=1000,700 --screenshot="$PICTURES/home.png" "http://$ADDRESS/"
  browser --window-size=1000,900 --screenshot="$PICTURES/repository.png" "http://$ADDRESS/repositories/team/app"
  browser --window-size=1000,900 --blink-settings=preferredColorScheme=0 --screenshot="$PICTURES/dark.png" "http://$ADDRESS/repositories/team/app"
  browser --window-size=500,900 --screenshot="$PICTURES/phone.png" "http://$ADDRESS/repositories/team/app"
fi
say "page: $passed checks passed, 0 failed"
