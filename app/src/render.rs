//! What the command prints: for people, for scripts, while it runs and when it ends.

pub(crate) mod human;
pub(crate) mod progress;

use std::fmt;

use oci::Digest;

/// A number of bytes for people: `0 B`, `1.5 KiB`, `20.0 MiB`.
pub(crate) struct Size(pub(crate) u64);

/// The first twelve digits of a digest, with its algorithm: enough for people.
pub(crate) struct Short<'a>(pub(crate) &'a Digest);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut unit = 0;
        let mut tenths = self.0.saturating_mul(10) / 1024;
        while tenths >= 10 * 1024 && unit + 1 < UNITS.len() {
            tenths /= 1024;
            unit += 1;
        }
        f.pad(&format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]))
    }
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.algorithm(), &self.0.encoded()[..12])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let text = |bytes| Size(bytes).to_string();
        assert_eq!(text(0), "0 B");
        assert_eq!(text(1023), "1023 B");
        assert_eq!(text(1536), "1.5 KiB");
        assert_eq!(text(20 * 1024 * 1024), "20.0 MiB");
        assert_eq!(text(1024 * 1024 - 1), "1023.9 KiB");
        assert_eq!(text(u64::MAX), "16384.0 PiB");
    }
}
