//! What was learned of hosts, and the pauses they asked for.
//!
//! The keys and values are their writers' own; nothing here reads them. They are hints of
//! what a host was like, so a fact carries when it was seen, and its readers decide how
//! long to believe it.

use std::time::{Duration, SystemTime};

use super::{
    State, millis,
    table::{Access, Fact},
    time,
};
use crate::journal::StateError;

/// The longest host or key, in bytes.
const NAME: usize = 512;
/// The longest value, in bytes.
const VALUE: usize = 4096;

/// What turns are kept under, among the pauses: until the last one is over, nobody else sends.
const TURNS: &str = "turns ";
/// How far ahead turns are taken, in milliseconds: an hour.
const LONGEST_QUEUE: u64 = 60 * 60 * 1000;

/// The longest pause that is believed, in milliseconds: an hour more than any that is asked for.
/// One that is longer was noted by a clock that has been set back since, and would hold until
/// that time comes.
const LONGEST_PAUSE: u64 = 7 * 60 * 60 * 1000;

/// Something learned of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostFact {
    /// The host, as its writer names it.
    pub host: String,
    /// What it is about.
    pub key: String,
    /// What was learned. Never a secret.
    pub value: String,
    /// When.
    pub seen: SystemTime,
}

impl State {
    /// What is known about a host.
    pub async fn host_fact(&self, host: &str, key: &str) -> Result<Option<HostFact>, StateError> {
        let (host, key) = (host.to_owned(), key.to_owned());
        let read = self.run(Access::Read, move |table, _| table.fact(&host, &key));
        Ok(read.await?.map(HostFact::from))
    }

    /// Keeps something about a host, in the place of what was known before. Host and key have
    /// at most 512 bytes, the value 4096.
    pub async fn put_host_fact(
        &self,
        host: &str,
        key: &str,
        value: &str,
    ) -> Result<(), StateError> {
        bounded("a host", host, NAME)?;
        bounded("a key", key, NAME)?;
        bounded("a value", value, VALUE)?;
        let (host, key, value) = (host.to_owned(), key.to_owned(), value.to_owned());
        self.run(Access::Write, move |table, now| {
            table.put_fact(&Fact {
                host,
                key,
                value,
                seen: now.time,
            })
        })
        .await
    }

    /// Keeps several things about a host, keys and values, all of them or none; each as
    /// [`put_host_fact`](Self::put_host_fact) does.
    pub async fn put_host_facts(
        &self,
        host: &str,
        facts: Vec<(String, String)>,
    ) -> Result<(), StateError> {
        bounded("a host", host, NAME)?;
        for (key, value) in &facts {
            bounded("a key", key, NAME)?;
            bounded("a value", value, VALUE)?;
        }
        let host = host.to_owned();
        self.run(Access::Write, move |table, now| {
            for (key, value) in facts {
                table.put_fact(&Fact {
                    host: host.clone(),
                    key,
                    value,
                    seen: now.time,
                })?;
            }
            Ok(())
        })
        .await
    }

    /// Everything that is known about a host, ordered by key; at most 4096 facts.
    pub async fn facts_of_host(&self, host: &str) -> Result<Vec<HostFact>, StateError> {
        let host = host.to_owned();
        let read = self.run(Access::Read, move |table, _| table.facts_of(&host));
        Ok(read.await?.into_iter().map(HostFact::from).collect())
    }

    /// Forgets a host, and says how many facts that were.
    pub async fn forget_host(&self, host: &str) -> Result<usize, StateError> {
        let host = host.to_owned();
        self.run(Access::Write, move |table, _| table.forget(&host))
            .await
    }

    /// Everything that is known, ordered by host and key; at most 4096 facts.
    pub async fn host_facts(&self) -> Result<Vec<HostFact>, StateError> {
        let facts = self.run(Access::Read, |table, _| table.facts()).await?;
        Ok(facts.into_iter().map(HostFact::from).collect())
    }

    /// Until when nobody should send requests to a host; none if it is not pausing.
    pub async fn pause_until(&self, host: &str) -> Result<Option<SystemTime>, StateError> {
        let host = host.to_owned();
        self.run(Access::Read, move |table, now| {
            let until = table.pause(&host)?.filter(|it| is_believed(*it, now.time));
            Ok(until.map(time))
        })
        .await
    }

    /// Takes the next stretch of time of this length, in which nobody else sends a request to a host,
    /// and says when it begins: now, or when the last one ends that was taken. Whole milliseconds.
    pub async fn take_turns(&self, host: &str, length: Duration) -> Result<SystemTime, StateError> {
        bounded("a host", host, NAME)?;
        let turns = format!("{TURNS}{host}");
        let length = length.as_nanos().div_ceil(1_000_000);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.run(Access::Hint, move |table, now| {
            let soon = now.time..now.time.saturating_add(LONGEST_QUEUE);
            // A clock that was set back is not waited for.
            let taken = table.pause(&turns)?.filter(|it| soon.contains(it));
            let begin = taken.unwrap_or(now.time);
            table.put_pause(&turns, begin.saturating_add(length))?;
            Ok(time(begin))
        })
        .await
    }

    /// Has everybody leave a host alone until then, for seven hours at most. A longer pause is not
    /// made shorter.
    pub async fn pause(&self, host: &str, until: SystemTime) -> Result<(), StateError> {
        bounded("a host", host, NAME)?;
        let (host, until) = (host.to_owned(), millis(until));
        self.run(Access::Write, move |table, now| {
            let until = until.min(now.time.saturating_add(LONGEST_PAUSE));
            let going = table.pause(&host)?.filter(|it| is_believed(*it, now.time));
            if going.is_some_and(|it| it >= until) {
                Ok(())
            } else {
                table.put_pause(&host, until)
            }
        })
        .await
    }
}

/// Whether a pause that ends then is going on.
fn is_believed(until: u64, now: u64) -> bool {
    (now.saturating_add(1)..=now.saturating_add(LONGEST_PAUSE)).contains(&until)
}

fn bounded(what: &'static str, text: &str, limit: usize) -> Result<(), StateError> {
    let length = text.len();
    if length > limit {
        return Err(StateError::TooLong {
            what,
            length,
            limit,
        });
    }
    Ok(())
}

impl From<Fact> for HostFact {
    fn from(fact: Fact) -> Self {
        Self {
            host: fact.host,
            key: fact.key,
            value: fact.value,
            seen: time(fact.seen),
        }
    }
}
