//! What must come of a fault, beyond what must come of any.

use oci::TargetErrorKind;

use crate::{
    fault::{Change, Ending, Fault, Memory, Oddity, Point, Wait, When},
    proxy::{Injection, Purpose, Seen},
    scenario::Scenario,
};

/// What must come of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The image is there.
    Converges,
    /// The image is there, or an error says that it is not.
    Ends,
    /// An error of this kind.
    Fails(Kind),
}

/// Kinds of errors, as far as a fault decides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`TargetErrorKind::Network`].
    Network,
    /// [`TargetErrorKind::Timeout`].
    Timeout,
    /// [`TargetErrorKind::Server`].
    Server,
    /// [`TargetErrorKind::RateLimited`].
    RateLimited,
    /// [`TargetErrorKind::Denied`].
    Denied,
    /// [`TargetErrorKind::DigestMismatch`].
    Digest,
}

impl Kind {
    /// Whether an error is of it.
    pub fn is(self, kind: &TargetErrorKind) -> bool {
        matches!(
            (self, kind),
            (Self::Network, TargetErrorKind::Network)
                | (Self::Timeout, TargetErrorKind::Timeout)
                | (Self::Server, TargetErrorKind::Server)
                | (Self::RateLimited, TargetErrorKind::RateLimited)
                | (Self::Denied, TargetErrorKind::Denied)
                | (Self::Digest, TargetErrorKind::DigestMismatch { .. })
        )
    }
}

/// What must come of one fault in a conversation that is otherwise this.
pub fn expected(scenario: Scenario, conversation: &[Seen], injection: &Injection) -> Expected {
    let Some(seen) = conversation.get(injection.request) else {
        return Expected::Ends;
    };
    let asks_who = scenario == Scenario::Token;
    // A token that is refused at once is not one to be had again.
    let before = injection
        .request
        .checked_sub(1)
        .and_then(|it| conversation.get(it));
    let fresh = before.is_some_and(|it| it.purpose == Purpose::Token);
    if let Fault::Status {
        code: 429,
        wait: Wait::Seconds(60..),
        when: When::Instead | When::Afterwards,
    } = injection.fault
    {
        return Expected::Fails(Kind::RateLimited);
    }
    // Whoever says that it has other content than was sent is not to be taken for done.
    if injection.fault == Fault::Header(Change::DigestOther)
        && matches!(seen.purpose, Purpose::PutBlob | Purpose::PutManifest)
    {
        return Expected::Fails(Kind::Digest);
    }
    if injection.times > 4 {
        return always(seen, injection.fault);
    }
    let converges = match injection.fault {
        Fault::Break { .. }
        | Fault::Stall(_)
        | Fault::Status { code: 429, .. }
        | Fault::Forgets(Memory::Sessions) => true,
        Fault::Status {
            code: 401, when, ..
        } => {
            let once = injection.times == 1 && when != When::EarlyAndGone;
            asks_who && once && !fresh && seen.purpose != Purpose::Token
        }
        Fault::Status { code, .. } => code >= 500,
        Fault::Header(change) => change == Change::DigestMissing,
        Fault::Odd(oddity) => {
            matches!(
                oddity,
                Oddity::Twice
                    | Oddity::RequestTwice
                    | Oddity::Late
                    | Oddity::Slow
                    | Oddity::Trickle
                    | Oddity::Interim
                    | Oddity::Longer
            )
        }
        Fault::Forgets(Memory::Tokens) => !fresh,
    };
    // An answer that comes again while the next one is awaited cannot be told from that one:
    // all there is to promise is that it is not taken for a success.
    if converges {
        Expected::Converges
    } else {
        Expected::Ends
    }
}

/// What must come of a fault that does not end.
fn always(seen: &Seen, fault: Fault) -> Expected {
    match fault {
        Fault::Break {
            at: Point::BeforeRequest | Point::AfterHead,
            how: Ending::Reset,
        } => Expected::Fails(Kind::Network),
        Fault::Stall(Point::BeforeRequest) => Expected::Fails(Kind::Timeout),
        Fault::Status {
            code: 500 | 503,
            when: When::Instead,
            ..
        } => Expected::Fails(Kind::Server),
        Fault::Status {
            code: 429,
            when: When::Instead,
            ..
        } => Expected::Fails(Kind::RateLimited),
        // Who may not ask may still push; and a token service that refuses is another matter.
        Fault::Status {
            code: 403,
            when: When::Instead,
            ..
        } if !matches!(seen.purpose, Purpose::HeadManifest | Purpose::Token) => {
            Expected::Fails(Kind::Denied)
        }
        _ => Expected::Ends,
    }
}

/// How many bytes of blobs may be sent again at the most, after one fault; none where the
/// fault says nothing about it, or where the client's limits are so short that a machine that
/// is busy passes them by itself.
pub fn most_again(seen: &Seen, injection: &Injection) -> Option<u64> {
    if injection.times > 1 {
        return None;
    }
    // What the registry has got whole is not sent again.
    let blob = matches!(seen.purpose, Purpose::Patch | Purpose::PutBlob);
    let body = if blob { seen.body } else { 0 };
    match injection.fault {
        Fault::Break { at, .. } => Some(match at {
            Point::BeforeRequest => body,
            // The registry may be asked before it has noticed that the connection ended.
            Point::AfterHead | Point::InBody => 2 * body,
            Point::BeforeAnswer | Point::InAnswer => 0,
        }),
        Fault::Status {
            code: 500.., when, ..
        } => Some(match when {
            When::Afterwards => 0,
            When::Instead | When::Early | When::EarlyAndGone => body,
        }),
        Fault::Odd(
            Oddity::Slow | Oddity::Trickle | Oddity::Interim | Oddity::Twice | Oddity::Longer,
        ) => Some(0),
        _ => None,
    }
}
