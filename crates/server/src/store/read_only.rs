//! A store that never changes: images that [`oci::Source`]s hold, at repositories' names.
//!
//! ```text
//!   ReadOnly::add ──walk──▶ what each repository holds: digests, sizes, tags, subjects
//!                                        │  (in memory, small, bounded)
//!   GET ──────▶ Store ──look up──▶ Source::open ──verify──▶ bytes
//! ```
//!
//! The graph of every image is read once, when it is added; bytes are read when somebody
//! asks for them. What was not there then and is now is served; what vanished is absent.
//!
//! **Waiting threads are not the threads waited for.** A [`Store`] blocks, and a `Source` is
//! async and reads its files on blocking threads of the runtime it is polled on. If that were
//! the server's runtime, as many readers as it has such threads would wait for one more, for
//! ever. So sources are driven by a small runtime of their own ([`Bridge`]), and the port to
//! storage stays as simple as the other stores need it.

mod content;
mod graph;
mod manifest;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    error::Error,
    fmt, io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use oci::{Descriptor, Digest, Source, SourceError, Tag};
use tokio::runtime::{Builder, Runtime};

use super::{
    Content, Leftover, NewManifest, OpenManifest, Put, Staged, Store, StoredManifest, Ticket,
};
use crate::route::Name;

use content::Reading;
use graph::Graph;
use manifest::Rereading;

/// The most manifests that one server serves, inclusive.
const MAX_MANIFESTS: usize = 20_000;
/// The most blobs that one server serves, inclusive, counted in each repository.
const MAX_BLOBS: usize = 200_000;
/// The threads that read sources' files.
const READING_THREADS: usize = 16;

/// Images to serve as they are.
///
/// ```
/// # use std::sync::Arc;
/// # async fn example(source: Arc<dyn oci::Source>) -> Result<(), Box<dyn std::error::Error>> {
/// use longshore_server::{Image, ReadOnly, Server};
///
/// let root = source.root().await?.descriptor().clone();
/// let mut images = ReadOnly::new();
/// let image = Image::new(source, root).named("team/app", ["1.2".parse()?]);
/// let absent = images.add(image).await?;
/// assert!(absent.is_empty());
/// let server = Server::builder().read_only(images).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReadOnly {
    repositories: BTreeMap<Name, Repository>,
    manifests: usize,
    blobs: usize,
}

/// An image, what it is read from, and the names it is served at.
#[derive(Clone, Debug)]
pub struct Image {
    source: Arc<dyn Source>,
    root: Descriptor,
    names: Vec<(String, Vec<Tag>)>,
}

/// Why an image cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Not a repository's name by the specification's grammar.
    #[error(
        "{name:?} is not a repository's name: lower-case letters and digits, parts divided by /"
    )]
    Name {
        /// The name that was given.
        name: String,
    },
    /// The tag points to another image already.
    #[error("{name}:{tag} would be two images: {held} and {wanted}")]
    TagTaken {
        /// The repository.
        name: String,
        /// The tag.
        tag: Tag,
        /// What it points to.
        held: Digest,
        /// What it was to point to.
        wanted: Digest,
    },
    /// More than this server keeps track of.
    #[error("there are more than {MAX_MANIFESTS} manifests or {MAX_BLOBS} blobs to serve")]
    TooMany,
    /// The image itself cannot be read.
    #[error("the image {root} cannot be read")]
    Source {
        /// The image's digest.
        root: Digest,
        /// Why not.
        #[source]
        error: SourceError,
    },
}

/// What a repository holds.
#[derive(Clone, Debug, Default)]
struct Repository {
    blobs: HashMap<Digest, Arc<Held>>,
    manifests: HashMap<Digest, Arc<Held>>,
    tags: BTreeMap<Tag, Digest>,
    referrers: HashMap<Digest, BTreeSet<Digest>>,
}

/// Content, and where it is read.
#[derive(Debug)]
struct Held {
    source: Arc<dyn Source>,
    descriptor: Descriptor,
    /// Something was wrong with it when it was looked at first: other content of its digest is better.
    flawed: bool,
    /// The version whose bytes were found to be right; never locked while something is read.
    verified: Mutex<Option<String>>,
}

// === impl ReadOnly ===

