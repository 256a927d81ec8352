//! The files of a layout: each there whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use oci::{Descriptor, Digest, MAX_MANIFEST_BYTES, layout};
use tempfile::NamedTempFile;

use super::{LayoutError, write_checked};
use crate::source::check_marker;

/// What the names of files that are being written begin with.
const PREFIX: &str = ".longshore-";
/// After this a file that nobody has locked is nobody's.
const ABANDONED: Duration = Duration::from_mins(10);
/// How many entries of the directory are looked at for such.
const SWEPT: usize = 1024;
/// The longest wait for another process to let go of the index: it holds it for one change.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// What is locked while the index is changed. On Windows a lock keeps others from reading.
#[cfg(unix)]
const LOCK: &str = layout::MARKER;
#[cfg(not(unix))]
const LOCK: &str = ".longshore.lock";

/// The files of a layout.
#[derive(Clone, Debug)]
pub(super) struct Files {
    directory: PathBuf,
    swept: Arc<AtomicBool>,
}

impl Files {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            swept: Arc::default(),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.directory.join(layout::INDEX)
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(layout::blob_path(digest))
    }

    /// Whether it is there, or could be made; and whether it is.
    pub(super) fn check(&self) -> Result<bool, LayoutError> {
        let not_a_layout = |found: String| LayoutError::NotALayout {
            path: self.directory.clone(),
            found,
        };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let found = if self.directory.is_file() {
                    "a file"
                } else {
                    "below something that is no directory"
                };
                return Err(not_a_layout(found.into()));
            }
            Err(error) => return Err(io_error("read", &self.directory)(error)),
        };
        let marker = self.directory.join(layout::MARKER);
        match fs::read(&marker) {
            Ok(content) => {
                check_marker(&content).map_err(not_a_layout)?;
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &marker)(error)),
        }
        for entry in entries {
            let entry = entry.map_err(io_error("read", &self.directory))?;
            // Another process may be about to make it; then its marker comes before all else.
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) && !marker.exists() {
                return Err(not_a_layout(
                    "a directory without oci-layout that is not empty".into(),
                ));
            }
        }
        Ok(marker.exists())
    }

    /// Makes it, if it is not there; the marker before anything else.
    fn make(&self) -> Result<(), LayoutError> {
        if !self.check()? {
            self.make_directory(&self.directory)?;
            self.make_marker()?;
        }
        if !self.swept.swap(true, Ordering::Relaxed) {
            self.sweep();
        }
        Ok(())
    }

    /// Makes the marker. One that is there meanwhile stays: another process may have it locked.
    pub(super) fn make_marker(&self) -> Result<(), LayoutError> {
        let marker = layout::Marker {
            image_layout_version: layout::VERSION.to_owned(),
        };
        let path = self.directory.join(layout::MARKER);
        let content = serde_json::to_vec(&marker).map_err(io::Error::from);
        let content = content.map_err(io_error("write", &path))?;
        let mut file = self.temporary()?;
        file.write_all(&content).map_err(io_error("write", &path))?;
        file.as_file()
            .sync_all()
            .map_err(io_error("write", &path))?;
        match file.persist_noclobber(&path) {
            Ok(_) => {}
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(failed) => return Err(io_error("write", &path)(failed.error)),
        }
        sync_directory(&self.directory)
    }

    /// Whether a blob is there, as long as it should be.
    pub(super) fn holds(&self, blob: &Descriptor) -> Result<bool, LayoutError> {
        let path = self.blob_path(&blob.digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file() && metadata.len() == blob.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error("look at", &path)(error)),
        }
    }

    /// Writes a blob of the pieces that `next` gives: it gets its name once it is known to be right.
    pub(super) fn write_blob(
        &self,
        blob: &Descriptor,
        next: impl FnMut() -> Option<Bytes>,
    ) -> Result<(), LayoutError> {
        self.make()?;
        let path = self.blob_path(&blob.digest);
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        let mut file = self.temporary()?;
        write_checked(&mut file, blob, next, |error| {
            io_error("write", &path)(error)
        })?;
        self.place(file, &path)
    }

    /// Makes a file a blob, by another link to it. False if that cannot be, because it is on another
    /// file system, or the system has none or does not allow it.
    pub(super) fn link_blob(&self, blob: &Descriptor, file: &Path) -> Result<bool, LayoutError> {
        self.make()?;
        let path = self.blob_path(&blob.digest);
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        let opened = File::options().read(true).write(true).open(file);
        let opened = opened.map_err(io_error("read", file))?;
        let metadata = opened.metadata().map_err(io_error("look at", file))?;
        if !metadata.is_file() || metadata.len() != blob.size {
            // Whoever reads it says what is wrong with it.
            return Ok(false);
        }
        // Nobody takes it for what a process left that was killed, however old it is.
        #[cfg(unix)]
        let _ = opened.try_lock();
        let mut builder = tempfile::Builder::new();
        let linked = builder
            .prefix(PREFIX)
            .make_in(&self.directory, |link| fs::hard_link(file, link));
        let Ok(linked) = linked else {
            return Ok(false);
        };
        // As any other file of the layout has it: whoever made this one may have kept it to itself.
        let usual = self.temporary()?.as_file().metadata();
        let usual = usual.map_err(io_error("look at", &self.directory))?;
        let allowed = opened.set_permissions(usual.permissions());
        allowed.map_err(io_error("write", &path))?;
        opened.sync_all().map_err(io_error("write", &path))?;
        let placed = linked.persist(&path).map_err(|it| it.error);
        placed.map_err(io_error("write", &path))?;
        path.parent().map_or(Ok(()), sync_directory)?;
        Ok(true)
    }

    /// Changes the index, with nobody else at it: `change` gets its bytes, none if there is none
    /// yet, and gives the new ones, or none to leave it as it is.
    pub(super) fn change_index(
        &self,
        change: impl FnOnce(Option<&[u8]>) -> Result<Option<Vec<u8>>, oci::DocumentError>,
    ) -> Result<(), LayoutError> {
        self.make()?;
        let _lock = self.lock()?;
        let path = self.index_path();
        let known = self.read_index()?;
        let in_index = |error| LayoutError::Index {
            path: path.clone(),
            error,
        };
        let Some(content) = change(known.as_deref()).map_err(in_index)? else {
            return Ok(());
        };
        if content.len() > MAX_MANIFEST_BYTES {
            let error = oci::DocumentError::TooLarge(content.len() as u64);
            return Err(in_index(error));
        }
        self.write_whole(&path, &content)
    }

    /// The index's bytes, if there is one.
    pub(super) fn read_index(&self) -> Result<Option<Vec<u8>>, LayoutError> {
        self.read_bounded(&self.index_path())
    }

    /// A document's bytes, if it is there; at most as many as a document may have.
    pub(super) fn read_document(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LayoutError> {
        self.read_bounded(&self.blob_path(digest))
    }

    #[expect(clippy::unused_self, reason = "what is read is the layout's")]
    fn read_bounded(&self, path: &Path) -> Result<Option<Vec<u8>>, LayoutError> {
        let length = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("look at", path)(error)),
        };
        if length > MAX_MANIFEST_BYTES as u64 {
            return Err(LayoutError::Index {
                path: path.to_owned(),
                error: oci::DocumentError::TooLarge(length),
            });
        }
        fs::read(path).map(Some).map_err(io_error("read", path))
    }

    /// Locks the index. A file that is another one by the time it is locked keeps nobody out.
    pub(super) fn lock(&self) -> Result<File, LayoutError> {
        loop {
            let (file, path) = (self.locked()?, self.directory.join(LOCK));
            match is_at(&file, &path) {
                Ok(true) => return Ok(file),
                Ok(false) => {}
                Err(error) => return Err(io_error("lock", &path)(error)),
            }
        }
    }

    fn locked(&self) -> Result<File, LayoutError> {
        let path = self.directory.join(LOCK);
        let mut options = File::options();
        options.read(true);
        if LOCK != layout::MARKER {
            options.write(true).create(true);
        }
        let file = options.open(&path).map_err(io_error("lock", &path))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    thread::sleep(BETWEEN_TRIES);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(LayoutError::Locked {
                        path,
                        waited: PATIENCE,
                    });
                }
                Err(fs::TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
            }
        }
    }

    /// A file that has no name of its own yet, locked for as long as it is written.
    fn temporary(&self) -> Result<NamedTempFile, LayoutError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(&self.directory);
        let file = file.map_err(io_error("write in", &self.directory))?;
        // Where there are no locks, its age alone tells that it is in use.
        #[cfg(unix)]
        let _ = file.as_file().try_lock();
        Ok(file)
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> Result<(), LayoutError> {
        let mut file = self.temporary()?;
        file.write_all(content).map_err(io_error("write", path))?;
        self.place(file, path)
    }

    /// Gives a file its name, once its bytes would outlast a power loss.
    #[expect(clippy::unused_self, reason = "what is placed is the layout's")]
    fn place(&self, file: NamedTempFile, path: &Path) -> Result<(), LayoutError> {
        file.as_file().sync_all().map_err(io_error("write", path))?;
        let placed = file.persist(path).map_err(|it| it.error);
        placed.map_err(io_error("write", path))?;
        path.parent().map_or(Ok(()), sync_directory)
    }

    #[expect(clippy::unused_self, reason = "what is made is the layout's")]
    fn make_directory(&self, path: &Path) -> Result<(), LayoutError> {
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(path).map_err(io_error("make", path))?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
            _ => Ok(()),
        }
    }

    /// Removes what processes left that were killed; of very many, some.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        for entry in entries.take(SWEPT).flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            let changed = entry.metadata().and_then(|it| it.modified());
            let is_old = changed.is_ok_and(|it| it.elapsed().is_ok_and(|age| age > ABANDONED));
            if is_ours && is_old && File::open(entry.path()).is_ok_and(|it| it.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether an open file is the one that has this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (open, named) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

/// Nobody replaces a file that is open.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it asks")]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Makes durable what names there are in a directory. Windows journals names by itself.
fn sync_directory(path: &Path) -> Result<(), LayoutError> {
    if cfg!(unix) {
        let synced = File::open(path).and_then(|it| it.sync_all());
        return synced.map_err(io_error("write", path));
    }
    Ok(())
}

fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    move |error| LayoutError::Io { step, path, error }
}
