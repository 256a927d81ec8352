//! The actions that hit one request, sorted by when they act.

use std::time::Duration;

use super::{Action, Answer};

/// What is to happen to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Waited before anything.
    pub(crate) delay: Duration,
    /// Done instead of handling.
    pub(crate) instead: Option<Instead>,
    /// Done while the body is received.
    pub(crate) body: Option<(u64, BodyFault)>,
    /// Done instead of the registry's answer.
    pub(crate) after: Option<After>,
    pub(crate) delay_answer: Duration,
    /// Changes to the answer, in order.
    pub(crate) changes: Vec<Change>,
    pub(crate) truncate: Option<u64>,
    pub(crate) refuse_mount: bool,
    pub(crate) accept_sparse: bool,
    pub(crate) lose_session: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Instead {
    Answer(Answer),
    Endless,
    Stall,
    Reset,
}

#[derive(Clone, Debug)]
pub(crate) enum BodyFault {
    Answer(Answer),
    Stall,
    Reset,
}

#[derive(Clone, Debug)]
pub(crate) enum After {
    Answer(Answer),
    Stall,
    Reset,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    WrongDigest,
    Omit(String),
    Set(String, String),
    MoveLocation(String),
    Huge(usize),
}

impl Plan {
    pub(super) fn new(actions: impl Iterator<Item = Action>) -> Self {
        let mut plan = Self::default();
        for action in actions {
            plan.take(action);
        }
        plan
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::Nothing => {}
            Action::Delay(delay) => self.delay += delay,
            Action::DelayAnswer(delay) => self.delay_answer += delay,
            Action::Answer(answer) => self.instead(Instead::Answer(answer)),
            Action::EndlessBody => self.instead(Instead::Endless),
            Action::Stall => self.instead(Instead::Stall),
            Action::ResetBefore => self.instead(Instead::Reset),
            Action::AnswerAtByte(at, answer) => self.body(at, BodyFault::Answer(answer)),
            Action::StallAtByte(at) => self.body(at, BodyFault::Stall),
            Action::ResetAtByte(at) => self.body(at, BodyFault::Reset),
            Action::AnswerAfter(answer) => self.after(After::Answer(answer)),
            Action::StallAnswer => self.after(After::Stall),
            Action::ResetBeforeAnswer => self.after(After::Reset),
            Action::TruncateAnswer(at) => self.truncate = Some(at),
            Action::WrongDigestHeader => self.changes.push(Change::WrongDigest),
            Action::OmitHeader(name) => self.changes.push(Change::Omit(name)),
            Action::SetHeader(name, value) => self.changes.push(Change::Set(name, value)),
            Action::MoveLocation(origin) => self.changes.push(Change::MoveLocation(origin)),
            Action::HugeHeader(bytes) => self.changes.push(Change::Huge(bytes)),
            Action::RefuseMount => self.refuse_mount = true,
            Action::AcceptSparse => self.accept_sparse = true,
            Action::LoseSession => self.lose_session = true,
        }
    }

    fn instead(&mut self, it: Instead) {
        self.instead.get_or_insert(it);
    }

    fn body(&mut self, at: u64, it: BodyFault) {
        self.body.get_or_insert((at, it));
    }

    fn after(&mut self, it: After) {
        self.after.get_or_insert(it);
    }
}
