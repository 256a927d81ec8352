//! The log as text, and what can be computed from it.

use std::{collections::HashMap, time::Instant};

use super::{Entry, Outcome};
use crate::route::decoded;

const UPLOADS: &str = "/blobs/uploads/";

pub(super) fn lines(entries: &[Entry]) -> Vec<String> {
    let mut sessions = Sessions::default();
    entries
        .iter()
        .map(|entry| line(entry, &mut sessions))
        .collect()
}

/// Upload sessions in the order they were first seen.
#[derive(Default)]
struct Sessions<'a>(HashMap<&'a str, usize>);

impl<'a> Sessions<'a> {
    fn number(&mut self, id: &'a str) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(id).or_insert(next)
    }
}

fn line<'a>(entry: &'a Entry, sessions: &mut Sessions<'a>) -> String {
    let mut path = entry.path.clone();
    if let Some((name, id)) = entry.path.split_once(UPLOADS)
        && !id.is_empty()
    {
        path = format!("{name}{UPLOADS}<{}>", sessions.number(id));
    }
    let query: Vec<String> = entry
        .query
        .iter()
        .flat_map(|query| query.split('&'))
        .filter(|part| !part.is_empty() && !part.starts_with("_state="))
        .map(decoded)
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let outcome = match entry.outcome {
        Outcome::Open => "…".to_owned(),
        Outcome::Answered(status) => status.to_string(),
        Outcome::Reset => "reset".to_owned(),
        Outcome::Gone => "gone".to_owned(),
    };
    let (method, query) = (&entry.method, query.join("&"));
    format!("{method} {path}{mark}{query} → {outcome}")
}

pub(super) fn depth(entries: &[Entry]) -> usize {
    // Moments in order: at each end, the chain that ends there may be gone on from;
    // at each start, the longest such chain is what this request stands on.
    let mut moments: Vec<(Instant, bool, usize)> = Vec::with_capacity(entries.len() * 2);
    for (at, entry) in entries.iter().enumerate() {
        moments.push((entry.started, true, at));
        if let Some(ended) = entry.ended {
            moments.push((ended, false, at));
        }
    }
    // At one instant ends come first: an answer may be followed within a tick of the clock.
    moments.sort_unstable();
    let mut chain = vec![0; entries.len()];
    let (mut finished, mut longest) = (0, 0);
    for (_, starts, at) in moments {
        if starts {
            chain[at] = finished + 1;
            longest = longest.max(chain[at]);
        } else {
            finished = finished.max(chain[at]);
        }
    }
    longest
}

pub(super) fn peak_in_flight(entries: &[Entry]) -> usize {
    let mut moments: Vec<(Instant, bool)> = Vec::with_capacity(entries.len() * 2);
    for entry in entries {
        moments.push((entry.started, true));
        moments.extend(entry.ended.map(|ended| (ended, false)));
    }
    moments.sort_unstable();
    let (mut now, mut peak) = (0_usize, 0);
    for (_, starts) in moments {
        if starts {
            now += 1;
            peak = peak.max(now);
        } else {
            now = now.saturating_sub(1);
        }
    }
    peak
}
