//! Who may spare the upload: repositories it may be mounted from, then the target itself.

use std::sync::PoisonError;

use oci::{
    Anywhere, Descriptor, MountOutcome, Mounting, Presence, Repository, TargetError,
    TargetErrorKind,
};

use crate::{
    error::{Phase, PushError},
    event::{Done, Event, Held},
    execute::{Mode, Run, handed::Handed, once::Turn},
    mount::{MountAnswer, MountStatus, Tried},
    plan::is_much,
};

/// What asking around came to.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pub(super) tried: Vec<Tried>,
    /// Not tried: they denied this push another blob, or their registry refuses all mounts.
    on_hold: Vec<Tried>,
    /// Whether the registry linked it from wherever it was.
    pub(super) from_anywhere: bool,
    /// What needs no upload any more.
    pub(super) settled: Option<Done>,
    /// A session a refusal came with.
    pub(super) session: Option<Handed<'a>>,
}

impl Asked<'_> {
    /// These are not asked.
    fn leave(&mut self, repositories: impl IntoIterator<Item = Repository>) {
        let left = repositories.into_iter().map(Tried::on_hold);
        self.on_hold.extend(left);
    }

    /// Who was not asked: those on hold, and `others`; each once.
    pub(super) fn not_asked(&mut self, others: Vec<Tried>) -> Vec<Tried> {
        let mut not_asked: Vec<Tried> = Vec::new();
        for it in self.on_hold.drain(..).chain(others) {
            let mut listed = self.tried.iter().chain(&not_asked);
            if listed.all(|listed| listed.from != it.from) {
                not_asked.push(it);
            }
        }
        not_asked
    }
}

impl<'a> Run<'a> {
    /// Asks everybody who may spare us the upload.
    pub(super) async fn ask(
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
        asked.leave(denied);
        let is_held = self.mode != Mode::Planned && !left && self.siblings.is_held(&blob.digest);
        // Most likely it is there, or nobody has counted it among what may be sent unasked.
        let counts = is_held || !asked.on_hold.is_empty();
        if (is_held || !siblings.is_empty()) && self.are_mounts_refused(blob).await {
            self.ask_refuser(blob, siblings, &mut asked, (required, left, counts))
                .await?;
        } else if is_held && !siblings.is_empty() {
            self.ask_itself(blob, (&mut asked, counts)).await?;
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
        } else if !required && (self.is_missing(blob) || !counts && self.goes_at_once(blob).await) {
            self.checked(blob, Held::No);
        } else if self.mode != Mode::Planned {
            if !self.ask_anywhere(blob, &mut asked).await? {
                self.ask_itself(blob, (&mut asked, counts)).await?;
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
            self.learn_answer(blob, &tried).await;
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

    /// Whether mounts of the blob are taken to be refused. Where that is in doubt, the first blob of a push finds
    /// out, and the others do not wait for it.
    async fn are_mounts_refused(&self, blob: &Descriptor) -> bool {
        match self.target.mounting().await {
            Mounting::Tried => false,
            Mounting::Refused => true,
            Mounting::Doubted => *self.trial.get_or_init(|| blob.digest.clone()) != blob.digest,
        }
    }

    /// Asks where every mount is refused: plainly, and first, whether the blob is there, if that is likely
    /// or it is much to send for nothing; and one of those that may hold it, in the request that opens the
    /// upload, so that a registry that has begun to mount blobs shows it. All of them for what
    /// must be mounted.
    async fn ask_refuser(
        &self,
        blob: &Descriptor,
        mut siblings: Vec<Repository>,
        asked: &mut Asked<'a>,
        (required, left, counts): (bool, bool, bool),
    ) -> Result<(), PushError> {
        if left && !required {
            // It is gone on with in the session there is, by whoever asks for that.
            asked.leave(siblings);
            return Ok(());
        }
        let open = self.mode != Mode::Planned && !self.is_missing(blob);
        let wanted = self.signs.wants_a_question(&blob.digest);
        let plainly = open && (counts || required || wanted || is_much(blob.size));
        if plainly {
            self.ask_presence(blob, asked).await?;
            if asked.settled.is_some() {
                return Ok(());
            }
        }
        if !required {
            let first = usize::from(plainly || counts || !self.goes_at_once(blob).await);
            asked.leave(siblings.split_off(first.min(siblings.len())));
        }
        self.ask_siblings(blob, siblings, asked).await;
        if !plainly && asked.settled.is_none() {
            self.checked(blob, Held::Unknown);
        }
        Ok(())
    }

    /// Asks the repository itself for the blob in the one request that also opens the
    /// session for its upload if it is not there. Where the refusal need not mean that, and it
    /// counts, it is asked a second time, and plainly.
    async fn ask_itself(
        &self,
        blob: &Descriptor,
        (asked, counts): (&mut Asked<'a>, bool),
    ) -> Result<(), PushError> {
        let refused = match self.target.mount_blob(blob, self.repository()).await {
            Ok(MountOutcome::Mounted) => {
                self.checked(blob, Held::Yes);
                asked.settled = Some(Done::Present);
                return Ok(());
            }
            Ok(MountOutcome::Refused(session)) => session,
            Err(error) => return self.open_question(blob, error),
        };
        let held = refused.as_ref().map_or(Held::Unknown, |_| Held::No);
        let opened = refused.is_some();
        asked.session = refused.map(|it| Handed::new(self.target, it));
        if counts && !self.target.finds_by_mount().await {
            self.ask_presence(blob, asked).await?;
            if opened && asked.settled.is_some() {
                self.target.refused_to_mount(blob);
            }
            return Ok(());
        }
        self.checked(blob, held);
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
}

/// What came of asking.
pub(super) fn mount_status(asked: &Asked<'_>, not_asked: &[Tried]) -> MountStatus {
    let on_hold = not_asked.iter().any(|it| it.answer == MountAnswer::OnHold);
    match (asked.settled, asked.tried.last()) {
        (Some(Done::Mounted), last) => MountStatus::Mounted {
            from: last
                .filter(|_| !asked.from_anywhere)
                .map(|it| it.from.clone()),
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
pub(super) fn reason(asked: &Asked<'_>, not_asked: &[Tried]) -> Option<MountAnswer> {
    if asked.settled.is_some() {
        return None;
    }
    let last = asked.tried.last().or(not_asked.first());
    Some(last.map_or(MountAnswer::NoSource, |it| it.answer))
}
