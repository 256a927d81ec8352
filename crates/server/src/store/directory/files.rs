//! The few things that are done with files, each whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use oci::Digest;

/// `<directory>/<algorithm>/<hex>`.
pub(super) fn by_digest(directory: &Path, digest: &Digest) -> PathBuf {
    directory
        .join(digest.algorithm().name())
        .join(digest.encoded())
}

/// What a missing file makes of an error.
fn or_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(it) => Ok(Some(it)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A file's content, if it is there.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    or_missing(fs::read(path))
}

/// A file, opened to read, if it is there.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    or_missing(File::open(path))
}

/// A file's length in bytes, if it is there.
pub(super) fn length(path: &Path) -> io::Result<Option<u64>> {
    Ok(or_missing(fs::metadata(path))?.map(|it| it.len()))
}

/// Removes a file. False if there was none.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    Ok(or_missing(fs::remove_file(path))?.is_some())
}

/// The names in a directory that are UTF-8, in order; none if it is not there.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in or_missing(fs::read_dir(directory))?.into_iter().flatten() {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether there is nothing in a directory, one name aside.
pub(super) fn is_empty_but_for(directory: &Path, name: &str) -> io::Result<bool> {
    Ok(names(directory)?.iter().all(|it| it == name))
}

/// Makes an empty file, and the directories above it. The file's name is not synced.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let create = || OpenOptions::new().create(true).append(true).open(path);
    match create() {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => {
            make_parent(path)?;
            create().map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Makes the directories above a file.
fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => make_directory(parent),
        None => Ok(()),
    }
}

/// Makes a directory and those above it; each that is new is durable in the one above.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    make_parent(path)?;
    match fs::create_dir(path) {
        Ok(()) => sync_parent(path),
        // Somebody else was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes a file so that it is there whole and durable, or as it was before.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    make_parent(path)?;
    // `~` is in no tag, digest or name, so that a leftover is never taken for one.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("~{number}"));
    let beside = path.with_file_name(name);
    let written = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if let Err(error) = written {
        // What is in the way is not worth a second error.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    sync_parent(path)
}

/// Makes durable what names there are in a file's directory.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Makes durable what names there are in a directory; a missing one has none.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match open(path)? {
        Some(directory) => directory.sync_all(),
        None => Ok(()),
    }
}

/// Windows has no such call: its file system journals names by itself.
#[cfg(not(unix))]
pub(super) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}
