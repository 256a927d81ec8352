//! Sizes and times as people read them.

use std::time::{Duration, SystemTime};

/// A point in time, twice.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// As RFC 3339 has it.
    pub(super) exact: String,
    /// As a person would say it.
    pub(super) ago: String,
}

impl Moment {
    pub(super) fn of(time: SystemTime) -> Self {
        let passed = SystemTime::now().duration_since(time).unwrap_or_default();
        Self {
            exact: humantime::format_rfc3339_seconds(time).to_string(),
            ago: ago(passed),
        }
    }
}

fn ago(passed: Duration) -> String {
    let seconds = passed.as_secs();
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        86_400..2_592_000 => (seconds / 86_400, "day"),
        2_592_000..31_536_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// Bytes with a unit: `312 B`, `1.4 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, rounded; whole numbers keep it exact.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    for unit in UNITS {
        if tenths < 10_240 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_a_person_would_choose() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (3 << 20, "3.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_said_in_their_largest_unit() {
        for (seconds, text) in [
            (0, "just now"),
            (60, "1 minute ago"),
            (7199, "1 hour ago"),
            (200_000, "2 days ago"),
            (40_000_000, "1 year ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }
}
