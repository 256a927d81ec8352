//! The actions that hit one request, sorted by when they act.

use std::time::Duration;

use super::{Action, Answer, ChallengeForm, MissingStyle, RangeFault, chance};
use crate::options::Validation;

/// What is to happen to one request.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub(crate) struct Plan {
    /// What is done, by name, in the order the rules were added.
    pub(crate) names: Vec<String>,
    /// Waited before anything.
    pub(crate) delay: Duration,
    /// Done instead of handling.
    pub(crate) instead: Option<Instead>,
    /// Done while the body is received.
    pub(crate) body: Option<(u64, BodyFault)>,
    /// The longest body, and what a longer one gets.
    pub(crate) limit: Option<(u64, Answer)>,
    /// Done instead of the registry's answer.
    pub(crate) after: Option<After>,
    pub(crate) delay_answer: Duration,
    /// Changes to the answer, in order.
    pub(crate) changes: Vec<Change>,
    /// After how many bytes the answer ends, and whether by a reset.
    pub(crate) cut: Option<(u64, bool)>,
    pub(crate) refuse_mount: bool,
    pub(crate) failed_mount: Option<Answer>,
    pub(crate) refuse_single_post: bool,
    pub(crate) forget_committed: bool,
    pub(crate) ignore_content_range: bool,
    pub(crate) require_state: bool,
    pub(crate) chunk_min: Option<u64>,
    pub(crate) chunk_max: Option<u64>,
    pub(crate) validation: Option<Validation>,
    pub(crate) missing: Option<MissingStyle>,
    pub(crate) ignore_tags: bool,
    pub(crate) ignore_conditions: bool,
    pub(crate) no_referrers: bool,
    pub(crate) lose_session: bool,
    pub(crate) lose_broken: bool,
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
    Status(u16),
    WrongDigest,
    WrongBody(u64),
    Omit(String),
    Set(String, String),
    AbsoluteLocation,
    MoveLocation(String),
    Huge(usize),
    Range(RangeFault),
    Challenge(ChallengeForm),
}

impl Plan {
    /// Of each action, with the number of its hit.
    pub(super) fn new(actions: impl Iterator<Item = (Action, u64)>) -> Self {
        let mut plan = Self::default();
        for (action, nth) in actions {
            plan.names.push(action.name());
            plan.take(action, nth);
        }
        // A body beyond its limit is found out at the first byte after it.
        if let Some((bytes, answer)) = &plan.limit
            && plan.body.as_ref().is_none_or(|it| it.0 > *bytes)
        {
            let fault = BodyFault::Answer(answer.clone());
            plan.body = Some((bytes.saturating_add(1), fault));
        }
        plan
    }

    fn take(&mut self, action: Action, nth: u64) {
        match action {
            Action::Nothing => {}
            Action::Delay(delay) => self.delay += delay,
            Action::DelayWithin(latency) => self.delay += chance::wait(&latency, nth),
            Action::DelayAnswer(delay) => self.delay_answer += delay,
            Action::Answer(answer) => self.instead(Instead::Answer(answer)),
            Action::EndlessBody => self.instead(Instead::Endless),
            Action::Stall => self.instead(Instead::Stall),
            Action::ResetBefore => self.instead(Instead::Reset),
            Action::AnswerAtByte(at, answer) => self.body(at, BodyFault::Answer(answer)),
            Action::StallAtByte(at) => self.body(at, BodyFault::Stall),
            Action::ResetAtByte(at) => self.body(at, BodyFault::Reset),
            Action::LimitBody(bytes, answer) => set(&mut self.limit, (bytes, answer)),
            Action::AnswerAfter(answer) => set(&mut self.after, After::Answer(answer)),
            Action::StallAnswer => set(&mut self.after, After::Stall),
            Action::ResetBeforeAnswer => set(&mut self.after, After::Reset),
            Action::TruncateAnswer(at) => set(&mut self.cut, (at, false)),
            Action::ResetAnswerAtByte(at) => set(&mut self.cut, (at, true)),
            other => self.differ(other),
        }
    }

    /// How the registry is another one for this request.
    fn differ(&mut self, action: Action) {
        match action {
            Action::RefuseMount => self.refuse_mount = true,
            Action::AnswerFailedMount(answer) => set(&mut self.failed_mount, answer),
            Action::RefuseSinglePost => self.refuse_single_post = true,
            Action::ForgetCommitted => self.forget_committed = true,
            Action::IgnoreContentRange => self.ignore_content_range = true,
            Action::RequireState => self.require_state = true,
            Action::ChunkMin(bytes) => set(&mut self.chunk_min, bytes),
            Action::ChunkMax(bytes) => set(&mut self.chunk_max, bytes),
            Action::AcceptSparse => set(&mut self.validation, Validation::AcceptAll),
            Action::Validate(validation) => set(&mut self.validation, validation),
            Action::NameMissing(style) => set(&mut self.missing, style),
            Action::IgnoreTagParameters => self.ignore_tags = true,
            Action::IgnoreConditions => self.ignore_conditions = true,
            Action::NoReferrers => self.no_referrers = true,
            Action::LoseSession => self.lose_session = true,
            Action::LoseBrokenSession => self.lose_broken = true,
            other => self.changes.extend(Change::of(other)),
        }
    }

    fn instead(&mut self, it: Instead) {
        set(&mut self.instead, it);
    }

    fn body(&mut self, at: u64, it: BodyFault) {
        set(&mut self.body, (at, it));
    }
}

impl Change {
    fn of(action: Action) -> Option<Self> {
        Some(match action {
            Action::Status(status) => Self::Status(status),
            Action::WrongDigestHeader => Self::WrongDigest,
            Action::WrongBodyByte(at) => Self::WrongBody(at),
            Action::OmitHeader(name) => Self::Omit(name),
            Action::SetHeader(name, value) => Self::Set(name, value),
            Action::AbsoluteLocation => Self::AbsoluteLocation,
            Action::MoveLocation(origin) => Self::MoveLocation(origin),
            Action::HugeHeader(bytes) => Self::Huge(bytes),
            Action::Range(fault) => Self::Range(fault),
            Action::Challenge(form) => Self::Challenge(form),
            _ => return None,
        })
    }
}

/// Of several the first stands.
fn set<T>(place: &mut Option<T>, it: T) {
    place.get_or_insert(it);
}
