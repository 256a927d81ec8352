//! An OCI image layout in one tar file, as a target.
//!
//! ```text
//!   blobs/  blobs/sha256/  blobs/sha256/…   sorted, each at its place from the beginning
//!   index.json                              when the manifests are there
//!   oci-layout
//! ```
//!
//! What an image consists of is known before the first byte of it comes, with all lengths. So every
//! blob has its place in the file before it comes, several are written at the same time, and the
//! same image makes the same bytes whatever came first: names sorted, no owners, no times.
//! The file has another name until it is whole, verified and synced.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{
    Anywhere, Attachment, BlobUpload, Descriptor, Digest, Document, ManifestReceipt, MountOutcome,
    Mounting, NewTag, Presence, PushTarget, Repository, SessionStatus, Tag, TagOrDigest,
    TagsReceipt, TargetError, TargetErrorKind, UploadReceipt, UploadSession, Validation, layout,
};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use crate::layout::{LayoutError, listing, write_checked};

#[cfg(test)]
mod tests;

/// The unit of a tar file, in bytes.
const BLOCK: u64 = 512;
/// How many pieces of a blob wait to be written.
const PIECES: usize = 2;
/// What the name of the file begins with while it is written.
const PREFIX: &str = ".longshore-";

/// A tar file to push one image into, as an OCI image layout
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
///
/// A tag is the image's name in `index.json`, its `org.opencontainers.image.ref.name`. The file is
/// there once [`finish`](Self::finish) has come back, in place of what had its name before;
/// dropped before that, nothing is. For one push each; clones write the same file. Needs a tokio
/// runtime.
#[derive(Clone, Debug)]
pub struct ArchiveTarget {
    repository: Repository,
    path: PathBuf,
    writing: Arc<Mutex<Option<Writing>>>,
}

/// A file while it is written.
#[derive(Debug)]
struct Writing {
    file: NamedTempFile,
    places: BTreeMap<String, Place>,
    /// Where the blobs end.
    end: u64,
    /// What is listed: a digest, and the names it has.
    listed: BTreeMap<Digest, (Document, Vec<Tag>)>,
}

/// Where a blob goes.
#[derive(Debug)]
struct Place {
    /// Of its first byte.
    at: u64,
    is_there: bool,
}

impl ArchiveTarget {
    /// The archive at `path`, which need not be there yet; its directory must be.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            repository: Repository::in_archive(&path.display().to_string()),
            path,
            writing: Arc::default(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lists `root`, under no name if it was put under none, and gives the file its name.
    ///
    /// Fails if something of what was expected has not come: then the file is not there, or is
    /// what it was before.
    pub async fn finish(&self, root: &Document) -> Result<(), TargetError> {
        let (it, root) = (self.clone(), root.clone());
        let attempted = format!("write {}", self.path.display());
        blocking(attempted, move || {
            let writing = it
                .writing()
                .take()
                .ok_or_else(|| it.incomplete("anything"))?;
            it.write_end(writing, &root)
        })
        .await
    }

    fn writing(&self) -> MutexGuard<'_, Option<Writing>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incomplete(&self, what: &str) -> LayoutError {
        LayoutError::Incomplete {
            path: self.path.clone(),
            missing: what.to_owned(),
        }
    }

    fn io(&self, error: io::Error) -> LayoutError {
        LayoutError::Io {
            step: "write",
            path: self.path.clone(),
            error,
        }
    }

    /// Makes the file, with a place for everything.
    fn begin(&self, contents: &[Descriptor]) -> Result<Writing, LayoutError> {
        if self.path.is_dir() {
            return Err(LayoutError::NotALayout {
                path: self.path.clone(),
                found: "a directory, not a file".into(),
            });
        }
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(directory);
        let mut file = file.map_err(|error| self.io(error))?;
        let mut sizes: BTreeMap<String, Option<u64>> = BTreeMap::new();
        sizes.insert(format!("{}/", layout::BLOBS), None);
        for it in contents {
            sizes.insert(
                format!("{}/{}/", layout::BLOBS, it.digest.algorithm()),
                None,
            );
            sizes.insert(layout::blob_path(&it.digest), Some(it.size));
        }
        let mut places = BTreeMap::new();
        let mut at = 0;
        for (name, size) in sizes {
            let header = header(&name, size).map_err(|error| self.io(error))?;
            let written = file.seek(SeekFrom::Start(at));
            let written = written.and_then(|_| file.write_all(&header));
            written.map_err(|error| self.io(error))?;
            at += header.len() as u64;
            if let Some(size) = size {
                let is_there = false;
                places.insert(name, Place { at, is_there });
                at += size.next_multiple_of(BLOCK);
            }
        }
        Ok(Writing {
            file,
            places,
            end: at,
            listed: BTreeMap::new(),
        })
    }

