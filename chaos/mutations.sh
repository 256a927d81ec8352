#!/usr/bin/env bash
# Small bugs, put in on purpose, that have to be caught: each a patch in chaos/mutations, with
# what it does and who is to catch it in its first lines.
#
#   chaos/mutations.sh check           each patch still applies; a second
#   chaos/mutations.sh run [NAME…]     each is caught, in a copy of the tree; some minutes. Without
#                                      the bugs, whoever catches them has to be content.
#   chaos/mutations.sh write [NAME…]   the same, and docs/reliability.md gets the table
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly page=docs/reliability.md

fail() { printf 'mutations: FAILED: %s\n' "$*" >&2; exit 1; }

# header PATCH KEY: what a patch says of itself.
header() { sed -n "/^diff/q; s/^$2: //p" "$1"; }

patches=("$root"/chaos/mutations/*.patch)
[ -e "${patches[0]}" ] || fail "there is no patch"

check() {
  local patch
  for patch in "${patches[@]}"; do
    [ -n "$(header "$patch" what)" ] && [ -n "$(header "$patch" by)" ] || fail "$(basename "$patch") does not say what it is"
    (cd "$root" && git apply --check "$patch") || fail "$(basename "$patch") does not apply any more: make it anew"
  done
  printf 'mutations: %s patches apply\n' "${#patches[@]}"
}

# judge BY: runs who is to catch it, and says so by its code: 0 content, 1 caught, 2 neither.
judge() {
  local who rest code=0
  read -r who rest <<<"$1"
  case $who in
    chaos)
      cargo run -q -p longshore-chaos -- --seed 1 --runs 2000 --only "$rest" >"$tmp/log" 2>&1 || code=$?
      if [ "$code" -eq 0 ] && grep -q 'no promise broken$' "$tmp/log"; then return 0; fi
      if grep -qE '^(BROKEN|LEAKED)' "$tmp/log"; then return 1; fi
      ;;
    test)
      local package target filter
      read -r package target filter <<<"$rest"
      if [ "$target" = lib ]; then target=(--lib); else target=(--test "$target"); fi
      cargo test -q -p "$package" "${target[@]}" -- "$filter" >"$tmp/log" 2>&1 || code=$?
      if [ "$code" -eq 0 ] && grep -qE '^test result: ok\. [1-9]' "$tmp/log"; then return 0; fi
      if grep -q '^test result: FAILED' "$tmp/log"; then return 1; fi
      ;;
  esac
  tail -n 15 "$tmp/log" >&2
  return 2
}

# catcher BY: who has caught it, from the log.
catcher() {
  case $1 in
    chaos*) sed -nE 's/^BROKEN ([A-Za-z]+): ([^:]+):.*/the fault proxy, `\2` (\1)/p; s/^LEAKED: .*/the fault proxy: credentials elsewhere/p' "$tmp/log" | sort -u | head -n 1 ;;
    test*) sed -nE 's/^---- ([^ ]+) stdout ----$/`\1`/p' "$tmp/log" | head -n 1 ;;
  esac
}

run() {
  local patch name by code caught=0 tried=0 judges=()
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  mkdir "$tmp/tree"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - --ignore-failed-read) | tar -C "$tmp/tree" -xf -
  # A place of its own: who builds the tree meanwhile would put another program there.
  export CARGO_TARGET_DIR=${LONGSHORE_MUTATIONS_TARGET:-$root/target/mutations} CARGO_INCREMENTAL=1
  cd "$tmp/tree"
  # An earlier run may have been stopped with a bug built in: nothing of it is taken for fresh.
  find . -name '*.rs' -exec touch {} +
  printf '| bug | caught by |\n| --- | --- |\n' >"$tmp/table"
  for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    by=$(header "$patch" by)
    if [[ "${judges[*]:-}" != *"<$by>"* ]]; then
      judges+=("<$by>")
      judge "$by" || fail "without a bug, this is not content: $by"
    fi
    tried=$((tried + 1))
    git apply "$patch"
    code=0
    judge "$by" || code=$?
    git apply -R "$patch"
    if [ "$code" -eq 1 ]; then
      caught=$((caught + 1))
      printf 'caught  %s: %s\n' "$name" "$(catcher "$by")"
      printf '| %s | %s |\n' "$(header "$patch" what)" "$(catcher "$by")" >>"$tmp/table"
    else
      printf 'MISSED  %s (%s)\n' "$name" "$by"
    fi
  done
  printf 'mutations: %s planted, %s caught\n' "$tried" "$caught"
  [ "$tried" -gt 0 ] && [ "$caught" -eq "$tried" ]
}

write() {
  run "$@"
  awk -v table="$tmp/table" '
    /^<!-- mutations -->$/ {print; while ((getline line < table) > 0) print line; skip = 1; next}
    /^<!-- \/mutations -->$/ {skip = 0}
    !skip' "$root/$page" >"$tmp/page"
  cp "$tmp/page" "$root/$page"
}

case ${1:-} in
  check) check ;;
  run | write) "$@" ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
