//! The upload machine: what to do next with a blob, given what came of the last thing. Pure.
//!
//! ```text
//!   open ──▶ send ──▶ send ──▶ … ──▶ committed
//!    ▲        │ trouble
//!    │      pause ──▶ look ──there──▶ done
//!    │                 │ not there
//!    └── gone ────── ask ──held n──▶ send from n
//! ```
//!
//! What a registry has acknowledged is sent again in two cases alone: its session is gone, or
//! what it says of it cannot be true. A count is believed if it lies between what was
//! acknowledged before and what was sent since; what contradicts that is asked once more, and then
//! the session is given up. Nothing here waits, counts attempts or knows of HTTP: whoever
//! runs the machine has the budget, and says [`Event::Spent`] when it is used up.

use std::num::NonZeroU64;

use crate::manner::{ChunkSize, UploadProfile};

/// The longest chunk after a refusal that does not say how much would do, in bytes; each further
/// one is a quarter. Below common limits of proxies: 100 MB, 20 MB, 5 MB, 1 MiB.
const FIRST_CHUNK: u64 = 64 * 1024 * 1024;
/// Where guessing ends, in bytes.
const LAST_CHUNK: u64 = 64 * 1024;
/// The shortest chunk for connections that break, in bytes.
const BREAK_CHUNK: u64 = 1024 * 1024;
/// A blob of this many bytes or more is looked for repeatedly before all of it goes again:
/// some registries finish a commit after they have answered with an error.
const PATIENT: u64 = 4 * 1024 * 1024;
/// As many bytes as a question costs about: both are gone in one round trip.
const NOT_MUCH: u64 = 64 * 1024;
/// How often sessions may contradict themselves, or bodies be too long, in all.
const DOUBTS: u8 = 8;

/// The state of one blob's upload.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    size: u64,
    setting: ChunkSize,
    /// What the registry has shown so far; grows while the machine runs.
    pub(super) profile: UploadProfile,
    /// How much of the blob the session holds, as far as can be believed.
    at: u64,
    /// The part of it that it has acknowledged chunk by chunk, not only when it was asked.
    sure: u64,
    /// The shortest chunk, the last excepted.
    minimum: u64,
    pieces: Pieces,
    /// Whether the blob goes in one body whatever was learned: chunks have come to nothing.
    whole: bool,
    restarted: bool,
    doubts: u8,
    /// Up to where it had come when a token was renewed.
    renewed_at: Option<u64>,
    /// How many bytes into a request its connection last broke.
    broke_at: Option<u64>,
    /// From where on bytes were sent last to which the session said nothing, and kept none.
    stuck_at: Option<u64>,
    stage: Stage,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Open a session; give the one there is up before, or leave it as lost.
    Open { giving_up: bool },
    /// Send a part of the blob into the session.
    Send(Part),
    /// Ask whether the blob is there: once, or for a while.
    Look { patiently: bool },
    /// Ask how much the session holds.
    Ask,
    /// Both at once.
    LookAndAsk,
    /// Wait a little.
    Pause,
    /// The registry has the blob.
    Done,
    /// The last trouble stands.
    Fail,
}

/// A request with bytes of the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The offset of its first byte.
    pub(super) from: u64,
    /// How many bytes; none where the session has them all.
    pub(super) length: u64,
    /// Whether it closes the session: a PUT; else a PATCH.
    pub(super) closing: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The upload begins: without a session.
    Begin,
    /// The same in a session that is new, with its shortest chunk.
    BeginIn { minimum: u64 },
    /// The same in a session that was left behind, with what it had acknowledged.
    Resume { acknowledged: u64, minimum: u64 },
    /// A session is open.
    Opened { minimum: u64, maximum: Option<u64> },
    /// The registry has the blob.
    There,
    /// It has not, or does not say.
    NotThere,
    /// The session holds so many bytes.
    Held(u64),
    /// The session is not known.
    Gone,
    /// The session cannot be asked.
    Mute,
    /// A PATCH was answered by 202, with how much it says is held.
    Taken(Option<u64>),
    /// The same by another success.
    OddlyTaken(Option<u64>),
    /// The blob is committed.
    Committed,
    /// A PUT was answered by another success.
    OddlyCommitted,
    /// There was trouble, so many bytes having been handed over.
    Trouble(Trouble, u64),
    /// The wait is over.
    Paused,
    /// There is no further attempt.
    Spent,
}

/// What went wrong with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There was no connection.
    Unsent,
    /// The connection broke.
    Broken,
    /// A time limit passed.
    Silent,
    /// The registry failed: 408, 499, 5xx.
    Unsure,
    /// Too many requests: 429.
    Busy,
    /// The token had ended; there is a new one.
    Renewed,
    /// The body is too long; perhaps it says how long one may be.
    TooLong(Option<u64>),
    /// The session is not known.
    Lost,
    /// It does not begin where the session ends, or is over a limit that looks the same.
    OutOfRange,
    /// It is not taken in this way.
    Unwanted,
    /// The bytes that arrived are not the blob's.
    WrongDigest,
    /// It will not change.
    Final,
}

/// What a session holds bytes of, and so what a wrong digest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// One request.
    One,
    /// More than one.
    Several,
    /// None, as it says; it may hold one byte and say the same.
    NoneOrOneByte,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Opening,
    Sending(Part),
    Pausing(After),
    Looking(Missing),
    Asking(Doubt),
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Send(Part),
    Look(Missing),
    Ask(Doubt),
}

/// What to do if the blob is not there.
#[derive(Clone, Copy, Debug)]
enum Missing {
    Ask(Doubt),
    Open,
    /// All of it was sent, and the session is gone.
    OpenAnew,
    Fail,
}