impl ReadOnly {
    /// No images yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image with everything it is made of, as far as that is there.
    ///
    /// Comes back with what is not, each once: a child that a partial layout leaves out, a
    /// blob of another size. Asked for it, the server answers 404, or 500 for what is there
    /// and wrong. Foreign layers may be missing and are not told of. Fails, with nothing
    /// added, if the root cannot be read, a name cannot be used, or there is too much.
    pub async fn add(&mut self, image: Image) -> Result<Vec<SourceError>, ImageError> {
        let names = self.names_of(&image)?;
        let bounds = (
            MAX_MANIFESTS.saturating_sub(self.manifests) / names.len().max(1),
            MAX_BLOBS.saturating_sub(self.blobs) / names.len().max(1),
        );
        let graph = Graph::walk(&image.source, &image.root, bounds).await?;
        for (name, tags) in names {
            let repository = self.repositories.entry(name).or_default();
            self.manifests += add_all(&mut repository.manifests, &graph.manifests);
            self.blobs += add_all(&mut repository.blobs, &graph.blobs);
            for (subject, referrer) in &graph.referrers {
                let referrers = repository.referrers.entry(subject.clone()).or_default();
                referrers.insert(referrer.clone());
            }
            for tag in tags {
                repository.tags.insert(tag, image.root.digest.clone());
            }
        }
        Ok(graph.flaws)
    }

    /// Every `repository:tag` and what it points to, in order.
    pub fn tags(&self) -> impl Iterator<Item = (String, &Digest)> {
        self.repositories.iter().flat_map(|(name, it)| {
            let named = move |(tag, digest)| (format!("{name}:{tag}"), digest);
            it.tags.iter().map(named)
        })
    }

    fn names_of(&self, image: &Image) -> Result<Vec<(Name, Vec<Tag>)>, ImageError> {
        let mut names = Vec::new();
        for (text, tags) in &image.names {
            let unusable = || ImageError::Name { name: text.clone() };
            let name = Name::parse(text).ok_or_else(unusable)?;
            let held = self.repositories.get(&name);
            for tag in tags {
                if let Some(held) = held.and_then(|it| it.tags.get(tag))
                    && *held != image.root.digest
                {
                    return Err(ImageError::TagTaken {
                        name: text.clone(),
                        tag: tag.clone(),
                        held: held.clone(),
                        wanted: image.root.digest.clone(),
                    });
                }
            }
            names.push((name, tags.clone()));
        }
        Ok(names)
    }
}

/// Adds what is not there yet, or not as good. Says how many there are more.
fn add_all(held: &mut HashMap<Digest, Arc<Held>>, more: &[Arc<Held>]) -> usize {
    let before = held.len();
    for it in more {
        let known = held.get(&it.descriptor.digest);
        if known.is_none_or(|known| known.flawed && !it.flawed) {
            held.insert(it.descriptor.digest.clone(), Arc::clone(it));
        }
    }
    held.len() - before
}

// === impl Image ===

impl Image {
    /// The image whose manifest or index is `root` in `source`; it has no name yet.
    pub fn new(source: Arc<dyn Source>, root: Descriptor) -> Self {
        Self {
            source,
            root,
            names: Vec::new(),
        }
    }

    /// Served in `repository` too, by its digest and these tags.
    #[must_use]
    pub fn named(
        mut self,
        repository: impl Into<String>,
        tags: impl IntoIterator<Item = Tag>,
    ) -> Self {
        let tags = tags.into_iter().collect();
        self.names.push((repository.into(), tags));
        self
    }
}

// === impl Held ===

impl Held {
    fn new(source: &Arc<dyn Source>, descriptor: &Descriptor, flawed: bool) -> Arc<Self> {
        let (media_type, digest) = (descriptor.media_type.clone(), descriptor.digest.clone());
        Arc::new(Self {
            source: Arc::clone(source),
            // Annotations are not needed, and may be long.
            descriptor: Descriptor::new(media_type, digest, descriptor.size),
            flawed,
            verified: Mutex::default(),
        })
    }

    /// The error of a read, with all its causes and where it was: for the log.
    fn failed(&self, error: &SourceError) -> io::Error {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        let digest = self.descriptor.digest.to_string();
        if !text.contains(&digest) {
            text = format!("{digest}: {text}");
        }
        io::Error::other(text)
    }
}

/// The runtime that drives sources, for threads that wait.
struct Bridge(Option<Runtime>);

impl Bridge {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(READING_THREADS)
            .thread_name("read-only")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Waits for `work`, on a thread that may block.
    fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        match &self.0 {
            Some(runtime) => runtime.handle().block_on(work),
            None => Err(SourceError::invalid("the source", "the server has stopped")),
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Dropping it here would block, and this may be an async thread.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bridge")
    }
}

/// Images that are served.
#[derive(Debug)]
pub(crate) struct Served {
    repositories: BTreeMap<Name, Repository>,
    bridge: Arc<Bridge>,
}

