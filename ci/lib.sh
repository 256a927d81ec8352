# What the scripts beside this file share: words on the terminal, processes
# that end with the script, and the two registries. Sourced, never run.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Where things too large for the clone are kept between runs.
real_image_dir() {
  printf '%s\n' "${LONGSHORE_REAL_IMAGE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/longshore-ci}"
}

# need TOOL…: dies naming every tool that is missing, not only the first.
need() {
  local tool missing=()
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [ ${#missing[@]} -eq 0 ] || die "missing: ${missing[*]}"
}

# Processes started through `background` are ended, by their ids, by `end_all`.
BACKGROUND=()

end_process() {
  local pid=$1 waited=0
  kill "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    waited=$((waited + 1))
    [ "$waited" -lt 50 ] || kill -KILL "$pid" 2>/dev/null || true
  done
  wait "$pid" 2>/dev/null || true
}

end_all() {
  local pid
  for pid in "${BACKGROUND[@]+"${BACKGROUND[@]}"}"; do
    end_process "$pid"
  done
  BACKGROUND=()
}

# wait_for_line FILE PATTERN PID: prints the first line of FILE that matches,
# gives up after two minutes or when the process is gone.
wait_for_line() {
  local file=$1 pattern=$2 pid=$3 try
  for ((try = 0; try < 1200; try++)); do
    if grep -m1 -oE "$pattern" "$file" 2>/dev/null; then return 0; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  say "no line matching '$pattern'; the process said:"
  tail -n 20 "$file" >&2 || true
  return 1
}

# start_docker_registry DIR [TLS]: Debian's docker-registry over DIR/store on a
# loopback port of its own choosing. Sets ADDRESS, PID and LOG (the access log).
# With TLS, a directory with cert.pem, key.pem and htpasswd: over TLS, for its users only.
start_docker_registry() {
  local dir=$1 tls=${2:-}
  mkdir -p "$dir/store"
  cat >"$dir/config.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: $dir/store, maxthreads: 100}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: 127.0.0.1:0${tls:+, tls: {certificate: $tls/cert.pem, key: $tls/key.pem\}}}
${tls:+auth: {htpasswd: {realm: test, path: $tls/htpasswd\}\}}
YAML
  LOG=$dir/registry.log
  OTEL_TRACES_EXPORTER=none docker-registry serve "$dir/config.yml" >"$LOG" 2>&1 </dev/null &
  PID=$!
  BACKGROUND+=("$PID")
  ADDRESS=$(wait_for_line "$LOG" 'listening on 127\.0\.0\.1:[0-9]+' "$PID") || die "docker-registry did not start"
  ADDRESS=${ADDRESS#listening on }
}

# start_longshore BINARY DIR: the embedded registry over DIR/store.
# Sets ADDRESS, PID and LOG.
start_longshore() {
  start_serve "$1" "$2" --store "$2/store"
}

# start_serve BINARY DIR [ARGUMENT…]: the embedded registry with these arguments, its
# output in DIR, which has a directory `store` to use. Sets ADDRESS, PID and LOG.
start_serve() {
  local binary=$1 dir=$2
  shift 2
  mkdir -p "$dir/store"
  LOG=$dir/serve.log
  "$binary" serve "$@" --listen 127.0.0.1:0 --print-address >"$LOG" 2>"$dir/serve.err" </dev/null &
  PID=$!
  BACKGROUND+=("$PID")
  ADDRESS=$(wait_for_line "$LOG" '^127\.0\.0\.1:[0-9]+$' "$PID") || {
    tail -n 20 "$dir/serve.err" >&2
    die "longshore serve did not print its address"
  }
}

# go_program NAME MODULE VERSION PACKAGE: prints the path of a program built from
# a Go module. In a module of its own: what `go install` does, but it also works
# where the module proxy will not answer for the paths above the module.
go_program() {
  local name=$1 module=$2 version=$3 package=$4 bin target scratch
  bin=$(real_image_dir)/bin
  target=$bin/$name-$version
  if [ ! -x "$target" ]; then
    command -v go >/dev/null || { say "no go to build $name with"; return 1; }
    mkdir -p "$bin"
    scratch=$(mktemp -d)
    (
      cd "$scratch"
      export GOFLAGS=-mod=mod CGO_ENABLED=0
      go mod init longshore.invalid/peer
      go mod edit "-require=$module@$version"
      timeout 1200 go build -o "$target" "$module/$package"
    ) >"$scratch/log" 2>&1 || { tail -n 3 "$scratch/log" >&2; rm -rf "$scratch"; return 1; }
    rm -rf "$scratch"
  fi
  printf '%s\n' "$target"
}

# tree_listing DIR: a line for every file of a tree: type, mode, owner, size, links,
# time, name, target; then a checksum for every regular file.
tree_listing() {
  (
    cd "$1"
    find . -mindepth 1 -type d -printf '%y %m %U:%G %P\n' -o -printf '%y %m %U:%G %s %n %T@ %P -> %l\n' | LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  )
}
