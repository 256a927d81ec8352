//! Values as people write them: times and sizes.

use std::{fmt, time::Duration};

use registry::{ChunkSize, Rate, RequestRate, TrustedHost, TrustedHostError};
use serde::{Deserialize, Deserializer, de};

/// A time in the settings file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) Duration);

/// A host in the settings file that may have credentials.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Trusted(pub(super) TrustedHost);

/// `10s`, `5m`, `500ms`, `1h30m`; a plain number is seconds. The grammar is
/// [humantime's](https://docs.rs/humantime/latest/humantime/fn.parse_duration.html).
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    use humantime::DurationError;
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| match error {
        DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => {
            format!("unit {unit:?} is not known: use ms, s, m, h or d")
        }
        DurationError::NumberOverflow => format!("{text:?} is too long a time"),
        _ => format!("{text:?} is not a time: expected for instance 90, 30s, 5m, 1h30m or 500ms"),
    })
}

/// `auto`, or a number of bytes, also with a unit; 0 for one body each.
pub(super) fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    if text == "auto" {
        return Ok(ChunkSize::Auto);
    }
    let size = size(text).map_err(|reason| {
        format!("{text:?} is no chunk size: {reason}; or auto, or 0 for one body each")
    });
    size.map(ChunkSize::of)
}

/// Bytes a second: `10MiB`, `500kB`, with or without `/s`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let bytes = size(text.strip_suffix("/s").unwrap_or(text))
        .map_err(|reason| format!("{text:?} is no rate: {reason}"))?;
    if bytes == 0 {
        return Err("a rate of 0 would send nothing: leave the limit out to have none".into());
    }
    Rate::per_second(bytes).map_err(|error| error.to_string())
}

/// Requests in a time: `50/s`, `600/min`, `100/h`.
pub(super) fn requests(text: &str) -> Result<RequestRate, String> {
    let wrong =
        || format!("{text:?} is no rate of requests: expected for instance 50/s, 600/min or 100/h");
    let (number, per) = text.split_once('/').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    let per = match per {
        "s" => Duration::from_secs(1),
        "min" | "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => return Err(wrong()),
    };
    if number == 0 {
        return Err("a rate of 0 would send nothing: leave the limit out to have none".into());
    }
    RequestRate::new(number, per).map_err(|error| format!("{text:?} is {error}"))
}

/// A number of bytes, also with a unit.
pub(crate) fn length(text: &str) -> Result<u64, String> {
    size(text).map_err(|reason| format!("{text:?} is no size: {reason}"))
}

/// `16777216`, `16MiB`, `16MB`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a whole number of bytes, as 16777216, 16MiB or 16MB".to_owned())?;
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        unit => {
            return Err(format!(
                "unit {unit:?} is not known: use kB, KiB, MB, MiB, GB or GiB"
            ));
        }
    };
    number
        .checked_mul(unit)
        .ok_or_else(|| "the number is too large".to_owned())
}

/// A chunk size in the settings file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Amount")]
pub(super) struct Chunks(pub(super) ChunkSize);

/// A length in the settings file, in bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Amount")]
pub(super) struct Length(pub(super) u64);

/// A rate in the settings file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Amount")]
pub(super) struct Speed(pub(super) Rate);

/// A rate of requests in the settings file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Requests(pub(super) RequestRate);

/// A number, with a unit or without.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number, or text as \"16MiB\"")]
enum Amount {
    Number(u64),
    Text(String),
}

impl Amount {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl TryFrom<Amount> for Chunks {
    type Error = String;

    fn try_from(amount: Amount) -> Result<Self, String> {
        chunk_size(&amount.text()).map(Self)
    }
}

impl TryFrom<Amount> for Length {
    type Error = String;

    fn try_from(amount: Amount) -> Result<Self, String> {
        length(&amount.text()).map(Self)
    }
}

impl TryFrom<Amount> for Speed {
    type Error = String;

    fn try_from(amount: Amount) -> Result<Self, String> {
        rate(&amount.text()).map(Self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TimeVisitor)
    }
}

/// Takes a text, or a whole number of seconds.
struct TimeVisitor;

impl de::Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"30s\" or \"1h30m\", or a whole number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        duration(text).map(Time).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Time, E> {
        Ok(Time(Duration::from_secs(seconds)))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Time, E> {
        let positive = u64::try_from(seconds);
        let seconds = positive.map_err(|_| E::custom(format!("{seconds} is not a time")))?;
        self.visit_u64(seconds)
    }
}

impl TryFrom<String> for Requests {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        requests(&text).map(Self)
    }
}

impl TryFrom<String> for Trusted {
    type Error = TrustedHostError;

    fn try_from(text: String) -> Result<Self, TrustedHostError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_rates_are_read_with_their_units_and_nothing_is_guessed() {
        let bytes = |text| rate(text).map(Rate::bytes);
        for (text, expected) in [
            ("1024", 1024),
            ("500kB", 500_000),
            ("10MB", 10_000_000),
            ("10MiB", 10 << 20),
            ("10MiB/s", 10 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("0", "leave the limit out"),
            ("0MiB", "leave the limit out"),
            ("10", "from 1024"),
            ("9999GiB", "from 1024"),
            ("99999999999GiB", "too large"),
            ("10M", "use kB, KiB, MB"),
            ("10Mbit/s", "use kB, KiB, MB"),
            ("1.5MiB", "whole number"),
            ("-1", "whole number"),
            ("", "whole number"),
            ("MiB", "whole number"),
        ] {
            let error = bytes(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn p11_rates_of_requests_are_read_with_their_time() {
        let every = |text| requests(text).map(RequestRate::every);
        for (text, millis) in [
            ("50/s", 20),
            ("1/s", 1000),
            ("600/min", 100),
            ("600/m", 100),
            ("100/h", 36_000),
        ] {
            assert_eq!(every(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, part) in [
            ("50", "50/s, 600/min"),
            ("50/day", "50/s, 600/min"),
            ("-1/s", "50/s, 600/min"),
            ("0.5/s", "50/s, 600/min"),
            ("/s", "50/s, 600/min"),
            ("0/s", "leave the limit out"),
            ("10001/s", "10,000 a second"),
            ("99999999999/s", "50/s, 600/min"),
        ] {
            let error = every(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn chunk_sizes_are_read_with_their_units() {
        assert_eq!(chunk_size("auto"), Ok(ChunkSize::Auto));
        assert_eq!(chunk_size("0"), Ok(ChunkSize::Whole));
        assert_eq!(chunk_size("16MiB"), Ok(ChunkSize::of(16 << 20)));
        assert_eq!(chunk_size("16777216"), Ok(ChunkSize::of(16 << 20)));
        let error = chunk_size("much").unwrap_err();
        assert!(error.contains("auto"), "{error}");
    }

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for (text, part) in [
            ("5 parsecs", "\"parsecs\" is not known"),
            ("", "not a time"),
            ("-5s", "not a time"),
            ("1h30", "not a time"),
            ("soon", "not a time"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(duration("99999999999999999999s").is_err());
        assert!(duration("18446744073709551615h").is_err());
    }
}
