//! What can be done to an exchange, and which class of fault it stands for.

use std::fmt;

/// One thing that goes wrong with a request or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends.
    Break {
        /// Where.
        at: Point,
        /// How.
        how: Ending,
    },
    /// Nothing moves any more, and the connection stays open.
    Stall(Point),
    /// Another status than the registry's.
    Status {
        /// Which.
        code: u16,
        /// When the answer comes, and whether the registry has got the request.
        when: When,
        /// What is said of trying again.
        wait: Wait,
    },
    /// The registry's own answer, with a header that is not its own.
    Header(Change),
    /// An answer that is odd in some other way.
    Odd(Oddity),
    /// The registry forgets something, just before the request.
    Forgets(Memory),
}

/// Where in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The registry gets nothing of the request.
    BeforeRequest,
    /// It gets the head.
    AfterHead,
    /// It gets the head and half of the body.
    InBody,
    /// It has got all and has answered; the client gets nothing of the answer.
    BeforeAnswer,
    /// The client gets half of the answer.
    InAnswer,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// RST.
    Reset,
    /// FIN.
    Close,
}

/// When a made-up status comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After the whole request, which the registry never gets.
    Instead,
    /// In the place of the registry's answer, which was given.
    Afterwards,
    /// After the head; the body is read and dropped, then the connection is closed.
    Early,
    /// After the head, and the connection is reset with the body on its way.
    EarlyAndGone,
}

/// What an answer says of trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing.
    Unsaid,
    /// `Retry-After` in seconds.
    Seconds(u32),
    /// `Retry-After` as a date, so many seconds from now and up to one less.
    Date(u32),
}

/// A header that is not the registry's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `Location` names another host.
    LocationElsewhere,
    /// There is no `Location`.
    LocationMissing,
    /// `Location` is not a URL.
    LocationMalformed,
    /// `Range` says one byte less.
    RangeLess,
    /// `Range` says one byte more.
    RangeMore,
    /// `Range` says more than the blob has.
    RangeHuge,
    /// There is no `Range`.
    RangeMissing,
    /// `Docker-Content-Digest` names other content.
    DigestOther,
    /// There is no `Docker-Content-Digest`.
    DigestMissing,
    /// `Content-Length` in the answer to a HEAD is one more.
    LengthMore,
}

/// An answer that is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// It comes twice, at once.
    Twice,
    /// It comes again a little later, when nobody asks.
    AgainLater,
    /// The registry gets the request twice; its second answer counts.
    RequestTwice,
    /// It comes after the client's limit.
    Late,
    /// It takes a moment.
    Slow,
    /// It comes in pieces of a few bytes.
    Trickle,
    /// Three interim answers come before it.
    Interim,
    /// It says that it was done, and the registry has got nothing.
    Granted,
    /// It has more bytes than it says.
    Longer,
    /// It is a web page, with status 200.
    Html,
    /// It is not HTTP.
    Garbage,
    /// A 500 whose body has no end.
    Endless,
    /// Its head has no end.
    HugeHead,
    /// A redirect to another host.
    RedirectElsewhere,
    /// A redirect to the same place.
    RedirectLoop,
}

/// What a registry forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Every token it has issued.
    Tokens,
    /// Every upload session.
    Sessions,
}

/// A reset at a byte of the conversation, counted over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// In which direction the bytes are counted.
    pub direction: Direction,
    /// How many bytes pass before it.
    pub after: u64,
    /// How the client's connection ends.
    pub how: Ending,
}

/// A direction of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to the registry.
    Up,
    /// From the registry to the client.
    Down,
}

/// What kind of fault it is, for the figures. The number is that of the list in
/// `docs/reliability.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A connection that ends at a boundary of a request.
    Broken,
    /// A connection that ends after byte n from the client.
    CutUp,
    /// A connection that ends after byte n from the registry.
    CutDown,
    /// 500, 502, 503, 504.
    ServerError,
    /// 429.
    Busy,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 416.
    OutOfRange,
    /// Nothing moves, or moves too late or slowly.
    Stalled,
    /// An answer that is cut short, too long, or comes twice.
    Misframed,
    /// A wrong `Range`.
    WrongRange,
    /// A wrong or missing digest or length.
    WrongDigest,
    /// No `Location`, or none that can be used.
    NoLocation,
    /// An answer that leads to another host, or in a circle.
    Elsewhere,
    /// A success that was none.
    Lie,
    /// An answer that is not a registry's.
    NotARegistry,
    /// Tokens end in the middle.
    TokenEnds,
    /// Sessions are forgotten.
    SessionEnds,
    /// Several of them in one push.
    Mixed,
}

// === impl Class ===

impl Class {
    /// All, in the order they are shown.
    pub const ALL: [Self; 20] = [
        Self::Broken,
        Self::CutUp,
        Self::CutDown,
        Self::ServerError,
        Self::Busy,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::OutOfRange,
        Self::Stalled,
        Self::Misframed,
        Self::WrongRange,
        Self::WrongDigest,
        Self::NoLocation,
        Self::Elsewhere,
        Self::Lie,
        Self::NotARegistry,
        Self::TokenEnds,
        Self::SessionEnds,
        Self::Mixed,
    ];

