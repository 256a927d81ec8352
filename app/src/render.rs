//! What the command prints: for people, for scripts, while it runs and when it ends.

pub(crate) mod age;
pub(crate) mod human;
pub(crate) mod progress;

use std::fmt::{self, Write as _};

use oci::Digest;

/// The first twelve digits of a digest, with its algorithm: enough for people.
pub(crate) struct Short<'a>(pub(crate) &'a Digest);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.algorithm(), &self.0.encoded()[..12])
    }
}

/// The most characters shown of a text of somebody else's.
const MAX_FOREIGN: usize = 300;

/// A text of somebody else's, on one line: what a terminal would act on is shown as what it is.
pub(crate) struct Foreign<'a>(pub(crate) &'a str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in self.0.chars().take(MAX_FOREIGN) {
            // Beside control characters, those that turn the direction of writing round or are not
            // seen at all.
            let unseen = matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if it.is_control() || unseen {
                write!(f, "{}", it.escape_default())?;
            } else {
                f.write_char(it)?;
            }
        }
        if self.0.chars().nth(MAX_FOREIGN).is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}
