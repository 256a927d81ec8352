//! An OCI image layout on disk, as a target.
//!
//! ```text
//!   DIRECTORY/oci-layout            made first; whoever changes index.json locks it
//!             index.json            replaced whole, under the lock
//!             blobs/sha256/…        each whole and verified, by rename
//!             .longshore-…          what is being written; of no process any more, it goes
//! ```
//!
//! What is there stays: a blob that has its length is held, an image that was listed stays listed
//! unless its name goes to another. Several processes may write one layout at once. A reader sees
//! no part of a blob, and no index that lists what is not there yet: it is changed last.
//!
//! The files are synced before they get their names, so a power loss costs work and no more.
//!
//! A blob is hashed on its way into its file. Only a file that whoever offers it hashed while writing
//! it becomes a blob as it is, where it is on the same file system.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use oci::{
    Anywhere, Attachment, BlobUpload, Descriptor, Digest, Document, ManifestReceipt, MountOutcome,
    Mounting, NewTag, Presence, PushTarget, Repository, SessionStatus, Tag, TagOrDigest,
    TagsReceipt, TargetError, TargetErrorKind, UploadReceipt, UploadSession, Validation,
};
use tokio::sync::{RwLock, mpsc};

mod checked;
mod error;
mod files;
mod index;
mod presence;
#[cfg(test)]
mod tests;

pub(crate) use checked::write_checked;
pub use error::LayoutError;
use files::Files;
pub(crate) use index::listing;

/// How many pieces of a blob wait to be written.
const PIECES: usize = 2;

/// A directory to push images into, as an OCI image layout
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
///
/// It is made with the first write. A tag is the image's name in `index.json`, its
/// `org.opencontainers.image.ref.name`; so is what is about another image listed there, without a
/// name. An image that gets no tag is listed by [`list`](Self::list). Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct LayoutTarget {
    repository: Repository,
    files: Files,
    /// Read by whoever writes a blob: who may write here may end.
    writers: Arc<RwLock<()>>,
    /// Files that may become blobs.
    offered: Arc<Mutex<BTreeMap<Digest, PathBuf>>>,
}

impl LayoutTarget {
    /// The layout in `directory`, which need not be there yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self {
            repository: Repository::in_directory(&directory.display().to_string()),
            files: Files::new(directory),
            writers: Arc::default(),
            offered: Arc::default(),
        }
    }

    /// Offers a file that has the bytes of a blob: where it can be, it becomes the blob when that is
    /// written, by another link to it, and its bytes are neither read nor hashed again.
    ///
    /// It is for who hashed the bytes as they were written, to a file that nobody else writes: what
    /// passed through other hands is not offered, and so is verified. Its length is looked at.
    pub fn offer(&self, blob: &Digest, file: impl Into<PathBuf>) {
        self.offered().insert(blob.clone(), file.into());
    }

    fn offered(&self) -> MutexGuard<'_, BTreeMap<Digest, PathBuf>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an offered file a blob; whether there was one, and it could be done.
    async fn linked(&self, blob: &Descriptor, attempted: &str) -> Result<bool, TargetError> {
        let Some(file) = self.offered().get(&blob.digest).cloned() else {
            return Ok(false);
        };
        let (files, blob) = (self.files.clone(), blob.clone());
        let held = Arc::clone(&self.writers).read_owned().await;
        blocking(attempted.to_owned(), move || {
            let _held = held;
            files.link_blob(&blob, &file)
        })
        .await
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.files.directory()
    }

    /// Lists an image that is there in `index.json`: under this name, or under none. One that is
    /// listed so already is left as it is; a name that another image has is taken from it.
    pub async fn list(&self, document: &Document, name: Option<&Tag>) -> Result<(), TargetError> {
        let (files, document, name) = (self.files.clone(), document.clone(), name.cloned());
        let attempted = format!("list {} in {}", document.digest(), self.repository);
        blocking(attempted, move || {
            files.change_index(|index| listing(index, &document, name.as_ref()))
        })
        .await
    }

    /// Waits until nothing is being written any more. A push that failed or was dropped leaves
    /// writers behind that are about to notice it, and to take away what they have written.
    pub async fn settle(&self) {
        drop(self.writers.write().await);
    }

    async fn write(&self, upload: BlobUpload<'_>, attempted: &str) -> Result<u64, TargetError> {
        if self.linked(upload.blob, attempted).await? {
            upload.observer.sent(upload.blob.size);
            return Ok(upload.blob.size);
        }
        let read_error = |error| TargetError::from_source(error, attempted);
        let opened = upload.source.open(upload.blob, 0).await;
        let mut body = opened.map_err(read_error)?;
        let (pieces, mut waiting) = mpsc::channel(PIECES);
        let (files, blob) = (self.files.clone(), upload.blob.clone());
        let held = Arc::clone(&self.writers).read_owned().await;
        let writer = tokio::task::spawn_blocking(move || {
            let _held = held;
            files.write_blob(&blob, || waiting.blocking_recv())
        });
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
        let done = of_files(writer.await);
        match fault {
            Some(fault) => Err(fault.with_sent(sent)),
            None => match done {
                Ok(()) => Ok(sent),
                Err(error) => Err(failed(error, attempted).with_sent(sent)),
            },
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl PushTarget for LayoutTarget {
    fn repository(&self) -> &Repository {
        &self.repository
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
        let (files, written) = (self.files.clone(), document.clone());
        blocking(attempted, move || {
            let mut pieces = Some(written.bytes().clone()).into_iter();
            files.write_blob(written.descriptor(), || pieces.next())
        })
        .await?;
        if tag.is_some() || document.subject().is_some() {
            self.list(document, tag).await?;
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

    /// They were listed when they were put, and are not held unless they are.
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

    async fn has_blob(&self, blob: &Descriptor) -> Result<Presence, TargetError> {
        let attempted = format!("look for blob {} in {}", blob.digest, self.repository);
        let (files, blob) = (self.files.clone(), blob.clone());
        blocking(attempted, move || {
            files.check()?;
            Ok(if files.holds(&blob)? {
                Presence::Held(blob.digest)
            } else {
                Presence::Absent
            })
        })
        .await
    }

    async fn has_manifest(&self, at: &TagOrDigest) -> Result<Presence, TargetError> {
        let attempted = format!("look for manifest {at} in {}", self.repository);
        let (files, at) = (self.files.clone(), at.clone());
        blocking(attempted, move || presence::of_manifest(&files, &at)).await
    }

    /// A layout has no siblings.
    async fn mount_blob(
        &self,
        blob: &Descriptor,
        from: &Repository,
    ) -> Result<MountOutcome, TargetError> {
        if *from == self.repository && matches!(self.has_blob(blob).await?, Presence::Held(_)) {
            return Ok(MountOutcome::Mounted);
        }
        Ok(MountOutcome::Refused(None))
    }

    async fn expect_contents(&self, _contents: &[Descriptor]) -> Result<(), TargetError> {
        Ok(())
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
    let done = of_files(tokio::task::spawn_blocking(work).await);
    done.map_err(|error| failed(error, &attempted))
}

/// What came of work on files, or that it could not be done at all.
fn of_files<T>(
    done: Result<Result<T, LayoutError>, tokio::task::JoinError>,
) -> Result<T, Box<dyn Error + Send + Sync>> {
    Ok(done??)
}

fn failed(error: Box<dyn Error + Send + Sync>, attempted: &str) -> TargetError {
    TargetError::new(TargetErrorKind::Storage, attempted).with_source(error)
}