    /// Writes a blob of the pieces that `next` gives to its place.
    fn write_blob(
        &self,
        blob: &Descriptor,
        next: impl FnMut() -> Option<Bytes>,
    ) -> Result<(), LayoutError> {
        let name = layout::blob_path(&blob.digest);
        let (at, mut file) = {
            let writing = self.writing();
            let place = writing
                .as_ref()
                .and_then(|it| Some((it, it.places.get(&name)?)));
            let Some((writing, place)) = place else {
                return Err(self.incomplete(&format!("a place for {}", blob.digest)));
            };
            let file = writing.file.reopen().map_err(|error| self.io(error))?;
            (place.at, file)
        };
        file.seek(SeekFrom::Start(at))
            .map_err(|error| self.io(error))?;
        write_checked(&mut file, blob, next, |error| self.io(error))?;
        let mut writing = self.writing();
        if let Some(place) = writing.as_mut().and_then(|it| it.places.get_mut(&name)) {
            place.is_there = true;
        }
        Ok(())
    }

    fn list(&self, document: &Document, tag: Option<&Tag>) {
        let mut writing = self.writing();
        let Some(writing) = writing.as_mut() else {
            return;
        };
        let entry = writing.listed.entry(document.digest().clone());
        let (_, tags) = entry.or_insert_with(|| (document.clone(), Vec::new()));
        tags.extend(tag.cloned());
    }

    fn write_end(&self, mut writing: Writing, root: &Document) -> Result<(), LayoutError> {
        if let Some((name, _)) = writing.places.iter().find(|(_, it)| !it.is_there) {
            return Err(self.incomplete(name));
        }
        let index = self.index(&mut writing, root)?;
        let marker = layout::Marker {
            image_layout_version: layout::VERSION.to_owned(),
        };
        let marker = serde_json::to_vec(&marker).map_err(|error| self.io(error.into()))?;
        let end = self.write_files(&mut writing, &index, &marker);
        end.map_err(|error| self.io(error))?;
        let placed = writing.file.persist(&self.path);
        placed.map_err(|it| self.io(it.error))?;
        #[cfg(unix)]
        if let Some(parent) = self.path.parent() {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            let synced = std::fs::File::open(parent).and_then(|it| it.sync_all());
            synced.map_err(|error| self.io(error))?;
        }
        Ok(())
    }

    /// The list of images: the root under its names, then what is about it. Of each what its bytes
    /// say, and not what whoever described it says besides: that differs from source to source.
    fn index(&self, writing: &mut Writing, root: &Document) -> Result<Vec<u8>, LayoutError> {
        let (_, mut names) = writing
            .listed
            .remove(root.digest())
            .unwrap_or_else(|| (root.clone(), Vec::new()));
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        let mut entries: Vec<(&Document, Option<&Tag>)> =
            names.iter().map(|it| (root, Some(it))).collect();
        if entries.is_empty() {
            entries.push((root, None));
        }
        for (document, tags) in writing.listed.values() {
            if tags.is_empty() {
                entries.push((document, None));
            }
            entries.extend(tags.iter().map(|it| (document, Some(it))));
        }
        let mut index = None;
        for (document, name) in entries {
            let itself = Document::new(document.bytes().clone(), Some(document.media_type()));
            let listed = itself.and_then(|it| listing(index.as_deref(), &it, name));
            let listed = listed.map_err(|error| LayoutError::Index {
                path: self.path.clone(),
                error,
            })?;
            index = listed.or(index);
        }
        Ok(index.unwrap_or_default())
    }

    #[expect(clippy::unused_self, reason = "what is written is the archive's")]
    fn write_files(
        &self,
        writing: &mut Writing,
        index: &[u8],
        marker: &[u8],
    ) -> Result<(), io::Error> {
        let file = &mut writing.file;
        file.seek(SeekFrom::Start(writing.end))?;
        for (name, content) in [(layout::INDEX, index), (layout::MARKER, marker)] {
            let size = content.len() as u64;
            file.write_all(&header(name, Some(size))?)?;
            file.write_all(content)?;
            let padding = size.next_multiple_of(BLOCK) - size;
            io::copy(&mut io::Read::take(io::repeat(0), padding), file)?;
        }
        io::copy(&mut io::Read::take(io::repeat(0), 2 * BLOCK), file)?;
        file.flush()?;
        file.as_file().sync_all()
    }

    async fn write(&self, upload: BlobUpload<'_>, attempted: &str) -> Result<u64, TargetError> {
        let read_error = |error| TargetError::from_source(error, attempted);
        let opened = upload.source.open(upload.blob, 0).await;
        let mut body = opened.map_err(read_error)?;
        let (pieces, mut waiting) = mpsc::channel(PIECES);
        let (it, blob) = (self.clone(), upload.blob.clone());
        let writer =
            tokio::task::spawn_blocking(move || it.write_blob(&blob, || waiting.blocking_recv()));
        let mut sent = 0;
        let mut fault = None;
        while let Some(piece) = body.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    fault = Some(read_error(error));
                    break;
                }
            };
            let bytes = piece.len() as u64;
            if pieces.send(piece).await.is_err() {
                break;
            }
            sent += bytes;
            upload.observer.sent(bytes);
        }
        // What was cut off is not the blob: its length tells the writer.
        drop(pieces);
        let done = writer.await;
        match (fault, done) {
            (Some(fault), _) => Err(fault.with_sent(sent)),
            (None, Ok(Ok(()))) => Ok(sent),
            (None, Ok(Err(error))) => Err(failed(error, attempted).with_sent(sent)),
            (None, Err(error)) => Err(failed(error, attempted).with_sent(sent)),
        }
    }

    fn is_there(&self, digest: &Digest) -> bool {
        let writing = self.writing();
        let places = writing.as_ref().map(|it| &it.places);
        let place = places.and_then(|it| it.get(&layout::blob_path(digest)));
        place.is_some_and(|it| it.is_there)
    }
}

