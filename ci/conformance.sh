#!/usr/bin/env bash
# Runs the conformance suite of the OCI distribution specification against the
# embedded registry, in memory and on disk, with sparse manifests refused and accepted.
#
#   ci/conformance.sh                    target/release/longshore
#   LONGSHORE=path ci/conformance.sh     another binary
#   ci/conformance.sh --peers            then docker-registry, distribution 3 and zot too, to compare
#   ci/conformance.sh --write            also puts the table into docs/conformance.md
#
# The suite is $LONGSHORE_CONFORMANCE, or `conformance` on the path or in the
# cache, or it is built from its Go module. Exits with 77 when it cannot be had.
#
# What fails: a failure or an error of ours, a skip, a disabled row that the run
# did not switch off, results that are not there, too few of them. Peers are
# reported and never fail the script; one that cannot be had is named as missing.
# DISTRIBUTION_REGISTRY and ZOT_REGISTRY name programs that are there already.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"

readonly CANNOT_BE_HAD=77
readonly SUITE=github.com/opencontainers/distribution-spec/conformance
readonly SUITE_VERSION=967efdc079b91785ad18c77cc4f8991a47feefbf
readonly DISTRIBUTION=(github.com/distribution/distribution/v3 v3.1.2 cmd/registry)
# What the suite does at that commit; fewer means that it did not really run.
readonly LEAST_TESTS=950
readonly LEAST_ROWS=45

LONGSHORE=${LONGSHORE:-$here/../target/release/longshore}
PAGE=$here/../docs/conformance.md

peers=no
write=no
for argument in "$@"; do
  case $argument in
    --peers) peers=yes ;;
    --write) write=yes ;;
    *) die "unknown argument: $argument" ;;
  esac
done

# ---- the suite and the peers ------------------------------------------------

bin=$(real_image_dir)/bin

find_suite() {
  if [ -n "${LONGSHORE_CONFORMANCE:-}" ]; then
    [ -x "$LONGSHORE_CONFORMANCE" ] || die "LONGSHORE_CONFORMANCE is not a program: $LONGSHORE_CONFORMANCE"
    printf '%s\n' "$LONGSHORE_CONFORMANCE"
  elif command -v conformance; then
    :
  elif [ -x "$bin/conformance" ]; then
    printf '%s\n' "$bin/conformance"
  else
    command -v go >/dev/null || { say "no go to build the suite with"; return 1; }
    GOBIN=$bin timeout 300 go install "$SUITE@$SUITE_VERSION" >&2 || return 1
    printf '%s\n' "$bin/conformance"
  fi
}

# ---- one run ----------------------------------------------------------------

rows=()
runs=0
failed=0

# count STATUS: how many checks of the run ended so.
count() { sed -nE "/^OCI Conformance Result/,/^\$/s/^  $1\.*: +([0-9]+)\$/\1/p" "$results/out"; }

# statuses: `name: status` for every part of the interface and kind of data.
statuses() {
  awk '/^[a-z]/ {on = ($1 == "apis:" || $1 == "data:")} /^  / && on {sub(/^  /, ""); print}' "$results/results.yaml"
}

