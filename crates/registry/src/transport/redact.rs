//! URLs as they may be shown: only where they lead.
//!
//! User information and queries may be secret or signed, and so may the path of an upload.

use std::fmt;

use oci::{Digest, Registry, Tag};
use url::Url;

/// Only where a URL leads: scheme, host and port.
pub(crate) struct OriginOnly<'a>(pub(crate) &'a Url);

impl fmt::Display for OriginOnly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())?;
        match self.0.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// What a URL is about, as far as it is of the protocol: its path where the client made it, and of
/// an upload no more than that it is one. Nothing of a query.
pub(crate) struct Endpoint<'a>(pub(crate) &'a Url);

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.path();
        if let Some((repository, _)) = path.split_once("/blobs/uploads/") {
            return match repository.strip_prefix("/v2/") {
                Some(name) if is_repository(name) => {
                    write!(f, "{repository}/blobs/uploads/…")
                }
                _ => f.write_str("…"),
            };
        }
        let made = |kind: &str, is_named: fn(&str) -> bool| {
            let parts = path
                .strip_prefix("/v2/")
                .and_then(|it| it.rsplit_once(kind));
            parts.is_some_and(|(repository, last)| is_repository(repository) && is_named(last))
        };
        let is_digest = |text: &str| text.parse::<Digest>().is_ok();
        let is_either = |text: &str| text.parse::<Digest>().is_ok() || text.parse::<Tag>().is_ok();
        if path == "/v2/"
            || made("/blobs/", is_digest)
            || made("/referrers/", is_digest)
            || made("/manifests/", is_either)
            || made("/tags/", |text| text == "list")
        {
            f.write_str(path)
        } else {
            f.write_str("…")
        }
    }
}

fn is_repository(path: &str) -> bool {
    Registry::docker_hub().repository(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let url = Url::parse("https://user:pw@r.test:8443/v2/a/b?X-Sig=canary#frag").unwrap();
        assert_eq!(OriginOnly(&url).to_string(), "https://r.test:8443");
    }

    #[test]
    fn r10_paths_are_shown_as_far_as_they_are_of_the_protocol() {
        let digest = Digest::of(b"x");
        let blob = format!("/v2/team/app/blobs/{digest}");
        for (path, shown) in [
            ("/v2/", "/v2/"),
            (&blob, &blob),
            ("/v2/app/manifests/1.0?x=canary", "/v2/app/manifests/1.0"),
            ("/v2/app/tags/list?last=canary", "/v2/app/tags/list"),
            (
                "/v2/app/blobs/uploads/?mount=canary",
                "/v2/app/blobs/uploads/…",
            ),
            (
                "/v2/app/blobs/uploads/canary?_state=canary",
                "/v2/app/blobs/uploads/…",
            ),
            ("/v2/app/blobs/canary", "…"),
            ("/signed/canary", "…"),
            ("/v2/CANARY/blobs/uploads/x", "…"),
            ("/token?scope=canary", "…"),
        ] {
            let url = Url::parse(&format!("https://r.test{path}")).unwrap();
            assert_eq!(Endpoint(&url).to_string(), *shown, "{path}");
        }
    }
}
