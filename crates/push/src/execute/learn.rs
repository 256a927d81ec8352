//! What a push learns of who holds what, on its way to the index.
//!
//! ```text
//!   index ──recall, once, before the first request──▶ layers
//!   answers ──note──▶ pending ──64 of them──▶ record soon
//!                        ├──each second, and before the manifests──▶ record, beside the push
//!                        └──at the end──▶ record, waited for
//! ```
//!
//! Nothing waits for a disk while blobs move, and a push that is killed has lost what it learned in its last
//! second. An index that fails costs later pushes what they could have mounted, and this one nothing: that is
//! a warning, once.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::future::{Either, select};
use oci::{Descriptor, Digest, Mounting, Repository};
use tokio::{sync::Notify, time::timeout};

use super::{Run, Shared, Unkept};
use crate::{
    event::{Done, Observer},
    index::{BlobIndex, Evidence, Sight, Sighting, StateError},
    mount::{MountAnswer, MountStatus, SetAside, Tried},
    plan::Reason,
    report::Outcome,
};

/// How many facts are written at once while a push goes on.
const BATCH: usize = 64;
/// How long what was learned may wait to be written: so much of it is lost to a kill.
const EVERY: Duration = Duration::from_secs(1);
/// How long an index may take, before and after a push.
const PATIENCE: Duration = Duration::from_secs(2);
/// A fact of this age that is seen again is not written again.
const FRESH: Duration = Duration::from_hours(1);

/// What one push learns.
#[derive(Debug, Default)]
pub(crate) struct Lessons {
    index: Option<Arc<dyn BlobIndex>>,
    pending: Mutex<Vec<Sighting>>,
    /// What is pending is to be written now.
    due: Notify,
    /// What the index knew, and since when.
    known: HashMap<(Digest, Repository), SystemTime>,
    unkept: Arc<Unkept>,
}

impl Lessons {
    /// Has the layers recall what their index knows of these blobs.
    pub(crate) async fn recall(
        shared: &Shared,
        blobs: impl Iterator<Item = &Descriptor>,
        repository: &Repository,
        observer: &dyn Observer,
    ) -> Self {
        let mut lessons = Self::of(shared);
        let Some(index) = lessons.index.clone() else {
            return lessons;
        };
        let digests: Vec<Digest> = blobs.map(|it| it.digest.clone()).collect();
        let located = index.locate(repository.registry(), &digests);
        match within(located).await {
            Ok(located) => {
                for it in located.into_iter().flat_map(|it| [it.here, it.elsewhere]) {
                    shared.layers.recall(&it);
                    let held = it
                        .into_iter()
                        .filter(|it| it.held.is_some() && it.denied.is_none());
                    let known = held.map(|it| ((it.digest, it.repository.normal()), it.at));
                    lessons.known.extend(known);
                }
            }
            Err(error) => shared.unkept.tell(observer, &error),
        }
        lessons
    }

    /// Of a push that recalls nothing.
    pub(crate) fn of(shared: &Shared) -> Self {
        let mut lessons = Self::default();
        lessons.index = shared.layers.index();
        lessons.unkept = Arc::clone(&shared.unkept);
        lessons
    }

    /// Keeps what was just seen.
    pub(crate) fn note(&self, repository: &Repository, sight: Sight) {
        let Some(index) = &self.index else {
            return;
        };
        if self.is_old(repository, &sight) {
            return;
        }
        let mut pending = self.pending();
        pending.push(Sighting::now(repository, sight));
        if pending.len() >= BATCH {
            index.record_soon(std::mem::take(&mut *pending));
        }
    }

    /// Keeps that the repository has just said that it holds a blob.
    pub(crate) fn note_answered(&self, repository: &Repository, blob: &Descriptor) {
        self.note(repository, present(blob, Evidence::Answered));
    }

    /// Does `work`, and writes beside it what it learns: each second, and when it is
    /// [due](Self::hurry).
    pub(crate) async fn beside<T>(
        &self,
        observer: &dyn Observer,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        if self.index.is_none() {
            return work.await;
        }
        loop {
            let until = pin!(timeout(EVERY, self.due.notified()));
            if let Either::Left((done, _)) = select(work.as_mut(), until).await {
                return done;
            }
            let writing = pin!(self.write(observer));
            if let Either::Left((done, writing)) = select(work.as_mut(), writing).await {
                // What cannot be written is told.
                writing.await;
                return done;
            }
        }
    }

