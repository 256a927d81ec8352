//! Questions whose answer may open a session, asked to their end.
//!
//! A POST that is given up halfway may have reached the registry, which then keeps a
//! session that nobody knows. So it runs as a task of its own: when whoever asked has gone
//! by the time the answer comes, the session in it is given up.

use oci::{Anywhere, MountOutcome, TargetError, TargetErrorKind, UploadSession};
use tokio::{runtime::Handle, task::JoinHandle};

use super::session::{self, FAREWELL};
use crate::RepositoryClient;

/// An answer that may hold a session.
pub(crate) trait Opened: Send + 'static {
    /// The session, if there is one.
    fn into_session(self) -> Option<UploadSession>;
}

/// A question on its way. Dropped before its answer, it is followed to its end.
struct Opening<T: Opened> {
    repository: RepositoryClient,
    task: Option<JoinHandle<Result<T, TargetError>>>,
}

impl Opened for session::Opening {
    fn into_session(self) -> Option<UploadSession> {
        Some(self.session)
    }
}

impl Opened for MountOutcome {
    fn into_session(self) -> Option<UploadSession> {
        match self {
            Self::Refused(session) => session,
            Self::Mounted => None,
        }
    }
}

impl Opened for Anywhere {
    fn into_session(self) -> Option<UploadSession> {
        match self {
            Self::Refused(session) => session,
            Self::NotAsked | Self::Mounted | Self::Present => None,
        }
    }
}

impl RepositoryClient {
    /// Asks, and sees to it that a session in the answer is either handed out or given up.
    pub(crate) async fn to_its_end<T: Opened>(
        &self,
        asking: impl Future<Output = Result<T, TargetError>> + Send + 'static,
    ) -> Result<T, TargetError> {
        let mut opening = Opening {
            repository: self.clone(),
            task: Some(self.inner().afterwards.spawn(asking)),
        };
        opening.answer().await
    }
}

impl<T: Opened> Opening<T> {
    async fn answer(&mut self) -> Result<T, TargetError> {
        let stopped = || TargetError::new(TargetErrorKind::Network, "open an upload");
        let Some(task) = &mut self.task else {
            return Err(stopped());
        };
        let answer = task.await;
        self.task = None;
        match answer {
            Ok(answer) => answer,
            Err(error) => Err(stopped().with_source(error)),
        }
    }
}

impl<T: Opened> Drop for Opening<T> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else {
            return;
        };
        if Handle::try_current().is_err() {
            return task.abort();
        }
        let repository = self.repository.clone();
        self.repository.inner().afterwards.spawn(async move {
            let asking = task.abort_handle();
            match tokio::time::timeout(FAREWELL, task).await {
                Ok(Ok(Ok(answer))) => {
                    if let Some(session) = answer.into_session() {
                        let _ = repository.cancel(&session).await;
                    }
                }
                Ok(_) => {}
                Err(_) => asking.abort(),
            }
        });
    }
}