impl Served {
    pub(crate) fn new(images: ReadOnly) -> io::Result<Self> {
        Ok(Self {
            repositories: images.repositories,
            bridge: Arc::new(Bridge::new()?),
        })
    }

    fn held(&self, name: &Name, digest: &Digest) -> Option<&Arc<Held>> {
        self.repositories.get(name)?.blobs.get(digest)
    }
}

/// What is absent, as `None`.
fn found<T>(held: &Held, result: Result<T, SourceError>) -> io::Result<Option<T>> {
    match result {
        Ok(it) => Ok(Some(it)),
        Err(SourceError::Missing { .. }) => Ok(None),
        Err(error) => Err(held.failed(&error)),
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Store for Served {
    fn is_read_only(&self) -> bool {
        true
    }

    fn blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        let Some(held) = self.held(name, digest) else {
            return Ok(None);
        };
        let checked = self.bridge.wait(held.source.check_blob(&held.descriptor));
        Ok(found(held, checked)?.map(|()| held.descriptor.size))
    }

    fn open(&self, name: &Name, digest: &Digest) -> io::Result<Option<Box<dyn Content>>> {
        let Some(held) = self.held(name, digest) else {
            return Ok(None);
        };
        let checked = self.bridge.wait(held.source.check_blob(&held.descriptor));
        if found(held, checked)?.is_none() {
            return Ok(None);
        }
        let reading = Reading::new(Arc::clone(held), Arc::clone(&self.bridge))?;
        Ok(Some(Box::new(reading)))
    }

    fn manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<StoredManifest>> {
        let repository = self.repositories.get(name);
        let Some(held) = repository.and_then(|it| it.manifests.get(digest)) else {
            return Ok(None);
        };
        let document = self.bridge.wait(held.source.document(&held.descriptor));
        Ok(found(held, document)?.map(|it| StoredManifest {
            media_type: it.media_type().clone(),
            bytes: it.bytes().clone(),
        }))
    }

    fn open_manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<OpenManifest>> {
        let repository = self.repositories.get(name);
        let Some(held) = repository.and_then(|it| it.manifests.get(digest)) else {
            return Ok(None);
        };
        let opened = Rereading::open(Arc::clone(held), Arc::clone(&self.bridge));
        Ok(found(held, opened)?.map(|(media_type, it)| (media_type, Box::new(it) as _)))
    }

    fn has_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        Ok(self.manifest(name, digest)?.is_some())
    }

    fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
        let repository = self.repositories.get(name);
        Ok(repository.and_then(|it| it.tags.get(tag)).cloned())
    }

    fn has_repository(&self, name: &Name) -> io::Result<bool> {
        Ok(self.repositories.contains_key(name))
    }

    fn tags(&self, name: &Name) -> io::Result<Option<Vec<Tag>>> {
        let repository = self.repositories.get(name);
        Ok(repository.map(|it| it.tags.keys().cloned().collect()))
    }

    fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Digest>> {
        let repository = self.repositories.get(name);
        let referrers = repository.and_then(|it| it.referrers.get(subject));
        Ok(referrers.into_iter().flatten().cloned().collect())
    }

    fn repositories(&self) -> io::Result<Vec<Name>> {
        Ok(self.repositories.keys().cloned().collect())
    }

    fn leftovers(&self, _idle: Duration) -> io::Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn tagged_at(&self, _name: &Name, _tag: &Tag) -> io::Result<Option<SystemTime>> {
        Ok(None)
    }

    /// There is nothing to write: that it can be read was found out when it was opened.
    fn try_write(&self) -> io::Result<()> {
        Ok(())
    }

    // Requests that write are refused before they come to a store: these are never asked.

    fn mount(&self, _from: &Name, _to: &Name, _digest: &Digest) -> io::Result<bool> {
        refused()
    }

    fn holder(
        &self,
        _digest: &Digest,
        _may_read: &dyn Fn(&Name) -> bool,
    ) -> io::Result<Option<Name>> {
        refused()
    }

    fn remove_blob(&self, _name: &Name, _digest: &Digest) -> io::Result<bool> {
        refused()
    }

    fn stage(&self, _id: &str, _ticket: &Ticket) -> io::Result<Box<dyn Staged>> {
        refused()
    }

    fn put_manifest(&self, _name: &Name, _manifest: &NewManifest) -> io::Result<Put> {
        refused()
    }

    fn remove_tag(&self, _name: &Name, _tag: &Tag) -> io::Result<bool> {
        refused()
    }

    fn remove_manifest(&self, _name: &Name, _digest: &Digest) -> io::Result<bool> {
        refused()
    }
}
