//! Values as people write them: times and sizes.

use std::time::Duration;

use registry::{ChunkSize, TokenServiceHost, TokenServiceHostError};
use serde::Deserialize;

/// A time in the settings file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Duration);

/// A token service in the settings file.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TokenService(pub(super) TokenServiceHost);

/// `10s`, `5m`, `500ms`, `2h`; a plain number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is not a time: expected for instance 30s, 5m or 500ms"))?;
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        unit => return Err(format!("unit {unit:?} is not known: use ms, s, m or h")),
    };
    number
        .checked_mul(unit)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is too long a time"))
}

/// `auto`, or a number of bytes; 0 for one body each.
pub(super) fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    if text == "auto" {
        return Ok(ChunkSize::Auto);
    }
    let bytes = text.parse();
    bytes.map(ChunkSize::of).map_err(|_| {
        format!("{text:?} is no chunk size: expected auto, 0, or a number of bytes as 16777216")
    })
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration(&text).map(Self)
    }
}

impl TryFrom<String> for TokenService {
    type Error = TokenServiceHostError;

    fn try_from(text: String) -> Result<Self, TokenServiceHostError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert!(duration("5 parsecs").is_err());
        assert!(duration("99999999999999999999s").is_err());
        assert!(duration("18446744073709551615h").is_err());
    }
}
