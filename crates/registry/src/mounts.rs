//! Mounts: a blob linked from a sibling repository, in one request and without its bytes.

use http::{HeaderMap, Method, StatusCode};
use oci::{Descriptor, MountOutcome, Presence, Repository, TargetError};
use url::form_urlencoded;

use crate::{
    RepositoryClient,
    blobs::{DIGEST, check_digest},
    client::call::{Call, Payload},
    error::{CallError, refusal},
    profile::Fact,
    quirks,
    transport::Kind,
    uploads::session_of,
};

impl RepositoryClient {
    /// Asks the registry to link `blob` from a sibling, which the scopes allow to pull from.
    ///
    /// A 202 is a refusal with a session to upload in. A status that says that this pair of
    /// repositories will not do is an error that carries it: the bytes can still be sent. A
    /// registry that has no mounts is asked once by each process.
    pub(crate) async fn mount(
        &self,
        blob: &Descriptor,
        from: &Repository,
    ) -> Result<MountOutcome, TargetError> {
        let attempted = || {
            format!(
                "mount blob {} from {from} into {}",
                blob.digest, self.repository
            )
        };
        let none = Fact::Mounts(false);
        if *from != self.repository && self.believed(none.key()).await == Some(none) {
            return Ok(MountOutcome::Refused(None));
        }
        let answer = match self.mount_call(blob, from) {
            Ok(call) => self.inner().call(&call).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        self.learn_mounts(from, answer.status);
        match answer.status {
            StatusCode::CREATED => {
                let said = answer.header(DIGEST).map(str::to_owned);
                answer.finish().await;
                said.map_or(Ok(true), |said| check_digest(&said, &blob.digest))
                    .map(|_| MountOutcome::Mounted)
                    .map_err(|kind| TargetError::new(kind, attempted()).with_status(201))
            }
            StatusCode::ACCEPTED => {
                let session = session_of(self, &answer);
                answer.finish().await;
                session
                    .map(|session| MountOutcome::Refused(Some(session)))
                    .map_err(|fault| fault.into_target(attempted()))
            }
            // Of the repository itself it is a question, and this no answer to it.
            status if *from == self.repository && quirks::declines_a_mount(status) => {
                answer.finish().await;
                Ok(MountOutcome::Refused(None))
            }
            _ => Err(refusal(answer, attempted()).await),
        }
    }

    /// Asks whether the repository itself has a blob, in the request that also opens the session for
    /// its upload if it has not; of a registry that does not answer that, in one that does not.
    pub(crate) async fn probe(&self, blob: &Descriptor) -> Result<MountOutcome, TargetError> {
        let refuses = Fact::MountsFromItself(false);
        if self.believed(refuses.key()).await != Some(refuses) {
            return self.mount(blob, &self.repository).await;
        }
        Ok(match self.has_blob(blob).await? {
            Presence::Held(_) => MountOutcome::Mounted,
            Presence::Absent | Presence::Unknown => MountOutcome::Refused(None),
        })
    }

    /// Whether this registry has lately found by a mount from the repository itself a blob that was
    /// there: a refusal says then that it is not.
    pub(crate) async fn finds_by_mount(&self) -> bool {
        let page = self.inner().page(self.repository.registry()).await;
        page.known(Fact::FindsByMount(true).key()) == Some(Fact::FindsByMount(true))
    }

    /// A pair of repositories may be refused for what it is: that says nothing of others.
    fn learn_mounts(&self, from: &Repository, status: StatusCode) {
        let itself = *from == self.repository;
        let mounts = match status.as_u16() {
            201 => true,
            202 if itself => true,
            405 | 501 => false,
            _ => return,
        };
        if itself && status == StatusCode::CREATED {
            self.learn(Fact::FindsByMount(true));
        }
        self.learn(if itself {
            Fact::MountsFromItself(mounts)
        } else {
            Fact::Mounts(mounts)
        });
    }

    fn mount_call(&self, blob: &Descriptor, from: &Repository) -> Result<Call<'_>, CallError> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("mount", &blob.digest.to_string())
            .append_pair("from", from.path())
            .finish();
        Ok(Call {
            repository: &self.repository,
            scopes: self.scopes.clone(),
            method: Method::POST,
            url: self
                .inner()
                .url(&self.repository, &format!("blobs/uploads/?{query}"))?,
            headers: HeaderMap::new(),
            payload: Payload::Nothing,
            kind: Kind::Question,
        })
    }
}
