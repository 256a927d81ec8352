//! Outcomes, counted by class of fault.

use std::{collections::BTreeMap, fmt};

use crate::{
    fault::Class,
    trial::{End, Outcome, Promise},
};

/// The most broken promises that are kept to be shown.
const MAX_SHOWN: usize = 200;

/// What came of many trials.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    rows: BTreeMap<Class, Row>,
    broken: BTreeMap<Promise, u64>,
    shown: Vec<Outcome>,
    errors: BTreeMap<String, u64>,
    sessions: u64,
}

/// One class.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Pushes made.
    pub runs: u64,
    /// Requests or connections that something was done to.
    pub faults: u64,
    /// Pushes that got the image there.
    pub converged: u64,
    /// Pushes that ended in a typed error.
    pub failed: u64,
    /// Pushes that broke a promise.
    pub broken: u64,
    bytes: Vec<u64>,
    requests: Vec<u64>,
}

/// Median, 99th percentile and worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The median.
    pub median: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The worst.
    pub worst: u64,
}

impl Figures {
    /// Counts an outcome.
    pub fn count(&mut self, outcome: Outcome) {
        let row = self.rows.entry(outcome.class).or_default();
        row.runs += 1;
        row.faults += outcome.injected;
        row.bytes.push(outcome.extra_bytes);
        row.requests.push(outcome.extra_requests);
        self.sessions += outcome.sessions as u64;
        match &outcome.end {
            End::Converged => row.converged += 1,
            End::Failed(kind) => {
                row.failed += 1;
                // The name of a kind without what is particular to the case.
                let kind = kind.split([' ', '{']).next().unwrap_or("").to_owned();
                *self.errors.entry(kind).or_default() += 1;
            }
            End::Broken(promise, _) => {
                row.broken += 1;
                *self.broken.entry(*promise).or_default() += 1;
                if self.shown.len() < MAX_SHOWN {
                    self.shown.push(outcome);
                }
            }
        }
    }

    /// All classes together.
    pub fn total(&self) -> Row {
        let mut total = Row::default();
        for row in self.rows.values() {
            total.runs += row.runs;
            total.faults += row.faults;
            total.converged += row.converged;
            total.failed += row.failed;
            total.broken += row.broken;
            total.bytes.extend(&row.bytes);
            total.requests.extend(&row.requests);
        }
        total
    }

    /// One class; none if it was not tried.
    pub fn row(&self, class: Class) -> Option<&Row> {
        self.rows.get(&class)
    }

    /// The trials that broke a promise, the first two hundred.
    pub fn shown(&self) -> &[Outcome] {
        &self.shown
    }

    /// Promises that were broken, how often.
    pub fn broken(&self, promise: Promise) -> u64 {
        self.broken.get(&promise).copied().unwrap_or(0)
    }

    /// Kinds of typed errors, how often.
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Upload sessions that were left open.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }
}

impl Row {
    /// Bytes of blobs that were sent beyond those of a push without faults.
    pub fn extra_bytes(&self) -> Spread {
        Spread::of(&self.bytes)
    }

    /// The same of requests.
    pub fn extra_requests(&self) -> Spread {
        Spread::of(&self.requests)
    }
}

impl Spread {
    fn of(values: &[u64]) -> Self {
        let mut values = values.to_vec();
        values.sort_unstable();
        let at = |share: usize| {
            let place = (values.len().saturating_sub(1) * share).div_ceil(100);
            values.get(place).copied().unwrap_or(0)
        };
        Self {
            median: at(50),
            p99: at(99),
            worst: at(100),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} / {}", self.median, self.p99, self.worst)
    }
}

impl fmt::Display for Figures {
    /// A table, in Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | pushes | faults | converged | typed error | promise broken | extra bytes | extra requests |"
        )?;
        writeln!(
            f,
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        let rows = Class::ALL
            .iter()
            .filter_map(|class| Some((class.title(), self.row(*class)?.clone())));
        for (title, row) in rows.chain([("all", self.total())]) {
            writeln!(
                f,
                "| {title} | {} | {} | {} | {} | {} | {} | {} |",
                row.runs,
                row.faults,
                row.converged,
                row.failed,
                row.broken,
                row.extra_bytes(),
                row.extra_requests(),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_values_is_that_of_their_order() {
        let values: Vec<u64> = (1..=100).rev().collect();
        let expected = Spread {
            median: 51,
            p99: 100,
            worst: 100,
        };
        assert_eq!(Spread::of(&values), expected);
        assert_eq!(Spread::of(&[]), Spread::default());
    }
}
