//! What is known of each registry in this process: loaded once, added to, kept at the end.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use oci::{Digest, Registry};
use tokio::{sync::OnceCell, time::timeout};

use super::{
    Fact, Profile,
    refusals::{self, Refusals},
    store::ProfileStore,
};

/// How long a store may take; one that is slower is gone on without.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many blobs are remembered that went up in one request: those of any image.
const MAX_AT_ONCE: usize = 65_536;

/// What is known of the registries spoken to.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Arc<dyn ProfileStore>,
    pages: Mutex<HashMap<Registry, Arc<Page>>>,
}

/// One registry's.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// What the store had that is still believed.
    kept: OnceCell<Profile>,
    /// What this process has seen, by key.
    learned: Mutex<BTreeMap<&'static str, Fact>>,
    /// Keys that somebody is finding out about, whatever is kept.
    doubted: Mutex<BTreeSet<&'static str>>,
    /// The blob that finds out whether blobs go up in one request.
    trial: Mutex<Option<Digest>>,
    /// Blobs that went up so in this process.
    at_once: Mutex<HashSet<Digest>>,
    /// Whether some blob was to find out whether blobs are mounted from repositories nobody names.
    from_anywhere: tokio::sync::Mutex<bool>,
}

impl Ledger {
    pub(crate) fn new(store: Arc<dyn ProfileStore>) -> Self {
        Self {
            store,
            pages: Mutex::default(),
        }
    }

    pub(crate) fn page(&self, registry: &Registry) -> Arc<Page> {
        let mut pages = lock(&self.pages);
        pages.entry(registry.clone()).or_default().clone()
    }

    /// What the store knows of a registry it calls `host`; `told` is called with it, once, before
    /// anybody gets on.
    pub(crate) async fn recall(&self, page: &Page, host: &str, told: impl FnOnce(&Profile)) {
        let load = async {
            let kept = timeout(PATIENCE, self.store.load(host)).await;
            let profile = Profile::read(&kept.unwrap_or_default()).current(SystemTime::now());
            told(&profile);
            profile
        };
        page.kept.get_or_init(|| load).await;
    }

    /// Has the store keep what is new or has been seen again after a while.
    pub(crate) async fn keep(&self, page: &Page, host: &str) {
        let facts = page.worth_keeping(SystemTime::now());
        if !facts.is_empty() {
            let _ = timeout(PATIENCE, self.store.keep(host, facts)).await;
        }
    }

    pub(crate) fn registries(&self) -> Vec<Registry> {
        lock(&self.pages).keys().cloned().collect()
    }
}

impl Page {
    /// Whether the store was asked.
    pub(crate) fn is_recalled(&self) -> bool {
        self.kept.initialized()
    }

    /// The registry has shown this.
    pub(crate) fn learn(&self, fact: Fact) {
        lock(&self.learned).insert(fact.key(), fact);
    }

    /// A mount of this blob was refused that could have been given.
    pub(crate) fn refused_to_mount(&self, blob: &Digest) {
        // Read and written under one lock: blobs go several at a time.
        let mut learned = lock(&self.learned);
        let shown = learned.get(refusals::KEY).cloned();
        let before = match shown.or_else(|| self.kept(refusals::KEY)) {
            Some(Fact::RefusedMounts(before)) => before,
            _ => Refusals::default(),
        };
        learned.insert(refusals::KEY, Fact::RefusedMounts(before.and(blob)));
    }

    /// What the registry has shown to this process.
    pub(crate) fn shown(&self, key: &str) -> Option<Fact> {
        lock(&self.learned).get(key).cloned()
    }

    /// What is kept from earlier processes.
    pub(crate) fn kept(&self, key: &str) -> Option<Fact> {
        Some(self.kept.get()?.get(key)?.fact.clone())
    }

    /// What to go by: what the registry has shown to this process, or else what is kept.
    ///
    /// What is kept may not be true any more, and nothing would contradict it if everybody went by
    /// it. So the first who asks is told nothing, and finds it out; the others need not wait.
    pub(crate) fn believed(&self, key: &'static str) -> Option<Fact> {
        if let Some(seen) = lock(&self.learned).get(key) {
            return Some(seen.clone());
        }
        let kept = self.kept.get()?.get(key)?;
        let first = lock(&self.doubted).insert(key);
        (!first).then(|| kept.fact.clone())
    }

    /// What is kept, or was shown since: for what the next answer contradicts by itself.
    pub(crate) fn known(&self, key: &str) -> Option<Fact> {
        let seen = lock(&self.learned).get(key).cloned();
        seen.or_else(|| Some(self.kept.get()?.get(key)?.fact.clone()))
    }

    /// The same, and when it was shown, unless to this process.
    pub(crate) fn known_since(&self, key: &str) -> Option<(Fact, Option<SystemTime>)> {
        if let Some(seen) = lock(&self.learned).get(key) {
            return Some((seen.clone(), None));
        }
        let kept = self.kept.get()?.get(key)?;
        Some((kept.fact.clone(), Some(kept.at)))
    }

    /// Whether this is the one blob that finds out whether blobs go up in one request.
    pub(crate) fn tries(&self, blob: &Digest) -> bool {
        *lock(&self.trial).get_or_insert_with(|| blob.clone()) == *blob
    }

    /// Whether somebody has tried already to have a blob mounted from wherever it is. Whoever holds
    /// this is trying.
    pub(crate) async fn tried_from_anywhere(&self) -> tokio::sync::MutexGuard<'_, bool> {
        self.from_anywhere.lock().await
    }

    /// This blob went up in one request, by the registry's word.
    pub(crate) fn sent_at_once(&self, blob: &Digest) {
        let mut sent = lock(&self.at_once);
        if sent.len() < MAX_AT_ONCE {
            sent.insert(blob.clone());
        }
    }

    /// Whether any of these did.
    pub(crate) fn were_sent_at_once(&self, blobs: &[Digest]) -> bool {
        let sent = lock(&self.at_once);
        blobs.iter().any(|it| sent.contains(it))
    }

    fn worth_keeping(&self, now: SystemTime) -> Vec<(String, String)> {
        let known = |fact: &Fact| {
            let kept = self.kept.get()?.get(fact.key())?;
            let age = now.duration_since(kept.at).unwrap_or_default();
            (kept.fact == *fact && age < fact.renewed_after()).then_some(())
        };
        let learned = lock(&self.learned);
        let new = learned.values().filter(|fact| known(fact).is_none());
        new.filter_map(|fact| Some((fact.key().to_owned(), fact.value()?)))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
