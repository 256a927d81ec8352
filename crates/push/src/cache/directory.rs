//! The files of a store: where they are, how they come to be, and who is using them.
//!
//! ```text
//!   oci-layout  index.json           what makes it an image layout
//!   blobs/sha256/<hex>               whole and verified, of one name each
//!   longshore-store                  says that the directory is ours: it may be pruned
//!   ingest/part-<random>             on the way in
//!   index.lock                       held while index.json is rewritten
//! ```
//!
//! **Locks are the kernel's.** Whoever reads a blob or writes a part has a shared lock on that
//! file; who removes one must get the exclusive lock first. A process that is killed holds none.
//! A part is named `new-` until it is locked, so that nobody sweeps it in between.
//!
//! **Last use is the time of access**, set by hand: it does not depend on how the disk is mounted,
//! and the time of modification stays free to tell that content stood still.

use std::{
    fs::{self, File, FileTimes, Metadata, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use oci::{Algorithm, Digest, layout};

use super::error::StoreError;

/// The file that says that a directory is a store of ours.
const OURS: &str = "longshore-store";
/// Its content: the form of the store.
const FORM: &str = "{\"store\":1}\n";
/// What is on the way in.
const INGEST: &str = "ingest";
/// Parts that are locked by their writer.
const PART: &str = "part-";
/// Parts that are not locked yet.
const UNNAMED: &str = "new-";
/// After this nobody is about to lock one.
const ABANDONED: Duration = Duration::from_mins(10);
/// A use that is less long ago than this is not noted again.
const NOTED: Duration = Duration::from_secs(1);
/// How many leftovers are swept at once.
const SWEPT: usize = 4096;

/// The directory of a store.
#[derive(Clone, Debug)]
pub(super) struct Directory(PathBuf);

/// A file that is being written. Dropped before it is kept, it is removed.
#[derive(Debug)]
pub(super) struct Draft {
    path: Option<PathBuf>,
    file: File,
}

/// A blob of the store.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// When it was used last.
    pub(super) used: SystemTime,
    /// Which file it is: several names may be one.
    pub(super) identity: (u64, u64),
}

/// What came of removing a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    Removed,
    /// Somebody reads it.
    InUse,
    /// It was gone already.
    Gone,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where a blob is or would be.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.0.join(layout::blob_path(digest))
    }

    pub(super) fn index(&self) -> PathBuf {
        self.0.join(layout::INDEX)
    }

    pub(super) fn index_lock(&self) -> PathBuf {
        self.0.join("index.lock")
    }

    /// Whether it is a store; an error if it is something else. Nothing and an empty directory
    /// are neither.
    pub(super) fn is_store(&self) -> Result<bool, StoreError> {
        if self.is_marked()? {
            return Ok(true);
        }
        let read = |error| StoreError::io("read the store", &self.0, error);
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(read(error)),
        };
        for entry in entries {
            let name = entry.map_err(read)?.file_name();
            if !name.to_string_lossy().starts_with(UNNAMED) {
                // Another process may have made it since it was looked at.
                return if self.is_marked()? {
                    Ok(true)
                } else {
                    Err(self.something_else())
                };
            }
        }
        Ok(false)
    }

    fn is_marked(&self) -> Result<bool, StoreError> {
        match fs::read_to_string(self.0.join(OURS)) {
            Ok(form) if form == FORM => Ok(true),
            Ok(_) => Err(StoreError::NotAStore {
                path: self.0.clone(),
                found: "it is one of another version: choose another directory".to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("read the store", &self.0, error)),
        }
    }

    fn something_else(&self) -> StoreError {
        StoreError::NotAStore {
            path: self.0.clone(),
            found: "there is something else in it, and a store is pruned: choose a directory that \
                    is empty or not there"
                .to_owned(),
        }
    }

    /// Makes what is not there of it, the mark that it is ours first: what is half made is ours.
    pub(super) fn make(&self) -> io::Result<()> {
        private_directory(&self.0)?;
        self.write_if_absent(OURS, FORM)?;
        private_directory(&self.0.join(INGEST))?;
        private_directory(&self.0.join(layout::BLOBS).join(Algorithm::Sha256.name()))?;
        let marker = format!("{{\"imageLayoutVersion\":\"{}\"}}", layout::VERSION);
        self.write_if_absent(layout::MARKER, &marker)?;
        let empty = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[]}}",
            oci::MediaType::OCI_INDEX
        );
        self.write_if_absent(layout::INDEX, &empty)
    }

    fn write_if_absent(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.0.join(name);
        if path.exists() {
            return Ok(());
        }
        let mut file = tempfile::Builder::new()
            .prefix(UNNAMED)
            .tempfile_in(&self.0)?;
        file.write_all(content.as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
        }
    }

    /// Replaces a file as a whole.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(UNNAMED)
            .tempfile_in(&self.0)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        sync_directory(&self.0)
    }

    /// Removes what processes left that were killed.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.0.join(INGEST))?.take(SWEPT) {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let is = |prefix| name.to_string_lossy().starts_with(prefix);
            let left = is(PART) || (is(UNNAMED) && is_old(&entry));
            if left && File::open(&path).is_ok_and(|it| is_free(&it)) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Begins a file. What is missing of the directory is made again.
    pub(super) fn draft(&self) -> io::Result<Draft> {
        match self.try_draft() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make()?;
                self.try_draft()
            }
            made => made,
        }
    }

    fn try_draft(&self) -> io::Result<Draft> {
        let name = format!("{:032x}", fastrand::u128(..));
        let unnamed = self.0.join(INGEST).join(format!("{UNNAMED}{name}"));
        let path = self.0.join(INGEST).join(format!("{PART}{name}"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut draft = Draft {
            file: options.open(&unnamed)?,
            path: Some(unnamed.clone()),
        };
        share(&draft.file)?;
        fs::rename(unnamed, &path)?;
        draft.path = Some(path);
        Ok(draft)
    }

    /// Opens a blob to read it, which keeps it from being pruned; nothing if it is not there, or
    /// is just being removed.
    pub(super) fn open(&self, digest: &Digest) -> io::Result<Option<File>> {
        let path = self.blob(digest);
        let opened = fs::metadata(&path).and_then(|it| {
            // Looked at before it is opened: opening a pipe would wait for its other end.
            if it.is_file() {
                File::open(&path).map(Some)
            } else {
                Ok(None)
            }
        });
        let file = match opened {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Ok(None),
            // A disk without locks: then nothing is known of who uses what.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
        }
    }

    /// The length of a blob, if it is there.
    pub(super) fn size_of(&self, digest: &Digest) -> Option<u64> {
        let metadata = fs::metadata(self.blob(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Every blob, in no order.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for algorithm in Algorithm::ALL {
            let directory = self.0.join(layout::BLOBS).join(algorithm.name());
            let files = match fs::read_dir(directory) {
                Ok(files) => files,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for file in files {
                entries.extend(entry(algorithm, &file?));
            }
        }
        Ok(entries)
    }

    /// Removes a blob that nobody uses.
    pub(super) fn remove(path: &Path) -> io::Result<Removal> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Gone),
            Err(error) => return Err(error),
        };
        if !is_free(&file) {
            return Ok(Removal::InUse);
        }
        fs::remove_file(path)?;
        Ok(Removal::Removed)
    }
}

impl Draft {
    /// The file, to be written and read at the same time.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Has the disk begin with what was written, where it can be told to: nothing is waited for.
    pub(super) fn begin_sync(&self, from: u64, length: u64) {
        begin_sync(&self.file, from, length);
    }

    /// The file again, to be read at any place while it is written.
    pub(super) fn reader(&self) -> io::Result<File> {
        match &self.path {
            Some(path) => File::open(path),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Makes it a blob of the store: on the disk first, then under its name, whole.
    pub(super) fn keep(mut self, directory: &Directory, digest: &Digest) -> io::Result<()> {
        self.file.sync_all()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            self.file
                .set_permissions(fs::Permissions::from_mode(0o400))?;
        }
        let target = directory.blob(digest);
        let Some(path) = self.path.take() else {
            return Ok(());
        };
        let home = target.parent().unwrap_or(directory.path());
        let kept = private_directory(home).and_then(|()| fs::rename(&path, &target));
        if let Err(error) = kept {
            // It stays ours, to be removed.
            self.path = Some(path);
            return if target.exists() { Ok(()) } else { Err(error) };
        }
        sync_directory(home)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Notes that a blob is used now. A file that is not ours keeps its time.
pub(super) fn note_use(file: &File) {
    let now = SystemTime::now();
    let used = file.metadata().and_then(|it| it.accessed());
    let noted = used.is_ok_and(|it| now.duration_since(it).is_ok_and(|age| age < NOTED));
    if !noted {
        let _ = file.set_times(FileTimes::new().set_accessed(now));
    }
}

/// Sets the time of last use back, for who has read a blob without using it.
pub(super) fn note_no_use(file: &File, entry: &Entry) {
    let _ = file.set_times(FileTimes::new().set_accessed(entry.used));
}

/// Makes a directory that its owner alone may look into; one that is there stays as it is.
fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn entry(algorithm: Algorithm, file: &fs::DirEntry) -> Option<Entry> {
    let name = file.file_name();
    let digest: Digest = format!("{algorithm}:{}", name.to_str()?).parse().ok()?;
    // Gone since it was listed, or not to be looked at: it is not there for us.
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    Some(Entry {
        digest,
        path: file.path(),
        size: metadata.len(),
        used: metadata
            .accessed()
            .or_else(|_| metadata.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH),
        identity: identity(&metadata),
    })
}

/// Whether nobody has a lock on the file; the lock that this takes ends with the file.
fn is_free(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

fn share(file: &File) -> io::Result<()> {
    match file.try_lock_shared() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let made = entry.metadata().and_then(|it| it.modified());
    made.is_ok_and(|it| it.elapsed().is_ok_and(|age| age > ABANDONED))
}

/// Dirty pages that nobody is said to need any more are
/// [written now](https://man7.org/linux/man-pages/man2/posix_fadvise.2.html), without waiting; while
/// they are, they stay in memory.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn begin_sync(file: &File, from: u64, length: u64) {
    let length = std::num::NonZeroU64::new(length);
    // Only advice: whoever cannot follow it writes all of it in the end.
    let _ = rustix::fs::fadvise(file, from, length, rustix::fs::Advice::DontNeed);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn begin_sync(_file: &File, _from: u64, _length: u64) {}

/// A file system that cannot sync a directory has nothing to lose by it.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// No two files are known to be one.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, fastrand::u64(..))
}
