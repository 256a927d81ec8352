//! The registrable domain of a host: what somebody registered or was given, and nobody else has a
//! host in.
//!
//! Read off the [public suffix list](https://publicsuffix.org), of the day of the `psl` crate's
//! release: a list that is too old takes two tenants of a new platform for one, no more than that.
//! Where it knows nothing (`corp.local`), the last label is the suffix, as its rules have it.

use std::net::IpAddr;

use crate::quirks::SHARED_SUFFIXES;

/// The registrable domain of a host in lower case; none of an address, or of a suffix itself.
pub(super) fn registrable(host: &str) -> Option<&str> {
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    for suffix in SHARED_SUFFIXES {
        let Some(before) = host.strip_suffix(suffix) else {
            continue;
        };
        if before.is_empty() {
            return None;
        }
        if let Some(labels) = before.strip_suffix('.') {
            let from = labels.rfind('.').map_or(0, |it| it + 1);
            return Some(&host[from..]);
        }
    }
    psl::domain_str(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_label_more_than_the_public_suffix() {
        let cases = [
            ("registry-1.docker.io", Some("docker.io")),
            ("docker.io.", Some("docker.io")),
            ("registry.gitlab.com", Some("gitlab.com")),
            ("a.registry.corp.co.uk", Some("corp.co.uk")),
            ("a.github.io", Some("a.github.io")),
            ("x.a.github.io", Some("a.github.io")),
            ("d1.cloudfront.net", Some("d1.cloudfront.net")),
            ("t.azurecr.io", Some("t.azurecr.io")),
            ("t.eastus.data.azurecr.io", Some("data.azurecr.io")),
            ("notazurecr.io", Some("notazurecr.io")),
            ("r.10.0.0.1.nip.io", Some("1.nip.io")),
            (
                "registry.ns.svc.cluster.local",
                Some("ns.svc.cluster.local"),
            ),
            ("registry.corp.local", Some("corp.local")),
            ("azurecr.io", None),
            ("github.io", None),
            ("co.uk", None),
            ("localhost", None),
            ("127.0.0.1", None),
            ("[::1]", None),
        ];
        for (host, expected) in cases {
            assert_eq!(registrable(host), expected, "{host}");
        }
    }
}