# run_suite NAME SPARSE: against the registry at ADDRESS. Sets `results` and a row of the table.
run_suite() {
  local name=$1 sparse=$2 code=0 began=${EPOCHREALTIME/./} took
  results=$work/results/${name// /-}-$sparse
  mkdir -p "$results"
  OCI_REGISTRY=$ADDRESS OCI_TLS=disabled OCI_VERSION=dev OCI_DATA_SPARSE=$sparse OCI_RESULTS_DIR=$results \
    timeout 300 "$suite" >"$results/out" 2>&1 </dev/null || code=$?
  took=$((${EPOCHREALTIME/./} - began))
  took=$(printf '%d.%d' $((took / 1000000)) $((took % 1000000 / 100000)))
  runs=$((runs + 1))
  printf '%s' "$code" >"$results/code"
  rows+=("| $name | $sparse | $(count Total) | $(count Pass) | $(count FAIL) | $(count Error) | $(count Skip) | $(count Disabled) |")
  printf '%-38s sparse %-5s  %s tests: %s passed, %s failed, %s errors, %s skipped, %s disabled; %s rows, %s s\n' \
    "$name" "$sparse" "$(count Total)" "$(count Pass)" "$(count FAIL)" "$(count Error)" "$(count Skip)" "$(count Disabled)" \
    "$(statuses 2>/dev/null | wc -l)" "$took"
}

wrong() { failed=$((failed + 1)); printf 'FAILED  %s, sparse %s: %s\n' "$1" "$2" "$3"; }

# must_pass NAME SPARSE: what has to be true of a run against us.
must_pass() {
  local name=$1 sparse=$2 status disabled expected
  [ -s "$results/results.yaml" ] || { wrong "$name" "$sparse" "there is no results.yaml: $(tail -n 3 "$results/out" | tr '\n' ' ')"; return 0; }
  [ "$(cat "$results/code")" -eq 0 ] || wrong "$name" "$sparse" "the suite ended with exit code $(cat "$results/code")"
  [ "$(statuses | wc -l)" -ge "$LEAST_ROWS" ] || wrong "$name" "$sparse" "results.yaml has only $(statuses | wc -l) rows"
  [ "$(count Total)" -ge "$LEAST_TESTS" ] || wrong "$name" "$sparse" "only $(count Total) tests ran"
  for status in FAIL Error Skip; do
    [ "$(count $status)" = 0 ] || wrong "$name" "$sparse" "$(count $status) $status: $(grep -E ": $status\$" "$results/out" | tail -n 3 | tr -s ' \n' ' ')"
  done
  [ "$(count Pass)" = "$(count Total)" ] || wrong "$name" "$sparse" "not all that ran has passed"
  # Only the configuration of this run may have switched something off.
  expected=
  [ "$sparse" = true ] || expected='Sparse Manifests: Disabled'
  disabled=$(statuses | grep -v ': Pass$' || true)
  [ "$disabled" = "$expected" ] || wrong "$name" "$sparse" "did not pass, and should have: ${disabled:-(nothing was switched off)}"
}

# ours NAME [ARGUMENT…]: `longshore serve` with each setting of the suite; STORE is
# an empty directory.
ours() {
  local name=$1 sparse rule dir
  shift
  for sparse in false true; do
    rule=all
    [ "$sparse" = false ] || rule=accept-all
    dir=$work/${name// /-}-$sparse
    start_serve "$LONGSHORE" "$dir" "${@/#STORE/$dir/store}" --access-log off --validation "$rule"
    run_suite "$name" "$sparse"
    must_pass "$name" "$sparse"
    end_process "$PID"
  done
}

# ---- peers ------------------------------------------------------------------

missing() { rows+=("| $1 | | cannot be had here | | | | | |"); printf '%-38s MISSING\n' "$1"; }

version_of() { go version -m "$1" 2>/dev/null | awk -v module="$2" '($1 == "mod" || $1 == "dep") && $2 == module {print $3; exit}'; }

peer_docker_registry() {
  local name sparse
  name="docker-registry $(docker-registry --version 2>/dev/null | awk '{print $3}')" || true
  command -v docker-registry >/dev/null || { missing docker-registry; return 0; }
  for sparse in false true; do
    start_docker_registry "$work/docker-registry-$sparse"
    run_suite "$name" "$sparse"
    end_process "$PID"
  done
}

peer_distribution() {
  local program sparse dir
  program=${DISTRIBUTION_REGISTRY:-$(go_program distribution "${DISTRIBUTION[@]}" || true)}
  [ -x "$program" ] || { missing "distribution 3"; return 0; }
  for sparse in false true; do
    dir=$work/distribution-$sparse
    mkdir -p "$dir/store"
    cat >"$dir/config.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $dir/store}
  delete: {enabled: true}
http: {addr: 127.0.0.1:0}
YAML
    OTEL_TRACES_EXPORTER=none "$program" serve "$dir/config.yml" >"$dir/log" 2>&1 </dev/null &
    PID=$!
    BACKGROUND+=("$PID")
    ADDRESS=$(wait_for_line "$dir/log" 'listening on 127\.0\.0\.1:[0-9]+' "$PID") || { missing "distribution 3 (does not start)"; return 0; }
    ADDRESS=${ADDRESS#listening on }
    run_suite "distribution $(version_of "$program" "${DISTRIBUTION[0]}")" "$sparse"
    end_process "$PID"
  done
}

peer_zot() {
  local program sparse dir
  program=${ZOT_REGISTRY:-$(command -v zot || true)}
  [ -x "$program" ] || { missing zot; return 0; }
  for sparse in false true; do
    dir=$work/zot-$sparse
    mkdir -p "$dir/store"
    printf '{"storage": {"rootDirectory": "%s"}, "http": {"address": "127.0.0.1", "port": "0"}, "log": {"level": "info"}}\n' \
      "$dir/store" >"$dir/config.json"
    "$program" serve "$dir/config.json" >"$dir/log" 2>&1 </dev/null &
    PID=$!
    BACKGROUND+=("$PID")
    ADDRESS=$(wait_for_line "$dir/log" '"port":"?[1-9][0-9]*"?' "$PID") || { missing "zot (does not start)"; return 0; }
    ADDRESS=127.0.0.1:${ADDRESS//[^0-9]/}
    run_suite "zot $(version_of "$program" zotregistry.dev/zot/v2)" "$sparse"
    end_process "$PID"
  done
}

# ---- the page ---------------------------------------------------------------

# table: what docs/conformance.md says between its markers.
table() {
  printf 'Suite: %s at %s. %s.\n\n' "$SUITE" "${LONGSHORE_CONFORMANCE_COMMIT:-$SUITE_VERSION}" "$(date -u +%F)"
  printf '| Registry | Sparse | Tests | Pass | Fail | Error | Skip | Disabled |\n|---|---|---|---|---|---|---|---|\n'
  printf '%s\n' "${rows[@]}" ''
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

need timeout awk sed
[ -x "$LONGSHORE" ] || die "no binary at $LONGSHORE: cargo build --release"
suite=$(find_suite) || exit "$CANNOT_BE_HAD"

mkdir -p "$(real_image_dir)"
work=$(mktemp -d "$(real_image_dir)/conformance.XXXXXX")
trap 'end_all; rm -rf "$work"' EXIT

version=$("$LONGSHORE" --version | awk '{print $NF}')
ours "longshore $version in memory"
ours "longshore $version on disk" --store STORE
if [ "$peers" = yes ]; then
  peer_docker_registry
  peer_distribution
  peer_zot
fi
[ "$write" = no ] || write_page

printf 'conformance: %s runs, %s wrong\n' "$runs" "$failed"
[ "$failed" -eq 0 ]
