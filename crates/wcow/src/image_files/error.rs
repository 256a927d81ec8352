//! Why files cannot be taken out of an image.

use std::io;

use oci::{Digest, SourceError};

use crate::context::PatternError;

/// Why files cannot be taken out of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFilesError {
    /// It would take layers out of a registry, and that was not asked for.
    #[error(
        "the files of {image} are in its layers, of which up to {bytes} bytes would be fetched: \
         allow that with --allow-base-download"
    )]
    NotAllowed {
        /// Which image.
        image: String,
        /// How long all its layers are together, in bytes. Fewer may be enough.
        bytes: u64,
    },
    /// What is not among the files of a stage may be in its base, whose layers were not to be fetched.
    #[error(
        "{path:?} is not among what that stage copied. It may be in its base {image}, of whose layers \
         up to {bytes} bytes would be fetched: allow that with --allow-base-download"
    )]
    NotInStage {
        /// What was not found.
        path: String,
        /// The base.
        image: String,
        /// How long all its layers are together, in bytes.
        bytes: u64,
    },
    /// A layer's bytes cannot be had.
    #[error("cannot fetch layer {layer} of {image}, {size} bytes")]
    Source {
        /// Which image.
        image: String,
        /// Its layer.
        layer: Digest,
        /// How long it is, in bytes.
        size: u64,
        /// Why not.
        #[source]
        error: Box<SourceError>,
    },
    /// A foreign layer, which is somewhere else.
    #[error(
        "layer {layer} of {image}, {size} bytes, is foreign and not to be had beside it: \
         --allow-foreign-fetch fetches it from its urls"
    )]
    Foreign {
        /// Which image.
        image: String,
        /// Its layer.
        layer: Digest,
        /// How long it is, in bytes.
        size: u64,
        /// Why it is not to be had.
        #[source]
        error: Box<SourceError>,
    },
    /// A layer, or an entry of it, is not as it should be.
    #[error("layer {layer} of {image}{}: {fault}", entry.as_ref().map(|it| format!(", entry {it:?}")).unwrap_or_default())]
    Layer {
        /// Which image.
        image: String,
        /// Its layer.
        layer: Digest,
        /// What in it.
        entry: Option<String>,
        /// What about it.
        fault: Box<ImageFault>,
    },
    /// More symbolic links than are followed.
    #[error(
        "symbolic links of {0} lead to more places than are looked at: name what to copy more closely"
    )]
    Links(String),
    /// A source that is no pattern.
    #[error(transparent)]
    Pattern(PatternError),
    /// The place to keep layers and what comes out of them says no.
    #[error("cannot keep what is taken out of an image")]
    Spool(#[source] io::Error),
}

/// What is wrong with a layer, or with an entry of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFault {
    /// The blob is longer or shorter than the manifest says.
    #[error("{actual} bytes came, and the manifest says {expected}")]
    Length {
        /// What the manifest says.
        expected: u64,
        /// What came; one byte more than expected stands for any number.
        actual: u64,
    },
    /// The blob has another digest.
    #[error("its bytes have digest {0}")]
    Digest(Digest),
    /// What is packed in it has another digest than the config says.
    #[error("what is packed in it has digest {actual}, and the config says {expected}")]
    DiffId {
        /// What the config says.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// It cannot be read as a tar, packed or not.
    #[error("it is damaged")]
    Damaged(#[source] io::Error),
    /// It is packed in a way that layers are not.
    #[error("it is neither a plain tar nor one packed with gzip or zstd")]
    Packing,
    /// Unpacking it takes more memory than it may.
    #[error(
        "unpacking it takes a window of more than 32 MiB: pack it with zstd -20 or less, without --long"
    )]
    Window,
    /// More entries than there may be. Holds how many may.
    #[error("it has more than {0} entries")]
    TooMany(u64),
    /// More entries that a source may mean than are copied at once. Holds how many may be.
    #[error("a source may mean more than {0} of its entries: name what to copy more closely")]
    TooManyWanted(usize),
    /// More bytes than there may be. Holds how many may.
    #[error("more than {0} bytes come out of it")]
    TooLarge(u64),
    /// So much out of so little that it is meant to do harm.
    #[error("more than {0} times its size comes out of it")]
    Bomb(u64),
    /// A name that leads out of the image.
    #[error("its name leads out of the image")]
    Leaves,
    /// A name that begins at a root.
    #[error("its name is absolute")]
    Absolute,
    /// A name longer, or of more names, than any system takes.
    #[error("its name is longer or deeper than any file's")]
    TooLong,
    /// A name that is not text.
    #[error("its name is not UTF-8")]
    NotUtf8,
    /// A name with something in it that no name on Windows has.
    #[error("its name has {0:?}, which no name on Windows can have")]
    Invalid(char),
    /// A sparse file.
    #[error("it is a sparse file, which is not unpacked")]
    Sparse,
    /// An opaque whiteout in a layer for Windows, where it means nothing.
    #[error("it hides what is below it in a way that Windows does not know")]
    Opaque,
    /// A hard link to what is no file.
    #[error("it is a hard link to {0:?}, which is no file of this layer or one below it")]
    NoTarget(String),
    /// A directory of an upper layer, made only because of what is in it, where a lower one has
    /// something else. Whoever unpacks this goes by way of a link, perhaps.
    #[error(
        "a layer above it has things in a directory of this name, without the directory: it cannot be told where they go"
    )]
    ThroughLink,
    /// What came out of it cannot be kept.
    #[error("cannot keep what comes out of it")]
    Spool(#[source] io::Error),
}

impl From<io::Error> for ImageFault {
    /// Bounds are errors of the reader that has them.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(fault) => fault,
            Err(error) if crate::copy::is_window(&error) => Self::Window,
            Err(error) => Self::Damaged(error),
        }
    }
}
