//! Layers in files, until they are pushed.

use std::{
    fs::{self, File, OpenOptions},
    io::BufWriter,
    path::{Path, PathBuf},
};

use oci::Digest;

use crate::{
    LayerError, LayerOptions, LayerTree, LintOptions, WrittenLayer,
    layer_writer::commit_layer,
    run::{CommittedLayer, MAX_COMMITTED_BYTES},
    write_layer,
};

/// A layer in a file.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) diff_id: Digest,
    pub(super) size: u64,
}

/// Writes a layer to a new file, which only its owner can read. After an error it is not there.
pub(super) fn write(
    path: PathBuf,
    tree: &LayerTree,
    options: &LayerOptions,
) -> Result<Spooled, LayerError> {
    spooled(path, |file| write_layer(tree, options, file))
}

/// Writes the layer that a `RUN` left to a new file in the same way. One for Windows is held
/// against the rules for such.
pub(super) fn commit(
    path: PathBuf,
    left: CommittedLayer,
    options: &LayerOptions,
    lint: Option<LintOptions>,
) -> Result<Spooled, LayerError> {
    spooled(path, |file| {
        commit_layer(left.into_tar(), options, lint, MAX_COMMITTED_BYTES, file)
    })
}

fn spooled(
    path: PathBuf,
    write: impl FnOnce(BufWriter<File>) -> Result<WrittenLayer, LayerError>,
) -> Result<Spooled, LayerError> {
    let file = create(&path).map_err(LayerError::Write)?;
    match write(BufWriter::with_capacity(1 << 18, file)) {
        Ok(layer) => Ok(Spooled {
            path,
            digest: layer.digest,
            diff_id: layer.diff_id,
            size: layer.size,
        }),
        Err(error) => {
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
