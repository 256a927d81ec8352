//! Why a server does not start.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::tls::{TlsFault, TlsFileError};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The store's directory cannot be used.
    #[error("could not open the store at {}", path.display())]
    Store {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        error: io::Error,
    },
    /// Another process has the store open.
    #[error("the store at {} is in use by another process", path.display())]
    StoreInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something else, or a store of a version that is not known.
    #[error("{} is not a store that can be read: {reason}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The threads that read images and long manifests cannot be had.
    #[error("could not start the threads that read images and manifests")]
    Threads(#[source] io::Error),
    /// The system has no random numbers to give.
    #[error("could not get random numbers")]
    Random(#[source] io::Error),
    /// The certificate or its key cannot be used.
    #[error("could not use the TLS certificate and key: {0}")]
    Tls(TlsFault),
    /// The files of the certificate and its key cannot be used.
    #[error(transparent)]
    TlsFiles(TlsFileError),
    /// Clients would send secrets over a network that others may listen to.
    #[error("credentials would be sent in clear text to {address}, which other machines can reach")]
    ClearText {
        /// The address that is listened on.
        address: SocketAddr,
    },
    /// Not the address of a registry.
    #[error(
        "{text:?} is not how a registry can be reached: expected for instance https://registry.example.com"
    )]
    PublicUrl {
        /// What was given.
        text: String,
    },
}
