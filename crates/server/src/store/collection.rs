//! Garbage collection: what nothing refers to, and whose grace is over, goes.
//!
//! ```text
//!   for each repository   mark     what its manifests refer to           no lock
//!                         release  blobs (and manifests, if asked)       locked, some at a time
//!   then                  drop     content that no repository holds      locked, some at a time
//!                         drop     uploads and files that were left over
//! ```
//!
//! Marking reads every manifest and takes long, so it holds nobody up; what is linked
//! or referred to meanwhile is seen by a [`Watch`](super::watch::Watch) and stays. A manifest that cannot be
//! read might refer to anything: nothing of its repository goes.
//!
//! One implementation over every store that can list what it holds ([`Collect`]).

use std::{collections::HashSet, io, ops::ControlFlow, time::Duration, time::SystemTime};

use oci::{Digest, Document};

use super::{
    Store,
    watch::{Fingerprints, Watch},
};
use crate::route::Name;

/// So many links or contents are removed under one lock.
const BATCH: usize = 32;

/// A store that garbage is collected from.
pub(crate) trait Collect: Store {
    /// What was relied on at or after this time stays.
    fn cutoff(&self) -> SystemTime;

    /// Sees all that is linked from now on.
    fn watch(&self) -> Watch;

    /// What a repository holds.
    fn held(&self, name: &Name, kind: Held) -> io::Result<Vec<Digest>>;

    /// When something a repository holds was relied on last.
    fn relied_on(&self, name: &Name, kind: Held, digest: &Digest)
    -> io::Result<Option<SystemTime>>;

    /// Takes out of a repository those of `batch` that were not seen by the watch, and not
    /// relied on since the cutoff; who links is excluded meanwhile. Those that went.
    fn release(
        &self,
        name: &Name,
        kind: Held,
        batch: &[Digest],
        pass: &Pass,
    ) -> io::Result<Vec<Digest>>;

    /// All content.
    fn contents(&self) -> io::Result<Vec<Digest>>;

    /// Removes those of `batch` that were not seen by the watch; who links is excluded
    /// meanwhile. How many went, and their bytes.
    fn drop_contents(&self, batch: &[Digest], pass: &Pass) -> io::Result<Tally>;

    /// Removes what uploads and writes have left behind that nobody can finish any more.
    fn drop_leftovers(&self, rules: &Rules) -> io::Result<Tally>;
}

/// As what a repository holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Blob,
    Manifest,
}

/// What is garbage, and what is done about it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Manifests that no tag leads to are garbage too.
    pub(crate) untagged: bool,
    /// Nothing is removed.
    pub(crate) dry_run: bool,
    /// How long an upload may be silent.
    pub(crate) idle: Duration,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) watch: Watch,
    pub(crate) cutoff: SystemTime,
    pub(crate) dry_run: bool,
}

impl Pass {
    /// Whether something may go that was relied on then: nobody has since, nor linked to it.
    pub(super) fn may_go(&self, digest: &Digest, relied_on: Option<SystemTime>) -> bool {
        !self.watch.saw(digest) && self.is_over(relied_on)
    }

    /// Whether the grace of something is over that was relied on then. What is not there has none.
    fn is_over(&self, relied_on: Option<SystemTime>) -> bool {
        relied_on.is_some_and(|it| it < self.cutoff)
    }
}

/// How many things went, and how many bytes that makes free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What garbage collection removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// Blobs that a repository held and none of its manifests refers to. A blob that two
    /// repositories held counts twice.
    pub blobs: u64,
    /// Manifests that no tag leads to; only where that was asked for.
    pub manifests: u64,
    /// Content that no repository holds any more: this makes room.
    pub contents: Tally,
    /// Upload sessions that were given up, and files that a crash left over.
    pub leftovers: Tally,
    /// Repositories with a manifest that cannot be read: of these nothing went.
    pub unreadable: Vec<String>,
}

struct Marked {
    referenced: Fingerprints,
    garbage: Vec<Digest>,
}

type Pause<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// Collects garbage. Calls `pause` after every small step; it may take its time, or stop
/// the run, which then ends with [`io::ErrorKind::Interrupted`]. What went is in `collected` in any case.
pub(crate) fn collect(
    store: &dyn Collect,
    rules: &Rules,
    collected: &mut Collected,
    pause: Pause<'_>,
) -> io::Result<()> {
    let pass = Pass {
        watch: store.watch(),
        cutoff: store.cutoff(),
        dry_run: rules.dry_run,
    };
    let mut held = Fingerprints::default();
    for name in store.repositories()? {
        let mut repository = Repository {
            store,
            name: &name,
            pass: &pass,
            collected,
        };
        for digest in repository.collect(rules, pause)? {
            held.insert(&digest);
        }
    }
    let mut contents = store.contents()?;
    contents.retain(|it| !held.may_contain(it));
    for batch in contents.chunks(BATCH) {
        let dropped = store.drop_contents(batch, &pass)?;
        collected.contents.add(dropped);
        step(pause)?;
    }
    collected.leftovers.add(store.drop_leftovers(rules)?);
    Ok(())
}

