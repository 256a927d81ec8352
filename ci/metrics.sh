#!/usr/bin/env bash
# What `longshore serve` says at /metrics, read by a parser that is not ours: that of Prometheus'
# client for Python, which refuses what OpenMetrics does not allow. Also after requests of every
# kind, so that every number has been counted, and with what was asked for compared to what was counted.
#
# usage: ci/metrics.sh
#
# $LONGSHORE_BIN is the binary to run. Needs Debian's python3-prometheus-client; installs nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"

readonly BINARY=${LONGSHORE_BIN:-target/release/longshore}
# Debian's: another Python may come first.
readonly PYTHON=/usr/bin/python3

[ -x "$BINARY" ] || die "there is no $BINARY: build it, or name it in LONGSHORE_BIN"
"$PYTHON" -c 'import prometheus_client.openmetrics.parser' || die "python3-prometheus-client is not installed"

WORK=$(mktemp -d)
trap 'end_all; rm -rf "$WORK"' EXIT

"$BINARY" serve --listen 127.0.0.1:0 --print-address --store "$WORK/store" >"$WORK/address" 2>"$WORK/log" &
BACKGROUND+=($!)
ADDRESS=$(wait_for_line "$WORK/address" '^127\.0\.0\.1:[0-9]+$' "$!") || die "metrics: the registry did not start"

"$PYTHON" - "http://$ADDRESS" <<'PY'
import hashlib, sys, time, urllib.error, urllib.request
from prometheus_client.openmetrics.parser import text_string_to_metric_families

home, passed = sys.argv[1], 0


def ask(method, path, body=None, **headers):
    request = urllib.request.Request(home + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def check(what, is_so):
    global passed
    if not is_so:
        sys.exit(f"metrics: {what}")
    print(f"ok      {what}")
    passed += 1


def families():
    status, headers, body = ask("GET", "/metrics")
    check("the type is that of OpenMetrics", status == 200 and headers["content-type"].startswith(
        "application/openmetrics-text; version=1.0.0"))
    return {it.name: it for it in text_string_to_metric_families(body.decode())}


def value(all, name, **labels):
    for family in all.values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0


before = families()
check("every family has a help text and a type", all(it.documentation and it.type != "unknown" for it in before.values()))
blob = b"x" * 1000
digest = "sha256:" + hashlib.sha256(blob).hexdigest()
for _ in range(2):
    check("a blob is taken", ask("POST", f"/v2/app/blobs/uploads/?digest={digest}", blob)[0] == 201)
check("a session is opened", ask("POST", "/v2/app/blobs/uploads/")[0] == 202)
check("a blob is mounted", ask("POST", f"/v2/other/blobs/uploads/?mount={digest}&from=app")[0] == 201)
check("a blob is read", ask("GET", f"/v2/app/blobs/{digest}")[2] == blob)
check("what is no manifest is refused", ask("PUT", "/v2/app/manifests/1", b"{")[0] == 400)
check("what is not there is not", ask("GET", "/v2/app/manifests/1")[0] == 404)
after = families()
check("there are at least twelve families", len(after) >= 12)
for name, labels, wanted in [
    ("longshore_requests_total", {"endpoint": "upload-single", "method": "POST", "status": "201"}, 2),
    ("longshore_requests_total", {"endpoint": "manifest-get", "status": "404"}, 1),
    ("longshore_received_body_bytes_total", {"endpoint": "upload-single"}, 2000),
    ("longshore_sent_body_bytes_total", {"endpoint": "blob-get"}, 1000),
    ("longshore_request_duration_seconds_count", {"endpoint": "blob-get"}, 1),
    ("longshore_request_duration_seconds_bucket", {"endpoint": "blob-get", "le": "+Inf"}, 1),
    ("longshore_blobs_total", {"how": "uploaded"}, 1),
    ("longshore_blobs_total", {"how": "deduplicated"}, 1),
    ("longshore_blobs_total", {"how": "mounted"}, 1),
    ("longshore_upload_sessions", {}, 1),
]:
    # What is counted at a request's end is counted a moment after the client has its answer.
    for _ in range(300):
        found = value(after, name, **labels)
        if found == wanted:
            break
        time.sleep(0.1)
        after = {it.name: it for it in text_string_to_metric_families(ask("GET", "/metrics")[2].decode())}
    check(f"{name} {labels} is {wanted}", found == wanted)
print(f"metrics: {passed} checks passed, 0 failed")
PY
