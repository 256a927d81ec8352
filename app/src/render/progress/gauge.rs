//! One line of what is shown while a push runs, made to fit the terminal: a line that is too long
//! would be wrapped, and what is wrapped is not taken off the screen again.
//!
//! ```text
//! sha256:b50d4125a025      [=============>          ]  16.0 MiB of 28.6 MiB   25.9 MiB/s
//! sha256:b50d4125a025      [=====>   ]  16.0 MiB of 28.6 MiB
//! sha256:b50d4125a025        16.0 MiB of 28.6 MiB
//! sha256:b50d4125a025       56%
//! ```

use push::ByteSize;

/// The longest bar, in columns between its brackets.
const LONGEST: usize = 24;
/// The shortest that says anything.
const SHORTEST: usize = 8;

/// What a line shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge<'a> {
    pub(super) label: &'a str,
    /// How many columns labels get, so that lines are aligned.
    pub(super) label_columns: usize,
    /// Bytes done, and of how many; none if that is not known yet.
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    /// Bytes a second, if that is to be shown.
    pub(super) rate: Option<u64>,
}

impl Gauge<'_> {
    /// The line, in no more than `columns`.
    pub(super) fn line(&self, columns: usize) -> String {
        let label = self.label(columns);
        let Some(total) = self.total else {
            return label.trim_end().to_owned();
        };
        let left = columns.saturating_sub(self.label_columns);
        let (done, all) = (ByteSize(self.done).to_string(), ByteSize(total).to_string());
        let amount = format!("  {done:>9} of {all:<9}");
        let rate = self.rate.map(|it| {
            let rate = format!("{}/s", ByteSize(it));
            format!("  {rate:>12}")
        });
        let frame = " []".len();
        for rate in [rate.as_deref().unwrap_or_default(), ""] {
            let taken = frame + amount.len() + rate.len();
            let bar = left.saturating_sub(taken).min(LONGEST);
            if bar >= SHORTEST {
                let bar = self.bar(total, bar);
                return format!("{label} [{bar}]{amount}{rate}");
            }
        }
        if left >= amount.len() {
            return format!("{label}{amount}");
        }
        let percent = format!(" {:>3}%", percent(self.done, total));
        if left >= percent.len() {
            return format!("{label}{percent}");
        }
        label.trim_end().to_owned()
    }

    /// The label in its columns. Of one that is too long its end stays: that is what differs.
    fn label(&self, columns: usize) -> String {
        let room = self.label_columns.min(columns);
        let length = self.label.chars().count();
        if length <= room {
            return format!("{:room$}", self.label);
        }
        let Some(rest) = room.checked_sub(1) else {
            return String::new();
        };
        let end: String = self.label.chars().skip(length - rest).collect();
        format!("…{end}")
    }

    fn bar(&self, total: u64, columns: usize) -> String {
        let filled = usize::try_from(percent(self.done, total)).unwrap_or(100) * columns / 100;
        let mut bar = "=".repeat(filled);
        if filled < columns {
            bar.push('>');
        }
        format!("{bar:columns$}")
    }
}

/// How much of it is done: 0 to 100, all of nothing being 100.
fn percent(done: u64, total: u64) -> u64 {
    let of_hundred = u128::from(done.min(total)) * 100;
    let percent = of_hundred.checked_div(u128::from(total)).unwrap_or(100);
    u64::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn gauge(label: &str, rate: Option<u64>) -> Gauge<'_> {
        Gauge {
            label,
            label_columns: 24,
            done: 16 * MIB,
            total: Some(32 * MIB),
            rate,
        }
    }

    /// What is least needed goes first: the bar's length, the rate, the bar, the amounts.
    #[test]
    fn z11_a_line_fits_whatever_the_width() {
        let it = gauge("pushing 5 blobs", Some(25 * MIB));
        for (columns, expected) in [
            (
                200,
                "pushing 5 blobs          [============>           ]   16.0 MiB of 32.0 MiB     25.0 MiB/s",
            ),
            (
                78,
                "pushing 5 blobs          [======>      ]   16.0 MiB of 32.0 MiB     25.0 MiB/s",
            ),
            (
                72,
                "pushing 5 blobs          [==========>          ]   16.0 MiB of 32.0 MiB ",
            ),
            (48, "pushing 5 blobs            16.0 MiB of 32.0 MiB "),
            (39, "pushing 5 blobs           50%"),
            (26, "pushing 5 blobs"),
            (9, "… 5 blobs"),
            (0, ""),
        ] {
            let line = it.line(columns);
            assert_eq!(line, expected, "{columns}");
            assert!(line.chars().count() <= columns, "{columns}");
        }
        for columns in 0..240 {
            assert!(it.line(columns).chars().count() <= columns, "{columns}");
        }
    }

    #[test]
    fn a_long_label_keeps_its_end() {
        let long = "registry.example.com/a-team/an-app:1.2";
        let line = gauge(long, None).line(100);
        assert!(line.starts_with("…e.com/a-team/an-app:1.2 ["), "{line}");
    }

    /// More than all of it: what is sent again counts once more.
    #[test]
    fn nothing_and_too_much_are_all_of_it() {
        for (done, total) in [(0, 0), (5, 3), (u64::MAX, 1)] {
            assert_eq!(percent(done, total), 100);
        }
        assert_eq!(percent(u64::MAX / 2, u64::MAX), 49);
        assert_eq!(percent(0, 7), 0);
    }

    #[test]
    fn what_is_not_known_yet_is_a_label_alone() {
        let unknown = Gauge {
            total: None,
            ..gauge("reading the image", Some(0))
        };
        assert_eq!(unknown.line(80), "reading the image");
    }
}
