//! What registries have shown of themselves, kept from one process to the next.
//!
//! ```text
//!   store ──load, once a process──▶ Ledger ──told──▶ auth · uploads · limits
//!     ▲                               ▲                       │
//!     └────── keep, at the end ───────┴────── learned ────────┘
//! ```
//!
//! A [`Profile`] is facts, each with the time it was seen and an age at which it is not believed
//! any more. A fact saves requests and proves nothing: none of them skips an upload or a check, and
//! one that is no longer true is corrected by the answer that contradicts it. What a store gives
//! out may be damaged, from another version or from somebody else: what cannot be read is not
//! there. None of it is secret.

use std::{
    collections::BTreeMap,
    fmt,
    num::{NonZeroU64, NonZeroUsize},
    time::{Duration, SystemTime},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{auth::known::KnownChallenge, manner::UploadProfile, transport::limit::Work};

pub(crate) mod ledger;
pub(crate) mod refusals;
pub(crate) mod store;

use refusals::Refusals;
use store::KeptFact;

const DAY: Duration = Duration::from_hours(24);
/// The longest value that is read or kept, in bytes.
const MAX_VALUE: usize = 2048;
/// Facts of one host that are looked at, at the most.
const MAX_FACTS: usize = 256;
/// How far a time may lie ahead: clocks of machines that share a store differ.
const AHEAD: Duration = Duration::from_hours(1);

/// Something a registry has shown of itself.
///
/// Serialised it is its value alone; what the value is of says its [`key`](Self::key).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Fact {
    /// How it wants to be authenticated to.
    Challenge(KnownChallenge),
    /// Whether it links blobs of another of its repositories.
    Mounts(bool),
    /// Whether it can be asked for a blob by mounting it from the repository it may be in.
    MountsFromItself(bool),
    /// Whether a blob that is there was found so: the answer was 201. 202 says nothing, many always say it.
    FindsByMount(bool),
    /// Whether it links a blob from a repository that nobody has named.
    MountsFromAnywhere(bool),
    /// The mounts it has lately refused although it had the blob where it was asked for; none, if it
    /// has mounted one since.
    RefusedMounts(Refusals),
    /// Whether a blob that was nowhere was asked for so: the answer said nothing, and another blob would
    /// most likely be as new.
    TriedFromAnywhere(bool),
    /// The longest body it takes, in bytes, inclusive.
    BodyLimit(NonZeroU64),
    /// The shortest chunk it takes, in bytes, the last one excepted; 0 for no minimum.
    ChunkMinimum(u64),
    /// Whether it takes chunks at all.
    TakesChunks(bool),
    /// Whether a session keeps what it got when its connection breaks.
    KeepsSessions(bool),
    /// Whether it counts one byte too many when it is asked how far a session got.
    CountsOneMore(bool),
    /// Whether the last chunk needs a request of its own before the closing one.
    ClosesEmpty(bool),
    /// Whether it lists manifests under their subjects by itself.
    Referrers(bool),
    /// Whether it puts a manifest under several tags in one request.
    TagParameters(bool),
    /// Whether it takes a small blob in the request that would open its upload.
    SinglePost(bool),
    /// Whether it refuses an image's manifest whose content is missing.
    ValidatesImages(bool),
    /// The same of an image index.
    ValidatesIndexes(bool),
    /// The same of a manifest that is not an image's, or is about another.
    ValidatesArtifacts(bool),
    /// Whether it speaks HTTP/2, and that works.
    Http2(bool),
    /// How many requests without a blob it bears at once; only where it has shown that there is an
    /// end to it.
    QuestionsAtOnce(NonZeroUsize),
    /// The same of bodies with blobs.
    BodiesAtOnce(NonZeroUsize),
}

/// A fact, and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// The fact.
    pub fact: Fact,
    /// When the registry showed it.
    pub at: SystemTime,
}

/// What one registry has shown of itself: at most one fact of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    facts: BTreeMap<&'static str, Seen>,
}

// === impl Fact ===

