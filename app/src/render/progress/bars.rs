//! The bars of a push: one for all of it, and one for each of the blobs on their way.
//!
//! Of several destinations each has one bar and no more: what is on its way to all of them would be
//! shown once for each.

use std::{collections::HashMap, fmt, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use oci::Digest;
use push::Event;

use super::{super::Short, altered, gauge::Gauge};
use crate::warning;

/// The most blobs that get a bar of their own at one time.
const MOST_BARS: usize = 8;
/// What a terminal has that does not say how wide it is.
const COLUMNS: usize = 80;
/// How many columns digests and phases get, and how many names of destinations.
const LABEL: usize = 24;
const NAME: usize = 36;
/// What stands before every line.
const MARGIN: usize = 2;

/// The bars of one destination.
pub(crate) struct Bars {
    screen: MultiProgress,
    whole: ProgressBar,
    /// The destination's name, where there are several.
    name: Option<String>,
    blobs: HashMap<Digest, Blob>,
}

struct Blob {
    bar: Option<ProgressBar>,
    position: u64,
}

impl Bars {
    pub(super) fn new() -> Self {
        let screen = MultiProgress::new();
        let whole = screen.add(ProgressBar::no_length());
        let bars = Self {
            screen,
            whole,
            name: None,
            blobs: HashMap::new(),
        };
        bars.phase("reading the image");
        bars.whole.enable_steady_tick(Duration::from_millis(120));
        bars
    }

    /// The same for one of several destinations, on the same screen. The bar that is for all of them
    /// has nothing more to show.
    pub(super) fn beside(&self, name: &str) -> Self {
        self.whole.finish_and_clear();
        let bars = Self {
            screen: self.screen.clone(),
            whole: self.screen.add(ProgressBar::no_length()),
            name: Some(name.to_owned()),
            blobs: HashMap::new(),
        };
        bars.phase("");
        bars.whole.enable_steady_tick(Duration::from_millis(120));
        bars
    }

    pub(super) fn say(&self, line: String) {
        let _ = self.screen.println(line);
    }

    pub(super) fn finish(&self) {
        self.whole.finish_and_clear();
        let _ = self.screen.clear();
    }

    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Started { blobs, bytes, .. } => {
                self.whole.set_length(*bytes);
                self.phase(&format!("pushing {blobs} blobs"));
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
            Event::ManifestPut { .. } => self.phase("putting manifests"),
            Event::Altered { place, next, .. } => self.say(warning::line(altered(place, next))),
            Event::Warning { message } => self.say(warning::line(message)),
            _ => {}
        }
    }

    /// What is being done, unless a name stands in its place.
    fn phase(&self, phase: &str) {
        let (label, columns) = match &self.name {
            Some(name) => (name.as_str(), NAME),
            None => (phase, LABEL),
        };
        self.whole
            .set_style(style("{spinner} {gauge}", label, (columns, true)));
    }

    fn advance(&mut self, digest: &Digest, position: u64, size: u64) {
        let bars = self.blobs.values().filter(|it| it.bar.is_some()).count();
        let has_bar = self.name.is_none() && bars < MOST_BARS;
        let blob = self.blobs.entry(digest.clone()).or_insert_with(|| Blob {
            bar: has_bar.then(|| {
                let bar = self
                    .screen
                    .insert_before(&self.whole, ProgressBar::new(size));
                let label = Short(digest).to_string();
                bar.set_style(style("  {gauge}", &label, (LABEL, false)));
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

impl Drop for Bars {
    fn drop(&mut self) {
        self.whole.finish_and_clear();
    }
}

/// A style whose `gauge` fits the terminal as it is when the line is drawn.
fn style(template: &str, label: &str, (label_columns, with_rate): (usize, bool)) -> ProgressStyle {
    let label = label.to_owned();
    let gauge = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let gauge = Gauge {
            label: &label,
            label_columns,
            done: state.pos(),
            total: state.len(),
            rate: with_rate.then(|| whole_bytes(state.per_sec())),
        };
        // The last column stays free: some terminals wrap when it is written.
        let _ = out.write_str(&gauge.line(columns().saturating_sub(MARGIN + 1)));
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("gauge", gauge)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate to be looked at; what does not fit is cut off at the ends"
)]
fn whole_bytes(per_second: f64) -> u64 {
    per_second as u64
}

/// How wide the terminal is now.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(COLUMNS, |(width, _)| usize::from(width.0))
}
