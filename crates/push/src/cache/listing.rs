//! The list of a store's images: its `index.json`, for whoever reads image layouts.
//!
//! Only what is whole is listed. The list is rewritten as a whole under a lock, and is never what
//! a push goes by.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io, thread,
    time::{Duration, Instant, SystemTime},
};

use oci::{Descriptor, Digest, Document, MAX_MANIFEST_BYTES, MediaType};
use serde::Serialize;

use super::{Store, StoreError, prune::total, run};

/// The annotation with an image's name
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/annotations.md)).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// How many images are listed; the oldest entries go.
const MAX_LISTED: usize = 1000;
/// How deep indexes are nested at most.
const MAX_DEPTH: usize = 4;
/// How long another process is waited for that rewrites the list.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(10);

/// What is in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// How many blobs and manifests there are.
    pub blobs: usize,
    /// Their bytes, each file once.
    pub bytes: u64,
    /// When the one that was not used for longest was used; none if there is nothing.
    pub oldest: Option<SystemTime>,
    /// The images that are whole, in the order they came.
    pub images: Vec<StoredImage>,
}

/// An image, or something about one, that a store has all of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredImage {
    /// What it was called where it came from; the newest image of that name has it.
    pub name: Option<String>,
    /// Its manifest or index.
    pub root: Descriptor,
    /// The bytes of its blobs and manifests, each once.
    pub bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    schema_version: u8,
    media_type: MediaType,
    manifests: &'a [Descriptor],
}

impl Store {
    /// Lists an image, and what the store knows to be about it, if all of it is there; says
    /// whether it is. `name` is what it is called: an image that was called so before loses it.
    ///
    /// A name that an image layout cannot have (empty, or over 255 bytes) is left out.
    pub async fn list(&self, root: &Document, name: Option<&str>) -> Result<bool, StoreError> {
        let (it, root) = (self.clone(), root.clone());
        let name = name.filter(|it| !it.is_empty() && it.len() <= 255);
        let name = name.map(str::to_owned);
        run(move || {
            if it.size_of_image(&root).is_none() {
                return Ok(false);
            }
            let about = it.known_referrers(root.digest());
            it.rewrite(|listed| {
                enter(listed, root.descriptor(), name.as_deref());
                for referrer in &about {
                    enter(listed, referrer, None);
                }
            })?;
            Ok(true)
        })
        .await?
    }

    /// What is there.
    pub async fn contents(&self) -> Result<Contents, StoreError> {
        let it = self.clone();
        run(move || {
            let entries = it.directory().entries();
            let entries = entries.map_err(|error| StoreError::io("read", it.path(), error))?;
            let images = it.listed()?.into_iter().filter_map(|root| {
                let bytes = it.size_of_image(&it.read(&root)?)?;
                Some(StoredImage {
                    name: root.ref_name().map(str::to_owned),
                    root,
                    bytes,
                })
            });
            Ok(Contents {
                images: images.collect(),
                blobs: entries.len(),
                bytes: total(&entries),
                oldest: entries.iter().map(|it| it.used).min(),
            })
        })
        .await?
    }

    /// Takes images off the list that are not whole any more. Blocks.
    pub(super) fn relist(&self) -> Result<(), StoreError> {
        self.rewrite(|listed| {
            listed.retain(|it| {
                let root = self.read(it);
                root.is_some_and(|it| self.size_of_image(&it).is_some())
            });
        })
    }

    /// The bytes of all that an image is made of, each once; nothing if some of it is not there.
    fn size_of_image(&self, root: &Document) -> Option<u64> {
        let mut seen: Vec<Digest> = vec![root.digest().clone()];
        let mut pending = vec![(root.clone(), 1)];
        let mut bytes = root.descriptor().size;
        while let Some((document, depth)) = pending.pop() {
            for child in document.children() {
                if child.is_foreign() || seen.contains(&child.digest) {
                    continue;
                }
                seen.push(child.digest.clone());
                if self.directory().size_of(&child.digest) != Some(child.size) {
                    return None;
                }
                bytes += child.size;
                if document.as_index().is_some() && child.is_document() {
                    if depth == MAX_DEPTH {
                        return None;
                    }
                    pending.push((self.read(child)?, depth + 1));
                }
            }
        }
        Some(bytes)
    }

    /// A manifest of the store, if it is there and as described. Its use is not noted.
    fn read(&self, wanted: &Descriptor) -> Option<Document> {
        if wanted.size > MAX_MANIFEST_BYTES as u64 {
            return None;
        }
        let content = fs::read(self.directory().blob(&wanted.digest)).ok()?;
        Document::verified(content.into(), wanted).ok()
    }

    /// What is listed; nothing if the list is not one.
    fn listed(&self) -> Result<Vec<Descriptor>, StoreError> {
        let path = self.directory().index();
        let read = |error| StoreError::io("read", &path, error);
        match fs::metadata(&path) {
            Ok(it) if it.len() <= MAX_MANIFEST_BYTES as u64 => {}
            Ok(_) => return Ok(Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(read(error)),
        }
        let content = fs::read(&path).map_err(read)?;
        let index = Document::new(content.into(), Some(&MediaType::OCI_INDEX)).ok();
        let listed = index.as_ref().and_then(Document::as_index);
        Ok(listed.map_or_else(Vec::new, |it| it.manifests.clone()))
    }

    fn rewrite(&self, change: impl FnOnce(&mut Vec<Descriptor>)) -> Result<(), StoreError> {
        let _locked = self.lock_index()?;
        let before = self.listed()?;
        let mut after = before.clone();
        change(&mut after);
        let over = after.len().saturating_sub(MAX_LISTED);
        after.drain(..over);
        if after == before {
            return Ok(());
        }
        let list = List {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX,
            manifests: &after,
        };
        let path = self.directory().index();
        let written = serde_json::to_vec(&list)
            .map_err(io::Error::from)
            .and_then(|content| self.directory().replace(&path, &content));
        written.map_err(|error| StoreError::io("write", path, error))
    }

    /// The lock ends with the file, and with the process.
    fn lock_index(&self) -> Result<File, StoreError> {
        let path = self.directory().index_lock();
        let open = |error| StoreError::io("lock", &path, error);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(open)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                // A disk without locks: two that write at once may lose one entry.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { path }),
            }
        }
    }
}

/// Puts an image on the list, under its name if it has one, which no other has then.
fn enter(listed: &mut Vec<Descriptor>, image: &Descriptor, name: Option<&str>) {
    let is_image = |it: &&mut Descriptor| it.digest == image.digest;
    if let Some(name) = name {
        let others = listed.iter_mut().filter(|it| it.digest != image.digest);
        for other in others.filter(|it| it.ref_name() == Some(name)) {
            other.annotations.remove(REF_NAME);
        }
    }
    let mut known = listed.iter_mut().filter(is_image);
    if known.any(|it| name.is_none() || it.ref_name() == name) {
        return;
    }
    let mut entry = image.clone();
    if let Some(name) = name {
        entry.annotations.insert(REF_NAME.into(), name.to_owned());
    }
    let mut known = listed.iter_mut().filter(is_image);
    match known.find(|it| it.ref_name().is_none()) {
        Some(unnamed) => *unnamed = entry,
        None => listed.push(entry),
    }
    // What lost its name and has another is not listed without one as well.
    let named: Vec<Digest> = listed
        .iter()
        .filter(|it| it.ref_name().is_some())
        .map(|it| it.digest.clone())
        .collect();
    listed.retain(|it| it.ref_name().is_some() || !named.contains(&it.digest));
}
