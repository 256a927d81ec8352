//! Warnings: what is wrong and does not stand in the way, on standard error.

use std::{error::Error, fmt::Display, io::Write as _};

/// Tells of it. That nobody can be told is no reason to stop.
pub(crate) fn warn(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", line(text));
}

/// The line for it.
pub(crate) fn line(text: impl Display) -> String {
    format!("warning: {text}")
}

/// An error and its causes, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
