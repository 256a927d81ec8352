#!/usr/bin/env bash
# Runs every fuzz target for SECONDS (default 60), two at a time, beginning with the corpus
# of the repository, and says how many inputs each tried. Fails at a crash, at an input
# that takes too long, and where a target tried nothing.
#
#   ci/fuzz.sh [SECONDS [TARGET…]]
#   FUZZ_SEED=7 ci/fuzz.sh               the same inputs again; without it others every time
#   FUZZ_RUNS=100000 ci/fuzz.sh          no more than so many inputs
#
# libFuzzer with the stable toolchain: the flags are those of `cargo fuzz --sanitizer none`,
# without cargo-fuzz. There is no unsafe code that a sanitizer would look into. Needs a C++ compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

seconds=${1:-60}
seed=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
runs=${FUZZ_RUNS:--1}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in targets/*.rs; do targets+=("$(basename "$source" .rs)"); done
fi
[ ${#targets[@]} -ge 1 ] || { echo "fuzz: there is no target" >&2; exit 1; }

host=$(rustc -vV | sed -n 's/^host: //p')
build=${CARGO_TARGET_DIR:-../target}/fuzz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flags=(-Cpasses=sancov-module --cfg fuzzing)
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=("-Cllvm-args=-sanitizer-coverage-$flag")
done
began=$SECONDS
# With a target named, build scripts and macros go without the flags. Not --locked: the lock
# file here follows what the crates of the workspace depend on.
RUSTFLAGS="${flags[*]}" cargo build --release --bins --target "$host" --target-dir "$build"
echo "fuzz: built in $((SECONDS - began)) s; seed $seed"

# run TARGET: what it finds beyond the corpus is thrown away, but for a crash.
run() {
  local name=$1 code=0 tried
  mkdir -p "$work/$name" artifacts
  "$build/$host/release/$name" "$work/$name" "corpus/$name" -dict="dictionaries/$name" -max_len=8192 \
    -seed="$seed" -runs="$runs" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="artifacts/$name-" >"$work/$name.log" 2>&1 || code=$?
  tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log")
  if [ "$code" -ne 0 ]; then
    tail -n 40 "$work/$name.log"
    echo "fuzz: $name: FAILED after ${tried:-no} inputs; what did it is in fuzz/artifacts, seed $seed"
    return 1
  fi
  [ "${tried:-0}" -gt 0 ] || { echo "fuzz: $name: FAILED, no input was tried"; return 1; }
  echo "fuzz: $name: $tried inputs, nothing found"
}

failed=0
while [ ${#targets[@]} -gt 0 ]; do
  pids=()
  for name in "${targets[@]:0:2}"; do
    run "$name" &
    pids+=($!)
  done
  targets=("${targets[@]:2}")
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
done
exit "$failed"