/// The header of an entry, with whatever a long name or a large size needs before it.
fn header(name: &str, size: Option<u64>) -> Result<Vec<u8>, io::Error> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size.unwrap_or_default());
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let (kind, mode) = if size.is_some() {
        (tar::EntryType::Regular, 0o644)
    } else {
        (tar::EntryType::Directory, 0o755)
    };
    header.set_entry_type(kind);
    header.set_mode(mode);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, name, io::empty())?;
    // The end of an archive is not wanted here.
    let mut written = builder.into_inner()?;
    written.truncate(written.len() - 2 * 512);
    Ok(written)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl PushTarget for ArchiveTarget {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn expect_contents(&self, contents: &[Descriptor]) -> Result<(), TargetError> {
        let (it, contents) = (self.clone(), contents.to_vec());
        blocking(format!("write {}", self.path.display()), move || {
            let begun = it.begin(&contents)?;
            *it.writing() = Some(begun);
            Ok(())
        })
        .await
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let attempted = format!("write blob {} to {}", upload.blob.digest, self.repository);
        self.write(upload, &attempted).await.map(UploadReceipt::new)
    }

    async fn put_manifest(
        &self,
        document: &Document,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        let attempted = format!(
            "write manifest {} to {}",
            document.digest(),
            self.repository
        );
        let (it, written) = (self.clone(), document.clone());
        blocking(attempted, move || {
            let mut pieces = Some(written.bytes().clone()).into_iter();
            it.write_blob(written.descriptor(), || pieces.next())
        })
        .await?;
        if tag.is_some() || document.subject().is_some() {
            self.list(document, tag);
        }
        Ok(ManifestReceipt::verified().with_subject(document.subject().is_some()))
    }

    fn tags_at_once(&self) -> usize {
        1
    }

    async fn put_manifest_as(
        &self,
        _document: &Document,
        _tags: &[Tag],
    ) -> Result<TagsReceipt, TargetError> {
        Ok(TagsReceipt::default())
    }

    async fn put_new_tag(&self, _document: &Document, _tag: &Tag) -> Result<NewTag, TargetError> {
        Ok(NewTag::Unsupported)
    }

    async fn attach_referrers(
        &self,
        _subject: &Digest,
        _referrers: &[Document],
    ) -> Result<Attachment, TargetError> {
        Ok(Attachment::Listed)
    }

    async fn mount_from_anywhere(&self, _blob: &Descriptor) -> Result<Anywhere, TargetError> {
        Ok(Anywhere::NotAsked)
    }

    async fn finds_by_mount(&self) -> bool {
        false
    }

    async fn mounting(&self) -> Mounting {
        Mounting::Tried
    }

    fn refused_to_mount(&self, _blob: &Descriptor) {}

    fn is_near(&self) -> bool {
        true
    }

    async fn at_once_limit(&self) -> u64 {
        0
    }

    async fn takes_at_once(&self, _blob: &Descriptor) -> bool {
        false
    }

    async fn validation(&self, _document: &Document) -> Validation {
        Validation::Unknown
    }

    fn took_incomplete(&self, _document: &Document) {}

    /// What was there before goes: of the new file nothing is there that was not pushed into it.
    async fn has_blob(&self, blob: &Descriptor) -> Result<Presence, TargetError> {
        Ok(if self.is_there(&blob.digest) {
            Presence::Held(blob.digest.clone())
        } else {
            Presence::Absent
        })
    }

    async fn has_manifest(&self, _at: &TagOrDigest) -> Result<Presence, TargetError> {
        Ok(Presence::Absent)
    }

    async fn mount_blob(
        &self,
        _blob: &Descriptor,
        _from: &Repository,
    ) -> Result<MountOutcome, TargetError> {
        Ok(MountOutcome::Refused(None))
    }

    fn expect_mounts(&self, _from: &[Repository]) {}

    fn expect_blobs(&self, _asked: usize, _sent: usize) {}

    async fn session_status(&self, _session: &UploadSession) -> Result<SessionStatus, TargetError> {
        Ok(SessionStatus::Gone)
    }

    async fn cancel_session(&self, _session: UploadSession) -> Result<(), TargetError> {
        Ok(())
    }

    fn abandon_session(&self, _session: UploadSession) {}
}

/// Does something with files where it holds nobody up.
async fn blocking<T: Send + 'static>(
    attempted: String,
    work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, TargetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failed(error, &attempted)),
        Err(error) => Err(failed(error, &attempted)),
    }
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>, attempted: &str) -> TargetError {
    TargetError::new(TargetErrorKind::Storage, attempted).with_source(error)
}
