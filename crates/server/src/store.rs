//! The port to storage: content once, and what each repository holds of it.
//!
//! Methods block and are called off the async threads ([`blocking`]). What one
//! returns as done is durable, as far as the store promises durability.
//! One suite of tests runs over every implementation (`store/tests.rs`).

pub(crate) mod children;
mod collection;
mod directory;
mod grace;
mod memory;
mod read_only;
mod watch;

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use oci::{Algorithm, Digest, MediaType, Tag};

pub(crate) use children::Child;
pub(crate) use collection::{Collect, Rules, collect};
pub use collection::{Collected, Tally};
pub(crate) use directory::{Directory, is_store};
pub(crate) use grace::{Clock, Grace};
pub(crate) use memory::Memory;
pub(crate) use read_only::Served;
pub use read_only::{Image, ImageError, ReadOnly};

use crate::route::Name;

/// Where content and repositories are kept.
pub(crate) trait Store: fmt::Debug + Send + Sync + 'static {
    /// Whether nothing can be written; then nobody tries to.
    fn is_read_only(&self) -> bool {
        false
    }

    /// The length of a blob, if the repository holds it.
    fn blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>>;

    /// A blob's bytes, if the repository holds it.
    fn open(&self, name: &Name, digest: &Digest) -> io::Result<Option<Box<dyn Content>>>;

    /// Lets `to` hold what `from` holds. False if it does not.
    fn mount(&self, from: &Name, to: &Name, digest: &Digest) -> io::Result<bool>;

    /// The first repository that holds a blob and that `may_read` accepts.
    fn holder(&self, digest: &Digest, may_read: &dyn Fn(&Name) -> bool)
    -> io::Result<Option<Name>>;

    /// Lets a repository no longer hold a blob. False if it did not.
    fn remove_blob(&self, name: &Name, digest: &Digest) -> io::Result<bool>;

    /// A place for content that arrives; the ticket is what to remember of it.
    fn stage(&self, id: &str, ticket: &Ticket) -> io::Result<Box<dyn Staged>>;

    /// What an earlier process staged and did not finish; what is older than `idle` is discarded.
    fn leftovers(&self, idle: Duration) -> io::Result<Vec<Leftover>>;

    /// Keeps a manifest and moves its tags, unless the condition says no or a child is missing.
    /// No child goes away between being looked for and the manifest being there.
    fn put_manifest(&self, name: &Name, manifest: &NewManifest) -> io::Result<Put>;

    /// A manifest, by digest.
    fn manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<StoredManifest>>;

    /// A manifest's media type and its bytes, to be read and verified by the caller.
    fn open_manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<OpenManifest>>;

    /// Whether the repository holds a manifest.
    fn has_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool>;

    /// Notes that somebody relies on a manifest. What goes wrong is not worth an error.
    fn rely_on_manifest(&self, _name: &Name, _digest: &Digest) {}

    /// What a tag points to.
    fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>>;

    /// When a tag was last moved, if that is known.
    fn tagged_at(&self, name: &Name, tag: &Tag) -> io::Result<Option<SystemTime>>;

    /// Whether there is such a repository.
    fn has_repository(&self, name: &Name) -> io::Result<bool>;

    /// All tags, in order; none if there is no such repository.
    fn tags(&self, name: &Name) -> io::Result<Option<Vec<Tag>>>;

    /// The first `most` tags after this text, in order; none of what is not there.
    fn tags_after(&self, name: &Name, after: &str, most: usize) -> io::Result<Vec<Tag>> {
        let tags = self.tags(name)?.unwrap_or_default();
        let after = tags.into_iter().filter(|it| it.as_str() > after);
        Ok(after.take(most).collect())
    }

    /// Removes a tag. False if there was none.
    fn remove_tag(&self, name: &Name, tag: &Tag) -> io::Result<bool>;

    /// Removes a manifest and every tag that points to it. False if there was none.
    fn remove_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool>;

    /// The manifests whose subject this is, in order of their digests.
    fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Digest>>;

    /// Whether writes work now: tries one that leaves nothing behind.
    fn try_write(&self) -> io::Result<()>;

    /// How much content there is, without looking through it; nothing where none is kept.
    fn size(&self) -> Tally {
        Tally::default()
    }

    /// All repositories, in order.
    fn repositories(&self) -> io::Result<Vec<Name>>;

    /// The same store to who looks for garbage; none if nothing is ever removed from it.
    fn garbage(&self) -> Option<&dyn Collect> {
        None
    }

    /// Tells of changes after which [`Store::renew_views`] has something to do; none if it never has.
    fn view_changes(&self) -> Option<Arc<tokio::sync::Notify>> {
        None
    }

    /// Brings up to date what is kept for other programs to read.
    fn renew_views(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A manifest's media type, and its bytes as they are kept.
pub(crate) type OpenManifest = (MediaType, Box<dyn Content>);

/// Content that can be read, from front to back.
pub(crate) trait Content: Send {
    /// Its length in bytes.
    fn length(&self) -> u64;

    /// Goes to an offset.
    fn seek(&mut self, offset: u64) -> io::Result<()>;

    /// Goes to an offset, to read so many bytes and no more. Does not block.
    fn select(&mut self, offset: u64, _count: u64) -> io::Result<()> {
        self.seek(offset)
    }

    /// The next bytes, at most `limit`; empty only at the end.
    fn read(&mut self, limit: usize) -> io::Result<Bytes>;

    /// The same, if it takes no longer than copying; none if a disk would have to be waited for.
    fn read_at_hand(&mut self, limit: usize) -> io::Result<Option<Bytes>>;
}

/// Content that is arriving.
pub(crate) trait Staged: fmt::Debug + Send + Sync {
    /// How many bytes are there.
    fn length(&self) -> u64;

    /// Adds bytes at the end. After an error [`Staged::length`] says what is left: all that was
    /// there before, or nothing if that cannot be relied on any more.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What is there so far.
    fn read(&self) -> io::Result<Box<dyn Content>>;

    /// Makes it a blob of a repository. Who calls it has checked the digest.
    fn commit(&mut self, name: &Name, digest: &Digest) -> io::Result<Committed>;

    /// Drops it.
    fn discard(&mut self) -> io::Result<()>;
}

/// What came of committing a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// The content is new.
    New,
    /// The content was there already, and is kept once.
    Known,
}

