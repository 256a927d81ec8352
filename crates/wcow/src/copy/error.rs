//! Why a copy cannot be made, said of the instruction and without its line.

use std::io;

use super::FetchError;
use crate::{
    LayerPathError, TreeError,
    context::{ContextError, IgnoreError, PatternError},
};

/// Why a copy cannot be made. URLs in it have neither user, password nor query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The context says no.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The layer says no.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A place that cannot be in a layer.
    #[error(transparent)]
    Path(#[from] LayerPathError),
    /// A source that is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// `--exclude` has what is no pattern.
    #[error("--exclude cannot be used")]
    Exclude(#[source] IgnoreError),
    /// A source that is not there.
    #[error("{0:?} is not in the context: paths are relative to its root")]
    NotFound(String),
    /// A source that is there, and left out.
    #[error("{0:?} is left out by .dockerignore: take it back there with !")]
    LeftOut(String),
    /// A source that the other stage did not copy.
    #[error("{0:?} is not among what that stage copied")]
    NotInStage(String),
    /// A source that the image does not have.
    #[error("{0:?} is not in the image that is copied from")]
    NotInImage(String),
    /// A pattern without a match.
    #[error("nothing matches {0:?}: mend the pattern, or allow it with --allow-empty-wildcard")]
    NothingMatches(String),
    /// A source above the root it is in.
    #[error("{0:?} leads above the root of what is copied from: nothing outside it can be copied")]
    Above(String),
    /// Several sources, and a destination that is not said to be a directory.
    #[error("several sources need a directory: end {0:?} with a slash")]
    NoTrailingSlash(String),
    /// Several matches, and a destination that is not said to be a directory.
    #[error(
        "{pattern:?} matches {files} files, which need a directory: end the destination with a slash"
    )]
    SeveralMatch {
        /// What matched.
        pattern: String,
        /// How many files.
        files: usize,
    },
    /// A destination on another drive.
    #[error("destination {0:?} is not on drive C:, the only one a container has: write C:\\…")]
    Drive(String),
    /// A drive and nothing else.
    #[error(r"destination {0:?} is a drive and no directory: write C:\")]
    BareDrive(String),
    /// A network share.
    #[error("destination {0:?} is a network share, and a container has none: write C:\\…")]
    Unc(String),
    /// No destination.
    #[error(
        "the destination is empty once its variables are replaced: set them, or write . for the working directory"
    )]
    NoDestination,
    /// A flag that means nothing on the image's system.
    #[error(
        "{flag}={value} has no effect in an image for Windows: remove it, or leave out --strict"
    )]
    NoEffect {
        /// Which one.
        flag: &'static str,
        /// Its value.
        value: String,
    },
    /// `--chmod` with something that is no mode.
    #[error(
        "--chmod={0} is not understood: write an octal number up to 7777, or letters such as u=rwX,go=rX"
    )]
    Mode(String),
    /// `--chown` with a name that is not the same in every image.
    #[error(
        "--chown={0} has a name whose number stands in a file of the base, which is not read: write numbers, as in 1000:1000; root is known"
    )]
    Owner(String),
    /// A URL in `COPY`.
    #[error("COPY takes no URL ({0}): use ADD")]
    UrlInCopy(String),
    /// A git repository.
    #[error(
        "ADD of the git repository {0} is not possible: check it out into the context and COPY it"
    )]
    Git(String),
    /// A URL without TLS.
    #[error("ADD {0} would download without TLS: use https")]
    NotHttps(String),
    /// A URL with a user or a password in it.
    #[error(
        "ADD {0} has a user name or a password in its URL, which could end up where anybody reads it: \
         download the file before, and COPY it"
    )]
    Credentials(String),
    /// A URL whose content nobody vouches for.
    #[error("ADD {0} needs --checksum=sha256:…, so that the same build gives the same image")]
    NoChecksum(String),
    /// `--checksum` of what is no URL, or of several.
    #[error("--checksum is for one source that is a URL: leave it out here")]
    Checksum,
    /// `--checksum` that is no digest.
    #[error("--checksum cannot be used")]
    BadChecksum(#[source] oci::DigestError),
    /// What was downloaded is something else.
    #[error(
        "{url} has digest {actual}, expected {expected}: look at what is there now, and change --checksum if that is meant"
    )]
    ChecksumMismatch {
        /// From where.
        url: String,
        /// What was said.
        expected: oci::Digest,
        /// What it is.
        actual: oci::Digest,
    },
    /// The server's answer was no.
    #[error("{url} is not to be had: the server answered {status}")]
    HttpFetchFailed {
        /// From where.
        url: String,
        /// With which status.
        status: u16,
    },
    /// The download failed for another reason.
    #[error("cannot download {url}")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        source: FetchError,
    },
    /// Nobody who could download.
    #[error(
        "ADD {0} would download it, and that is switched off: download the file before, and COPY it"
    )]
    NoFetch(String),
    /// An archive, or what is in it.
    #[error("archive {archive:?}{}: {fault}", entry.as_ref().map(|it| format!(", entry {it:?}")).unwrap_or_default())]
    Archive {
        /// Which one.
        archive: String,
        /// What in it.
        entry: Option<String>,
        /// What about it.
        fault: ArchiveFault,
    },
    /// No place to keep what is unpacked or downloaded.
    #[error("there is no directory to unpack or download into")]
    NoSpool,
    /// The place to keep it says no.
    #[error("cannot keep what is unpacked or downloaded")]
    Spool(#[source] io::Error),
    /// A source cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveFault {
    /// A name that leads out of the destination.
    #[error("its name leads out of the destination")]
    Leaves,
    /// A link that leads out of the destination.
    #[error("it is a link to {0:?}, which is out of the destination")]
    LinkLeaves(String),
    /// A hard link to something that is no file before it.
    #[error("it is a hard link to {0:?}, which is no file before it in the archive")]
    NoTarget(String),
    /// A symbolic link that is to be followed, and does not lead to a file.
    #[error(
        "it is a symbolic link to {0:?}, which is no file of the archive: preserve links, or pack files in their place"
    )]
    NoFile(String),
    /// A symbolic link, and none are wanted.
    #[error("it is a symbolic link: follow or preserve links")]
    Link,
    /// Neither file, directory nor link.
    #[error("it is a pipe, a device or of a kind that is not known")]
    Special,
    /// A name that is not text.
    #[error("a name in it is not UTF-8")]
    NotUtf8,
    /// A sparse file.
    #[error("it is a sparse file: pack it without --sparse")]
    Sparse,
    /// More entries than there may be.
    #[error("it has more than {0} entries: pack fewer, or copy it as it is with --unpack=false")]
    TooMany(usize),
    /// More bytes than there may be.
    #[error("it unpacks to more than {0} bytes: copy it as it is with --unpack=false")]
    TooLarge(u64),
    /// So much out of so little that it is meant to do harm.
    #[error("it unpacks to more than {0} times its size: copy it as it is with --unpack=false")]
    Bomb(u64),
    /// Compressed so that unpacking takes more memory than it may.
    #[error(
        "unpacking it takes a larger window than xz -9 or zstd --long=27 have: compress it with one of those, or copy it as it is with --unpack=false"
    )]
    Window,
    /// A file of more bytes than its header can say. Holds how many.
    #[error("it is {0} bytes long, and a file in an archive may have 8 GiB at most")]
    TooLong(u64),
    /// A file whose length is said twice, and differs.
    #[error("its length is {0} bytes in one place and {1} in another")]
    Length(u64, u64),
    /// No archive inside.
    #[error("it is damaged: pack it again, or copy it as it is with --unpack=false")]
    Damaged(#[source] io::Error),
}
