//! Runs the machine: does what it asks for, one request at a time, and tells what came of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use oci::{BlobUpload, Presence, SessionStatus, TargetError, TargetErrorKind, UploadSession};

use super::{
    at_once::AtOnce,
    machine::{Effect, Event, Machine, Part, Trouble},
    session::{Opening, chunk_maximum},
    verdict,
};
use crate::{
    RepositoryClient,
    blobs::{DIGEST, check_digest},
    client::call::BlobPayload,
    error::{CallError, Unexpected, protocol, refusal},
    transport::{
        adaptive::Adaptive,
        answer::Answer,
        retry::{Retry, retry_after},
    },
};

/// An upload that got on by so many bytes since it last broke may break as often again.
const PROGRESS: u64 = 16 * 1024 * 1024;
/// How often a blob is looked for again that may still be on its way into the repository. With the
/// usual backoff, in 7.5 s.
const LOOKS: u32 = 4;

/// One blob's upload.
pub(super) struct Run<'a> {
    repository: &'a RepositoryClient,
    payload: BlobPayload<'a>,
    machine: Machine,
    open: Open,
    /// What the keeper was told last.
    kept: Option<UploadSession>,
    retry: Retry,
    /// How much was held when it last failed.
    failed_at: u64,
    /// What the registry bears of bodies, and how often it was too much before the last was sent.
    bears: Option<Arc<Adaptive>>,
    halved: u64,
    /// How long the registry asks to be left alone.
    asked: Option<Duration>,
    error: Option<TargetError>,
}

