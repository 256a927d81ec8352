#!/usr/bin/env bash
# Pushes to real registries on loopback, and notes what each allows.
#
#   ci/real-registries.sh            longshore serve and Debian's docker-registry
#   ci/real-registries.sh --all      distribution 3 and zot too
#   ci/real-registries.sh --all --write   and the table of docs/registries.md
#
# Each plain, with htpasswd, with a token service and over TLS with a private authority:
# push, again, another tag, mount, a large manifest, killed (SIGKILL) in the middle of a
# body and gone on with, a token that ends meanwhile. What is claimed about requests and
# bytes is read off the wire (ci/registries/wire.py), not from our report alone.
# distribution 3 is $DISTRIBUTION_REGISTRY, or built from its Go module; zot is $ZOT.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/lib.sh
source "$here/lib.sh"

need python3 openssl htpasswd docker-registry
export LONGSHORE=${LONGSHORE:-$here/../target/release/longshore}
[ -x "$LONGSHORE" ] || die "no binary at $LONGSHORE: cargo build --release"

only=longshore,docker-registry
arguments=()
for argument in "$@"; do
  case $argument in
    --all)
      only=longshore,docker-registry,distribution,zot
      DISTRIBUTION_REGISTRY=${DISTRIBUTION_REGISTRY:-$(go_program distribution github.com/distribution/distribution/v3 v3.1.2 cmd/registry || true)}
      export DISTRIBUTION_REGISTRY
      ;;
    --write) arguments+=(--write) ;;
    *) die "unknown argument: $argument" ;;
  esac
done
exec python3 "$here/registries/main.py" --only "$only" "${arguments[@]+"${arguments[@]}"}"
