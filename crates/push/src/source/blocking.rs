//! Work on files, off the threads that drive the network.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use oci::SourceError;

/// Does `work` on a thread where it may block. The error is that of work that
/// could not be done at all, because the runtime is going away.
pub(crate) async fn blocking<T: Send + 'static>(
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told() {
        let (told, hears) = mpsc::channel();
        let work = blocking_until_dropped(move |abandoned| {
            while !abandoned.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            told.send(()).unwrap();
        });
        let ended = tokio::time::timeout(std::time::Duration::from_millis(5), work).await;
        assert!(ended.is_err());
        hears.recv().unwrap();
    }

    #[tokio::test]
    async fn work_that_is_waited_for_is_not_told() {
        let work = blocking_until_dropped(|abandoned| abandoned.load(Ordering::Relaxed));
        assert!(!work.await.unwrap());
    }
}