impl Fact {
    /// What it is about, as stores name it.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Challenge(_) => "challenge",
            Self::Mounts(_) => "mounts",
            Self::MountsFromItself(_) => "mounts-from-itself",
            Self::FindsByMount(_) => "finds-by-mount",
            Self::MountsFromAnywhere(_) => "mounts-from-anywhere",
            Self::RefusedMounts(_) => refusals::KEY,
            Self::TriedFromAnywhere(_) => "tried-from-anywhere",
            Self::BodyLimit(_) => "body-limit",
            Self::ChunkMinimum(_) => "chunk-minimum",
            Self::TakesChunks(_) => "takes-chunks",
            Self::KeepsSessions(_) => "keeps-sessions",
            Self::CountsOneMore(_) => "counts-one-more",
            Self::ClosesEmpty(_) => "closes-empty",
            Self::Referrers(_) => "referrers",
            Self::TagParameters(_) => "tag-parameters",
            Self::SinglePost(_) => "single-post",
            Self::ValidatesImages(_) => "validates-images",
            Self::ValidatesIndexes(_) => "validates-indexes",
            Self::ValidatesArtifacts(_) => "validates-artifacts",
            Self::Http2(_) => "http2",
            Self::QuestionsAtOnce(_) => "questions-at-once",
            Self::BodiesAtOnce(_) => "bodies-at-once",
        }
    }

    /// How long it is believed after it was seen. What only costs something when it has changed to
    /// the better is doubted sooner: nothing would contradict it.
    pub fn lasts(&self) -> Duration {
        match self {
            Self::BodyLimit(_)
            | Self::TakesChunks(_)
            | Self::KeepsSessions(_)
            | Self::MountsFromItself(_)
            | Self::MountsFromAnywhere(false)
            | Self::RefusedMounts(_)
            | Self::TagParameters(_)
            | Self::SinglePost(false)
            | Self::Http2(_) => 7 * DAY,
            // Tried again, it may say something.
            Self::TriedFromAnywhere(_) => Duration::from_hours(1),
            // Nothing would contradict the one in time; who else asks for how much changes by the hour.
            Self::FindsByMount(_) | Self::QuestionsAtOnce(_) | Self::BodiesAtOnce(_) => DAY,
            _ => 30 * DAY,
        }
    }

    /// When it is worth keeping again, although nothing about it has changed.
    pub(crate) fn renewed_after(&self) -> Duration {
        match self {
            // The longer ago, the less it proves.
            Self::ValidatesImages(_) | Self::ValidatesIndexes(_) | Self::ValidatesArtifacts(_) => {
                DAY / 4
            }
            // It is gone by for a day.
            Self::RefusedMounts(_) => DAY / 4,
            _ => self.lasts() / 4,
        }
    }

    /// The value, as stores keep it: JSON. None if it is too long to be kept.
    fn value(&self) -> Option<String> {
        let value = serde_json::to_string(self).ok()?;
        (value.len() <= MAX_VALUE).then_some(value)
    }

    fn read(key: &str, value: &str) -> Option<Self> {
        fn of<T: DeserializeOwned>(value: &str, fact: impl FnOnce(T) -> Fact) -> Option<Fact> {
            serde_json::from_str(value).ok().map(fact)
        }
        if value.len() > MAX_VALUE {
            return None;
        }
        match key {
            "challenge" => of(value, Self::Challenge),
            "mounts" => of(value, Self::Mounts),
            "mounts-from-itself" => of(value, Self::MountsFromItself),
            "finds-by-mount" => of(value, Self::FindsByMount),
            "mounts-from-anywhere" => of(value, Self::MountsFromAnywhere),
            refusals::KEY => of(value, Self::RefusedMounts),
            "tried-from-anywhere" => of(value, Self::TriedFromAnywhere),
            "body-limit" => of(value, Self::BodyLimit),
            "chunk-minimum" => of(value, Self::ChunkMinimum),
            "takes-chunks" => of(value, Self::TakesChunks),
            "keeps-sessions" => of(value, Self::KeepsSessions),
            "counts-one-more" => of(value, Self::CountsOneMore),
            "closes-empty" => of(value, Self::ClosesEmpty),
            "referrers" => of(value, Self::Referrers),
            "tag-parameters" => of(value, Self::TagParameters),
            "single-post" => of(value, Self::SinglePost),
            "validates-images" => of(value, Self::ValidatesImages),
            "validates-indexes" => of(value, Self::ValidatesIndexes),
            "validates-artifacts" => of(value, Self::ValidatesArtifacts),
            "http2" => of(value, Self::Http2),
            "questions-at-once" => of(value, Self::QuestionsAtOnce),
            "bodies-at-once" => of(value, Self::BodiesAtOnce),
            _ => None,
        }
    }

    /// What a registry bears of a kind of requests.
    pub(crate) fn of_load(work: Work, at_once: NonZeroUsize) -> Option<Self> {
        match work {
            Work::Questions => Some(Self::QuestionsAtOnce(at_once)),
            Work::Bodies => Some(Self::BodiesAtOnce(at_once)),
            Work::Downloads => None,
        }
    }

    /// What an upload has shown: what differs from what was known `before`.
    pub(crate) fn of_uploads(before: UploadProfile, now: UploadProfile) -> Vec<Self> {
        let mut facts = Vec::new();
        if let Some(limit) = now
            .body_limit
            .filter(|_| now.body_limit != before.body_limit)
        {
            facts.push(Self::BodyLimit(limit));
        }
        if let Some(keeps) = now
            .keeps_sessions
            .filter(|_| now.keeps_sessions != before.keeps_sessions)
        {
            facts.push(Self::KeepsSessions(keeps));
        }
        if now.refuses_chunks != before.refuses_chunks {
            facts.push(Self::TakesChunks(!now.refuses_chunks));
        }
        if now.counts_one_more != before.counts_one_more {
            facts.push(Self::CountsOneMore(now.counts_one_more));
        }
        if now.closes_empty != before.closes_empty {
            facts.push(Self::ClosesEmpty(now.closes_empty));
        }
        facts
    }
}

