//! Work on files, off the threads that drive the network.

use oci::SourceError;

/// Does `work` on a thread where it may block. The error is that of work that
/// could not be done at all, because the runtime is going away.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|stopped| SourceError::unreadable("the source", stopped))
}
