//! One blob: mount it, or find it there, or send it. The one place where falling back happens.
//!
//! ```text
//!   claim ─▶ permit ─▶ ask siblings to be mounted from ──mounted──▶ done
//!                 │                   │ refused, perhaps with a session
//!                 └─▶ ask the repository itself ──held──▶ done
//!                                     │ not held, perhaps with a session
//!                                     └─▶ upload, in that session if there is one
//! ```

use std::sync::PoisonError;

use oci::{
    Anywhere, BlobUpload, Descriptor, MountOutcome, Presence, Repository, SessionStatus,
    TargetError, TargetErrorKind, UploadSession,
};

use super::{
    Mode, Run,
    handed::Handed,
    keep::Keeper,
    once::{Claim, Turn},
};
use crate::{
    error::{NotMounted, Phase, PushError},
    event::{Done, Event, Held, Progress},
    mount::{MountAnswer, MountStatus, Tried},
    plan::{Action, Reason, Step},
    report::Outcome,
    verify::Verified,
};

/// What an upload begins with.
pub(super) struct Start<'a> {
    keeper: Keeper<'a>,
    /// A session that an earlier push left.
    left: Option<UploadSession>,
    /// A session a refusal came with.
    handed: Option<Handed<'a>>,
}

/// What an upload came to, in bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Sent {
    /// Sent, all attempts together.
    pub(super) sent: u64,
    /// There from an earlier push, and not sent again.
    pub(super) resumed: u64,
}

impl<'a> Start<'a> {
    pub(super) fn new(keeper: Keeper<'a>, left: Option<UploadSession>) -> Self {
        Self {
            keeper,
            left,
            handed: None,
        }
    }
}

/// What asking around came to.
#[derive(Default)]
struct Asked<'a> {
    tried: Vec<Tried>,
    /// Not tried: they denied this push another blob.
    denied: Vec<Tried>,
    /// Whether the registry linked it from wherever it was.
    from_anywhere: bool,
    /// What needs no upload any more.
    settled: Option<Done>,
    /// A session a refusal came with.
    session: Option<Handed<'a>>,
}

impl Asked<'_> {
    /// Who was not asked: those on hold, and `others`; each once.
    fn not_asked(&mut self, others: Vec<Tried>) -> Vec<Tried> {
        let mut not_asked: Vec<Tried> = Vec::new();
        for it in self.denied.drain(..).chain(others) {
            let mut listed = self.tried.iter().chain(&not_asked);
            if listed.all(|listed| listed.from != it.from) {
                not_asked.push(it);
            }
        }
        not_asked
    }
}

impl<'a> Run<'a> {
    /// Does one blob's step.
    pub(super) async fn settle(&'a self, step: &Step) -> Result<Outcome, PushError> {
        let outcome = match &step.action {
            Action::Point => self.outcome(step, Done::Foreign),
            Action::Mount { from, required } => self.place(step, from, *required).await?,
            Action::Upload | Action::Resume { .. } => self.place(step, &[], false).await?,
            Action::Skip | Action::Put { .. } => {
                self.checked(&step.node, Held::Yes);
                let outcome = self.outcome(step, Done::Present);
                self.learn(&outcome, &step.because);
                outcome
            }
        };
        self.tell(&Event::Done {
            digest: outcome.blob.digest.clone(),
            size: outcome.blob.size,
            done: outcome.done,
            mount: outcome.mount.clone(),
            sent: outcome.sent,
        });
        Ok(outcome)
    }

    async fn place(
        &'a self,
        step: &Step,
        from: &[Repository],
        required: bool,
    ) -> Result<Outcome, PushError> {
        let blob = &step.node;
        let turn = match self
            .shared
            .claims
            .claim(self.repository(), &blob.digest)
            .await
        {
            Claim::Turn(turn) => turn,
            Claim::Proven => {
                // By another push, of the same image or not.
                self.signs.answered(&blob.digest, false);
                self.checked(blob, Held::Yes);
                return Ok(self.outcome(step, Done::Present));
            }
        };
        let _permit = self.shared.permits.acquire().await;
        let mut start = None;
        if !required {
            let (keeper, left) = self.keeper(blob).await;
            start = Some(Start::new(keeper, left));
        }
        let left = start.as_ref().is_some_and(|it| it.left.is_some());
        let mut asked = self.ask(blob, (from, required, left), &turn).await?;
        let is_there = asked.settled == Some(Done::Present);
        self.signs.answered(&blob.digest, is_there);
        let mut outcome = self.outcome(step, Done::Uploaded);
        let not_asked = asked.not_asked(self.siblings.not_asked(&blob.digest));
        outcome.mount = mount_status(&asked, &not_asked);
        outcome.reason = reason(&asked, &not_asked);
        outcome.tried = asked.tried;
        outcome.tried.extend(not_asked);
        if let Some(done) = asked.settled {
            outcome.done = done;
            if let Some(start) = start {
                self.not_needed(start, done);
            }
        } else if let Some(mut start) = start {
            start.handed = asked.session;
            let Sent { sent, resumed } = self.upload(blob, start).await?;
            (outcome.sent, outcome.resumed) = (sent, resumed);
        } else {
            if let Some(session) = asked.session {
                session.cancel().await;
            }
            return Err(PushError::MountRequired {
                repository: self.repository().clone(),
                blobs: vec![NotMounted {
                    digest: blob.digest.clone(),
                    tried: outcome.tried,
                }],
            });
        }
        turn.prove();
        self.learn(&outcome, &Reason::Held);
        Ok(outcome)
    }

