//! The layers of a saved image: found, hashed, checked against the config, described.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use oci::{Algorithm, Descriptor, Digest, Hasher, ImageConfig, MediaType, SourceError};

use super::{Listed, check_name, entry_name};
use crate::source::{
    archive::Archive,
    range::{FileRange, ReadError},
    spool::Compression,
};

/// How many layers are hashed at a time.
const HASHED_AT_ONCE: usize = 4;

/// A file of the archive that a layer is read from; several layers may share one.
type Files = BTreeMap<u64, FileRange>;

/// The digests of the files hashed so far, by where each begins.
pub(super) type Hashed = BTreeMap<u64, Digest>;

/// The descriptors of `image`'s layers, base first, and where their bytes are. Blocks.
pub(super) fn described(
    archive: &Archive,
    image: &Listed,
    config: &ImageConfig,
    digests: &mut Hashed,
    abandoned: &AtomicBool,
) -> Result<(Vec<Descriptor>, HashMap<Digest, FileRange>), SourceError> {
    let names = image.layers.as_deref().unwrap_or_default();
    let diff_ids = &config.rootfs.diff_ids;
    if names.len() != diff_ids.len() {
        let (layers, expected) = (names.len(), diff_ids.len());
        let reason = format!("the image has {layers} layers and its config {expected}");
        return Err(SourceError::invalid(archive.path().display(), reason));
    }
    let layers: Vec<Layer<'_>> = names
        .iter()
        .zip(diff_ids)
        .map(|(name, diff_id)| Layer::find(archive, image, name, diff_id))
        .collect::<Result<_, _>>()?;
    let ranges = layers.iter().filter_map(|it| match it {
        Layer::Local { range, .. } if !digests.contains_key(&range.start()) => {
            Some((range.start(), range.clone()))
        }
        _ => None,
    });
    digests.extend(hashed(ranges.collect(), abandoned)?);
    let mut blobs = HashMap::new();
    let mut descriptors = Vec::new();
    for layer in layers {
        let (name, diff_id, range) = match layer {
            Layer::Foreign(descriptor) => {
                descriptors.push(descriptor.clone());
                continue;
            }
            Layer::Local {
                name,
                diff_id,
                range,
            } => (name, diff_id, range),
        };
        let unhashed = || SourceError::invalid(range.place(), "it could not be hashed");
        let digest = digests.get(&range.start()).ok_or_else(unhashed)?;
        check_name(name, digest, range.place())?;
        let media_type = media_type(&range, digest, diff_id)?;
        descriptors.push(Descriptor::new(media_type, digest.clone(), range.length()));
        blobs.insert(digest.clone(), range);
    }
    Ok((descriptors, blobs))
}

enum Layer<'a> {
    Local {
        name: &'a str,
        diff_id: &'a Digest,
        range: FileRange,
    },
    /// Distributed from elsewhere: pushed as the reference it is.
    Foreign(&'a Descriptor),
}

impl<'a> Layer<'a> {
    fn find(
        archive: &Archive,
        image: &'a Listed,
        name: &'a str,
        diff_id: &'a Digest,
    ) -> Result<Self, SourceError> {
        let sources = image.layer_sources.as_ref();
        if let Some(source) = sources.and_then(|it| it.get(diff_id))
            && source.is_foreign()
        {
            return Ok(Self::Foreign(source));
        }
        let name = entry_name(name);
        let missing = || SourceError::Missing {
            digest: diff_id.clone(),
            place: archive.entry_place(name),
        };
        let range = archive.linked_file(name)?.ok_or_else(missing)?;
        Ok(Self::Local {
            name,
            diff_id,
            range,
        })
    }
}

/// What a layer is, by its first bytes. A plain one must be what the config says.
fn media_type(
    range: &FileRange,
    digest: &Digest,
    diff_id: &Digest,
) -> Result<MediaType, SourceError> {
    let mut head = [0; 4];
    range
        .read_at(&mut head, 0)
        .map_err(|error| range.unreadable(error))?;
    match Compression::of(&head) {
        Some(Compression::Gzip) => Ok(MediaType::DOCKER_LAYER_GZIP),
        Some(Compression::Zstd) => Err(SourceError::invalid(
            range.place(),
            "it is a zstd layer, which Docker's manifests have no type for: save the image as an \
             OCI archive",
        )),
        None if digest != diff_id => Err(SourceError::Altered {
            expected: diff_id.clone(),
            actual: digest.clone(),
            place: range.place().to_owned(),
        }),
        None => Ok(MediaType::DOCKER_LAYER),
    }
}

/// The digests of `files`, by the same keys. Blocks.
fn hashed(files: Files, abandoned: &AtomicBool) -> Result<Hashed, SourceError> {
    let waiting = Mutex::new(files.into_iter());
    let next = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    };
    let work = || {
        let mut digests = Vec::new();
        while let Some((start, file)) = next() {
            let digest = hash(&file, abandoned).map_err(|error| file.unreadable(error))?;
            digests.push((start, digest));
        }
        Ok(digests)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..HASHED_AT_ONCE).map(|_| scope.spawn(work)).collect();
        let mut digests = BTreeMap::new();
        for worker in workers {
            let stopped = |_| SourceError::invalid("the archive", "hashing it was interrupted");
            digests.extend(worker.join().map_err(stopped)??);
        }
        Ok(digests)
    })
}

fn hash(file: &FileRange, abandoned: &AtomicBool) -> Result<Digest, ReadError> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    file.for_each_piece(|piece| {
        hasher.update(piece);
        !abandoned.load(Ordering::Relaxed)
    })?;
    Ok(hasher.finish())
}