/// What is remembered of an upload session, across restarts too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) name: Name,
    /// Who opened it, if anybody was asked to say.
    pub(crate) owner: Option<String>,
    pub(crate) algorithm: Algorithm,
}

/// An upload session of an earlier process.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) id: String,
    pub(crate) ticket: Ticket,
    pub(crate) opened: SystemTime,
    pub(crate) staged: Box<dyn Staged>,
}

/// A manifest to keep.
#[derive(Clone, Debug)]
pub(crate) struct NewManifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: MediaType,
    pub(crate) bytes: Bytes,
    pub(crate) tags: Vec<Tag>,
    pub(crate) subject: Option<Digest>,
    pub(crate) children: Vec<Child>,
    /// It is kept also if children are missing.
    pub(crate) is_sparse: bool,
    pub(crate) condition: Condition,
}

impl NewManifest {
    /// Everything it refers to, and itself.
    fn mentions(&self) -> impl Iterator<Item = &Digest> {
        let children = self.children.iter().map(|it| &it.digest);
        children.chain(&self.subject).chain([&self.digest])
    }
}

/// When a manifest may be put ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-13)):
/// looked at under the same lock as the tags are moved. It is about every tag that would be
/// moved; without tags, about the manifest itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Always.
    #[default]
    None,
    /// Only if each tag points to one of these; `If-Match`.
    Matches(Vec<Digest>),
    /// Only if each tag is there at all; `If-Match: *`.
    Exists,
    /// Only if no tag points to one of these; `If-None-Match`.
    Differs(Vec<Digest>),
    /// Only if no tag is there; `If-None-Match: *`.
    Absent,
}

/// What came of putting a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    ConditionFailed,
    /// These children are not in the repository; nothing was kept.
    Missing(Vec<Digest>),
}

/// A manifest as it was put.
#[derive(Clone, Debug)]
pub(crate) struct StoredManifest {
    pub(crate) media_type: MediaType,
    pub(crate) bytes: Bytes,
}

impl Condition {
    pub(crate) fn holds(&self, current: Option<&Digest>) -> bool {
        match self {
            Self::None => true,
            Self::Matches(these) => current.is_some_and(|it| these.contains(it)),
            Self::Exists => current.is_some(),
            Self::Differs(these) => current.is_none_or(|it| !these.contains(it)),
            Self::Absent => current.is_none(),
        }
    }
}

/// Runs something that blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
