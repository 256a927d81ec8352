//! Times that are written into manifests: RFC 3339, in whole seconds, in UTC.

/// The last second that four digits of a year reach.
const LAST: u64 = 253_402_300_799;

/// The time as RFC 3339 has it: of seconds since 1970, or of such a text, which stays as it is.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        if seconds > LAST {
            return Err("that is after the year 9999".to_owned());
        }
        return Ok(of_epoch(seconds));
    }
    let is_whole =
        |it: &toml::value::Datetime| it.date.is_some() && it.time.is_some() && it.offset.is_some();
    match text.parse::<toml::value::Datetime>() {
        Ok(time) if is_whole(&time) => Ok(text.to_owned()),
        _ => Err("a time is written 2026-11-22T08:00:00Z, or as seconds since 1970".to_owned()),
    }
}

/// The time that is this many seconds after 1970.
fn of_epoch(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date that is this many days after 1970-01-01, by the calendar's periods of 400, 100, 4 and
/// 1 years that begin on the first of March.
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01 on.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_rfc_3339_has_it() {
        for (seconds, expected) in [
            ("0", "1970-01-01T00:00:00Z"),
            ("951782400", "2000-02-29T00:00:00Z"),
            ("1577836800", "2020-01-01T00:00:00Z"),
            ("1709251199", "2024-02-29T23:59:59Z"),
            ("4107542400", "2100-03-01T00:00:00Z"),
            ("253402300799", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(parse(seconds).unwrap(), expected);
        }
        assert!(parse("253402300800").is_err());
    }

    #[test]
    fn a_text_of_the_form_stays_and_any_other_is_refused() {
        for right in ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5+02:00"] {
            assert_eq!(parse(right).unwrap(), right);
        }
        for wrong in [
            "",
            "now",
            "-1",
            "2020-01-01",
            "2020-01-01T00:00:00",
            "2020-13-01T00:00:00Z",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