    /// What it is called in tables.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Broken => "connection ends at a boundary",
            Self::CutUp => "connection ends after byte n from the client",
            Self::CutDown => "connection ends after byte n from the registry",
            Self::ServerError => "500, 502, 503, 504",
            Self::Busy => "429, `Retry-After` in seconds, as a date, absent",
            Self::Unauthorized => "401",
            Self::Forbidden => "403",
            Self::NotFound => "404",
            Self::OutOfRange => "416",
            Self::Stalled => "stalled, late or slow",
            Self::Misframed => "answer cut short, too long, or twice",
            Self::WrongRange => "wrong or missing `Range`",
            Self::WrongDigest => "wrong or missing digest or length",
            Self::NoLocation => "missing or malformed `Location`",
            Self::Elsewhere => "`Location` or redirect to another host, or in a circle",
            Self::Lie => "success for what never arrived",
            Self::NotARegistry => "web page, garbage, endless head or body",
            Self::TokenEnds => "tokens revoked",
            Self::SessionEnds => "upload sessions forgotten",
            Self::Mixed => "several at once",
        }
    }
}

// === impl Fault ===

impl Fault {
    /// Its class.
    pub const fn class(self) -> Class {
        match self {
            Self::Break {
                at: Point::InAnswer,
                how: Ending::Close,
            } => Class::Misframed,
            Self::Break { .. } => Class::Broken,
            Self::Stall(_) => Class::Stalled,
            Self::Status { code: 401, .. } => Class::Unauthorized,
            Self::Status { code: 403, .. } => Class::Forbidden,
            Self::Status { code: 404, .. } => Class::NotFound,
            Self::Status { code: 416, .. } => Class::OutOfRange,
            Self::Status { code: 429, .. } => Class::Busy,
            Self::Status { .. } => Class::ServerError,
            Self::Header(change) => match change {
                Change::LocationElsewhere => Class::Elsewhere,
                Change::LocationMissing | Change::LocationMalformed => Class::NoLocation,
                Change::RangeLess
                | Change::RangeMore
                | Change::RangeHuge
                | Change::RangeMissing => Class::WrongRange,
                Change::DigestOther | Change::DigestMissing | Change::LengthMore => {
                    Class::WrongDigest
                }
            },
            Self::Odd(oddity) => match oddity {
                Oddity::Late | Oddity::Slow | Oddity::Trickle => Class::Stalled,
                Oddity::Twice
                | Oddity::AgainLater
                | Oddity::RequestTwice
                | Oddity::Interim
                | Oddity::Longer => Class::Misframed,
                Oddity::Granted => Class::Lie,
                Oddity::Html | Oddity::Garbage | Oddity::Endless | Oddity::HugeHead => {
                    Class::NotARegistry
                }
                Oddity::RedirectElsewhere | Oddity::RedirectLoop => Class::Elsewhere,
            },
            Self::Forgets(Memory::Tokens) => Class::TokenEnds,
            Self::Forgets(Memory::Sessions) => Class::SessionEnds,
        }
    }

    /// Whether the client's time limits decide how long it takes: they are short then.
    pub const fn takes_patience(self) -> bool {
        matches!(self, Self::Stall(_) | Self::Odd(Oddity::Late))
    }
}

impl Cut {
    /// Its class.
    pub const fn class(self) -> Class {
        match self.direction {
            Direction::Up => Class::CutUp,
            Direction::Down => Class::CutDown,
        }
    }
}

// === names ===

/// A name in words with hyphens, from the name of a variant.
fn words(name: &impl fmt::Debug) -> String {
    let mut words = String::new();
    for it in format!("{name:?}").chars() {
        if it.is_uppercase() && !words.is_empty() && !words.ends_with('-') {
            words.push('-');
        }
        words.extend(it.to_lowercase());
    }
    words
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Break { at, how } => write!(f, "{}-{}", words(how), words(at)),
            Self::Stall(at) => write!(f, "stall-{}", words(at)),
            Self::Status { code, when, wait } => {
                write!(f, "{code}-{}", words(when))?;
                match wait {
                    Wait::Unsaid => Ok(()),
                    Wait::Seconds(seconds) => write!(f, "-after-{seconds}s"),
                    Wait::Date(seconds) => write!(f, "-after-date-{seconds}s"),
                }
            }
            Self::Header(change) => f.write_str(&words(change)),
            Self::Odd(oddity) => f.write_str(&words(oddity)),
            Self::Forgets(memory) => write!(f, "forgets-{}", words(memory)),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = words(&self.direction);
        write!(f, "{}-{direction}-{:05}", words(&self.how), self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_a_name_that_can_be_typed() {
        let late = Fault::Status {
            code: 429,
            when: When::EarlyAndGone,
            wait: Wait::Date(2),
        };
        assert_eq!(late.to_string(), "429-early-and-gone-after-date-2s");
        let cut = Cut {
            direction: Direction::Down,
            after: 17,
            how: Ending::Reset,
        };
        assert_eq!(cut.to_string(), "reset-down-00017");
    }
}
