//! What Windows would not take of a layer, found without Windows.
//!
//! The only program that reads a Windows layer is an importer that runs on Windows. So its
//! rules are stated here once more, over the bytes of any layer, one's own or somebody
//! else's. A layer that breaks one is refused by the importer, or worse: accepted, with
//! files that nobody finds. Both are errors here. What only leaves something to chance (no
//! security descriptor, no times) is a warning.
//!
//! ```text
//! reader ──gzip, zstd or neither──▶ Linter::feed ──▶ entries ──▶ rules ──▶ LintReport
//! ```
//!
//! The [`Linter`] takes bytes as they come and keeps none but the names, so that it can
//! run beside a writer. It does not ask the layer to be in order: nothing in it makes the
//! linter panic, wait or use memory without bound.

use std::io::{self, Cursor, Read};

use crate::tree::NameRules;

mod descriptor;
mod finding;
mod reading;
mod rules;

pub use finding::{Finding, LayerFault, LintReport};
pub(crate) use reading::Linter;

/// The most entries that are looked at, inclusive.
pub const MAX_LINTED_ENTRIES: u64 = 1_000_000;

/// How a layer is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LintOptions {
    /// What names that the importer accepts and no ordinary program can open are: an
    /// error, or a warning.
    pub names: NameRules,
    /// No time of any entry may be later than this, in seconds since 1970: what
    /// `SOURCE_DATE_EPOCH` promises.
    pub latest: Option<u64>,
}

impl LintOptions {
    /// The same with its own view on names.
    #[must_use]
    pub fn with_names(mut self, names: NameRules) -> Self {
        self.names = names;
        self
    }

    /// The same with a time that none may be later than.
    #[must_use]
    pub fn with_latest(mut self, seconds: u64) -> Self {
        self.latest = Some(seconds);
        self
    }
}

/// Why a layer could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LintError {
    /// The layer could not be read, or not be decompressed.
    #[error("could not read the layer after {bytes} bytes of its tar")]
    Read {
        /// How much of the tar was read.
        bytes: u64,
        /// What went wrong.
        #[source]
        error: io::Error,
    },
}

/// Looks at a whole layer: a tar, or one in gzip or zstd, told by its content.
///
/// ```
/// use longshore_wcow::{LayerOptions, LayerTree, LintOptions, lint_windows_layer, write_layer};
/// let mut blob = Vec::new();
/// write_layer(&LayerTree::windows(), &LayerOptions::default(), &mut blob)?;
/// let report = lint_windows_layer(&*blob, LintOptions::default())?;
/// assert!(report.is_accepted() && report.entries() == 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lint_windows_layer(
    mut layer: impl Read,
    options: LintOptions,
) -> Result<LintReport, LintError> {
    let failed = |bytes| move |error| LintError::Read { bytes, error };
    let mut magic = Vec::new();
    layer
        .by_ref()
        .take(4)
        .read_to_end(&mut magic)
        .map_err(failed(0))?;
    let start = Cursor::new(magic.clone()).chain(layer);
    let mut tar: Box<dyn Read + '_> = match &*magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(start)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd_reader(start).map_err(failed(0))?),
        _ => Box::new(start),
    };
    let mut linter = Linter::new(options);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match tar.read(&mut buffer) {
            Ok(0) => return Ok(linter.finish()),
            Ok(count) => linter.feed(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(linter.bytes())(error)),
        }
        if linter.has_stopped() {
            return Ok(linter.finish());
        }
    }
}

/// A window of 128 MiB is the most that readers of layers grant; 8 MiB is what zstd says
/// every reader should, and what this one does.
fn zstd_reader(from: impl Read) -> io::Result<impl Read> {
    const WINDOW_LOG: u32 = 23;
    let mut reader = zstd::stream::read::Decoder::new(from)?;
    reader.window_log_max(WINDOW_LOG)?;
    Ok(reader)
}

#[cfg(test)]
mod tests;