    /// Has what is pending written soon: what comes next may take a while.
    pub(crate) fn hurry(&self) {
        self.due.notify_one();
    }

    /// Writes what is still to be written.
    pub(crate) async fn write(&self, observer: &dyn Observer) {
        let Some(index) = &self.index else {
            return;
        };
        let pending = std::mem::take(&mut *self.pending());
        if pending.is_empty() {
            return;
        }
        if let Err(error) = within(index.record(pending)).await {
            self.unkept.tell(observer, &error);
        }
    }

    /// Whether it says what the index knew already.
    fn is_old(&self, repository: &Repository, sight: &Sight) -> bool {
        let Sight::Present { digest, by, .. } = sight else {
            return false;
        };
        if !matches!(by, Evidence::Implied | Evidence::Answered) {
            return false;
        }
        let known = self.known.get(&(digest.clone(), repository.normal()));
        known.is_some_and(|at| at.elapsed().is_ok_and(|age| age < FRESH))
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Sighting>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lessons {
    /// A push that was dropped has learned as well.
    fn drop(&mut self) {
        let pending = std::mem::take(&mut *self.pending());
        if let Some(index) = self.index.as_ref().filter(|_| !pending.is_empty()) {
            index.record_soon(pending);
        }
    }
}

impl Run<'_> {
    /// The registry has confirmed that the repository holds the blob: by what `outcome` says.
    pub(super) fn learn(&self, outcome: &Outcome, because: &Reason) {
        let blob = &outcome.blob;
        self.learn_held(blob, evidence(outcome.done, because));
        if let MountStatus::Mounted { from: Some(from) } = &outcome.mount {
            self.lessons.note(from, present(blob, Evidence::Gave));
        }
        if let Some(origin) = self.source.origin() {
            let by = match outcome.done {
                Done::Uploaded => Evidence::Pulled,
                Done::Present | Done::Mounted | Done::Foreign => Evidence::Implied,
            };
            self.lessons.note(origin, present(blob, by));
        }
    }

    /// The repository pushed into holds the blob.
    pub(super) fn learn_held(&self, blob: &Descriptor, by: Evidence) {
        let layers = &self.shared.layers;
        layers.add_source(&blob.digest, self.repository());
        self.lessons.note(self.repository(), present(blob, by));
    }

    /// What a repository said that was asked to give a blob.
    pub(super) async fn learn_answer(&self, blob: &Descriptor, tried: &Tried) {
        match (tried.answer, tried.status) {
            // Without a status nobody was asked: the registry has no mounts.
            (MountAnswer::Refused, Some(_)) => {
                if self.siblings.is_sure(&blob.digest, &tried.from) {
                    self.target.refused_to_mount(blob);
                }
                // A registry that refuses all says nothing of the repository.
                if self.target.mounting().await == Mounting::Tried {
                    self.learn_gone(&blob.digest, &tried.from);
                }
            }
            (MountAnswer::NotFound, Some(_)) => {
                self.learn_gone(&blob.digest, &tried.from);
            }
            (MountAnswer::Denied, _) => {
                let layers = &self.shared.layers;
                layers.set_aside(&blob.digest, &tried.from, SetAside::OnHold);
                self.lessons.note(&tried.from, Sight::Denied);
                self.denied().insert(tried.from.clone());
            }
            _ => {}
        }
    }

    /// A repository does not hold a blob that it was thought to hold.
    pub(super) fn learn_gone(&self, digest: &Digest, repository: &Repository) {
        let layers = &self.shared.layers;
        layers.set_aside(digest, repository, SetAside::Gone);
        let digest = digest.clone();
        self.lessons.note(repository, Sight::Gone { digest });
    }
}

fn evidence(done: Done, because: &Reason) -> Evidence {
    match done {
        Done::Uploaded => Evidence::Pushed,
        Done::Mounted => Evidence::Mounted,
        Done::Present | Done::Foreign if *because == Reason::HeldByParent => Evidence::Implied,
        Done::Present | Done::Foreign => Evidence::Answered,
    }
}

fn present(blob: &Descriptor, by: Evidence) -> Sight {
    Sight::Present {
        digest: blob.digest.clone(),
        size: blob.size,
        by,
    }
}

/// What takes too long has failed.
async fn within<T>(work: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
    let done = timeout(PATIENCE, work).await;
    done.unwrap_or(Err(StateError::Closed))
}
