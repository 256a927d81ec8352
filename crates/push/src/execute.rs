//! Does the steps: blobs first, several at once, then manifests, then tags.
//!
//! ```text
//!   steps ──▶ blobs, the largest first ──▶ manifests, wave by wave ──▶ tags ──▶ Report
//!              claim · permit · mount · upload      put · heal once
//! ```
//!
//! Where that is likely to spare most of it, the root goes first, by its digest ([`opening`]).
//! No manifest is put before every blob is proven to be in the repository, by an answer of
//! the registry itself. The first failure drops everything that is still going on; all of
//! it runs inside the caller's future, so dropping that stops it too.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use oci::{Digest, PushTarget, Repository, Source, Tag};
use tokio::sync::Semaphore;

use crate::{
    error::PushError,
    event::{Event, Observer},
    graph::Graph,
    journal::Journal,
    mount::MountableLayers,
    options::Options,
    plan::{Action, Beginning, Opening, Siblings, Step},
    report::{Outcome, Report, sum},
    sightings::{Seen, Sightings},
};

mod attach;
mod blob;
mod handed;
mod heal;
mod keep;
mod learn;
mod manifest;
mod once;
mod opening;
mod schedule;
mod sign;
mod tags;
mod unkept;

pub(crate) use learn::Lessons;
use once::Claims;
use unkept::Unkept;

/// What all pushes of an engine have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) layers: Arc<dyn MountableLayers>,
    pub(crate) sightings: Arc<dyn Sightings>,
    /// Whether what a plan has found is not remembered.
    pub(crate) forgets_plans: bool,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    claims: Arc<Claims>,
    unkept: Arc<Unkept>,
    permits: Semaphore,
}

/// Where what is not known about a blob gets known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The steps are a plan's: done as they stand.
    Planned,
    /// Blobs were not asked for: the first request for one is the question.
    AsItGoes {
        /// Whether what was never seen is most likely not there: other things were.
        familiar: bool,
    },
}

/// One push, while it runs.
pub(crate) struct Run<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) source: &'a dyn Source,
    pub(crate) target: &'a dyn PushTarget,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) graph: &'a Graph,
    pub(crate) siblings: &'a Siblings,
    pub(crate) lessons: &'a Lessons,
    pub(crate) mode: Mode,
    reserved: AtomicU64,
    outcomes: Mutex<Vec<Option<Outcome>>>,
    /// Blobs that the registry has just said it lacks.
    missing: Mutex<HashSet<Digest>>,
    healed: tokio::sync::Mutex<HashSet<Digest>>,
    /// Manifests about others that nobody is known to list, as positions among the nodes.
    unlisted: Mutex<BTreeSet<usize>>,
    referrers_tags: Mutex<Vec<Tag>>,
    /// Repositories that denied a mount in this push: not asked again in it, named or not.
    denied: Mutex<HashSet<Repository>>,
    /// The blob that finds out whether the registry still refuses mounts.
    trial: OnceLock<Digest>,
    signs: sign::Signs,
}

