//! Manifests, tags and referrers as files.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::PoisonError,
};

use bytes::Bytes;
use oci::{Digest, MediaType, Tag};

use super::{Directory, files};
use crate::{
    route::Name,
    store::{Condition, NewManifest, Put, Store as _, StoredManifest},
};

/// What a repository's directory holds, of which any makes it one.
const HOLDINGS: [&str; 3] = ["_blobs", "_manifests", "_tags"];

pub(super) fn is_repository(directory: &Path) -> io::Result<bool> {
    for holding in HOLDINGS {
        if directory.join(holding).try_exists()? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn tag_path(store: &Directory, name: &Name, tag: &Tag) -> PathBuf {
    store.repository(name).join("_tags").join(tag.as_str())
}

fn referrers_of(store: &Directory, name: &Name, subject: &Digest) -> PathBuf {
    files::by_digest(&store.repository(name).join("_referrers"), subject)
}

pub(super) fn put(store: &Directory, name: &Name, new: &NewManifest) -> io::Result<Put> {
    // First what it refers to, then what refers to it.
    for algorithm in ["sha256", "sha512"] {
        files::sync_directory(&store.repository(name).join("_blobs").join(algorithm))?;
    }
    let _linking = store.linking();
    let content = store.content(&new.digest);
    if !content.try_exists()? {
        files::write_whole(&content, &new.bytes)?;
    }
    let _tags = store.tags.lock().unwrap_or_else(PoisonError::into_inner);
    if !condition_holds(store, name, new)? {
        return Ok(Put::ConditionFailed);
    }
    let link = store.manifest_link(name, &new.digest);
    files::write_whole(&link, new.media_type.as_str().as_bytes())?;
    if let Some(subject) = &new.subject {
        let referrer = referrers_of(store, name, subject).join(new.digest.to_string());
        files::touch(&referrer)?;
        files::sync_parent(&referrer)?;
    }
    for tag in &new.tags {
        let text = new.digest.to_string();
        files::write_whole(&tag_path(store, name, tag), text.as_bytes())?;
    }
    Ok(Put::Stored)
}

/// Whether each tag, or without tags the manifest itself, is what the condition wants.
fn condition_holds(store: &Directory, name: &Name, new: &NewManifest) -> io::Result<bool> {
    for tag in &new.tags {
        let current = self::tag(store, name, tag)?;
        if !new.condition.holds(current.as_ref()) {
            return Ok(false);
        }
    }
    if new.tags.is_empty() && new.condition != Condition::None {
        let there = store.manifest_link(name, &new.digest).try_exists()?;
        return Ok(new.condition.holds(there.then_some(&new.digest)));
    }
    Ok(true)
}

pub(super) fn get(
    store: &Directory,
    name: &Name,
    digest: &Digest,
) -> io::Result<Option<StoredManifest>> {
    let Some(media_type) = files::read(&store.manifest_link(name, digest))? else {
        return Ok(None);
    };
    let Some(bytes) = files::read(&store.content(digest))? else {
        return Ok(None);
    };
    Ok(Some(StoredManifest {
        media_type: MediaType::new(String::from_utf8_lossy(&media_type)),
        bytes: Bytes::from(bytes),
    }))
}

pub(super) fn tag(store: &Directory, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
    let Some(text) = files::read(&tag_path(store, name, tag))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map(Some).map_err(io::Error::other)
}

pub(super) fn tags(store: &Directory, name: &Name) -> io::Result<Option<Vec<Tag>>> {
    let repository = store.repository(name);
    if !is_repository(&repository)? {
        return Ok(None);
    }
    Ok(Some(parsed(&repository.join("_tags"))?))
}

/// The names in a directory that are what they should be.
fn parsed<T: FromStr>(directory: &Path) -> io::Result<Vec<T>> {
    let names = files::names(directory)?;
    Ok(names.iter().filter_map(|it| it.parse().ok()).collect())
}

pub(super) fn remove(store: &Directory, name: &Name, digest: &Digest) -> io::Result<bool> {
    let removing = store.removing();
    let _tags = store.tags.lock().unwrap_or_else(PoisonError::into_inner);
    if !store.has_manifest(name, digest)? {
        return Ok(false);
    }
    for tag in store.tags(name)?.unwrap_or_default() {
        if self::tag(store, name, &tag)?.as_ref() == Some(digest) {
            files::remove(&tag_path(store, name, &tag))?;
        }
    }
    if let Some(subject) = subject(store, name, digest)? {
        files::remove(&referrers_of(store, name, &subject).join(digest.to_string()))?;
    }
    files::remove(&store.manifest_link(name, digest))?;
    files::sync_parent(&store.manifest_link(name, digest))?;
    store.collect(digest, &removing)?;
    Ok(true)
}

fn subject(store: &Directory, name: &Name, digest: &Digest) -> io::Result<Option<Digest>> {
    let Some(manifest) = get(store, name, digest)? else {
        return Ok(None);
    };
    let document = oci::Document::with_digest(manifest.bytes, Some(&manifest.media_type), digest);
    Ok(document
        .ok()
        .and_then(|it| it.subject().map(|it| it.digest.clone())))
}

pub(super) fn referrers(
    store: &Directory,
    name: &Name,
    subject: &Digest,
) -> io::Result<Vec<Digest>> {
    let mut found: Vec<Digest> = parsed(&referrers_of(store, name, subject))?;
    found.sort_unstable();
    Ok(found)
}
