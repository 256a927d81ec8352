//! What a fault does.
//!
//! The variants are the actions of a faults file too, in kebab case: what
//! can be written in Rust can be written there, by construction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Answer, time};
use crate::options::Validation;

/// What happens to a request.
///
/// Where it says *before the body*, the request is not handled at all: nothing is
/// stored, the answer is sent at once, and what the client still sends is read
/// and dropped within a bound before the connection closes.
///
/// The text form, in a faults file, is the name in kebab case: `"refuse-mount"`, or, where
/// it takes a value, `{ reset-at-byte = 1000 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Nothing: the rule only counts.
    Nothing,

    // Instead of the registry.
    /// Before the body: this answer instead of the registry's.
    Answer(Answer),
    /// After so many bytes of the body were received (and, by an upload session,
    /// kept): this answer. A body that ends earlier is handled as usual.
    #[serde(with = "at_byte")]
    AnswerAtByte(u64, Answer),
    /// The request is handled, and whatever it does is done; then this answer
    /// instead of the registry's.
    AnswerAfter(Answer),
    /// A body longer than so many bytes, inclusive, gets this answer: at once where
    /// `Content-Length` says so, else after one byte more than that.
    #[serde(with = "at_byte")]
    LimitBody(u64, Answer),
    /// A mount that is not possible, or refused, gets this answer instead of a session.
    AnswerFailedMount(Answer),
    /// Before the body: status 200 and a body without end.
    EndlessBody,

    // Time.
    /// The request waits before it is handled.
    #[serde(with = "time")]
    Delay(Duration),
    /// The same, a time drawn anew for each request.
    DelayWithin(Latency),
    /// The request is handled, its answer waits.
    #[serde(with = "time")]
    DelayAnswer(Duration),
    /// Before the body: nothing more is read, no answer comes.
    Stall,
    /// After so many bytes of the body nothing more is read, no answer comes.
    StallAtByte(u64),
    /// The request is handled, no answer comes.
    StallAnswer,

    // Broken connections.
    /// Before the body: the connection is reset (TCP RST).
    ResetBefore,
    /// The connection is reset after exactly so many bytes of the body were
    /// received; an upload session keeps them. A body that ends earlier is handled as usual.
    ResetAtByte(u64),
    /// The request is handled, and whatever it does is done; then the connection
    /// is reset instead of an answer.
    ResetBeforeAnswer,
    /// The connection closes after so many bytes of the answer, head included.
    /// Over TLS the bytes are those of the encrypted stream; over HTTP/2, of all streams.
    TruncateAnswer(u64),
    /// The same, but the connection is reset. What the client had not read by then may be lost to it.
    ResetAnswerAtByte(u64),

    // Wrong answers.
    /// A success (2xx) has this status; the rest of the answer stays.
    Status(u16),
    /// The answer's `Docker-Content-Digest` is of other content.
    WrongDigestHeader,
    /// The byte at this offset of the answer's body is another; a shorter body stays.
    WrongBodyByte(u64),
    /// The answer lacks this header.
    OmitHeader(String),
    /// The answer has this header, instead of any of that name.
    #[serde(with = "header")]
    SetHeader(String, String),
    /// The answer has a header of so many bytes more.
    HugeHeader(usize),
    /// An upload's answer is wrong about how far it is.
    Range(RangeFault),
    /// A 401 asks for credentials in an odd way.
    Challenge(ChallengeForm),

    // `Location`.
    /// The answer's `Location` is a full URL on this server.
    AbsoluteLocation,
    /// The answer's `Location` is on another host: `scheme://host:port` is put before its path.
    MoveLocation(String),
    /// The `Location` of an upload session has a `_state` that is as old as the request it
    /// answers, and no request is taken without the newest: 404.
    RequireState,

    // How registries differ.
    /// A mount is refused as the specification has it: 202 and an open session.
    RefuseMount,
    /// A blob in a `POST` is not taken: 202 and an open session.
    RefuseSinglePost,
    /// A repeated commit is a 404, although the blob is there.
    ForgetCommitted,
    /// `Content-Range` is not looked at: a chunk out of order is taken.
    IgnoreContentRange,
    /// A chunk of fewer bytes than these has to be the last: `OCI-Chunk-Min-Length`.
    ChunkMin(u64),
    /// A chunk of more bytes than these is refused with 413: `OCI-Chunk-Max-Length`.
    ChunkMax(u64),
    /// The upload session the request names is forgotten before it is handled.
    LoseSession,
    /// An upload session whose body breaks off is forgotten.
    LoseBrokenSession,
    /// A manifest is taken although children are missing.
    AcceptSparse,
    /// What happens to a manifest whose children are missing.
    Validate(Validation),
    /// How a manifest whose children are missing is refused.
    NameMissing(MissingStyle),
    /// `?tag=` means nothing, and no `OCI-Tag` comes back.
    IgnoreTagParameters,
    /// `If-Match` and `If-None-Match` mean nothing where a manifest is put: whoever is last wins.
    IgnoreConditions,
    /// Referrers are a 404 and manifests are answered without `OCI-Subject`, so that
    /// clients keep the fallback tag.
    NoReferrers,
}

