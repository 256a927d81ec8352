//! Times as people write them: `250ms`, `5s`, `1m30s`; a plain number is seconds.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

/// The longest wait that can be asked for.
pub(super) const LONGEST: Duration = Duration::from_hours(1);

pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}ms", time.as_millis()))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_any(Visitor)
}

/// Takes a text, or a whole number of seconds.
struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"250ms\" or \"1m30s\", or a whole number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| refused(format_args!("{text:?}")))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        let time = u64::try_from(seconds).map(Duration::from_secs).ok();
        let time = time.filter(|it| *it <= LONGEST);
        time.ok_or_else(|| refused(format_args!("{seconds}")))
    }
}

fn refused<E: de::Error>(what: fmt::Arguments<'_>) -> E {
    E::custom(format_args!(
        "{what} is not a time: expected for instance \"250ms\", \"5s\" or \"1m30s\", of at most one hour"
    ))
}

/// The grammar is [humantime's](https://docs.rs/humantime/latest/humantime/fn.parse_duration.html),
/// and plain seconds.
fn parse(text: &str) -> Option<Duration> {
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).ok()?,
    };
    (time <= LONGEST).then_some(time)
}
