//! What a listener may know while a client works.
//!
//! A client tells and goes on: a [`ClientObserver`] is never waited for, and nothing here
//! carries a secret. What a registry says of itself has been made fit to be shown.

use std::time::Duration;

/// Something that happened between a client and a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A host wants no requests for a while, and gets none: from this client, and from whoever
    /// shares its [`PauseBoard`](crate::PauseBoard). Told once for each pause.
    Paused {
        /// The host, by its URL without a path.
        host: String,
        /// For how long from now on.
        wait: Duration,
    },
    /// A host warns of something, by a `Warning` of 299. Told once for each text of a host, and not
    /// for more than 16 of them.
    Warned {
        /// The host, by its URL without a path.
        host: String,
        /// What it says, at most 4096 bytes before control characters were escaped.
        text: String,
    },
}

/// Told what happens. Never waited for: must not block, and need not answer.
pub trait ClientObserver: Send + Sync {
    /// Something happened.
    fn event(&self, event: &ClientEvent);
}

/// Tells nobody.
impl ClientObserver for () {
    fn event(&self, _event: &ClientEvent) {}
}

impl<O: ClientObserver + ?Sized> ClientObserver for std::sync::Arc<O> {
    fn event(&self, event: &ClientEvent) {
        (**self).event(event);
    }
}