/// A wait between two bounds, drawn from a seed: the same seed and the same order of
/// requests give the same waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Latency {
    /// The shortest, inclusive.
    #[serde(with = "time")]
    pub from: Duration,
    /// The longest, inclusive.
    #[serde(with = "time")]
    pub to: Duration,
    /// What the draw begins with.
    #[serde(default)]
    pub seed: u64,
}

/// How the `Range` of an upload's answer is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RangeFault {
    /// It has one byte more than arrived, as Quay's status has
    /// ([source](https://github.com/quay/quay/blob/master/endpoints/v2/blob.py)).
    OneMore,
    /// One byte less.
    OneLess,
    /// Half of what arrived.
    Half,
    /// Never more than so many bytes, as ECR's that stays at the first chunk
    /// ([report](https://github.com/aws/containers-roadmap/issues/2831)).
    AtMost(u64),
    /// It is right, with `bytes=` before it.
    WithUnit,
    /// There is none.
    Missing,
}

/// Odd ways to ask for credentials, each of which
/// [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1) allows but the last three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChallengeForm {
    /// A `Negotiate` before it in the same header.
    AfterAnother,
    /// A header of its own for a `Negotiate` before it.
    TwoHeaders,
    /// Scheme and parameters in other letters: `BEARER REALM=`.
    UpperCase,
    /// Parameters that nobody knows, one with quotes and commas inside.
    ExtraParameters,
    /// Spaces around the commas and equals signs.
    Spaced,
    /// No scope.
    NoScope,
    /// No service.
    NoService,
    /// No realm, so no token service.
    NoRealm,
    /// Text that is no challenge.
    Garbage,
    /// No header.
    Missing,
}

/// How a manifest is refused whose children are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MissingStyle {
    /// The error's code.
    pub code: String,
    /// Before the digests, where these are in the message; else the message.
    pub message: String,
    /// Which children are named.
    #[serde(default)]
    pub named: Validation,
    /// All in one error's message; else each in the `detail` of an error of its own.
    #[serde(default)]
    pub in_message: bool,
}

impl Action {
    /// Its name as a faults file has it: `reset-at-byte`.
    pub fn name(&self) -> String {
        // The derived text is the one place where names are.
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(serde_json::Value::Object(it)) => {
                it.into_iter().next().map_or_else(String::new, |it| it.0)
            }
            _ => String::new(),
        }
    }
}

/// The text form of `(bytes, answer)`, and of other pairs: a table with names.
macro_rules! pair {
    ($module:ident, $first:ident: $first_type:ty, $second:ident: $second_type:ty) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            #[derive(Serialize, Deserialize)]
            #[serde(rename_all = "kebab-case", deny_unknown_fields)]
            struct Pair<A, B> {
                $first: A,
                $second: B,
            }

            pub(super) fn serialize<S: Serializer>(
                $first: &$first_type,
                $second: &$second_type,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                Pair { $first, $second }.serialize(to)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<($first_type, $second_type), D::Error> {
                Pair::deserialize(from).map(|it| (it.$first, it.$second))
            }
        }
    };
}

pair!(at_byte, bytes: u64, answer: crate::faults::Answer);
pair!(header, name: String, value: String);
