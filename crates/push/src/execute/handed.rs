//! A session that a refused mount handed out, until somebody uses it.

use std::time::Duration;

use oci::{PushTarget, UploadSession};

/// How long giving a session up may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// A session nobody uses yet. Dropped, it is given up: no path leaves one open.
pub(super) struct Handed<'a> {
    target: &'a dyn PushTarget,
    session: Option<UploadSession>,
}

impl<'a> Handed<'a> {
    pub(super) fn new(target: &'a dyn PushTarget, session: UploadSession) -> Self {
        Self {
            target,
            session: Some(session),
        }
    }

    /// For an upload: from here on it is the target's.
    pub(super) fn into_session(mut self) -> Option<UploadSession> {
        self.session.take()
    }

    /// Gives it up and waits for that, within bounds. What the registry says to it does not
    /// matter: it forgets the session in its own time, too.
    pub(super) async fn cancel(mut self) {
        let Some(session) = self.session.clone() else {
            return;
        };
        let cancelled = self.target.cancel_session(session);
        // While it is waited for, dropping `self` still gives the session up.
        if tokio::time::timeout(CANCEL_LIMIT, cancelled).await.is_ok() {
            self.session = None;
        }
    }
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.target.abandon_session(session);
        }
    }
}
