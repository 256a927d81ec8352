//! What is shown while a push runs: bars on a terminal, a line per blob elsewhere.
//!
//! All of it goes to standard error; standard output carries the result only.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use oci::Digest;
use push::{
    ByteSize, Done, Event, Observer,
    cache::{StoreEvent, StoreObserver},
};
use registry::{ClientEvent, ClientObserver};

use super::Short;
use crate::seconds::Seconds;
use crate::warning;

/// The most blobs that get a bar of their own at one time.
const MOST_BARS: usize = 8;

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

/// The bars: one for the whole push, and one for each of the blobs on their way.
pub(crate) struct Bars {
    screen: MultiProgress,
    whole: ProgressBar,
    blobs: HashMap<Digest, Blob>,
}

struct Blob {
    bar: Option<ProgressBar>,
    position: u64,
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

    /// Lines, nothing if `quiet`.
    pub(crate) fn lines(quiet: bool) -> Self {
        if quiet { Self::Quiet } else { Self::Lines }
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
                let _ = lock(bars).screen.println(line);
            }
            Self::Lines | Self::Hosts => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Self::Quiet => {}
        }
    }

    /// Takes the bars off the screen.
    pub(crate) fn finish(&self) {
        if let Self::Bars(bars) = self {
            let bars = lock(bars);
            bars.whole.finish_and_clear();
            let _ = bars.screen.clear();
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

// === impl Bars ===

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let whole = screen.add(ProgressBar::no_length());
        whole.set_style(style(
            "{spinner} {msg:24} [{bar:24}] {binary_bytes:>11} of {binary_total_bytes:<11} {binary_bytes_per_sec}",
        ));
        whole.set_message("reading the image");
        whole.enable_steady_tick(std::time::Duration::from_millis(120));
        Self {
            screen,
            whole,
            blobs: HashMap::new(),
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { blobs, bytes, .. } => {
                self.whole.set_length(*bytes);
                self.whole.set_message(format!("pushing {blobs} blobs"));
            }
            Event::Bytes {
                digest,
                position,
                size,
            } => self.advance(digest, *position, *size),
            Event::Done { digest, size, .. } => {
                let blob = self.blobs.remove(digest);
                let shown = blob.as_ref().map_or(0, |it| it.position);
                self.whole.inc(size.saturating_sub(shown));
                if let Some(bar) = blob.and_then(|it| it.bar) {
                    bar.finish_and_clear();
                    self.screen.remove(&bar);
                }
            }
            Event::ManifestPut { .. } => self.whole.set_message("putting manifests"),
            Event::Altered { place, next, .. } => {
                let _ = self.screen.println(warning::line(altered(place, next)));
            }
            Event::Warning { message } => {
                let _ = self.screen.println(warning::line(message));
            }
            _ => {}
        }
    }

    fn advance(&mut self, digest: &Digest, position: u64, size: u64) {
        let bars = self.blobs.values().filter(|it| it.bar.is_some()).count();
        let blob = self.blobs.entry(digest.clone()).or_insert_with(|| Blob {
            bar: (bars < MOST_BARS).then(|| {
                let bar = self
                    .screen
                    .insert_before(&self.whole, ProgressBar::new(size));
                bar.set_style(style(
                    "  {msg:24} [{bar:24}] {binary_bytes:>11} of {binary_total_bytes}",
                ));
                bar.set_message(Short(digest).to_string());
                bar
            }),
            position: 0,
        });
        if position >= blob.position {
            self.whole.inc(position - blob.position);
        } else {
            self.whole.dec(blob.position - position);
        }
        blob.position = position;
        if let Some(bar) = &blob.bar {
            bar.set_position(position);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
