//! What is about what, in a store: found in the manifests themselves.
//!
//! There is no list of it on the disk that could be wrong: the first who asks has the store's
//! manifests read, and what comes in later is added.

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use oci::{Descriptor, Digest, Document, MAX_MANIFEST_BYTES};
use tokio::sync::OnceCell;

use super::{Store, StoreError, directory::Entry, run};

/// How many subjects are remembered.
const MAX_SUBJECTS: usize = 65_536;

/// Which manifests are about which.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    about: Mutex<HashMap<Digest, Vec<Descriptor>>>,
    /// Whether all of the store was looked through.
    complete: OnceCell<()>,
}

impl Store {
    /// The manifests and indexes in the store whose subject is `subject`, each once, by digest.
    ///
    /// The first call of a process reads the manifests of the store; what was removed since is
    /// left out.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let complete = self.0.referrers.complete.get_or_try_init(|| async {
            let it = self.clone();
            run(move || it.read_referrers()).await?
        });
        complete.await?;
        let (it, subject) = (self.clone(), subject.clone());
        run(move || it.known_referrers(&subject)).await
    }

    /// Those that are known, and still there. Blocks.
    pub(super) fn known_referrers(&self, subject: &Digest) -> Vec<Descriptor> {
        let mut known = self.0.referrers.of(subject);
        known.retain(|it| self.directory().size_of(&it.digest) == Some(it.size));
        known
    }

    fn read_referrers(&self) -> Result<(), StoreError> {
        let entries = self.directory().entries();
        let entries = entries.map_err(|error| StoreError::io("read", self.path(), error))?;
        for document in entries.iter().filter_map(document) {
            self.0.referrers.learn(&document);
        }
        Ok(())
    }
}

impl Referrers {
    /// Takes in what a manifest is about, if it is about something.
    pub(super) fn learn(&self, document: &Document) {
        let Some(subject) = document.subject() else {
            return;
        };
        let mut referrer = document.descriptor().clone();
        referrer.artifact_type = document.artifact_type().map(str::to_owned);
        let mut about = self.about();
        if about.len() >= MAX_SUBJECTS && !about.contains_key(&subject.digest) {
            return;
        }
        let known = about.entry(subject.digest.clone()).or_default();
        if let Err(place) = known.binary_search_by(|it| it.digest.cmp(&referrer.digest)) {
            known.insert(place, referrer);
        }
    }

    fn of(&self, subject: &Digest) -> Vec<Descriptor> {
        self.about().get(subject).cloned().unwrap_or_default()
    }

    fn about(&self) -> MutexGuard<'_, HashMap<Digest, Vec<Descriptor>>> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The manifest or index that a blob is, if it is one.
fn document(entry: &Entry) -> Option<Document> {
    if entry.size > MAX_MANIFEST_BYTES as u64 {
        return None;
    }
    let mut file = fs::File::open(&entry.path).ok()?;
    let mut first = [0];
    file.read_exact(&mut first).ok()?;
    if !matches!(first[0], b'{' | b' ' | b'\t' | b'\r' | b'\n') {
        return None;
    }
    let mut content = first.to_vec();
    file.take(MAX_MANIFEST_BYTES as u64)
        .read_to_end(&mut content)
        .ok()?;
    Document::with_digest(content.into(), None, &entry.digest).ok()
}
