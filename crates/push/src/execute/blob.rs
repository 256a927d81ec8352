//! One blob: mount it, or find it there, or send it. The one place where falling back happens.
//!
//! ```text
//!   claim ─▶ permit ─▶ ask siblings to be mounted from ──mounted──▶ done
//!                 │                   │ refused, perhaps with a session
//!                 └─▶ ask the repository itself ──held──▶ done
//!                                     │ not held, perhaps with a session
//!                                     └─▶ upload, in that session if there is one
//! ```

use oci::{Descriptor, Repository, TargetError};

use super::{Mode, Run, once::Claim};
use crate::{
    error::{NotMounted, Phase, PushError},
    event::{Done, Event, Held},
    mount::{MountAnswer, MountStatus},
    plan::{Action, Reason, Step},
    report::Outcome,
};

mod ask;
mod send;

use ask::{mount_status, reason};
pub(super) use send::Start;

impl<'a> Run<'a> {
    /// Does one blob's step.
    pub(super) async fn settle(&'a self, step: &Step) -> Result<Outcome, PushError> {
        let outcome = match &step.action {
            Action::Point => self.outcome(step, Done::Foreign),
            Action::Mount { from, required } => self.place(step, from, *required).await?,
            Action::Upload | Action::Resume { .. } => {
                let from: &[Repository] = match &step.because {
                    Reason::MountsRefused { repositories } => repositories,
                    _ => &[],
                };
                self.place(step, from, false).await?
            }
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
            self.upload(blob, start).await?.tell_in(&mut outcome);
        } else {
            if let Some(session) = asked.session {
                session.cancel().await;
            }
            return Err(PushError::MountRequired {
                repository: self.repository().clone(),
                blobs: vec![NotMounted {
                    digest: blob.digest.clone(),
                    mount: MountStatus::MountRequired,
                    reason: outcome.reason.unwrap_or(MountAnswer::NoSource),
                    tried: outcome.tried,
                }],
                settled: Vec::new(),
            });
        }
        turn.prove();
        self.learn(&outcome, &Reason::Held);
        Ok(outcome)
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
            altered: Vec::new(),
        }
    }
}
