//! Each repository as an OCI image layout, for other programs to read in place.
//!
//! ```text
//! repositories/<name>/_layout/
//!   oci-layout
//!   index.json                  every tag, and every manifest that nothing else leads to
//!   blobs -> ../../…/blobs      the shared content
//! ```
//!
//! `index.json` is a view: the truth is a file for each tag and each manifest, so that
//! moving one of 10,000 tags writes one small file and not an index of 10,000 entries.
//! A view is renewed a moment after a change, when the server stops, and when it starts
//! and finds one older than what it shows. How old it is stands in its modification time:
//! that of the newest change it shows.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::{self, BufReader},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use oci::{Descriptor, Digest, MediaType, layout};
use serde::Deserialize;
use tokio::sync::Notify;

use super::{Shared, files, manifests};
use crate::route::Name;

/// A change this young may share its time stamp with one that comes after it.
const STAMP_RESOLUTION: Duration = Duration::from_millis(100);

/// Which views are not up to date.
#[derive(Debug, Default)]
pub(super) struct Views {
    stale: Mutex<BTreeSet<Name>>,
    pub(super) notify: Arc<Notify>,
}

/// How much of an index is written at a time, in bytes, about.
const PIECE_BYTES: usize = 64 * 1024;

/// What a view says of a manifest: so little of each that very many may be in memory.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// Which of the media types there are.
    media_type: usize,
    size: u64,
    /// No tag and no index leads to it, as far as is known.
    unnamed: bool,
}

/// The manifests of a repository.
#[derive(Debug, Default)]
struct Manifests {
    all: BTreeMap<Digest, Shown>,
    media_types: Vec<MediaType>,
}

// === impl Views ===

impl Views {
    /// Notes that a repository's view is to be renewed.
    pub(super) fn changed(&self, name: &Name) {
        let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        stale.insert(name.clone());
        drop(stale);
        self.notify.notify_one();
    }