impl fmt::Display for Fact {
    /// One line for people. Parts of it are the registry's own words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge(KnownChallenge::Open) => f.write_str("lets everybody in"),
            Self::Challenge(KnownChallenge::Basic) => {
                f.write_str("wants a user name and a password")
            }
            Self::Challenge(KnownChallenge::Bearer { realm, service }) => {
                write!(f, "wants a token from {realm}")?;
                match service {
                    Some(service) => write!(f, " for {service}"),
                    None => Ok(()),
                }
            }
            Self::BodyLimit(bytes) => write!(f, "takes bodies of at most {bytes} bytes"),
            Self::QuestionsAtOnce(count) => write!(f, "bears {count} questions at once"),
            Self::BodiesAtOnce(count) => write!(f, "bears {count} bodies at once"),
            Self::RefusedMounts(it) if it.are_enough() => f.write_str("refuses mounts"),
            Self::RefusedMounts(it) => match it.count() {
                0 => f.write_str("has refused no mounts since it gave one"),
                1 => f.write_str("has refused a mount"),
                count => write!(f, "has refused {count} mounts"),
            },
            Self::ChunkMinimum(0) => f.write_str("takes chunks of any length"),
            Self::ChunkMinimum(bytes) => write!(f, "takes chunks of at least {bytes} bytes"),
            other => f.write_str(other.so_or_not().unwrap_or_default()),
        }
    }
}

