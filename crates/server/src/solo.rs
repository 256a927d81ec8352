//! One thread for work that takes much memory.
//!
//! Allocators keep for each thread some of what it gave back. Work that takes megabytes, done
//! now on this thread and now on that one, comes to take megabytes for each of them; done on
//! one thread it takes them once.

use std::{
    io,
    sync::mpsc::{Sender, channel},
    thread,
};

type Work = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Solo(Sender<Work>);

impl Solo {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let (sender, all) = channel::<Work>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || all.into_iter().for_each(|work| work()))?;
        Ok(Self(sender))
    }

    /// Does this when all that came before is done. It may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = tokio::sync::oneshot::channel();
        let work: Work = Box::new(move || {
            let did = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // Who waited may have gone.
            let _ = did.map(|it| done.send(it));
        });
        let died = || io::Error::other("work on a thread of its own died");
        self.0.send(work).map_err(|_| died())?;
        result.await.map_err(|_| died())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_panics_fails_alone() {
        let solo = Solo::new("solo").unwrap();
        let quiet = std::panic::resume_unwind;
        assert!(solo.run(move || quiet(Box::new(()))).await.is_err());
        assert_eq!(solo.run(|| 7).await.unwrap(), 7);
    }
}
