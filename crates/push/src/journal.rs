//! The journal: upload sessions that survive the process that opened them.
//!
//! ```text
//!   take ──nothing──▶ upload in a session of its own ──▶ store, store, … ──▶ drop
//!     │ a session                                           ▲        │ failed
//!     └──────────────▶ go on in it ─────────────────────────┘        └▶ let go
//! ```
//!
//! A kept session is a place to ask the registry about, never a proof of anything: losing a
//! row costs the bytes that were sent, nothing else. A row has one owner at a time, so that
//! two processes never write to one session; it is taken from an owner that is gone.

use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use oci::{Digest, Repository, UploadSession};

pub(crate) mod rules;

/// Which blob on its way to which repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey {
    /// Where it goes.
    pub repository: Repository,
    /// The blob.
    pub digest: Digest,
}

/// Somebody who may come to own the row of a blob: one upload of one process. A journal makes them
/// ([`Journal::claim`]) and gets them back with everything that is done in their name.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    pub(crate) blob: BlobKey,
    pub(crate) size: u64,
    pub(crate) owner: String,
}

/// What came of storing or renewing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The row is the claim's.
    Kept,
    /// It is another's, who is still at work.
    Others,
    /// There is none.
    Gone,
}

/// A kept session, for a person to look at. Its location stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The blob.
    pub blob: BlobKey,
    /// The blob's size in bytes.
    pub size: u64,
    /// How many bytes the registry has acknowledged, as far as was kept.
    pub acknowledged: u64,
    /// When the row was begun.
    pub opened: SystemTime,
    /// When it was last written.
    pub touched: SystemTime,
    /// Whether an upload is using it.
    pub in_use: bool,
}

impl Listed {
    /// A row of a blob of `size` bytes, begun `opened` and written since; nothing acknowledged, and
    /// nobody using it.
    pub fn new(blob: BlobKey, size: u64, opened: SystemTime) -> Self {
        Self {
            blob,
            size,
            acknowledged: 0,
            opened,
            touched: opened,
            in_use: false,
        }
    }
}

/// What came of dropping a row by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is dropped. The registry still has the session, and may be told.
    Session(UploadSession),
    /// An upload is using it: it stays.
    InUse,
    /// There was none.
    Nothing,
}

/// Why something kept could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The database did not do it.
    #[error("the state database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file cannot be used.
    #[error("the state file cannot be used")]
    File(#[source] std::io::Error),
    /// The database is closed, or has more to do than it gets done.
    #[error("the state database does not answer")]
    Closed,
    /// What was to be kept is larger than anything of its kind.
    #[error("{what} of {length} bytes is too long to be kept: at most {limit}")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most it may have.
        limit: usize,
    },
}

/// Keeps upload sessions. [`State`](crate::State) is one; a program may bring its own.
///
/// What is stored is there after a crash from the moment the future is done; a journal in
/// memory is the exception, and lasts as long as its process.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync {
    /// A claim to a blob of `size` bytes, for one upload. Writes nothing.
    fn claim(&self, blob: BlobKey, size: u64) -> Claim;

    /// How many bytes of the blob an interrupted upload got acknowledged; none if there is
    /// no such upload, or somebody goes on with it already.
    async fn look(&self, blob: &BlobKey) -> Result<Option<u64>, StateError>;

    /// Takes what an interrupted upload left. None if there is nothing, or another's: then
    /// the caller uploads in a session of its own.
    async fn take(&self, claim: &Claim) -> Result<Option<UploadSession>, StateError>;

    /// Keeps this state of the claim's session, in the place of any before it.
    async fn store(&self, claim: &Claim, session: &UploadSession) -> Result<Stored, StateError>;

    /// Says that the claim's owner is still at work.
    async fn renew(&self, claim: &Claim) -> Result<Stored, StateError>;

    /// The session is over. Done soon, and not waited for.
    fn drop_session(&self, claim: &Claim);

    /// The claim's owner is done, the session is not: whoever comes next may take it. Done
    /// soon, and not waited for.
    fn let_go(&self, claim: &Claim);

    /// Everything that is kept, ordered by blob; at most 4096 rows.
    async fn list(&self) -> Result<Vec<Listed>, StateError>;

    /// Drops a row by hand.
    async fn remove(&self, blob: &BlobKey) -> Result<Removed, StateError>;
}

impl Claim {
    /// A claim to a blob of `size` bytes. No other claim has the same `owner`, in no process: it says
    /// whose a row is, and is not looked at otherwise.
    pub fn new(blob: BlobKey, size: u64, owner: impl Into<String>) -> Self {
        let owner = owner.into();
        Self { blob, size, owner }
    }

    /// The blob, and where it goes.
    pub fn blob(&self) -> &BlobKey {
        &self.blob
    }

    /// The blob's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What tells it from all other claims.
    pub fn owner(&self) -> &str {
        &self.owner
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({} by {})", self.blob.digest, self.owner)
    }
}
