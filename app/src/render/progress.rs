//! What is shown while a push runs: bars on a terminal, a line per blob elsewhere.
//!
//! All of it goes to standard error; standard output carries the result only.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use push::{
    ByteSize, Done, Event, Observer,
    cache::{StoreEvent, StoreObserver},
};
use registry::{ClientEvent, ClientObserver};

use super::Short;
use crate::seconds::Seconds;
use crate::warning;

mod bars;
mod gauge;

use bars::Bars;

/// Shows a push's events as they come.
pub(crate) enum Progress {
    /// Bars that move.
    Bars(Mutex<Bars>),
    /// A line for each blob and manifest that is done.
    Lines,
    /// A line for what happens with hosts.
    Hosts,
    /// Nothing.
    Quiet,
}

/// One of several destinations, by its name.
pub(crate) struct Lane<'a> {
    name: &'a str,
    shown: Shown,
}

/// How it is shown.
enum Shown {
    /// A bar of its own.
    Bar(Mutex<Bars>),
    /// Lines that begin with its name.
    Lines,
    Nothing,
}

// === impl Progress ===

impl Progress {
    /// Bars on a terminal, lines elsewhere, nothing if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Quiet,
            (false, false) => Self::Lines,
            (false, true) => Self::Bars(Mutex::new(Bars::new())),
        }
    }

    /// What happens with hosts, in lines, and nothing else.
    pub(crate) fn plain() -> Self {
        Self::Hosts
    }

    /// Whether every blob was told of in a line that is still to be seen.
    pub(crate) fn told(&self) -> bool {
        matches!(self, Self::Lines)
    }

    /// Whether nothing is shown.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Quiet)
    }

    /// A line, beside what else is shown.
    pub(crate) fn say(&self, line: String) {
        match self {
            Self::Bars(bars) => {
                lock(bars).say(line);
            }
            Self::Lines | Self::Hosts => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Self::Quiet => {}
        }
    }

    /// One of several destinations, that is shown apart from the others.
    pub(crate) fn lane<'a>(&self, name: &'a str) -> Lane<'a> {
        let shown = match self {
            Self::Bars(bars) => Shown::Bar(Mutex::new(lock(bars).beside(name))),
            Self::Lines => Shown::Lines,
            Self::Hosts | Self::Quiet => Shown::Nothing,
        };
        Lane { name, shown }
    }

    /// Takes the bars off the screen.
    pub(crate) fn finish(&self) {
        if let Self::Bars(bars) = self {
            lock(bars).finish();
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        match self {
            Self::Bars(bars) => lock(bars).event(event),
            Self::Lines => {
                if let Some(line) = line(event) {
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
            Self::Hosts | Self::Quiet => {}
        }
    }
}

impl Observer for Lane<'_> {
    fn event(&self, event: &Event) {
        match &self.shown {
            Shown::Bar(bars) => lock(bars).event(event),
            Shown::Lines => {
                let told = match (event, line(event)) {
                    (_, None) => return,
                    // These say themselves what they are about.
                    (Event::Warning { .. } | Event::Altered { .. }, Some(line)) => line,
                    (_, Some(line)) => format!("{}: {}", self.name, line.trim_start()),
                };
                let _ = writeln!(std::io::stderr(), "{told}");
            }
            Shown::Nothing => {}
        }
    }
}

impl ClientObserver for Progress {
    fn event(&self, event: &ClientEvent) {
        if let Some(line) = of_host(event) {
            self.say(line);
        }
    }
}

impl StoreObserver for Progress {
    fn event(&self, event: &StoreEvent) {
        self.say(warning::line(event));
    }
}

/// The line for what happens with a host, if it has one.
fn of_host(event: &ClientEvent) -> Option<String> {
    match event {
        ClientEvent::Paused { host, wait } => Some(format!(
            "waiting {}: {host} wants no requests for so long",
            Seconds(*wait)
        )),
        ClientEvent::Warned { host, text } => Some(format!("warning from {host}: {text}")),
        _ => None,
    }
}

fn lock(bars: &Mutex<Bars>) -> MutexGuard<'_, Bars> {
    bars.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The line for an event, if it has one.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::Started {
            repository,
            digest,
            blobs,
            bytes,
        } => Some(format!(
            "pushing {} to {repository}: {blobs} blobs, {}",
            Short(digest),
            ByteSize(*bytes)
        )),
        Event::Done {
            digest, size, done, ..
        } => Some(format!(
            "  {} {:>11}  {}",
            Short(digest),
            ByteSize(*size),
            word(*done)
        )),
        Event::ManifestPut { digest, tag, .. } => Some(match tag {
            Some(tag) => format!("  {} manifest put as {tag}", Short(digest)),
            None => format!("  {} manifest put", Short(digest)),
        }),
        Event::Altered { place, next, .. } => Some(warning::line(altered(place, next))),
        Event::Warning { message } => Some(warning::line(message)),
        _ => None,
    }
}

/// What there is to say of a place that gave other bytes than a blob's.
fn altered(place: &str, next: &str) -> String {
    format!("{place} gave other bytes than its digest's: sent anew from {next}")
}

/// What was done with a blob, in a word.
pub(crate) fn word(done: Done) -> &'static str {
    match done {
        Done::Present => "already there",
        Done::Mounted => "mounted",
        Done::Uploaded => "uploaded",
        Done::Foreign => "foreign, kept out",
    }
}