impl Fact {
    /// What is so, or is not, in words.
    #[expect(clippy::too_many_lines, reason = "a table, two lines of it a fact")]
    fn so_or_not(&self) -> Option<&'static str> {
        let (so, words) = match self {
            Self::Http2(it) => (*it, ["speaks HTTP/2", "speaks HTTP/1.1"]),
            Self::Mounts(it) => (*it, ["mounts blobs", "does not mount blobs"]),
            Self::MountsFromAnywhere(it) => (
                *it,
                [
                    "mounts blobs from repositories that nobody names",
                    "mounts blobs only from repositories that are named",
                ],
            ),
            Self::TriedFromAnywhere(it) => (
                *it,
                [
                    "was asked in vain for a blob from a repository that nobody names",
                    "was not asked for a blob from a repository that nobody names",
                ],
            ),
            Self::FindsByMount(it) => (
                *it,
                [
                    "has found by a mount a blob that was there",
                    "does not find by a mount a blob that is there",
                ],
            ),
            Self::MountsFromItself(it) => (
                *it,
                [
                    "takes a mount for the question whether a blob is there",
                    "has to be asked apart whether a blob is there",
                ],
            ),
            Self::TakesChunks(it) => (*it, ["takes chunks", "takes no chunks"]),
            Self::KeepsSessions(it) => (
                *it,
                [
                    "keeps what it got of a broken upload",
                    "forgets what it got of a broken upload",
                ],
            ),
            Self::CountsOneMore(it) => (
                *it,
                [
                    "counts one byte too many of an upload",
                    "counts the bytes of an upload",
                ],
            ),
            Self::ClosesEmpty(it) => (
                *it,
                [
                    "takes no bytes with the end of an upload",
                    "takes bytes with the end of an upload",
                ],
            ),
            Self::Referrers(it) => (
                *it,
                [
                    "lists what refers to a manifest",
                    "does not list what refers to a manifest",
                ],
            ),
            Self::TagParameters(it) => (
                *it,
                ["takes several tags at once", "takes one tag at a time"],
            ),
            Self::SinglePost(it) => (
                *it,
                [
                    "takes a small blob in one request",
                    "takes no blob in one request",
                ],
            ),
            Self::ValidatesImages(it) => (
                *it,
                [
                    "refuses images with content missing",
                    "takes images with content missing",
                ],
            ),
            Self::ValidatesIndexes(it) => (
                *it,
                [
                    "refuses image indexes with manifests missing",
                    "takes image indexes with manifests missing",
                ],
            ),
            Self::ValidatesArtifacts(it) => (
                *it,
                [
                    "refuses artifacts with content missing",
                    "takes artifacts with content missing",
                ],
            ),
            _ => return None,
        };
        Some(words[usize::from(!so)])
    }
}

// === impl Seen ===

impl Seen {
    /// Whether it is still believed.
    pub fn is_current(&self, now: SystemTime) -> bool {
        match now.duration_since(self.at) {
            Ok(age) => age <= self.fact.lasts(),
            Err(ahead) => ahead.duration() <= AHEAD,
        }
    }
}

// === impl Profile ===

impl Profile {
    /// What can be read of what a store has, however old.
    pub fn read(kept: &[KeptFact]) -> Self {
        let facts = kept.iter().take(MAX_FACTS).filter_map(|it| {
            let fact = Fact::read(&it.key, &it.value)?;
            Some((fact.key(), Seen { fact, at: it.seen }))
        });
        Self {
            facts: facts.collect(),
        }
    }

    /// The facts, in the order of their keys.
    pub fn facts(&self) -> impl Iterator<Item = &Seen> {
        self.facts.values()
    }

    /// The same without what is too old to be believed.
    pub(crate) fn current(mut self, now: SystemTime) -> Self {
        self.facts.retain(|_, it| it.is_current(now));
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Seen> {
        self.facts.get(key)
    }

    pub(crate) fn challenge(&self) -> Option<&KnownChallenge> {
        match &self.get("challenge")?.fact {
            Fact::Challenge(it) => Some(it),
            _ => None,
        }
    }

    /// How many of which kind the registry bears, where it has shown that.
    pub(crate) fn at_once(&self) -> impl Iterator<Item = (Work, NonZeroUsize)> {
        self.facts().filter_map(|it| match it.fact {
            Fact::QuestionsAtOnce(count) => Some((Work::Questions, count)),
            Fact::BodiesAtOnce(count) => Some((Work::Bodies, count)),
            _ => None,
        })
    }

    pub(crate) fn uploads(&self) -> UploadProfile {
        let mut profile = UploadProfile::default();
        for it in self.facts() {
            match it.fact {
                Fact::BodyLimit(limit) => profile.body_limit = Some(limit),
                Fact::KeepsSessions(keeps) => profile.keeps_sessions = Some(keeps),
                Fact::TakesChunks(takes) => profile.refuses_chunks = !takes,
                Fact::CountsOneMore(counts) => profile.counts_one_more = counts,
                Fact::ClosesEmpty(closes) => profile.closes_empty = closes,
                _ => {}
            }
        }
        profile
    }
}

#[cfg(test)]
mod tests;