fn step(pause: Pause<'_>) -> io::Result<()> {
    match pause() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// One repository that is looked through.
struct Repository<'a> {
    store: &'a dyn Collect,
    name: &'a Name,
    pass: &'a Pass,
    collected: &'a mut Collected,
}

impl Repository<'_> {
    /// Releases its garbage. What it holds then.
    fn collect(&mut self, rules: &Rules, pause: Pause<'_>) -> io::Result<Vec<Digest>> {
        let mut manifests = self.store.held(self.name, Held::Manifest)?;
        let marked = self.mark(&manifests, rules, pause)?;
        let mut blobs = self.store.held(self.name, Held::Blob)?;
        if let Some(marked) = marked {
            let gone = self.release(Held::Manifest, &marked.garbage, pause)?;
            self.collected.manifests += gone.len() as u64;
            manifests.retain(|it| !gone.contains(it));

            let mut garbage = Vec::new();
            for digest in &blobs {
                if !marked.referenced.may_contain(digest) && self.is_over(Held::Blob, digest)? {
                    garbage.push(digest.clone());
                }
                step(pause)?;
            }
            let gone = self.release(Held::Blob, &garbage, pause)?;
            self.collected.blobs += gone.len() as u64;
            blobs.retain(|it| !gone.contains(it));
        } else {
            self.collected.unreadable.push(self.name.to_string());
        }
        manifests.append(&mut blobs);
        Ok(manifests)
    }

    fn release(
        &self,
        kind: Held,
        garbage: &[Digest],
        pause: Pause<'_>,
    ) -> io::Result<HashSet<Digest>> {
        let mut gone = HashSet::new();
        for batch in garbage.chunks(BATCH) {
            gone.extend(self.store.release(self.name, kind, batch, self.pass)?);
            step(pause)?;
        }
        Ok(gone)
    }

    fn is_over(&self, kind: Held, digest: &Digest) -> io::Result<bool> {
        let relied_on = self.store.relied_on(self.name, kind, digest)?;
        Ok(self.pass.is_over(relied_on))
    }

    /// What the manifests refer to that stay; none if one cannot be read.
    fn mark(
        &self,
        manifests: &[Digest],
        rules: &Rules,
        pause: Pause<'_>,
    ) -> io::Result<Option<Marked>> {
        let all: HashSet<&Digest> = manifests.iter().collect();
        let mut open = if rules.untagged {
            self.roots(manifests)?
        } else {
            manifests.to_vec()
        };
        let mut kept = HashSet::new();
        let mut referenced = Fingerprints::default();
        while let Some(digest) = open.pop() {
            if !all.contains(&digest) || !kept.insert(digest.clone()) {
                continue;
            }
            step(pause)?;
            let Some(document) = self.document(&digest)? else {
                if self.store.has_manifest(self.name, &digest)? {
                    tracing::warn!(repository = %self.name, manifest = %digest,
                        "a manifest cannot be read: nothing of its repository is collected");
                    return Ok(None);
                }
                continue;
            };
            for child in document.children() {
                referenced.insert(&child.digest);
                open.push(child.digest.clone());
            }
            if rules.untagged {
                open.extend(self.store.referrers(self.name, &digest)?);
            }
        }
        let garbage = manifests.iter().filter(|it| !kept.contains(*it));
        Ok(Some(Marked {
            referenced,
            garbage: garbage.cloned().collect(),
        }))
    }

    /// The manifests that stay for themselves: tagged, or relied on not long ago.
    fn roots(&self, manifests: &[Digest]) -> io::Result<Vec<Digest>> {
        let mut roots = Vec::new();
        for tag in self.store.tags(self.name)?.unwrap_or_default() {
            roots.extend(self.store.tag(self.name, &tag)?);
        }
        for digest in manifests {
            if !self.is_over(Held::Manifest, digest)? {
                roots.push(digest.clone());
            }
        }
        Ok(roots)
    }

    fn document(&self, digest: &Digest) -> io::Result<Option<Document>> {
        match self.store.manifest(self.name, digest) {
            Ok(Some(it)) => Ok(Document::with_digest(it.bytes, Some(&it.media_type), digest).ok()),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(error),
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn one(bytes: u64) -> Self {
        Self { count: 1, bytes }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }

    /// Takes away what was added before.
    pub(crate) fn subtract(&mut self, other: Self) {
        self.count = self.count.saturating_sub(other.count);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}
