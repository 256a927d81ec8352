//! What differs from registry to registry, in one place, each with where it was seen.

use http::StatusCode;

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
