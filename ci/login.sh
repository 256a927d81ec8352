#!/usr/bin/env bash
# Logins shared with other tools, both ways, at Debian's docker-registry with a
# password: what skopeo (and crane, docker, podman where they are installed) keeps,
# longshore uses and removes, and the other way round. Also what is typed at a terminal.
#
#   ci/login.sh            with target/release/longshore
#   LONGSHORE=… ci/login.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh disable=SC1091
. "$here/lib.sh"

LONGSHORE=${LONGSHORE:-$here/../target/release/longshore}
need docker-registry skopeo htpasswd sha256sum script jq
[ -x "$LONGSHORE" ] || die "no binary at $LONGSHORE: cargo build --release"
LONGSHORE=$(realpath "$LONGSHORE")

work=$(mktemp -d)
trap 'end_all; rm -rf "$work"' EXIT
# shellcheck disable=SC2016
readonly USERNAME=someone PASSWORD='se:cret $x'
passed=0 failed=0

# row NAME COMMAND…: runs it, says whether it went well.
row() {
  local name=$1
  shift
  if "$@" >"$work/out" 2>&1 </dev/null; then
    passed=$((passed + 1)); echo "ok      $name"
  else
    failed=$((failed + 1)); echo "FAILED  $name"; sed 's/^/        /' "$work/out"
  fi
  if grep -qF -e "$PASSWORD" "$work/out"; then
    failed=$((failed + 1)); echo "FAILED  $name: shows the password"
  fi
}

not() { ! "$@"; }

# ---- the registry and an image ------------------------------------------------

mkdir -p "$work/registry/store"
htpasswd -Bbn "$USERNAME" "$PASSWORD" >"$work/registry/htpasswd" 2>/dev/null
cat >"$work/registry/config.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry/store}}
http: {addr: 127.0.0.1:0}
auth: {htpasswd: {realm: test, path: $work/registry/htpasswd}}
YAML
OTEL_TRACES_EXPORTER=none docker-registry serve "$work/registry/config.yml" >"$work/registry/log" 2>&1 </dev/null &
BACKGROUND+=($!)
address=$(wait_for_line "$work/registry/log" 'listening on 127\.0\.0\.1:[0-9]+' $!)
readonly HOST=${address#listening on }

# blob TEXT: puts it into the layout, prints its digest and size as JSON members.
blob() {
  local digest
  digest=$(printf %s "$1" | sha256sum | cut -d' ' -f1)
  printf %s "$1" >"$work/image/blobs/sha256/$digest"
  printf '"digest":"sha256:%s","size":%s' "$digest" "${#1}"
}
mkdir -p "$work/image/blobs/sha256"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
config=$(blob '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
manifest=$(blob '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",'"$config"'},"layers":[]}')
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s}]}' "$manifest" >"$work/image/index.json"

# ---- what the tools do --------------------------------------------------------

# A home for each part, and no settings from outside.
home() {
  export HOME=$work/$1 XDG_RUNTIME_DIR=$work/$1/run XDG_CONFIG_HOME=$work/$1/.config
  mkdir -p "$HOME" "$XDG_RUNTIME_DIR" "$XDG_CONFIG_HOME"
  unset DOCKER_CONFIG REGISTRY_AUTH_FILE DOCKER_AUTH_CONFIG LONGSHORE_USERNAME LONGSHORE_PASSWORD
}

push() { "$LONGSHORE" push "$work/image" "$HOST/team/app:1" "$@"; }
# A push without credentials ends with exit code 3 and no other.
no_push() { local code=0; push "$@" || code=$?; [ "$code" -eq 3 ]; }
longshore_login() { printf '%s\n' "$PASSWORD" | "$LONGSHORE" login "$HOST" -u "$USERNAME" --password-stdin "$@"; }
longshore_logout() { "$LONGSHORE" logout "$HOST" "$@"; }
skopeo_login() { printf '%s' "$PASSWORD" | skopeo login --tls-verify=false -u "$USERNAME" --password-stdin "$@" "$HOST"; }
skopeo_reads() { skopeo inspect --tls-verify=false "$@" "docker://$HOST/team/app:1"; }
docker_login() { printf '%s' "$PASSWORD" | docker login -u "$USERNAME" --password-stdin "$HOST"; }
crane_login() { printf '%s' "$PASSWORD" | crane auth login "$HOST" -u "$USERNAME" --password-stdin; }
private() { [ "$(stat -c %a "$1")" = 600 ]; }

