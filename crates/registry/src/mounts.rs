//! Mounts: a blob linked from a sibling repository, in one request and without its bytes.

use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode};
use oci::{
    Anywhere, Descriptor, MountOutcome, Mounting, Presence, Repository, TargetError, UploadSession,
};
use url::form_urlencoded;

use crate::{
    RepositoryClient,
    blobs::{DIGEST, check_digest},
    client::call::{Call, Payload},
    error::{CallError, refusal},
    profile::{
        Fact,
        refusals::{self, Refusals},
    },
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
            if *from == self.repository {
                return format!("ask {from} for blob {}", blob.digest);
            }
            format!(
                "mount blob {} from {from} into {}",
                blob.digest, self.repository
            )
        };
        let none = Fact::Mounts(false);
        if *from != self.repository && self.believed(none.key()).await == Some(none) {
            return Ok(MountOutcome::Refused(None));
        }
        let answer = match self.mount_call(blob, Some(from)) {
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

    /// Asks for a mount that does not say where from.
    ///
    /// Where nobody knows whether the registry does that, one blob of the process finds out: 201 says yes. A
    /// refusal says no only if the blob is in the repository itself, from where it could
    /// have been linked; if it is not there either, nothing is known, and the next process tries that is
    /// more than an hour later.
    pub(crate) async fn mount_from_anywhere(
        &self,
        blob: &Descriptor,
    ) -> Result<Anywhere, TargetError> {
        let page = self.inner().page(self.repository.registry()).await;
        let known = || page.known(Fact::MountsFromAnywhere(true).key());
        if known().is_none() {
            let vain = Fact::TriedFromAnywhere(true);
            if page.kept(vain.key()) == Some(vain) {
                return Ok(Anywhere::NotAsked);
            }
            // The others wait: what it finds out is worth its round trip.
            let mut tried = page.tried_from_anywhere().await;
            if known().is_none() {
                if std::mem::replace(&mut *tried, true) {
                    return Ok(Anywhere::NotAsked);
                }
                return self.link_from_anywhere(blob, true).await;
            }
        }
        if known() != Some(Fact::MountsFromAnywhere(true)) {
            return Ok(Anywhere::NotAsked);
        }
        self.link_from_anywhere(blob, false).await
    }

    async fn link_from_anywhere(
        &self,
        blob: &Descriptor,
        first: bool,
    ) -> Result<Anywhere, TargetError> {
        let attempted = || format!("mount blob {} into {}", blob.digest, self.repository);
        let answer = match self.mount_call(blob, None) {
            Ok(call) => self.inner().call(&call).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        match answer.status {
            StatusCode::CREATED => {
                let said = answer.header(DIGEST).map(str::to_owned);
                answer.finish().await;
                let said = said.map_or(Ok(true), |said| check_digest(&said, &blob.digest));
                said.map_err(|kind| TargetError::new(kind, attempted()).with_status(201))?;
                self.learn(Fact::MountsFromAnywhere(true));
                self.gave_a_mount();
                Ok(Anywhere::Mounted)
            }
            StatusCode::ACCEPTED => {
                let session = session_of(self, &answer);
                answer.finish().await;
                let session = session.map_err(|fault| fault.into_target(attempted()))?;
                if !first {
                    return Ok(Anywhere::Refused(Some(session)));
                }
                self.tried_in_vain(blob, session).await
            }
            status if quirks::declines_a_mount(status) => {
                answer.finish().await;
                self.learn(Fact::MountsFromAnywhere(false));
                Ok(Anywhere::NotAsked)
            }
            _ => Err(refusal(answer, attempted()).await),
        }
    }

    /// The first mount from anywhere was refused.
    async fn tried_in_vain(
        &self,
        blob: &Descriptor,
        session: UploadSession,
    ) -> Result<Anywhere, TargetError> {
        if !matches!(self.has_blob(blob).await?, Presence::Held(_)) {
            self.learn(Fact::TriedFromAnywhere(true));
            return Ok(Anywhere::Refused(Some(session)));
        }
        self.learn(Fact::MountsFromAnywhere(false));
        // It would only have been harmless to leave it.
        let _ = self.cancel(&session).await;
        Ok(Anywhere::Present)
    }

    /// Whether this registry has lately found by a mount from the repository itself a blob that was
    /// there: a refusal says then that it is not.
    pub(crate) async fn finds_by_mount(&self) -> bool {
        let page = self.inner().page(self.repository.registry()).await;
        page.known(Fact::FindsByMount(true).key()) == Some(Fact::FindsByMount(true))
    }

    /// What the registry has shown of mounts.
    pub(crate) async fn mounting(&self) -> Mounting {
        let page = self.inner().page(self.repository.registry()).await;
        match page.known_since(refusals::KEY) {
            Some((Fact::RefusedMounts(refusals), at)) => refusals.say(at, SystemTime::now()),
            _ => Mounting::Tried,
        }
    }

    /// A mount of this blob was refused although it was where it was asked from. Of a registry that
    /// has given one lately that says nothing.
    pub(crate) fn refused_to_mount(&self, blob: &Descriptor) {
        let gave = [Fact::Mounts(true), Fact::FindsByMount(true)];
        if gave
            .iter()
            .all(|it| self.known(it.key()).as_ref() != Some(it))
        {
            self.learn_refusal(&blob.digest);
        }
    }

    /// A mount was given: what was refused before says nothing of the next.
    fn gave_a_mount(&self) {
        if self.known(refusals::KEY).is_some() {
            self.learn(Fact::RefusedMounts(Refusals::default()));
        }
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
        if status == StatusCode::CREATED {
            self.gave_a_mount();
        }
        if itself && status == StatusCode::CREATED {
            self.learn(Fact::FindsByMount(true));
        }
        self.learn(if itself {
            Fact::MountsFromItself(mounts)
        } else {
            Fact::Mounts(mounts)
        });
    }

    fn mount_call(
        &self,
        blob: &Descriptor,
        from: Option<&Repository>,
    ) -> Result<Call<'_>, CallError> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("mount", &blob.digest.to_string());
        if let Some(from) = from {
            query.append_pair("from", from.path());
        }
        let query = query.finish();
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
