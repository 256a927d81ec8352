//! What the destinations of a fan-out have in common: the source, what was read of it, and who is
//! still to be waited for.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use oci::{BlobStream, Descriptor, Digest, Document, Registry, Source, SourceError};
use tokio::{
    sync::{Notify, OnceCell},
    time::{Instant, timeout_at},
};

use super::{
    FanoutOptions,
    group::{Group, Seat},
};

/// Destinations, one bit each.
type Places = u64;

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) source: Arc<dyn Source>,
    pub(super) options: FanoutOptions,
    /// The destinations of each registry.
    registries: Vec<Places>,
    root: OnceCell<Document>,
    documents: Mutex<HashMap<Digest, Arc<OnceCell<Document>>>>,
    groups: Mutex<HashMap<Digest, Arc<Group>>>,
    /// How many groups are reading.
    pub(super) reading: AtomicUsize,
    standing: Mutex<Standing>,
    /// Something was decided.
    changed: Notify,
    reopened: Vec<AtomicU64>,
}

/// Who still has to say whether it needs a blob.
#[derive(Debug, Default)]
struct Standing {
    /// For a blob: who has joined, or does not need it.
    decided: HashMap<Digest, Places>,
    /// Who has ended.
    over: Places,
    /// Who reads on its own.
    alone: Places,
}

impl Hub {
    pub(super) fn new(
        source: Arc<dyn Source>,
        options: FanoutOptions,
        registries: &[Registry],
    ) -> Self {
        let mut places: HashMap<&Registry, Places> = HashMap::new();
        for (at, registry) in registries.iter().enumerate() {
            *places.entry(registry).or_default() |= place(at);
        }
        Self {
            source,
            options,
            registries: places.into_values().filter(|it| *it != 0).collect(),
            root: OnceCell::new(),
            documents: Mutex::default(),
            groups: Mutex::default(),
            reading: AtomicUsize::default(),
            standing: Mutex::default(),
            changed: Notify::new(),
            reopened: registries.iter().map(|_| AtomicU64::default()).collect(),
        }
    }

    pub(super) async fn root(&self) -> Result<Document, SourceError> {
        let root = self.root.get_or_try_init(|| self.source.root());
        root.await.cloned()
    }

    /// A manifest, read once for all.
    pub(super) async fn document(&self, wanted: &Descriptor) -> Result<Document, SourceError> {
        let cell = {
            let mut documents = lock(&self.documents);
            Arc::clone(documents.entry(wanted.digest.clone()).or_default())
        };
        let read = cell
            .get_or_try_init(|| self.source.document(wanted))
            .await?;
        if read.descriptor() == wanted {
            return Ok(read.clone());
        }
        // Described otherwise, by another index: the bytes are the same.
        Document::verified(read.bytes().clone(), wanted).map_err(|error| SourceError::Document {
            place: self.source.place(wanted),
            error,
        })
    }

    /// A seat among those who read the blob now, if the destination may and can have one.
    pub(super) fn join(
        self: &Arc<Self>,
        at: usize,
        blob: &Descriptor,
        offset: u64,
    ) -> Option<Seat> {
        if place(at) == 0 || lock(&self.standing).alone & place(at) != 0 {
            return None;
        }
        let seat = {
            let mut groups = lock(&self.groups);
            if let Some(group) = groups.get(&blob.digest).filter(|it| it.is_open()) {
                Group::join(group, self, at, offset)?
            } else {
                let hashed = !self.source.verifies();
                let group = Arc::new(Group::new(blob, offset, hashed));
                groups.insert(blob.digest.clone(), Arc::clone(&group));
                Group::start(&group, self, at, offset)
            }
        };
        self.decided(at, &blob.digest);
        Some(seat)
    }

    /// Opens the blob for one destination alone.
    pub(super) async fn reopen(
        &self,
        at: usize,
        blob: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, SourceError> {
        self.decided(at, &blob.digest);
        if let Some(count) = self.reopened.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.source.open(blob, offset).await
    }

    /// The destination has joined, or does not need the blob.
    pub(super) fn decided(&self, at: usize, blob: &Digest) {
        *lock(&self.standing)
            .decided
            .entry(blob.clone())
            .or_default() |= place(at);
        self.changed.notify_waiters();
    }

    /// The destination has ended.
    pub(super) fn over(&self, at: usize) {
        lock(&self.standing).over |= place(at);
        self.changed.notify_waiters();
    }

    /// The destination is on its own from now on.
    pub(super) fn leave_behind(&self, at: usize) {
        lock(&self.standing).alone |= place(at);
        self.changed.notify_waiters();
    }

    pub(super) fn reopened(&self, at: usize) -> u64 {
        let count = self.reopened.get(at);
        count.map_or(0, |it| it.load(Ordering::Relaxed))
    }

    /// Waits until every registry has said whether it needs the blob, a bounded time. Who has not
    /// by then is on its own.
    pub(super) async fn all_decided(&self, blob: &Digest) {
        let until = Instant::now() + self.options.patience;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let late = self.undecided(blob);
            if late == 0 {
                return;
            }
            if timeout_at(until, changed).await.is_err() {
                let mut standing = lock(&self.standing);
                standing.alone |= self.undecided_of(&standing, blob);
                return;
            }
        }
    }

    fn undecided(&self, blob: &Digest) -> Places {
        self.undecided_of(&lock(&self.standing), blob)
    }

    /// Of one registry one is enough: the others wait for it, and mount.
    fn undecided_of(&self, standing: &Standing, blob: &Digest) -> Places {
        let decided = standing.decided.get(blob).copied().unwrap_or_default();
        let gone = standing.over | standing.alone;
        let undecided = self.registries.iter().map(|places| {
            if places & decided != 0 {
                0
            } else {
                places & !gone
            }
        });
        undecided.fold(0, |all, it| all | it)
    }

    /// How much of one blob may be kept now, in bytes.
    pub(super) fn window(&self) -> usize {
        let reading = self.reading.load(Ordering::Relaxed).max(1);
        let share = self.options.memory.get() / reading;
        self.options.window.get().min(share)
    }

    /// Nobody reads the group's blob any more.
    pub(super) fn close(&self, group: &Arc<Group>) {
        let mut groups = lock(&self.groups);
        let digest = &group.blob().digest;
        if groups.get(digest).is_some_and(|it| Arc::ptr_eq(it, group)) {
            groups.remove(digest);
        }
    }
}

/// The bit of a destination; none for those beyond the most there may be.
fn place(at: usize) -> Places {
    u32::try_from(at)
        .ok()
        .and_then(|at| 1_u64.checked_shl(at))
        .unwrap_or_default()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
