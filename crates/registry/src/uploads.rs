//! Uploads: a session, its bytes in as few bodies as the registry takes, and what to do when
//! something goes wrong.
//!
//! ```text
//!   Run ──event──▶ Machine (pure) ──effect──▶ Run ──▶ POST · PATCH · PUT · HEAD · GET · wait
//! ```
//!
//! One streaming PUT at any size, until the registry shows that it wants chunks
//! (its [profile](crate::Profile)) or the user says so ([`ChunkSize`](crate::ChunkSize)). What is acknowledged is not sent
//! again as long as the registry keeps it. The bytes are not verified here: whoever hands a
//! source over does that, from the blob's start, wherever it is opened; and a stream that ends in an
//! error never reaches its last byte.

use oci::{BlobUpload, TargetError, UploadReceipt, UploadSession};

use crate::{RepositoryClient, profile::Fact};

mod at_once;
mod machine;
mod opening;
mod run;
mod session;
mod verdict;

use machine::Machine;
use run::Run;
pub(crate) use session::session_of;

impl RepositoryClient {
    /// Uploads a blob, in as many attempts as the retry policy allows.
    pub(crate) async fn upload(
        &self,
        upload: BlobUpload<'_>,
    ) -> Result<UploadReceipt, TargetError> {
        let manner = &self.inner().manner;
        let registry = self.repository.registry();
        self.inner().recall(registry).await;
        let before = manner.of(registry);
        let machine = Machine::new(upload.blob.size, manner.chunks, before);
        let mut run = Run::new(self, upload, machine);
        let outcome = Box::pin(run.finish()).await;
        let now = run.machine().profile;
        manner.learned(registry, before, now);
        for fact in Fact::of_uploads(before, now) {
            self.inner().learn(registry, fact);
        }
        match outcome {
            Ok(()) => Ok(UploadReceipt::new(run.sent())),
            Err(error) => Err(error.with_sent(run.sent())),
        }
    }
}

impl RepositoryClient {
    /// So many blobs will be asked for before long, and so many of them sent.
    pub(crate) fn expect_blobs(&self, asked: usize, sent: usize) {
        if let Ok(url) = self.inner().url(&self.repository, "") {
            self.inner().transport.expect_blobs(&url, asked, sent);
        }
    }

    /// Gives a session up without waiting for it: apart, and
    /// [`Client::close`](crate::Client::close) waits.
    pub(crate) fn abandon(self, session: UploadSession) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let afterwards = self.client.inner.afterwards.clone();
        let farewell = async move {
            if let Err(error) = self.cancel(&session).await {
                tracing::debug!(%error, "an upload could not be given up");
            }
        };
        afterwards.spawn_on(farewell, &runtime);
    }
}
