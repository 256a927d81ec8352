//! The façade: a path and a reference in, a report out.

use std::path::Path;

use oci::{Reference, ReferenceError};
use push::{Destination, Engine, Options, Plan, PushError, Report, source, source::OpenError};
use registry::{BuildError, Client};

/// Pushes images. Make one per process and keep it: it holds the connections, the
/// tokens, and what was learned about who holds what. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pusher {
    client: Client,
    engine: Engine,
}

/// Why an image could not be pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a reference. Nothing was sent.
    #[error("the reference {text:?} cannot be used")]
    Reference {
        /// The text.
        text: String,
        /// What is wrong with it.
        #[source]
        error: ReferenceError,
    },
    /// The path is not an image, or not one image. Nothing was sent.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The reference names a digest, and the image has another one. Nothing was sent.
    #[error("the image has digest {actual}, the reference says {expected}")]
    OtherDigest {
        /// The digest the reference names.
        expected: oci::Digest,
        /// The digest the image has.
        actual: oci::Digest,
    },
    /// The image could not be pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The client could not be set up: the system's certificates cannot be used.
    #[error("the registry client could not be set up")]
    Client(#[from] BuildError),
}

impl Pusher {
    /// A pusher without credentials that trusts the system's certificates.
    pub fn new() -> Result<Self, Error> {
        Ok(Self::with(Client::builder().build()?, Options::default()))
    }

    /// A pusher with a client of the caller's own: credentials, certificates, limits.
    pub fn with(client: Client, options: Options) -> Self {
        Self {
            client,
            engine: Engine::new(options),
        }
    }

    /// Pushes the image at `path` (a layout's directory or an archive) under `reference`;
    /// `latest` if it has neither tag nor digest.
    pub async fn push(&self, path: impl AsRef<Path>, reference: &str) -> Result<Report, Error> {
        let job = self.prepare(path.as_ref(), reference).await?;
        let target = self.client.push_target(job.reference.repository());
        let destination = Destination::tagged(job.reference.tag_or_latest());
        Ok(self
            .engine
            .push(&*job.source, &target, &destination, &())
            .await?)
    }

    /// Says what [`push`](Self::push) would do, and why. Nothing is written anywhere.
    pub async fn plan(&self, path: impl AsRef<Path>, reference: &str) -> Result<Plan, Error> {
        let job = self.prepare(path.as_ref(), reference).await?;
        let target = self.client.push_target(job.reference.repository());
        let destination = Destination::tagged(job.reference.tag_or_latest());
        Ok(self
            .engine
            .plan(&*job.source, &target, &destination)
            .await?)
    }

    /// The client it pushes with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn prepare(&self, path: &Path, text: &str) -> Result<Job, Error> {
        let reference: Reference = text.parse().map_err(|error| Error::Reference {
            text: text.to_owned(),
            error,
        })?;
        let source = source::open(path, &source::Selection::default()).await?;
        if let Some(expected) = reference.digest() {
            let root = self.engine.pushed_root(&*source).await?;
            if root.digest() != expected {
                return Err(Error::OtherDigest {
                    expected: expected.clone(),
                    actual: root.digest().clone(),
                });
            }
        }
        Ok(Job { reference, source })
    }
}

struct Job {
    reference: Reference,
    source: Box<dyn oci::Source>,
}
