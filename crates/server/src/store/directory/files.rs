//! The few things that are done with files, each whole or not at all.
//!
//! Reading is plain functions. Everything that changes the disk goes through
//! [`Files`], one small function for each system call, so that a test can count
//! them, fail the n-th, and know what a power loss would leave ([`Step`]).
//!
//! A file that is to appear whole is written in a directory of its own, synced, and
//! renamed to its place ([`Prepared`]); what a crash leaves there goes at the next start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use oci::Digest;

use super::syncs::Syncs;

/// Changes the disk.
#[derive(Debug)]
pub(super) struct Files {
    scratch: PathBuf,
    next: AtomicU64,
    /// How many directories are being made and may not be durable yet.
    making: AtomicUsize,
    made: Mutex<()>,
    syncs: Syncs,
    #[cfg(test)]
    witness: Option<std::sync::Arc<dyn Witness>>,
}

/// One change of the disk, or one wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Create(&'a Path),
    Write(&'a Path, &'a [u8]),
    Shorten(&'a Path, u64),
    Sync(&'a Path),
    SyncDirectory(&'a Path),
    Rename(&'a Path, &'a Path),
    Remove(&'a Path),
    MakeDirectory(&'a Path),
    RemoveTree(&'a Path),
    LinkSymbolically(&'a Path),
    SetTime(&'a Path),
}

/// Sees every step before it is done, and may fail it; sees it again when it was done.
#[cfg(test)]
pub(super) trait Witness: std::fmt::Debug + Send + Sync {
    fn before(&self, step: Step<'_>) -> io::Result<()>;
    fn after(&self, step: Step<'_>);
}

/// A file that is written and synced, and not at its place yet; gone if it never gets there.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    files: &'a Files,
    path: PathBuf,
    is_placed: bool,
}

// === reading ===

/// The algorithms that content is kept by, each in a directory of its own.
pub(super) const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

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

/// When a file or directory was changed last, if it is there.
pub(super) fn modified(path: &Path) -> io::Result<Option<SystemTime>> {
    match or_missing(fs::metadata(path))? {
        Some(metadata) => metadata.modified().map(Some),
        None => Ok(None),
    }
}

/// The names in a directory that are UTF-8, in order; none if it is not there.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    each_name(directory, |it| names.push(it))?;
    names.sort_unstable();
    Ok(names)
}

/// Hands each name in a directory that is UTF-8 to `seen`, in no order; none if it is not there.
pub(super) fn each_name(directory: &Path, mut seen: impl FnMut(String)) -> io::Result<()> {
    for entry in or_missing(fs::read_dir(directory))?.into_iter().flatten() {
        if let Ok(name) = entry?.file_name().into_string() {
            seen(name);
        }
    }
    Ok(())
}

// === impl Files ===

impl Files {
    /// Prepares files in `scratch`, which has to be on the same file system as their places.
    pub(super) fn new(scratch: PathBuf) -> Self {
        Self {
            scratch,
            next: AtomicU64::default(),
            making: AtomicUsize::default(),
            made: Mutex::default(),
            syncs: Syncs::default(),
            #[cfg(test)]
            witness: None,
        }
    }

    /// The same, watched.
    #[cfg(test)]
    pub(super) fn watched(self, witness: Option<std::sync::Arc<dyn Witness>>) -> Self {
        Self { witness, ..self }
    }

    /// Does one step.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests have a witness")]
    fn step<T>(&self, _: Step<'_>, doing: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        doing()
    }

    #[cfg(test)]
    fn step<T>(&self, step: Step<'_>, doing: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(witness) = &self.witness else {
            return doing();
        };
        witness.before(step)?;
        let done = doing()?;
        witness.after(step);
        Ok(done)
    }

    // --- files ---

    /// Makes a file that is not there yet, to be appended to. Its name is not synced.
    pub(super) fn create_new(&self, path: &Path) -> io::Result<File> {
        let create = || OpenOptions::new().create_new(true).append(true).open(path);
        self.step(Step::Create(path), create)
    }

    /// Appends to a file. After an error some of it may be there.
    pub(super) fn append(&self, mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step(Step::Write(path, bytes), || file.write_all(bytes))
    }

    /// Cuts a file.
    pub(super) fn shorten(&self, file: &File, path: &Path, length: u64) -> io::Result<()> {
        self.step(Step::Shorten(path, length), || file.set_len(length))
    }

    /// Makes a file's bytes durable, and what is needed to read them.
    pub(super) fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.step(Step::Sync(path), || file.sync_data())
    }

    /// Makes an empty file, and the directories above it; says that it was changed at `time`.
    /// The file's name is not synced.
    pub(super) fn touch(&self, path: &Path, time: SystemTime) -> io::Result<()> {
        let create = || OpenOptions::new().create(true).append(true).open(path);
        self.make_parent(path)?;
        self.step(Step::Create(path), || create()?.set_modified(time))
    }

    /// Says when a file was changed last. Not synced: it is a hint.
    pub(super) fn set_modified(&self, path: &Path, time: SystemTime) -> io::Result<()> {
        let set = || File::options().append(true).open(path)?.set_modified(time);
        self.step(Step::SetTime(path), set)
    }

    /// Moves a file out of the way, to be removed by the caller or the next start.
    pub(super) fn set_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let aside = self.free_name();
        self.rename(path, &aside)?;
        Ok(aside)
    }

    fn free_name(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.scratch.join(number.to_string())
    }

    /// Renames a file over whatever has the other name. Neither name is synced.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Rename(from, to), || fs::rename(from, to))
    }

    /// Removes a file. False if there was none. Not synced.
    pub(super) fn remove(&self, path: &Path) -> io::Result<bool> {
        let remove = || Ok(or_missing(fs::remove_file(path))?.is_some());
        self.step(Step::Remove(path), remove)
    }

    /// Writes a file so that it is there whole and durable, or as it was before.
    pub(super) fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.prepare(content)?.place(path)?;
        self.sync_parent(path)
    }

    /// Writes and syncs a file that has no place yet.
    pub(super) fn prepare(&self, content: &[u8]) -> io::Result<Prepared<'_>> {
        let (prepared, file) = self.write_aside(content)?;
        self.sync(&file, &prepared.path)?;
        Ok(prepared)
    }

    /// The same of content that comes in pieces, of which one is in memory at a time.
    pub(super) fn prepare_in_pieces(
        &self,
        pieces: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<Prepared<'_>> {
        let (prepared, file) = self.write_aside(&[])?;
        pieces(&mut |piece| self.append(&file, &prepared.path, piece))?;
        self.sync(&file, &prepared.path)?;
        Ok(prepared)
    }

    /// Writes a file that has no place yet, and that a power loss may damage.
    pub(super) fn prepare_unsynced(&self, content: &[u8]) -> io::Result<Prepared<'_>> {
        self.write_aside(content).map(|it| it.0)
    }

    fn write_aside(&self, content: &[u8]) -> io::Result<(Prepared<'_>, File)> {
        let path = self.free_name();
        let file = self.create_new(&path)?;
        let prepared = Prepared {
            files: self,
            path,
            is_placed: false,
        };
        self.append(&file, &prepared.path, content)?;
        Ok((prepared, file))
    }

    // --- directories ---

    /// Makes the directories above a file.
    pub(super) fn make_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => self.make_directory(parent),
            None => Ok(()),
        }
    }

    /// Makes a directory and those above it; each that is new is durable in the one above.
    pub(super) fn make_directory(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        if path.is_dir() {
            // Whoever made it just now may not have made it durable yet: he is waited for.
            if self.making.load(Ordering::SeqCst) > 0 {
                drop(self.made.lock().unwrap_or_else(PoisonError::into_inner));
            }
            return Ok(());
        }
        self.make_parent(path)?;
        let _made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        self.making.fetch_add(1, Ordering::SeqCst);
        let made = self.make_one(path);
        self.making.fetch_sub(1, Ordering::SeqCst);
        made
    }

    fn make_one(&self, path: &Path) -> io::Result<()> {
        match self.step(Step::MakeDirectory(path), || fs::create_dir(path)) {
            Ok(()) => {
                let synced = self.sync_parent(path);
                if synced.is_err() {
                    // Else the next one would take it for durable.
                    let _ = fs::remove_dir(path);
                }
                synced
            }
            // Somebody else was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes a directory and all that is in it. Not synced.
    pub(super) fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let remove = || or_missing(fs::remove_dir_all(path)).map(drop);
        self.step(Step::RemoveTree(path), remove)
    }

    /// Makes durable what names there are in a file's directory.
    pub(super) fn sync_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => self.sync_directory(parent),
            None => Ok(()),
        }
    }

    /// Makes durable what names there are in a directory; a missing one has none.
    #[cfg(unix)]
    pub(super) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let sync = || match open(path)? {
            Some(directory) => directory.sync_all(),
            None => Ok(()),
        };
        self.syncs
            .share(path, || self.step(Step::SyncDirectory(path), sync))
    }

    /// Windows has no such call: its file system journals names by itself.
    #[cfg(not(unix))]
    pub(super) fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Makes a symbolic link to a directory, unless something is there already.
    #[cfg(unix)]
    pub(super) fn link_directory(&self, target: &Path, path: &Path) -> io::Result<()> {
        if or_missing(fs::symlink_metadata(path))?.is_some() {
            return Ok(());
        }
        let link = || std::os::unix::fs::symlink(target, path);
        self.step(Step::LinkSymbolically(path), link)
    }

    /// Needs a privilege on Windows, so it may fail.
    #[cfg(windows)]
    pub(super) fn link_directory(&self, target: &Path, path: &Path) -> io::Result<()> {
        if or_missing(fs::symlink_metadata(path))?.is_some() {
            return Ok(());
        }
        let link = || std::os::windows::fs::symlink_dir(target, path);
        self.step(Step::LinkSymbolically(path), link)
    }
}

// === impl Prepared ===

impl Prepared<'_> {
    /// Says when the file was changed last.
    pub(super) fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.files.set_modified(&self.path, time)
    }

    /// Puts the file at its place, over what may be there. The name is not synced.
    pub(super) fn place(mut self, path: &Path) -> io::Result<()> {
        self.files.make_parent(path)?;
        self.files.rename(&self.path, path)?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            // What is in the way is not worth a second error: the next start removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