/// What a run is to do.
pub(crate) struct Orders<'a> {
    pub(crate) steps: &'a [Step],
    pub(crate) tags: &'a [Tag],
    pub(crate) held_tags: &'a [Tag],
    /// Whether it goes on with uploads that were interrupted, and nobody was asked for the rest.
    pub(crate) goes_on: bool,
    pub(crate) opening: Opening,
    /// Which blobs are asked for first, where the others may not have to be.
    pub(crate) beginning: Option<Beginning>,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        layers: Arc<dyn MountableLayers>,
        journal: Option<Arc<dyn Journal>>,
    ) -> Self {
        let permits = Semaphore::new(options.concurrency.get().min(Semaphore::MAX_PERMITS));
        Self {
            options,
            layers,
            sightings: Arc::new(Seen::default()),
            forgets_plans: false,
            journal,
            claims: Arc::default(),
            unkept: Arc::default(),
            permits,
        }
    }

    /// The same with permits of its own: what is learned and what is on its way is known to both.
    pub(crate) fn beside(&self) -> Self {
        let permits = self.options.concurrency.get().min(Semaphore::MAX_PERMITS);
        Self {
            options: self.options.clone(),
            layers: Arc::clone(&self.layers),
            sightings: Arc::clone(&self.sightings),
            forgets_plans: self.forgets_plans,
            journal: self.journal.clone(),
            claims: Arc::clone(&self.claims),
            unkept: Arc::clone(&self.unkept),
            permits: Semaphore::new(permits),
        }
    }

    /// The same with this memory; whether it forgets what a plan has found.
    pub(crate) fn remembering(self, sightings: Arc<dyn Sightings>, forgets_plans: bool) -> Self {
        Self {
            sightings,
            forgets_plans,
            ..self
        }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        ports: (&'a dyn Source, &'a dyn PushTarget, &'a dyn Observer),
        graph: &'a Graph,
        (siblings, lessons): (&'a Siblings, &'a Lessons),
        mode: Mode,
    ) -> Self {
        let (source, target, observer) = ports;
        Self {
            shared,
            source,
            target,
            observer,
            graph,
            siblings,
            lessons,
            mode,
            reserved: AtomicU64::new(0),
            outcomes: Mutex::new(vec![None; graph.blobs().len()]),
            missing: Mutex::default(),
            healed: tokio::sync::Mutex::default(),
            unlisted: Mutex::default(),
            referrers_tags: Mutex::default(),
            denied: Mutex::default(),
            trial: OnceLock::new(),
            signs: sign::Signs::default(),
        }
    }

    /// Does everything, and keeps what it learned, also of a push that fails.
    pub(crate) async fn finish(&self, orders: Orders<'_>) -> Result<Report, PushError> {
        let work = Box::pin(self.carry_out(orders));
        let result = self.lessons.beside(self.observer, work).await;
        self.lessons.write(self.observer).await;
        result
    }

    async fn carry_out(&self, orders: Orders<'_>) -> Result<Report, PushError> {
        let (blobs, manifests) = orders.steps.split_at(self.graph.blobs().len());
        let sent = self.likely_uploads(blobs);
        self.target.expect_blobs(sent, sent);
        for step in blobs {
            self.tell(&Event::Queued {
                blob: step.node.clone(),
            });
        }
        let mut opened = self.open_with(&orders, blobs).await?;
        if let Some(beginning) = &orders.beginning {
            opened.held = self.blobs_by_sign(blobs, beginning).await?;
        }
        self.blobs(blobs, orders.goes_on).await?;
        self.check_opening(&opened);
        let mut put = self.manifests(manifests, opened).await?;
        self.attach().await?;
        let tags = self.tags(&orders, &put).await?;
        put.extend(tags);
        self.attach().await?;
        let blobs: Vec<Outcome> = self.outcomes().drain(..).flatten().collect();
        let mut bytes = sum(&blobs);
        bytes.total = self.graph.total_bytes();
        let root = self.graph.root().document.digest();
        Ok(Report {
            digest: root.clone(),
            repository: self.repository().clone(),
            tags: put
                .iter()
                .filter(|it| it.error.is_none() && it.digest == *root)
                .filter_map(|it| it.tag.clone())
                .collect(),
            verified: put
                .iter()
                .filter(|it| it.error.is_none())
                .all(|it| it.verified),
            bytes,
            blobs,
            manifests: put,
            referrers_tags: std::mem::take(&mut *lock(&self.referrers_tags)),
            foreign: None,
        })
    }

    /// How many blobs will most likely set out at once: those that were not seen in the repository, nor
    /// anywhere that gives them.
    fn likely_uploads(&self, steps: &[Step]) -> usize {
        let uploads = steps.iter().filter(|step| match step.action {
            Action::Resume { .. } => true,
            Action::Upload => !self.siblings.is_held(&step.node.digest),
            _ => false,
        });
        uploads.count().min(self.shared.options.concurrency.get())
    }

    pub(crate) fn repository(&self) -> &'a Repository {
        self.target.repository()
    }

    fn tell(&self, event: &Event) {
        self.observer.event(event);
    }

    fn denied(&self) -> MutexGuard<'_, HashSet<Repository>> {
        lock(&self.denied)
    }

    fn outcomes(&self) -> MutexGuard<'_, Vec<Option<Outcome>>> {
        lock(&self.outcomes)
    }

    /// Sets `bytes` aside from what may be sent, or says that it would be too much.
    fn reserve(&self, bytes: u64) -> Result<(), PushError> {
        let planned = self
            .reserved
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        match self.shared.options.max_upload_bytes {
            Some(limit) if planned > limit => Err(PushError::Gate { planned, limit }),
            _ => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
