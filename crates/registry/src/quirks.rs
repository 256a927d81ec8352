//! What differs from registry to registry, in one place, each with where it was seen.

use http::StatusCode;
use oci::Registry;

/// Suffixes below which everybody may have a host and that are not on the
/// [public suffix list](https://publicsuffix.org): a registry or a service each, or a name for each
/// address.
pub(crate) const SHARED_SUFFIXES: [&str; 7] = [
    "azurecr.io",
    "azurecr.cn",
    "azurecr.us",
    "jfrog.io",
    "nip.io",
    "sslip.io",
    // A namespace each.
    "svc.cluster.local",
];

/// Whether a part of an upload that begins at `from` (bytes into the blob) says so in a
/// `Content-Range`: not one that is the whole of the blob, which GHCR refuses
/// ([tart#179](https://github.com/cirruslabs/tart/pull/179)).
pub(crate) fn has_a_range(from: u64, closing: bool) -> bool {
    from > 0 || !closing
}

/// The name that docker's configuration and credential helpers have for a registry: its own, except
/// for Docker Hub, which has that of its first API.
pub(crate) fn name_in_configuration(registry: &Registry) -> &str {
    if registry.is_docker_hub() {
        "https://index.docker.io/v1/"
    } else {
        registry.name()
    }
}

/// Statuses that mean "not mounted, send the bytes" where the specification says 202.
///
/// Harbor answers 401 for a project that is absent, Docker Hub for a source it was not asked a
/// token for ([rust-oci-client#235](https://github.com/oras-project/rust-oci-client/issues/235)); others
/// 403, 404 or 405 ([zot](https://github.com/project-zot/zot)), Quay before 2021 a 400, and some
/// a 5xx. What is wrong with more than the mount shows at the upload.
pub(crate) fn declines_a_mount(status: StatusCode) -> bool {
    status != StatusCode::TOO_MANY_REQUESTS
        && (status.is_client_error() || status.is_server_error())
}

/// Statuses of a PATCH or PUT that mean that its session is not known, any more or at all.
///
/// GHCR answers 404 to a PUT that is tried again although the first was taken
/// ([jib#4301](https://github.com/GoogleContainerTools/jib/issues/4301)); olareg 400, others 410.
pub(crate) fn lost_its_session(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 410)
}

/// Whether an answer shows that the registry has no lists of referrers: old ones do not know the path,
/// and some send whoever asks to a page for people
/// ([GHCR](https://github.com/artifacthub/hub/issues/4785)).
pub(crate) fn has_no_referrers(status: StatusCode, is_html: bool) -> bool {
    status.is_redirection()
        || matches!(status.as_u16(), 400 | 404 | 405 | 406 | 410 | 501)
        || status == StatusCode::OK && is_html
}
