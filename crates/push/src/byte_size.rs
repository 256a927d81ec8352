//! Numbers of bytes, for people.

use std::fmt;

/// A number of bytes, written for a person: `0 B`, `1.5 KiB`, `20.0 MiB`.
///
/// Binary units up to PiB, one digit after the point, never rounded up. Width and
/// alignment of the format are heeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut unit = 0;
        let mut whole = self.0;
        let mut rest = 0;
        while whole >= 1024 && unit < UNITS.len() {
            rest = whole % 1024;
            whole /= 1024;
            unit += 1;
        }
        let unit = UNITS[unit - 1];
        f.pad(&format!("{whole}.{} {unit}", rest * 10 / 1024))
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_are_shown_in_binary_units_and_never_rounded_up() {
        let rows = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (5 * 1024 * 1024 + 512 * 1024, "5.5 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ];
        for (bytes, text) in rows {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