/// A session that is given up in the background unless it was closed.
struct Open {
    repository: RepositoryClient,
    session: Option<UploadSession>,
    /// A later process goes on in it.
    lasts: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        repository: &'a RepositoryClient,
        upload: BlobUpload<'a>,
        machine: Machine,
    ) -> Self {
        Self {
            repository,
            machine,
            open: Open {
                repository: repository.clone(),
                session: upload.session.clone(),
                lasts: upload.keeper.lasts(),
            },
            kept: None,
            retry: repository.inner().retry.start(),
            failed_at: 0,
            bears: repository.bears_bodies(),
            halved: 0,
            asked: None,
            error: None,
            payload: BlobPayload::new(upload),
        }
    }

    /// Body bytes sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.payload.sent()
    }

    /// What there is to be known of the registry now.
    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Goes on until the blob is there, or will not be.
    pub(super) async fn finish(&mut self) -> Result<(), TargetError> {
        let mut event = self.beginning();
        let blob = self.payload.upload.blob;
        let mut at_once = event == Event::Begin && self.repository.takes_at_once(blob).await;
        loop {
            let effect = self.machine.step(event);
            tracing::trace!(?event, ?effect, "upload");
            let next = match effect {
                Effect::Done => {
                    self.open.closed();
                    self.payload.upload.keeper.forget().await;
                    return Ok(());
                }
                Effect::Fail => None,
                Effect::Open { .. } if std::mem::take(&mut at_once) => self.at_once().await,
                Effect::Open { giving_up } => self.reopen(giving_up).await,
                Effect::Send(part) => Some(self.send(part).await),
                Effect::Look { patiently } => self.look(patiently).await,
                Effect::Ask => self.ask(false).await,
                Effect::LookAndAsk => self.look_and_ask().await,
                Effect::Pause => Some(self.pause().await),
            };
            match next {
                Some(next) => event = next,
                None => return Err(self.give_up().await),
            }
        }
    }

    fn beginning(&self) -> Event {
        match &self.payload.upload.session {
            None => Event::Begin,
            Some(it) if self.payload.upload.interrupted || it.acknowledged() > 0 => Event::Resume {
                acknowledged: it.acknowledged(),
                minimum: it.chunk_minimum(),
            },
            Some(it) => Event::BeginIn {
                minimum: it.chunk_minimum(),
            },
        }
    }

    /// A session of its own; not left behind if nobody waits for it any more.
    async fn reopen(&mut self, giving_up: bool) -> Option<Event> {
        if let Some(session) = self.open.session.clone() {
            self.payload.upload.keeper.forget().await;
            self.kept = None;
            if giving_up {
                // Whether it works or not, there will be another.
                let _ = self.repository.cancel(&session).await;
            }
            self.open.closed();
        }
        let (repository, blob) = (self.repository.clone(), self.payload.upload.blob.clone());
        let asking = async move { repository.open_session(&blob).await };
        match self.repository.to_its_end(asking).await {
            Ok(opening) => Some(self.opened(opening)),
            Err(error) => self.failed(error),
        }
    }

    /// All of it in the request that opens the session, which may make that one needless.
    async fn at_once(&mut self) -> Option<Event> {
        let sent = self
            .repository
            .send_at_once(&self.payload, || self.attempted())
            .await;
        match sent {
            Ok(AtOnce::Committed) => Some(Event::There),
            Ok(AtOnce::Opened(opening)) => Some(self.opened(opening)),
            Ok(AtOnce::Failed) => self.reopen(false).await,
            Err(error) => self.failed(error),
        }
    }

    fn opened(&mut self, opening: Opening) -> Event {
        let minimum = opening.session.chunk_minimum();
        self.open.session = Some(opening.session);
        Event::Opened {
            minimum,
            maximum: opening.maximum,
        }
    }

    async fn send(&mut self, part: Part) -> Event {
        self.keep().await;
        let Some(session) = self.open.session.clone() else {
            return Event::Trouble(Trouble::Lost, 0);
        };
        self.payload.forget_last();
        self.halved = self.halved_now();
        let outcome = self
            .repository
            .send_part(&self.payload, &session, part)
            .await;
        let handed = self.payload.last();
        match outcome {
            Ok(answer) => self.answered(part, &session, answer, handed).await,
            Err(error) => {
                let trouble = verdict::of_error(&error);
                self.asked = None;
                self.error = Some(error.into_target(self.attempted()));
                Event::Trouble(trouble, handed)
            }
        }
    }

    /// Sees to it that what is relied on now outlasts the process.
    async fn keep(&mut self) {
        let acknowledged = self.machine.acknowledged();
        let Some(session) = self.open.session.take() else {
            return;
        };
        let session = session.with_acknowledged(acknowledged);
        self.open.session = Some(session.clone());
        if self.kept.as_ref() == Some(&session) {
            return;
        }
        self.payload.upload.keeper.keep(&session).await;
        if acknowledged > 0 {
            self.payload.upload.observer.acknowledged(&session);
        }
        self.kept = Some(session);
    }

    async fn answered(
        &mut self,
        part: Part,
        session: &UploadSession,
        answer: Answer,
        handed: u64,
    ) -> Event {
        let status = answer.status;
        if !status.is_success() {
            self.asked = retry_after(&answer.headers, SystemTime::now());
            let (renewed, maximum) = (answer.renewed, chunk_maximum(&answer));
            let refusal = refusal(answer, self.attempted()).await;
            let trouble = verdict::of_refusal(status, &refusal, renewed, maximum);
            self.error = Some(refusal);
            return Event::Trouble(trouble, handed);
        }
        let usual = status.as_u16() == if part.closing { 201 } else { 202 };
        if answer.is_html() && !usual {
            // Whoever answers so has no session to be given up.
            self.open.closed();
            self.error = Some(protocol(status, Unexpected::Html, self.attempted()));
            return Event::Trouble(Trouble::Final, handed);
        }
        if part.closing {
            self.closed(answer, usual).await
        } else {
            self.taken(part, session, answer, usual).await
        }
    }

    async fn taken(
        &mut self,
        part: Part,
        session: &UploadSession,
        answer: Answer,
        usual: bool,
    ) -> Event {
        let expected = part.from + part.length;
        let after = self.repository.session_after(&answer, session, expected);
        answer.finish().await;
        match after {
            Ok((session, held)) => {
                self.open.session = Some(session);
                if usual {
                    Event::Taken(held)
                } else {
                    Event::OddlyTaken(held)
                }
            }
            Err(error) => {
                self.error = Some(CallError::from(error).into_target(self.attempted()));
                Event::Trouble(Trouble::Final, part.length)
            }
        }
    }

    /// The registry says that it has the blob. As far as it can be believed.
    async fn closed(&mut self, answer: Answer, usual: bool) -> Event {
        let status = answer.status;
        let said = answer.header(DIGEST).map(str::to_owned);
        answer.finish().await;
        self.open.closed();
        let ours = &self.payload.upload.blob.digest;
        if let Some(Err(kind)) = said.map(|said| check_digest(&said, ours)) {
            let error = TargetError::new(kind, self.attempted());
            self.error = Some(error.with_status(status.as_u16()));
            return Event::Trouble(Trouble::Final, 0);
        }
        if usual {
            return Event::Committed;
        }
        self.error = Some(protocol(status, Unexpected::NotThere, self.attempted()));
        Event::OddlyCommitted
    }

    /// Whether the blob is there. A question without an answer is not a no.
    async fn look(&mut self, patiently: bool) -> Option<Event> {
        let looks = if patiently { LOOKS } else { 0 };
        for look in 0..=looks {
            if look > 0 {
                let base = self.repository.inner().retry.base;
                tokio::time::sleep(base.saturating_mul(1 << look)).await;
            }
            match self.repository.has_blob(self.payload.upload.blob).await {
                Ok(Presence::Held(_)) => return Some(Event::There),
                Ok(Presence::Absent | Presence::Unknown) => {}
                Err(error) => return self.failed(error),
            }
        }
        Some(Event::NotThere)
    }

    /// How much the session holds; if it is not known where it was, then `elsewhere` too.
    async fn ask(&mut self, elsewhere: bool) -> Option<Event> {
        let Some(session) = self.open.session.clone() else {
            return Some(Event::Gone);
        };
        let due = self.machine.acknowledged() + self.payload.last();
        let session = session.with_acknowledged(due);
        let mut status = self.repository.session_status(&session).await;
        if elsewhere && matches!(status, Ok(SessionStatus::Gone)) {
            // Some mint a new address from the path alone.
            if let Some((path, _)) = session.location().split_once('?') {
                let bare = UploadSession::new(path)
                    .with_acknowledged(due)
                    .with_chunk_minimum(session.chunk_minimum());
                status = self.repository.session_status(&bare).await;
            }
        }
        match status {
            Ok(SessionStatus::Open(session)) => {
                let held = session.acknowledged();
                self.open.session = Some(session);
                Some(Event::Held(held))
            }
            Ok(SessionStatus::Gone) => Some(Event::Gone),
            Err(error) => match error.kind() {
                TargetErrorKind::Refused | TargetErrorKind::Protocol | TargetErrorKind::Server => {
                    Some(Event::Mute)
                }
                _ => self.failed(error),
            },
        }
    }

    /// Both at once: a round trip before anything can go on is enough. Boxed, because two requests
    /// are large and this is rare.
    async fn look_and_ask(&mut self) -> Option<Event> {
        let blob = self.payload.upload.blob;
        let repository = self.repository;
        let (there, told) = Box::pin(futures_util::future::join(
            repository.has_blob(blob),
            self.ask(true),
        ))
        .await;
        match there {
            Ok(Presence::Held(_)) => Some(Event::There),
            Ok(_) => told,
            Err(error) => self.failed(error),
        }
    }

    /// Waits before anything is tried again, if there is an attempt left.
    async fn pause(&mut self) -> Event {
        let held = self.machine.acknowledged();
        if held >= self.failed_at.saturating_add(PROGRESS) {
            self.retry = self.repository.inner().retry.start();
        }
        self.failed_at = held;
        let asked = self.asked.take();
        self.retry.was_too_much(self.halved_now() != self.halved);
        let Some(wait) = self.retry.after_failure(asked) else {
            return Event::Spent;
        };
        let repository = &self.repository.repository;
        self.repository.inner().sending_again(repository);
        if let Some(error) = &self.error {
            tracing::debug!(%error, ?wait, "upload is tried again");
        }
        tokio::time::sleep(wait).await;
        Event::Paused
    }

    /// How often so many bodies at once were too many for the registry.
    fn halved_now(&self) -> u64 {
        self.bears.as_ref().map_or(0, |it| it.halved())
    }

    fn failed<T>(&mut self, error: TargetError) -> Option<T> {
        self.error = Some(error);
        None
    }

    /// A failure that stands: says so, and gives the session up unless it is kept.
    async fn give_up(&mut self) -> TargetError {
        let error = self.error.take().unwrap_or_else(|| {
            protocol(
                http::StatusCode::ACCEPTED,
                Unexpected::Session,
                self.attempted(),
            )
        });
        let kept = self.open.lasts && may_pass(&error);
        if let Some(session) = self.open.session.clone().filter(|_| !kept) {
            self.payload.upload.keeper.forget().await;
            // Whether it works or not, the failure is the one that counts.
            let _ = self.repository.cancel(&session).await;
        }
        self.open.closed();
        error
    }

    fn attempted(&self) -> String {
        format!(
            "upload blob {} to {}",
            self.payload.upload.blob.digest, self.repository.repository
        )
    }
}

/// Whether a session is worth keeping after this: a later process may have better luck, or other
/// credentials.
fn may_pass(error: &TargetError) -> bool {
    let kind = error.kind();
    error.retryable()
        || matches!(
            kind,
            TargetErrorKind::Unauthorized | TargetErrorKind::Denied
        )
}

impl Open {
    /// The session needs no farewell: it was closed, lost, or is used again.
    fn closed(&mut self) {
        self.session = None;
    }
}

impl Drop for Open {
    /// Reached with a session when the upload was dropped.
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|_| !self.lasts) {
            self.repository.clone().abandon(session);
        }
    }
}
