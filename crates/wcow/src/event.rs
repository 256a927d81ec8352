//! What a build tells while it goes on.
//!
//! Whoever listens may leave: nobody who is gone holds a build up. A build that ends badly says so
//! with one [`BuildEvent::Failed`], whatever it failed at, its push included: whoever does the push
//! tells it through the same [`Events`].

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
};

use oci::{Digest, Platform};

/// Something that happened in a build.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent {
    /// `FROM` names something else now: a rule said so.
    Mapped {
        /// As the Dockerfile has it.
        from: String,
        /// What is read instead.
        to: String,
    },
    /// A base was read: its manifest and its config.
    Base {
        /// As `FROM` names it, variables and rules followed.
        reference: String,
        /// What the image runs on then.
        platform: Box<Platform>,
        /// The digest of its manifest.
        digest: Digest,
        /// How many bytes its layers have together. None of them was read.
        bytes: u64,
    },
    /// An image was read that files are copied from: its manifest and its config.
    CopiedFrom {
        /// As `COPY --from` names it, rules followed.
        reference: String,
        /// What it runs on.
        platform: Box<Platform>,
        /// The digest of its manifest.
        digest: Digest,
        /// How many bytes its layers have together. Those that are needed are fetched.
        bytes: u64,
    },
    /// A layer of an image is fetched, because files are copied out of it.
    Fetch {
        /// The image.
        reference: String,
        /// The layer's digest.
        digest: Digest,
        /// Its size, in bytes.
        size: u64,
    },
    /// What a `RUN` runs printed a line.
    Output {
        /// The line of the `RUN`, counted from 1.
        line: usize,
        /// Where to.
        stream: RunStream,
        /// The line, without its end. Whatever the command likes: a terminal may take parts of it
        /// for commands.
        text: String,
    },
    /// A layer was written.
    Layer {
        /// The instruction.
        instruction: String,
        /// Its digest, compressed.
        digest: Digest,
        /// Its size, compressed, in bytes.
        size: u64,
    },
    /// A layer is the same as one that was written before, for another release.
    Shared {
        /// The instruction.
        instruction: String,
        /// Its digest, compressed.
        digest: Digest,
    },
    /// An image was put together.
    Image {
        /// What it runs on.
        platform: Box<Platform>,
        /// The digest of its manifest.
        digest: Digest,
    },
    /// The index of several images was put together.
    Index {
        /// Its digest.
        digest: Digest,
    },
    /// Something is odd, and does not stand in the way.
    Warning(String),
    /// The build ended badly. Nothing comes after it.
    Failed {
        /// Why: the error and its causes, outermost first.
        causes: Vec<String>,
    },
}

/// Which of its two streams a command printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl RunStream {
    /// Its name: `stdout`, `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Who is told.
pub trait BuildObserver: Send + Sync {
    /// Takes notice. Called from wherever the build is, so it must not take long.
    fn observe(&self, event: &BuildEvent);
}

impl BuildObserver for Sender<BuildEvent> {
    /// Sends a copy; a receiver that is gone misses it.
    fn observe(&self, event: &BuildEvent) {
        let _ = self.send(event.clone());
    }
}

/// Tells an observer, the failure once.
#[derive(Clone)]
pub struct Events {
    observer: Arc<dyn BuildObserver>,
    failed: Arc<AtomicBool>,
}

impl Events {
    /// Tells this one.
    pub fn new(observer: impl BuildObserver + 'static) -> Self {
        Self {
            observer: Arc::new(observer),
            failed: Arc::default(),
        }
    }

    /// Tells of a failure, unless that was done.
    pub fn failed(&self, error: &dyn Error) {
        if self.failed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut causes = vec![error.to_string()];
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        self.observer.observe(&BuildEvent::Failed { causes });
    }

    pub(crate) fn tell(&self, event: &BuildEvent) {
        self.observer.observe(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn b17_a_failure_is_told_once_and_a_closed_receiver_is_tolerated() {
        let (sender, receiver) = channel();
        let events = Events::new(sender);
        let cause = std::io::Error::other("the disk is full");
        let error = oci::SourceError::unreadable("here", cause);
        events.clone().failed(&error);
        events.failed(&error);
        let causes = vec![
            "could not read here".to_owned(),
            "the disk is full".to_owned(),
        ];
        let told: Vec<_> = receiver.try_iter().collect();
        assert_eq!(told, [BuildEvent::Failed { causes }]);
        drop(receiver);
        events.tell(&BuildEvent::Warning("nobody hears it".into()));
    }
}