    fn take(&self) -> BTreeSet<Name> {
        std::mem::take(&mut *self.stale.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Renews the views that are noted as stale. What fails is noted again.
pub(super) fn renew(store: &Shared) -> io::Result<()> {
    let mut failed = None;
    for name in store.views.take() {
        if let Err(error) = write(store, &name) {
            let mut stale = store
                .views
                .stale
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            stale.insert(name);
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Notes which views an earlier process left behind the truth.
pub(super) fn look(store: &Shared, names: &[Name]) -> io::Result<()> {
    for name in names {
        let shown = files::modified(&store.repository(name).join("_layout").join(layout::INDEX))?;
        let newest = newest_change(store, name)?;
        if newest.is_some() && shown != newest {
            store.views.changed(name);
        }
    }
    Ok(())
}

/// When a tag or manifest of a repository came, moved or went last; none if it never had one.
fn newest_change(store: &Shared, name: &Name) -> io::Result<Option<SystemTime>> {
    let repository = store.repository(name);
    let mut newest = None;
    for holding in ["_tags", "_manifests/sha256", "_manifests/sha512"] {
        newest = newest.max(files::modified(&repository.join(holding))?);
    }
    Ok(newest)
}

fn write(store: &Shared, name: &Name) -> io::Result<()> {
    let Some(newest) = newest_change(store, name)? else {
        return Ok(());
    };
    let young = SystemTime::now().duration_since(newest);
    let shown = if young.is_ok_and(|it| it > STAMP_RESOLUTION) {
        newest
    } else {
        // It may miss what comes in the same tick, and says so to the next start.
        newest - Duration::from_secs(1)
    };
    let repository = store.repository(name);
    let at = repository.join("_layout");
    store.files.make_directory(&at)?;
    let depth = name.as_str().split('/').count();
    let blobs = Path::new(&"../".repeat(depth + 2)).join(layout::BLOBS);
    if let Err(error) = store.files.link_directory(&blobs, &at.join(layout::BLOBS)) {
        tracing::warn!(%error, repository = %name, "could not link the content into the layout");
    }
    let marker = at.join(layout::MARKER);
    if files::length(&marker)?.is_none() {
        let text = serde_json::to_vec(&layout::Marker {
            image_layout_version: layout::VERSION.to_owned(),
        })?;
        store.files.prepare(&text)?.place(&marker)?;
    }
    let path = at.join(layout::INDEX);
    let mut manifests = Manifests::of(store, name)?;
    let prepared = store
        .files
        .prepare_in_pieces(|write| manifests.write(store, name, write))?;
    prepared.set_modified(shown)?;
    prepared.place(&path)
}

impl Manifests {
    fn of(store: &Shared, name: &Name) -> io::Result<Self> {
        let mut found = Self::default();
        let mut in_an_index = HashSet::new();
        for algorithm in files::ALGORITHMS {
            let directory = store.repository(name).join("_manifests").join(algorithm);
            for hex in files::names(&directory)? {
                let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else {
                    continue;
                };
                let media_type = files::read(&directory.join(&hex))?;
                let size = files::length(&store.content(&digest))?;
                let (Some(media_type), Some(size)) = (media_type, size) else {
                    continue;
                };
                let media_type = MediaType::new(String::from_utf8_lossy(&media_type));
                if media_type.is_index() {
                    in_an_index.extend(children(store, &digest)?);
                }
                found.add(digest, media_type, size);
            }
        }
        for digest in &in_an_index {
            if let Some(it) = found.all.get_mut(digest) {
                it.unnamed = false;
            }
        }
        Ok(found)
    }

    fn add(&mut self, digest: Digest, media_type: MediaType, size: u64) {
        let known = self.media_types.iter().position(|it| *it == media_type);
        let media_type = known.unwrap_or_else(|| {
            self.media_types.push(media_type);
            self.media_types.len() - 1
        });
        let shown = Shown {
            media_type,
            size,
            unnamed: true,
        };
        self.all.insert(digest, shown);
    }

    /// One descriptor for each tag, and one for each manifest that no tag and no index names.
    fn write(
        &mut self,
        store: &Shared,
        name: &Name,
        write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let index = MediaType::OCI_INDEX;
        let mut piece = format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":["#);
        let mut is_first = true;
        let mut add = |descriptor: &Descriptor| {
            if !std::mem::take(&mut is_first) {
                piece.push(',');
            }
            piece.push_str(&serde_json::to_string(descriptor)?);
            if piece.len() >= PIECE_BYTES {
                write(piece.as_bytes())?;
                piece.clear();
            }
            io::Result::Ok(())
        };
        for tag in manifests::tags(store, name)?.unwrap_or_default() {
            let Some(digest) = manifests::tag(store, name, &tag)? else {
                continue;
            };
            let Some(shown) = self.all.get_mut(&digest) else {
                continue;
            };
            shown.unnamed = false;
            let media_type = self.media_types[shown.media_type].clone();
            let mut descriptor = Descriptor::new(media_type, digest, shown.size);
            let annotations = &mut descriptor.annotations;
            annotations.insert(oci::descriptor::REF_NAME.to_owned(), tag.to_string());
            add(&descriptor)?;
        }
        for (digest, shown) in self.all.iter().filter(|it| it.1.unnamed) {
            let media_type = self.media_types[shown.media_type].clone();
            add(&Descriptor::new(media_type, digest.clone(), shown.size))?;
        }
        piece.push_str("]}");
        write(piece.as_bytes())
    }
}

/// What an index names. It may be long, and is neither checked here nor read whole.
fn children(store: &Shared, digest: &Digest) -> io::Result<Vec<Digest>> {
    #[derive(Deserialize)]
    struct Named {
        manifests: Vec<Child>,
    }
    #[derive(Deserialize)]
    struct Child {
        digest: String,
    }
    let Some(file) = files::open(&store.content(digest))? else {
        return Ok(Vec::new());
    };
    let named = serde_json::from_reader::<_, Named>(BufReader::new(file));
    let children = named.map(|it| it.manifests).unwrap_or_default();
    Ok(children
        .iter()
        .filter_map(|it| it.digest.parse().ok())
        .collect())
}
