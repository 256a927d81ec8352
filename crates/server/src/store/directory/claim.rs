//! Whose a directory is: a store or nothing yet, and this process's alone.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::files;
use crate::ServerError;

/// Says that a directory is a store, and of which version.
const MARKER: &str = "longshore-store.json";
const VERSION: u32 = 1;

#[derive(Debug, Deserialize, Serialize)]
struct Marker {
    version: u32,
}

/// Whether a store stands at `root`, of whatever version.
pub(crate) fn is_store(root: &Path) -> bool {
    root.join(MARKER).is_file()
}

/// Makes sure that a directory is a store or can become one, and that it is this process's.
pub(super) fn claim(root: &Path, files: &files::Files) -> Result<File, ServerError> {
    let failed = |error| ServerError::Store {
        path: root.to_owned(),
        error,
    };
    let strange = |reason: &str| ServerError::NotAStore {
        path: root.to_owned(),
        reason: reason.to_owned(),
    };
    if root.is_file() {
        return Err(strange("it is a file"));
    }
    files.make_directory(root).map_err(failed)?;
    let marker = root.join(MARKER);
    let is_new = !marker.try_exists().map_err(failed)?;
    if is_new && !is_unfinished(root).map_err(failed)? {
        let is_layout = root.join(oci::layout::MARKER).is_file();
        return Err(strange(if is_layout {
            "it is an OCI image layout, which is served by its path, without --store"
        } else {
            "it holds other files, and a store begins in an empty directory or one that is not there"
        }));
    }
    let lock = File::create(root.join("lock")).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => ServerError::StoreInUse {
            path: root.to_owned(),
        },
        TryLockError::Error(error) => failed(error),
    })?;
    if let Some(text) = files::read(&marker).map_err(failed)? {
        match serde_json::from_slice(&text) {
            Ok(Marker { version: VERSION }) => {}
            Ok(Marker { version }) => {
                return Err(strange(&format!(
                    "version {version} was made by a newer longshore, this one knows {VERSION}"
                )));
            }
            Err(_) => return Err(strange("its marker cannot be read")),
        }
    }
    Ok(lock)
}

/// Whether a directory without a marker is empty, or holds no more than what a start makes
/// that was cut off before it came to the marker.
fn is_unfinished(root: &Path) -> io::Result<bool> {
    for name in files::names(root)? {
        let is_ours = match name.as_str() {
            "lock" => true,
            "blobs" => {
                let algorithms = files::names(&root.join(&name))?;
                let mut all = algorithms.iter().map(|it| root.join(&name).join(it));
                all.try_fold(true, |so_far, it| {
                    io::Result::Ok(so_far && it.is_dir() && files::names(&it)?.is_empty())
                })?
            }
            "repositories" | "uploads" => files::names(&root.join(&name))?.is_empty(),
            // What is prepared there is the marker.
            "scratch" => files::names(&root.join(&name))?.len() <= 1,
            _ => false,
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn write_marker(root: &Path, files: &files::Files) -> io::Result<()> {
    let marker = root.join(MARKER);
    if marker.try_exists()? {
        return Ok(());
    }
    let text = serde_json::json!(Marker { version: VERSION }).to_string();
    files.write_whole(&marker, text.as_bytes())
}