/// What a session's answer is compared with.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// The most it can hold.
    reached: u64,
    /// What it must hold: it has said that it took the chunk.
    exactly: Option<u64>,
    /// The offset that was refused.
    refused: Option<u64>,
    /// Whether a closing request had all its bytes.
    complete: bool,
    /// The connection broke in a body.
    broken: bool,
    /// From where on bytes were sent to which nothing was said until a time limit passed.
    silent_from: Option<u64>,
    again: bool,
}

impl Machine {
    pub(super) fn new(size: u64, setting: ChunkSize, profile: UploadProfile) -> Self {
        Self {
            size,
            setting,
            profile,
            at: 0,
            sure: 0,
            minimum: 0,
            pieces: Pieces::One,
            whole: false,
            restarted: false,
            doubts: 0,
            renewed_at: None,
            broke_at: None,
            stuck_at: None,
            stage: Stage::Ended,
        }
    }

    /// How much of the blob the registry has acknowledged in this session, in bytes.
    pub(super) fn acknowledged(&self) -> u64 {
        self.at
    }

    /// Takes what has happened, and says what to do now.
    pub(super) fn step(&mut self, event: Event) -> Effect {
        match event {
            Event::Begin => return self.open(false),
            Event::BeginIn { minimum } => {
                self.minimum = minimum;
                return self.send();
            }
            Event::Resume {
                acknowledged,
                minimum,
            } => return self.resume(acknowledged, minimum),
            _ => {}
        }
        match (self.stage, event) {
            (Stage::Opening, Event::Opened { minimum, maximum }) => {
                self.minimum = minimum;
                self.announced(maximum);
                self.send()
            }
            (Stage::Sending(part), event) => self.sent(part, event),
            (Stage::Pausing(after), Event::Paused) => self.after(after),
            (Stage::Pausing(After::Look(_)), Event::Spent) => self.look(Missing::Fail),
            // Also in the request that was to open the session.
            (Stage::Opening | Stage::Looking(_) | Stage::Asking(_), Event::There) => {
                self.end(Effect::Done)
            }
            (Stage::Looking(missing), Event::NotThere) => self.missing(missing),
            (Stage::Asking(doubt), event) => self.told(doubt, event),
            _ => self.end(Effect::Fail),
        }
    }

    fn resume(&mut self, acknowledged: u64, minimum: u64) -> Effect {
        self.minimum = minimum;
        self.at = acknowledged.min(self.size);
        self.sure = self.at;
        self.pieces = Pieces::Several;
        let doubt = Doubt {
            reached: self.size,
            exactly: None,
            refused: None,
            complete: false,
            broken: true,
            silent_from: None,
            again: false,
        };
        self.stage = Stage::Asking(doubt);
        Effect::LookAndAsk
    }

    fn open(&mut self, giving_up: bool) -> Effect {
        self.at = 0;
        self.sure = 0;
        self.pieces = Pieces::One;
        self.stuck_at = None;
        self.stage = Stage::Opening;
        Effect::Open { giving_up }
    }

    fn end(&mut self, effect: Effect) -> Effect {
        self.stage = Stage::Ended;
        effect
    }

    fn look(&mut self, missing: Missing) -> Effect {
        self.stage = Stage::Looking(missing);
        let patiently = matches!(missing, Missing::OpenAnew) && self.size >= PATIENT;
        Effect::Look { patiently }
    }

    fn ask(&mut self, doubt: Doubt) -> Effect {
        self.stage = Stage::Asking(doubt);
        Effect::Ask
    }

    fn pause(&mut self, after: After) -> Effect {
        self.stage = Stage::Pausing(after);
        Effect::Pause
    }

    fn after(&mut self, after: After) -> Effect {
        match after {
            After::Send(part) => {
                self.stage = Stage::Sending(part);
                Effect::Send(part)
            }
            After::Look(missing) => self.look(missing),
            After::Ask(doubt) => self.ask(doubt),
        }
    }

    fn missing(&mut self, missing: Missing) -> Effect {
        match missing {
            Missing::Ask(doubt) => self.ask(doubt),
            Missing::Open | Missing::OpenAnew => self.open(false),
            Missing::Fail => self.end(Effect::Fail),
        }
    }

    /// The part that comes next.
    fn send(&mut self) -> Effect {
        let rest = self.size - self.at;
        let chunk = self.chunk().filter(|chunk| *chunk < rest);
        let part = match chunk {
            Some(length) => Part {
                from: self.at,
                length,
                closing: false,
            },
            None => Part {
                from: self.at,
                length: rest,
                closing: !(self.profile.closes_empty && self.at > 0 && rest > 0),
            },
        };
        if !part.closing && self.pieces == Pieces::One {
            self.pieces = Pieces::Several;
        }
        self.stage = Stage::Sending(part);
        Effect::Send(part)
    }

    /// The length of a chunk, in bytes; none for all that is left.
    fn chunk(&self) -> Option<u64> {
        if self.whole || self.profile.refuses_chunks {
            return None;
        }
        let learned = self.profile.body_limit;
        let limit = match self.setting {
            ChunkSize::Whole => return None,
            ChunkSize::Auto => learned?,
            ChunkSize::AtMost(bytes) => learned.map_or(bytes, |learned| learned.min(bytes)),
        };
        Some(limit.get().max(self.minimum))
    }

    fn announced(&mut self, maximum: Option<u64>) {
        let maximum = maximum.and_then(NonZeroU64::new);
        if let Some(maximum) = maximum.filter(|it| it.get() < self.size) {
            let known = self.profile.body_limit.unwrap_or(maximum);
            self.profile.body_limit = Some(known.min(maximum));
        }
    }
}

mod answers;
#[cfg(test)]
mod tests;