    /// Asks everybody who may spare us the upload.
    async fn ask(
        &self,
        blob: &Descriptor,
        (from, required, left): (&[Repository], bool, bool),
        turn: &Turn<'_>,
    ) -> Result<Asked<'a>, PushError> {
        let mut asked = Asked::default();
        let (denied, siblings) = {
            let denied = self.denied();
            let siblings = self.candidates(blob, (from, required), turn).into_iter();
            siblings.partition::<Vec<_>, _>(|it| denied.contains(it))
        };
        asked.denied.extend(denied.into_iter().map(Tried::on_hold));
        let is_held = self.mode != Mode::Planned && !left && self.siblings.is_held(&blob.digest);
        if is_held && !siblings.is_empty() {
            self.ask_itself(blob, &mut asked).await?;
            if asked.settled.is_none() {
                self.ask_siblings(blob, siblings, &mut asked).await;
            }
        } else if !siblings.is_empty() {
            self.ask_siblings(blob, siblings, &mut asked).await;
            let open = asked.settled.is_none() && self.mode != Mode::Planned;
            if open && !self.is_missing(blob) && !self.ask_anywhere(blob, &mut asked).await? {
                self.ask_presence(blob, &mut asked).await?;
            }
        } else if self.mode != Mode::Planned && left {
            // An upload that was interrupted may have got to its end: whoever goes on with it
            // asks. A question that opens another session is not wanted.
        } else if !required && (self.is_missing(blob) || self.goes_at_once(blob).await) {
            self.checked(blob, Held::No);
        } else if self.mode != Mode::Planned {
            if !self.ask_anywhere(blob, &mut asked).await? {
                self.ask_itself(blob, &mut asked).await?;
            }
        } else if !required {
            self.checked(blob, Held::No);
        }
        Ok(asked)
    }

    /// Whether the registry has just said that it lacks the blob.
    fn is_missing(&self, blob: &Descriptor) -> bool {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.contains(&blob.digest)
    }

    /// Whether it goes up in one request, which a question would only be one more of: a
    /// small blob that was never seen in the repository.
    async fn goes_at_once(&self, blob: &Descriptor) -> bool {
        self.mode == (Mode::AsItGoes { familiar: true })
            && !self.siblings.is_held(&blob.digest)
            && !self.shared.options.mount_from_anywhere
            && !self.signs.wants_a_question(&blob.digest)
            && self.target.takes_at_once(blob).await
    }

    /// Those who have just got the blob, then those who were known before; each once, bounded.
    fn candidates(
        &self,
        blob: &Descriptor,
        (from, required): (&[Repository], bool),
        turn: &Turn<'_>,
    ) -> Vec<Repository> {
        let learned = match self.mode {
            Mode::AsItGoes { .. } if required => self.siblings.of_required(&blob.digest),
            Mode::AsItGoes { .. } => self.siblings.of(&blob.digest),
            Mode::Planned => Vec::new(),
        };
        let mut candidates: Vec<Repository> = Vec::new();
        for it in turn.holders.iter().chain(from).chain(&learned) {
            if !candidates.contains(it) {
                candidates.push(it.clone());
            }
        }
        candidates.truncate(self.shared.options.mount_candidates.get());
        candidates
    }

    async fn ask_siblings(
        &self,
        blob: &Descriptor,
        siblings: Vec<Repository>,
        asked: &mut Asked<'a>,
    ) {
        for from in siblings {
            let answer = self.target.mount_blob(blob, &from).await;
            let status = match &answer {
                Ok(MountOutcome::Mounted) => Some(201),
                Ok(MountOutcome::Refused(session)) => session.as_ref().map(|_| 202),
                Err(error) => error.status(),
            };
            let (answer, session) = match answer {
                Ok(MountOutcome::Mounted) => (MountAnswer::Mounted, None),
                Ok(MountOutcome::Refused(session)) => (MountAnswer::Refused, session),
                Err(error) => (MountAnswer::of(&error), None),
            };
            let session = session.map(|it| Handed::new(self.target, it));
            let tried = Tried {
                from,
                answer,
                status,
            };
            self.tell(&Event::MountTried {
                digest: blob.digest.clone(),
                tried: tried.clone(),
            });
            self.learn_answer(blob, &tried);
            asked.tried.push(tried);
            if answer == MountAnswer::Mounted {
                asked.settled = Some(Done::Mounted);
                if let Some(earlier) = asked.session.take() {
                    earlier.cancel().await;
                }
                return;
            }
            match session {
                Some(session) if asked.session.is_some() => session.cancel().await,
                Some(session) => asked.session = Some(session),
                None => {}
            }
        }
    }

    /// Asks the repository itself for the blob in the one request that also opens the
    /// session for its upload if it is not there.
    async fn ask_itself(&self, blob: &Descriptor, asked: &mut Asked<'a>) -> Result<(), PushError> {
        match self.target.mount_blob(blob, self.repository()).await {
            Ok(MountOutcome::Mounted) => {
                self.checked(blob, Held::Yes);
                asked.settled = Some(Done::Present);
            }
            Ok(MountOutcome::Refused(Some(session))) => {
                self.checked(blob, Held::No);
                asked.session = Some(Handed::new(self.target, session));
            }
            Ok(MountOutcome::Refused(None)) => self.checked(blob, Held::Unknown),
            Err(error) => self.open_question(blob, error)?,
        }
        Ok(())
    }

    /// Asks for it without saying where from, if that is wanted; whether that says all there is to know.
    async fn ask_anywhere(
        &self,
        blob: &Descriptor,
        asked: &mut Asked<'a>,
    ) -> Result<bool, PushError> {
        if !self.shared.options.mount_from_anywhere {
            return Ok(false);
        }
        match self.target.mount_from_anywhere(blob).await {
            Ok(Anywhere::NotAsked) => return Ok(false),
            Ok(Anywhere::Mounted) => {
                asked.from_anywhere = true;
                asked.settled = Some(Done::Mounted);
            }
            Ok(Anywhere::Present) => {
                self.checked(blob, Held::Yes);
                asked.settled = Some(Done::Present);
            }
            Ok(Anywhere::Refused(session)) => {
                self.checked(blob, Held::No);
                let session = session.map(|it| Handed::new(self.target, it));
                match session {
                    Some(session) if asked.session.is_some() => session.cancel().await,
                    Some(session) => asked.session = Some(session),
                    None => {}
                }
            }
            Err(error) => {
                self.open_question(blob, error)?;
                return Ok(false);
            }
        }
        if asked.settled.is_some()
            && let Some(earlier) = asked.session.take()
        {
            earlier.cancel().await;
        }
        Ok(true)
    }

    /// Asks whether the blob is there, when no sibling would give it: it may be both.
    async fn ask_presence(
        &self,
        blob: &Descriptor,
        asked: &mut Asked<'a>,
    ) -> Result<(), PushError> {
        let answer = match self.target.has_blob(blob).await {
            Ok(answer) => answer,
            Err(error) => return self.open_question(blob, error),
        };
        self.checked(blob, Held::from(&answer));
        if matches!(answer, Presence::Held(_)) {
            asked.settled = Some(Done::Present);
            if let Some(session) = asked.session.take() {
                session.cancel().await;
            }
        }
        Ok(())
    }

    /// A registry may be unable to answer this kind of question: then the upload tells. But a
    /// question that got no answer is not a no.
    fn open_question(&self, blob: &Descriptor, error: TargetError) -> Result<(), PushError> {
        let unanswered = matches!(
            error.kind(),
            TargetErrorKind::Unauthorized
                | TargetErrorKind::RateLimited
                | TargetErrorKind::Network
                | TargetErrorKind::Timeout
        );
        if unanswered {
            return Err(self.failed(blob, Phase::Ask, error));
        }
        self.checked(blob, Held::Unknown);
        Ok(())
    }

    /// What an earlier push left is not gone on with: the blob is there.
    fn not_needed(&self, start: Start<'_>, done: Done) {
        start.keeper.done();
        // Where the blob is there by an upload, it is most likely by this one.
        if let (Some(session), Done::Mounted) = (start.left, done) {
            self.target.abandon_session(session);
        }
    }

    /// Sends a blob, or the rest of it.
    pub(super) async fn upload(
        &self,
        blob: &Descriptor,
        start: Start<'_>,
    ) -> Result<Sent, PushError> {
        let Start {
            keeper,
            left,
            handed,
        } = start;
        let left = self.still_there(left).await;
        let there = left.as_ref().map_or(0, UploadSession::acknowledged);
        if let Err(gate) = self.reserve(blob.size.saturating_sub(there)) {
            if let Some(session) = handed {
                session.cancel().await;
            }
            return Err(gate);
        }
        let verified = Verified::new(self.source);
        let mut upload = BlobUpload::new(blob, &verified).kept_by(&keeper);
        match left {
            Some(left) => {
                if let Some(session) = handed {
                    session.cancel().await;
                }
                self.tell(&Event::Resuming {
                    digest: blob.digest.clone(),
                    acknowledged: left.acknowledged(),
                });
                upload = upload.resuming(left);
            }
            None => upload = upload.in_session(handed.and_then(Handed::into_session)),
        }
        let result = self.send(upload, &keeper).await;
        if result.is_ok() || verified.is_faulty() {
            keeper.done();
        }
        result.map_err(|error| match verified.into_fault() {
            Some(cause) => PushError::local_blob(blob, Phase::Upload, cause),
            None => self.failed(blob, Phase::Upload, error),
        })
    }

    /// Sends what an upload says; if another process has its session, once more in one of its own.
    async fn send(&self, upload: BlobUpload<'_>, keeper: &Keeper<'_>) -> Result<Sent, TargetError> {
        let blob = upload.blob;
        let progress = Progress::new(self.observer, blob);
        let begun = upload.clone().observed(&progress);
        let receipt = tokio::select! {
            receipt = self.target.upload_blob(begun) => Some(receipt?),
            () = keeper.lost() => None,
        };
        if let Some(receipt) = receipt {
            let resumed = match progress.lowest() {
                _ if !upload.interrupted => 0,
                Some(lowest) => lowest,
                None => blob.size.saturating_sub(receipt.sent),
            };
            return Ok(Sent {
                sent: receipt.sent,
                resumed,
            });
        }
        let digest = &blob.digest;
        self.tell(&Event::Warning {
            message: format!("another process goes on with blob {digest}: it is sent anew"),
        });
        let again = upload.in_session(None);
        let anew = Progress::new(self.observer, blob);
        let receipt = self.target.upload_blob(again.observed(&anew)).await?;
        Ok(Sent {
            sent: receipt.sent + progress.total(),
            resumed: 0,
        })
    }

    /// What is left of an interrupted upload. Where bytes are counted beforehand, the registry
    /// is asked beforehand; it is asked by the upload otherwise.
    async fn still_there(&self, left: Option<UploadSession>) -> Option<UploadSession> {
        let left = left?;
        if self.shared.options.max_upload_bytes.is_none() {
            return Some(left);
        }
        match self.target.session_status(&left).await {
            Ok(SessionStatus::Open(session)) => Some(session),
            Ok(SessionStatus::Gone) | Err(_) => None,
        }
    }

    fn failed(&self, blob: &Descriptor, phase: Phase, error: TargetError) -> PushError {
        PushError::BlobUploadFailed {
            digest: blob.digest.clone(),
            repository: self.repository().clone(),
            phase,
            error: Box::new(error),
        }
    }

    fn checked(&self, blob: &Descriptor, held: Held) {
        self.tell(&Event::Checked {
            digest: blob.digest.clone(),
            held,
        });
    }

    fn outcome(&self, step: &Step, done: Done) -> Outcome {
        Outcome {
            blob: step.node.clone(),
            planned: (self.mode == Mode::Planned).then(|| step.action.clone()),
            done,
            mount: MountStatus::Skipped,
            reason: None,
            tried: Vec::new(),
            sent: 0,
            resumed: 0,
        }
    }
}

