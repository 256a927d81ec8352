//! One upload's session, kept where a crash does not reach it.
//!
//! ```text
//!   take ──▶ keep, keep, … ──▶ committed: dropped from the journal
//!                 │    └──────▶ failed or dropped: let go, or given up, as configured
//!                 └──another has it──▶ the upload is stopped, and begun in a session of its own
//! ```
//!
//! A journal that fails costs the bytes of an interrupted upload, not the push: that is a
//! warning, once. Small blobs are not kept: a commit to the disk costs more than they do.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use oci::{Descriptor, SessionKeeper, UploadSession};
use tokio::sync::Notify;

use super::Run;
use crate::{
    journal::{BlobKey, Claim, Journal, StateError, Stored},
    options::Sessions,
};

/// How often an owner says that it is at work: a few times in the minute it is believed.
const RENEWAL: Duration = Duration::from_secs(20);

/// Keeps one upload's session. Dropped, it leaves it to the next, or nothing.
pub(super) struct Keeper<'a> {
    run: &'a Run<'a>,
    kept: Option<(&'a dyn Journal, Claim)>,
    held: Mutex<Held>,
    lost: Notify,
}

/// What of the session is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Nothing yet.
    Nothing,
    /// It, and this upload owns it.
    Ours,
    /// Another's: this upload goes on without.
    Others,
}

impl<'a> Run<'a> {
    /// Somebody who keeps the session of a blob's upload, and what an upload before it left.
    pub(super) async fn keeper(&'a self, blob: &Descriptor) -> (Keeper<'a>, Option<UploadSession>) {
        let journal = self.shared.journal.as_deref();
        let journal = journal.filter(|_| blob.size >= self.shared.options.journal_from);
        let keeper = Keeper {
            run: self,
            kept: journal.map(|it| {
                let key = BlobKey {
                    repository: self.repository().clone(),
                    digest: blob.digest.clone(),
                };
                (it, it.claim(key, blob.size))
            }),
            held: Mutex::new(Held::Nothing),
            lost: Notify::new(),
        };
        let session = keeper.take().await;
        (keeper, session)
    }

    fn state_failed(&self, error: &StateError) {
        self.shared.unkept.tell(self.observer, error);
    }
}

impl Keeper<'_> {
    async fn take(&self) -> Option<UploadSession> {
        let (journal, claim) = self.kept.as_ref()?;
        match journal.take(claim).await {
            Ok(Some(session)) => {
                *self.held() = Held::Ours;
                Some(session)
            }
            Ok(None) => None,
            Err(error) => {
                self.run.state_failed(&error);
                None
            }
        }
    }

    /// The session is over; nothing of it is to be gone on with.
    pub(super) fn done(&self) {
        if let Some((journal, claim)) = &self.kept
            && std::mem::replace(&mut *self.held(), Held::Nothing) == Held::Ours
        {
            journal.drop_session(claim);
        }
    }

    /// Ends when another has taken the session, and says meanwhile that it is in use.
    pub(super) async fn lost(&self) {
        loop {
            let renewal = tokio::time::timeout(RENEWAL, self.lost.notified());
            if renewal.await.is_ok() {
                return;
            }
            let Some((journal, claim)) = &self.kept else {
                continue;
            };
            if *self.held() != Held::Ours {
                continue;
            }
            match journal.renew(claim).await {
                Ok(Stored::Others) => {
                    *self.held() = Held::Others;
                    return;
                }
                Ok(Stored::Kept | Stored::Gone) => {}
                Err(error) => self.run.state_failed(&error),
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionKeeper for Keeper<'_> {
    async fn keep(&self, session: &UploadSession) {
        let Some((journal, claim)) = &self.kept else {
            return;
        };
        let before = *self.held();
        if before == Held::Others {
            return;
        }
        match journal.store(claim, session).await {
            Ok(Stored::Kept) => *self.held() = Held::Ours,
            Ok(Stored::Others | Stored::Gone) => {
                *self.held() = Held::Others;
                // A session of this upload's own that never was in the journal is nobody
                // else's. One that was may be: nothing more is sent in it.
                if before == Held::Ours {
                    self.lost.notify_one();
                    std::future::pending::<()>().await;
                }
            }
            Err(error) => self.run.state_failed(&error),
        }
    }

    async fn forget(&self) {
        self.done();
    }

    fn lasts(&self) -> bool {
        // Asked before anything is kept, too.
        self.kept.is_some()
            && *self.held() != Held::Others
            && self.run.shared.options.sessions == Sessions::Keep
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        if self.lasts() {
            if let Some((journal, claim)) = &self.kept {
                journal.let_go(claim);
            }
        } else {
            self.done();
        }
    }
}
