//! The port to whoever keeps upload sessions where a crash does not reach them.

use async_trait::async_trait;

use super::UploadSession;

/// Keeps one blob's upload session for a later process.
///
/// A target tells of every state of the session that it is about to rely on, and waits:
/// a session that is used before it is kept is lost with the process. Keeping is an
/// optimisation, so that nothing here can fail: a keeper that cannot keep says so
/// elsewhere, and the upload goes on.
#[async_trait]
pub trait SessionKeeper: Send + Sync {
    /// Keeps this state, in the place of any before it. Called before the first body byte of a
    /// session is sent, and before each further request that needs the state to be known.
    async fn keep(&self, _session: &UploadSession) {}

    /// The session is over: committed, lost or given up.
    async fn forget(&self) {}

    /// Whether a session is to be left open when its upload fails or is dropped, because a
    /// later process will go on in it.
    fn lasts(&self) -> bool {
        false
    }
}

/// Keeps nothing.
impl SessionKeeper for () {}
