//! Manifests, tags and referrers as files.

use std::{
    collections::BinaryHeap,
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use bytes::Bytes;
use oci::{Digest, MediaType, Tag};

use super::{Shared, content, files, known};
use crate::{
    route::Name,
    store::{Condition, NewManifest, OpenManifest, Put, StoredManifest, children},
};

/// How often a manifest's tags are looked for without a lock before it is done under one.
const LOOKS: usize = 3;

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

pub(super) fn tag_path(store: &Shared, name: &Name, tag: &Tag) -> PathBuf {
    store.repository(name).join("_tags").join(tag.as_str())
}

fn referrers_of(store: &Shared, name: &Name, subject: &Digest) -> PathBuf {
    files::by_digest(&store.repository(name).join("_referrers"), subject)
}

/// Validates, keeps and tags a manifest: what it refers to is looked for under the same lock
/// that it is linked under, and that removals exclude.
pub(super) fn put(store: &Shared, name: &Name, new: &NewManifest) -> io::Result<Put> {
    // What takes long comes before the lock.
    let content = if files::length(&store.content(&new.digest))?.is_some() {
        None
    } else {
        Some(store.files.prepare(&new.bytes)?)
    };
    let media_type = store.files.prepare(new.media_type.as_str().as_bytes())?;
    let pointer = new.digest.to_string();
    let tags: Vec<_> = new
        .tags
        .iter()
        .map(|_| store.files.prepare(pointer.as_bytes()))
        .collect::<io::Result<_>>()?;

    let _linking = store.linking();
    let missing = if new.is_sparse {
        Vec::new()
    } else {
        children::missing(
            &new.children,
            |it| store.has_manifest(name, it),
            |it| Ok(store.blob_length(name, it)?.is_some()),
        )?
    };
    if !missing.is_empty() {
        return Ok(Put::Missing(missing));
    }
    store.watches.note(new.mentions());
    // A condition holds until the tags have moved. Without one nothing that takes long is done
    // under the lock, and who comes at the same time shares the syncs.
    let is_conditional = new.condition != Condition::None;
    let mut tags_lock = is_conditional.then(|| store.moving_tags(name));
    if is_conditional && !condition_holds(store, name, new)? {
        return Ok(Put::ConditionFailed);
    }
    // First what it refers to, then itself, then what refers to it.
    renew_children(store, name, new)?;
    for algorithm in files::ALGORITHMS {
        let links = store.repository(name).join("_blobs").join(algorithm);
        store.files.sync_directory(&links)?;
    }
    place(store, content, media_type, name, new)?;
    if !new.tags.is_empty() && tags_lock.is_none() {
        tags_lock = Some(store.moving_tags(name));
    }
    for (tag, prepared) in new.tags.iter().zip(tags) {
        prepared.place(&tag_path(store, name, tag))?;
        store.tagged.moved(name, tag, &new.digest);
    }
    drop(tags_lock);
    if let Some(tag) = new.tags.first() {
        store.files.sync_parent(&tag_path(store, name, tag))?;
    }
    store.views.changed(name);
    Ok(Put::Stored)
}

/// Whether each tag, or without tags the manifest itself, is what the condition wants.
fn condition_holds(store: &Shared, name: &Name, new: &NewManifest) -> io::Result<bool> {
    for tag in &new.tags {
        let current = self::tag(store, name, tag)?;
        if !new.condition.holds(current.as_ref()) {
            return Ok(false);
        }
    }
    if new.tags.is_empty() && new.condition != Condition::None {
        let there = store.has_manifest(name, &new.digest)?;
        return Ok(new.condition.holds(there.then_some(&new.digest)));
    }
    Ok(true)
}

/// Puts a manifest's content, its link, and what it is about where they belong, durably.
fn place(
    store: &Shared,
    content: Option<files::Prepared<'_>>,
    media_type: files::Prepared<'_>,
    name: &Name,
    new: &NewManifest,
) -> io::Result<()> {
    let at = store.content(&new.digest);
    // What is there and was damaged since is healed by who puts it again.
    if files::read(&at)?.as_deref() != Some(&new.bytes) {
        let content = match content {
            Some(content) => content,
            None => store.files.prepare(&new.bytes)?,
        };
        store.place_content(&at, new.bytes.len() as u64, || content.place(&at))?;
    }
    // Also if it was there: who put it there may not have come to this yet.
    store.files.sync_parent(&at)?;
    if let Some(subject) = &new.subject {
        let referrer = referrers_of(store, name, subject).join(new.digest.to_string());
        store.files.touch(&referrer, store.grace.now())?;
        store.files.sync_parent(&referrer)?;
    }
    let link = store.manifest_link(name, &new.digest);
    media_type.place(&link)?;
    store.names.note(name);
    store.files.set_modified(&link, store.grace.now())?;
    store.files.sync_parent(&link)
}

/// What a manifest refers to was relied on just now.
fn renew_children(store: &Shared, name: &Name, new: &NewManifest) -> io::Result<()> {
    for child in &new.children {
        store.renew(&store.blob_link(name, &child.digest))?;
        store.renew(&store.manifest_link(name, &child.digest))?;
    }
    Ok(())
}

pub(super) fn get(
    store: &Shared,
    name: &Name,
    digest: &Digest,
) -> io::Result<Option<StoredManifest>> {
    let Some(media_type) = files::read(&store.manifest_link(name, digest))? else {
        return Ok(None);
    };
    let Some(bytes) = files::read(&store.content(digest))? else {
        return Ok(None);
    };
    if !digest.matches(&bytes) {
        let message = format!("the stored bytes of manifest {digest} are not what was put");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Some(StoredManifest {
        media_type: MediaType::new(String::from_utf8_lossy(&media_type)),
        bytes: Bytes::from(bytes),
    }))
}

/// The same, to be verified by who reads it.
pub(super) fn open(
    store: &Shared,
    name: &Name,
    digest: &Digest,
) -> io::Result<Option<OpenManifest>> {
    let Some(media_type) = files::read(&store.manifest_link(name, digest))? else {
        return Ok(None);
    };
    let media_type = MediaType::new(String::from_utf8_lossy(&media_type));
    let content = content::open(&store.content(digest))?;
    Ok(content.map(|content| (media_type, content)))
}

pub(super) fn tag(store: &Shared, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
    let Some(text) = files::read(&tag_path(store, name, tag))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map(Some).map_err(io::Error::other)
}

pub(super) fn tags(store: &Shared, name: &Name) -> io::Result<Option<Vec<Tag>>> {
    let repository = store.repository(name);
    if !is_repository(&repository)? {
        return Ok(None);
    }
    Ok(Some(parsed(&repository.join("_tags"))?))
}

/// The first `most` after this text, in order; no more than so many are in memory.
pub(super) fn tags_after(
    store: &Shared,
    name: &Name,
    after: &str,
    most: usize,
) -> io::Result<Vec<Tag>> {
    let directory = store.repository(name).join("_tags");
    let mut first: BinaryHeap<Tag> = BinaryHeap::new();
    files::each_name(&directory, |it| {
        if it.as_str() > after
            && let Ok(tag) = it.parse()
        {
            first.push(tag);
            if first.len() > most {
                first.pop();
            }
        }
    })?;
    Ok(first.into_sorted_vec())
}

/// The names in a directory that are what they should be.
fn parsed<T: FromStr>(directory: &Path) -> io::Result<Vec<T>> {
    let names = files::names(directory)?;
    Ok(names.iter().filter_map(|it| it.parse().ok()).collect())
}

pub(super) fn remove_tag(store: &Shared, name: &Name, tag: &Tag) -> io::Result<bool> {
    let _tags = store.moving_tags(name);
    let path = tag_path(store, name, tag);
    let removed = store.files.remove(&path)?;
    if removed {
        store.tagged.removed(name, tag);
        store.files.sync_parent(&path)?;
        store.views.changed(name);
    }
    Ok(removed)
}

/// Removes a manifest with every tag that points to it.
pub(super) fn remove(store: &Shared, name: &Name, digest: &Digest) -> io::Result<bool> {
    learn_tags(store, name)?;
    {
        let _removing = store.removing();
        if let Some(tags) = store.tagged.of(name, digest) {
            return unlink(store, name, digest, &tags);
        }
    }
    remove_from_many(store, name, digest)
}

/// Reads where all tags of a repository point to, unless that is known.
fn learn_tags(store: &Shared, name: &Name) -> io::Result<()> {
    if store.tagged.knows(name) {
        return Ok(());
    }
    // There may be too many to know them: then nobody is held up.
    let count = tags(store, name)?.unwrap_or_default().len();
    if count > known::MAX_TAGS {
        return Ok(());
    }
    let _tags = store.moving_tags(name);
    let mut all = Vec::new();
    for tag in tags(store, name)?.unwrap_or_default() {
        if let Some(digest) = self::tag(store, name, &tag)? {
            all.push((tag, digest));
        }
    }
    store.tagged.learn(name, &all);
    Ok(())
}

/// The same where there are more tags than are known. They are looked for without a lock: who
/// tagged the manifest meanwhile is seen by a watch, and then they are looked for again.
fn remove_from_many(store: &Shared, name: &Name, digest: &Digest) -> io::Result<bool> {
    for _ in 0..LOOKS {
        let watch = store.watch();
        let tags = tags_of(store, name, digest)?;
        let _removing = store.removing();
        if !watch.saw(digest) {
            return unlink(store, name, digest, &tags);
        }
    }
    let _removing = store.removing();
    let tags = tags_of(store, name, digest)?;
    unlink(store, name, digest, &tags)
}

/// The tags that point to a manifest.
fn tags_of(store: &Shared, name: &Name, digest: &Digest) -> io::Result<Vec<Tag>> {
    let mut found = Vec::new();
    for tag in tags(store, name)?.unwrap_or_default() {
        if self::tag(store, name, &tag)?.as_ref() == Some(digest) {
            found.push(tag);
        }
    }
    Ok(found)
}

/// Takes a manifest out of a repository, with those of `tagged` that point to it. The caller
/// holds the lock that excludes who links.
pub(super) fn unlink(
    store: &Shared,
    name: &Name,
    digest: &Digest,
    tagged: &[Tag],
) -> io::Result<bool> {
    if !store.has_manifest(name, digest)? {
        return Ok(false);
    }
    // First what refers to it.
    let mut untagged = None;
    for tag in tagged {
        let path = tag_path(store, name, tag);
        if self::tag(store, name, tag)?.as_ref() == Some(digest) {
            store.files.remove(&path)?;
            store.tagged.removed(name, tag);
            untagged = Some(path);
        }
    }
    if let Some(path) = untagged {
        store.files.sync_parent(&path)?;
    }
    let link = store.manifest_link(name, digest);
    let subject = subject(store, name, digest)?;
    store.files.remove(&link)?;
    store.files.sync_parent(&link)?;
    if let Some(subject) = subject {
        let referrer = referrers_of(store, name, &subject).join(digest.to_string());
        store.files.remove(&referrer)?;
    }
    store.views.changed(name);
    Ok(true)
}

/// What a manifest says it is about, if it can still be read.
fn subject(store: &Shared, name: &Name, digest: &Digest) -> io::Result<Option<Digest>> {
    let media_type = files::read(&store.manifest_link(name, digest))?;
    let bytes = files::read(&store.content(digest))?;
    let (Some(media_type), Some(bytes)) = (media_type, bytes) else {
        return Ok(None);
    };
    let media_type = MediaType::new(String::from_utf8_lossy(&media_type));
    let document = oci::Document::with_digest(bytes.into(), Some(&media_type), digest);
    Ok(document
        .ok()
        .and_then(|it| it.subject().map(|it| it.digest.clone())))
}

pub(super) fn referrers(store: &Shared, name: &Name, subject: &Digest) -> io::Result<Vec<Digest>> {
    let mut found: Vec<Digest> = parsed(&referrers_of(store, name, subject))?;
    found.sort_unstable();
    Ok(found)
}