home skopeo
row 'nobody is logged in: refused' no_push
row 'skopeo login' skopeo_login
row 'longshore pushes with what skopeo keeps for the session' push
file=$XDG_RUNTIME_DIR/containers/auth.json
row 'longshore logs out of what skopeo keeps' longshore_logout --authfile "$file"
row 'skopeo is logged out' not skopeo_reads
row 'longshore is logged out' no_push
row 'longshore login into the same file' longshore_login --authfile "$file"
row 'the file is private' private "$file"
row 'skopeo reads with what longshore keeps' skopeo_reads
row 'skopeo knows the user' test "$(skopeo login --get-login "$HOST" 2>&1)" = "$USERNAME"
row 'skopeo logs out of what longshore keeps' skopeo logout "$HOST"
row 'longshore is logged out again' no_push

home docker
row 'longshore login' longshore_login
row 'longshore pushes' push
row 'skopeo reads from the docker file' skopeo_reads
# shellcheck disable=SC2016
row 'the file is of docker'\''s form' jq -e --arg host "$HOST" '.auths[$host].auth | @base64d | startswith("someone:")' "$HOME/.docker/config.json"
row 'longshore logout' longshore_logout
row 'skopeo is logged out' not skopeo_reads
export REGISTRY_AUTH_FILE=$HOME/named.json
row 'longshore login into REGISTRY_AUTH_FILE' longshore_login
row 'skopeo reads from REGISTRY_AUTH_FILE' skopeo_reads
row 'longshore logout from REGISTRY_AUTH_FILE' longshore_logout
row 'skopeo is logged out of REGISTRY_AUTH_FILE' not skopeo_reads

# The prompt goes to a terminal; it is answered when it is there and the terminal echoes nothing.
typed() {
  : >"$work/terminal"
  rm -f "$work/tty"
  { wait_for_line "$work/terminal" 'Password for' $$ >/dev/null && wait_for_silence && printf '%s\n' "$1"; } |
    script -qefc "tty >'$work/tty'; exec '$LONGSHORE' login $HOST -u $USERNAME" "$work/terminal"
}
wait_for_silence() {
  local try
  for ((try = 0; try < 1200; try++)); do
    [[ $(stty -a -F "$(cat "$work/tty")" 2>/dev/null) != *" -echo "* ]] || return 0
    sleep 0.1
  done
  return 1
}
home typed
row 'a wrong password is refused' not typed wrong
row 'the terminal was told so' grep -q 'did not take the credentials' "$work/terminal"
row 'and nothing is kept' test ! -e "$HOME/.docker/config.json"
typed_silently() { typed "$PASSWORD" && not grep -qF -e "$PASSWORD" "$work/terminal"; }
row 'a password is typed at a terminal and not echoed' typed_silently
row 'longshore pushes with it' push

for tool in crane docker; do
  if ! command -v "$tool" >/dev/null; then echo "absent  $tool"; continue; fi
  home "by-$tool"
  row "$tool login" "${tool}_login"
  row "longshore pushes with what $tool keeps" push
  row "longshore logs out of what $tool keeps" longshore_logout
  row "longshore is logged out after $tool" no_push
  row "longshore login for $tool" longshore_login
  case $tool in
    crane) row "crane reads with what longshore keeps" crane manifest "$HOST/team/app:1" ;;
  esac
  if [ "$tool" = crane ]; then row "crane logout" crane auth logout "$HOST"; else row "docker logout" docker logout "$HOST"; fi
  row "longshore is logged out by $tool" no_push
done

printf 'login: %s checks passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
