//! From a tree to a layer: written, checked, compressed and digested in one pass.
//!
//! ```text
//! tree ──tar──┬──▶ linter          what Windows would not take (Windows layers)
//!             └──▶ compress ──┬──▶ diff_id         the digest of the tar
//!                             ├──▶ digest and size
//!                             └──▶ out
//! ```
//!
//! Nothing is kept of what goes by, so memory depends on the number of entries and of
//! threads, never on the bytes.

use std::io::{self, Read, Write};

use oci::{Algorithm, Digest, Hasher};

use crate::{
    compress::{Compression, Compressor},
    layer_tar::{self, LayerError, Timestamps},
    lint::{LintOptions, Linter},
    tree::{LayerTree, System},
};

/// How a layer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerOptions {
    /// Which times its entries have.
    pub timestamps: Timestamps,
    /// How it is compressed.
    pub compression: Compression,
}

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenLayer {
    /// The digest of the tar before it was compressed: what a config lists.
    pub diff_id: Digest,
    /// The digest of what was written: what a manifest lists.
    pub digest: Digest,
    /// How much was written, in bytes.
    pub size: u64,
    /// How long the tar is, in bytes.
    pub tar_size: u64,
    /// How many entries it has, `Files` and `Hives` counted.
    pub entries: u64,
}

/// Writes the layer that `tree` describes to `out`, and says what it became.
///
/// The same tree, files and options make the same bytes on any host, whatever the number
/// of threads. A layer for Windows is held against the rules for such layers
/// ([`lint_windows_layer`](crate::lint_windows_layer)) as it is written, and is an error
/// if it breaks one. After an error what is in `out` is to be thrown away.
///
/// ```
/// use longshore_wcow::{LayerOptions, LayerTree, Meta, write_layer};
/// let mut tree = LayerTree::windows();
/// tree.file(&"app/hello.exe".parse()?, b"MZ".as_slice().into(), Meta::default())?;
/// let mut blob = Vec::new();
/// let layer = write_layer(&tree, &LayerOptions::default(), &mut blob)?;
/// assert_eq!(layer.digest, oci::Digest::of(&blob));
/// assert_eq!(layer.entries, 4, "Files, app, hello.exe and Hives");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_layer(
    tree: &LayerTree,
    options: &LayerOptions,
    out: impl Write,
) -> Result<WrittenLayer, LayerError> {
    let linter = linter(tree, options.timestamps);
    let mut tar = Checked::new(linter, options.compression, out)?;
    let entries = layer_tar::write(tree, options.timestamps, &mut tar)?;
    tar.finish(Some(entries), LayerError::Rule)
}

/// Writes a layer whose tar is made already, and says what it became.
///
/// With `lint` it is held against the rules for layers of Windows. A tar of more than `limit` bytes
/// is an error. After an error what is in `out` is to be thrown away.
pub(crate) fn commit_layer(
    from: impl Read,
    options: &LayerOptions,
    lint: Option<LintOptions>,
    limit: u64,
    out: impl Write,
) -> Result<WrittenLayer, LayerError> {
    let linter = lint.map(Linter::new);
    let mut tar = Checked::new(linter, options.compression, out)?;
    // One byte more than there may be tells.
    let copied = io::copy(&mut from.take(limit.saturating_add(1)), &mut tar);
    if copied.map_err(LayerError::Commit)? > limit {
        return Err(LayerError::CommittedTooLarge(limit));
    }
    tar.finish(None, LayerError::Committed)
}

fn linter(tree: &LayerTree, timestamps: Timestamps) -> Option<Linter> {
    let System::Windows(names) = tree.system() else {
        return None;
    };
    // What keeps the times of its own layer may be later than the build's.
    let latest = timestamps.latest().filter(|_| !tree.keeps_times());
    let options = LintOptions { names, latest };
    Some(Linter::new(options))
}

/// The tar on its way to the compressor.
struct Checked<W: Write> {
    linter: Option<Linter>,
    out: Compressor<Digested<W>>,
}

impl<W: Write> Checked<W> {
    fn new(linter: Option<Linter>, compression: Compression, out: W) -> Result<Self, LayerError> {
        let compressor = Compressor::new(compression, Digested::new(out));
        Ok(Self {
            linter,
            out: compressor.map_err(LayerError::Write)?,
        })
    }

    /// What the layer became; `entries` if whoever wrote the tar counted them. `broken` is the error
    /// for one that breaks a rule.
    fn finish(
        self,
        entries: Option<u64>,
        broken: fn(String) -> LayerError,
    ) -> Result<WrittenLayer, LayerError> {
        let report = self.linter.map(Linter::finish);
        if let Some(finding) = report.as_ref().and_then(|it| it.errors().first()) {
            return Err(broken(finding.to_string()));
        }
        let entries = entries.or(report.map(|it| it.entries()));
        let done = self.out.finish().map_err(LayerError::Write)?;
        let mut blob = done.out;
        blob.flush().map_err(LayerError::Write)?;
        Ok(WrittenLayer {
            diff_id: done.content,
            size: blob.hasher.bytes(),
            digest: blob.hasher.finish(),
            tar_size: done.bytes,
            entries: entries.unwrap_or_default(),
        })
    }
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        if let Some(linter) = &mut self.linter {
            linter.feed(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The blob on its way to wherever it goes.
struct Digested<W> {
    hasher: Hasher,
    out: W,
}

impl<W> Digested<W> {
    fn new(out: W) -> Self {
        Self {
            hasher: Hasher::new(Algorithm::Sha256),
            out,
        }
    }
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