/// What came of asking.
fn mount_status(asked: &Asked<'_>, not_asked: &[Tried]) -> MountStatus {
    let on_hold = not_asked.iter().any(|it| it.answer == MountAnswer::OnHold);
    match (asked.settled, asked.tried.last()) {
        _ if asked.from_anywhere => MountStatus::MountedFromAnywhere,
        (Some(Done::Mounted), Some(last)) => MountStatus::Mounted {
            from: last.from.clone(),
        },
        (None, Some(_)) if asked.tried.iter().any(|it| it.answer.is_answer()) => {
            MountStatus::PushStarted
        }
        (None, Some(last)) => MountStatus::Failure { cause: last.answer },
        (None, None) if on_hold => MountStatus::Failure {
            cause: MountAnswer::OnHold,
        },
        (None, None) if !not_asked.is_empty() => MountStatus::Unavailable,
        (Some(_), _) | (None, None) => MountStatus::Skipped,
    }
}

/// Why a blob is sent: the last answer, or why nobody was asked.
fn reason(asked: &Asked<'_>, not_asked: &[Tried]) -> Option<MountAnswer> {
    if asked.settled.is_some() {
        return None;
    }
    let last = asked.tried.last().or(not_asked.first());
    Some(last.map_or(MountAnswer::NoSource, |it| it.answer))
}
