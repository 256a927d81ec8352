#!/usr/bin/env bash
# The nouns and the engine speak to no network: what they are built from has no
# HTTP client and no TLS in it. A test of the command keeps the arrows between
# our own crates; this keeps what those crates bring along.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly FORBIDDEN='axum|curl|curl-sys|h2|h3|http|http-body|hyper|hyper-rustls|hyper-util|isahc|native-tls|openssl|openssl-sys|quinn|reqwest|ring|rustls|rustls-webpki|schannel|security-framework|surf|tokio-rustls|ureq'

for package in longshore-oci longshore-push; do
  closure=$(cargo tree --locked -p "$package" -e normal --target all --all-features --prefix none --no-dedupe |
    sed 's/ .*//' | sort -u)
  count=$(wc -l <<<"$closure")
  [ "$count" -gt 1 ] || { echo "walls: cargo tree shows no dependency of $package" >&2; exit 1; }
  if found=$(grep -xE "$FORBIDDEN" <<<"$closure"); then
    echo "walls: $package is built from $(tr '\n' ' ' <<<"$found")" >&2
    exit 1
  fi
  echo "walls: $package: $count packages, no HTTP client, no TLS"
done
