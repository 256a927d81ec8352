//! Work on files, off the threads that drive the network.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

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

/// The same, for work that takes long: it is told, by the flag, when nobody waits
/// for it any more.
pub(super) async fn blocking_until_dropped<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> Result<T, SourceError> {
    let abandoned = Arc::new(AtomicBool::new(false));
    let _waiting = SetWhenDropped(Arc::clone(&abandoned));
    blocking(move || work(&abandoned)).await
}

struct SetWhenDropped(Arc<AtomicBool>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
