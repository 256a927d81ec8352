//! Reading an export, line by line: what is no fact is told by its number and costs nothing else.

use std::{
    io::{self, BufRead, Read as _},
    time::SystemTime,
};

use push::{
    ByteSize, State,
    index::{
        BlobIndex as _, Sighting,
        text::{self, LineError, MAX_LINE},
    },
};

use super::TOLD;
use crate::error::AppError;

/// How many lines are read, inclusive: what sixteen machines keep, each as much as one can.
const MOST_LINES: usize = 16 * 65_536;
/// How many bytes are read, inclusive, lines that are dropped among them: as many lines, a quarter of the longest each.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// How many facts are written at once.
const BATCH: usize = 1024;
/// After how many facts the index is kept within its bounds: it does not grow by what will not stay.
const UNBOUNDED: usize = 8 * BATCH;

/// What came of an import.
#[derive(Debug, Default)]
pub(super) struct Imported {
    /// Lines that are facts.
    pub(super) facts: usize,
    /// Those that were not known, or not as newly.
    pub(super) news: usize,
    /// Those that are too old or too many to be kept, and what was known before that is.
    pub(super) forgotten: usize,
    /// Lines that are none, all of them.
    pub(super) rejections: usize,
    /// The first of them.
    pub(super) rejected: Vec<Rejected>,
}

/// A line that is no fact.
#[derive(Debug)]
pub(super) struct Rejected {
    /// Its number, the first being 1.
    pub(super) line: usize,
    pub(super) error: LineError,
}

impl Imported {
    /// Keeps the facts of all lines, in order, to the end or to a bound: beyond it is an error, and what
    /// came before stays.
    pub(super) async fn read(
        state: &State,
        from: Box<dyn BufRead>,
        name: &str,
    ) -> Result<Self, AppError> {
        let failed = |error| AppError::Io {
            attempted: format!("read {name}"),
            error,
        };
        let now = SystemTime::now();
        let mut imported = Self::default();
        let (mut batch, mut line, mut number) = (Vec::new(), Vec::new(), 0);
        // One byte more than there may be shows that there are more.
        let mut from = from.take(MOST_BYTES + 1);
        let mut over = None;
        while next_line(&mut from, &mut line).map_err(failed)? {
            if let Some(bound) = bound_of(number, from.limit()) {
                over = Some(bound);
                break;
            }
            number += 1;
            match text::parse(&line, now) {
                Ok(None) => {}
                Ok(Some(sighting)) => batch.push(sighting),
                Err(error) => imported.reject(number, error),
            }
            if batch.len() == BATCH {
                imported.keep(state, std::mem::take(&mut batch)).await?;
            }
        }
        imported.keep(state, batch).await?;
        imported.keep_within_bounds(state).await?;
        match over {
            None => Ok(imported),
            Some(bound) => Err(AppError::TooLong {
                name: name.to_owned(),
                bound,
                facts: super::facts(imported.facts),
            }),
        }
    }

    async fn keep_within_bounds(&mut self, state: &State) -> Result<(), AppError> {
        let forgotten = state.keep_within_bounds().await;
        self.forgotten += forgotten.map_err(AppError::Index)?;
        Ok(())
    }

    async fn keep(&mut self, state: &State, batch: Vec<Sighting>) -> Result<(), AppError> {
        self.facts += batch.len();
        self.news += state.record(batch).await.map_err(AppError::Index)?;
        if self.facts.is_multiple_of(UNBOUNDED) {
            self.keep_within_bounds(state).await?;
        }
        Ok(())
    }

    fn reject(&mut self, line: usize, error: LineError) {
        self.rejections += 1;
        if self.rejected.len() < TOLD {
            self.rejected.push(Rejected { line, error });
        }
    }

    /// An error if some lines were no facts.
    pub(super) fn into_result(self, name: &str) -> Result<(), AppError> {
        if self.rejections == 0 {
            return Ok(());
        }
        let told = self.rejected.iter();
        let mut lines: Vec<String> = told
            .map(|it| format!("line {}: {}", it.line, it.error))
            .collect();
        let more = self.rejections - lines.len();
        if more > 0 {
            lines.push(format!("{more} more"));
        }
        Err(AppError::Rejected {
            name: name.to_owned(),
            lines,
        })
    }
}

/// The bound that one more line is over, `left` being the bytes that may still be read.
fn bound_of(lines: usize, left: u64) -> Option<String> {
    if left == 0 {
        Some(ByteSize(MOST_BYTES).to_string())
    } else if lines == MOST_LINES {
        Some(format!("{MOST_LINES} lines"))
    } else {
        None
    }
}

/// Reads a line without its end, at most a byte more than a line may have; false at the end. The
/// rest of a longer one is dropped.
fn next_line(from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let most = MAX_LINE as u64 + 1;
    let read = from.take(most).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > MAX_LINE {
        skip_line(from)?;
    }
    Ok(read > 0)
}

fn skip_line(from: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|it| *it == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        from.consume(length);
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINE, next_line};

    #[test]
    fn p17_a_line_without_end_is_dropped_and_the_next_is_read() {
        let long = "x".repeat(MAX_LINE * 9);
        let exact = "y".repeat(MAX_LINE);
        let text = format!("a\n\n{long}\n{exact}\nlast");
        let mut from = text.as_bytes();
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while next_line(&mut from, &mut line).unwrap() {
            lines.push(String::from_utf8(line.clone()).unwrap());
        }
        let expected = ["a", "", &long[..=MAX_LINE], &exact, "last"];
        assert_eq!(lines, expected);
    }
}
