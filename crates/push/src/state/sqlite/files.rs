//! The files: for their owner only, on a disk of this machine.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a file is waited for that others are about to replace.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// What the lock beside a database is called.
const LOCK: &str = "lock";
/// How many damaged databases are kept, at most: each may be as large as the state ever was.
const MOST_ASIDE: u32 = 16;
/// The part of a file's header that is looked at, in bytes, what it begins with, and where a number
/// says whose it is ([format](https://www.sqlite.org/fileformat.html#the_database_header)).
const HEADER: u64 = 72;
const MAGIC: &[u8] = b"SQLite format 3\0";
const NUMBER: std::ops::Range<usize> = 68..72;

/// The name of something that goes with the database.
pub(crate) fn beside(database: &Path, what: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

/// Makes a directory that its owner alone may look into; one that is there stays as it is.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes a file that its owner alone may read; one that is there stays as it is.
///
/// A file that is there is not opened: closing it would let go of the locks that `SQLite` has on
/// it in this process ([fcntl](https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_)).
pub(super) fn private_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Takes the right to read a file from all but its owner.
#[cfg(unix)]
pub(super) fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn restrict(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// A lock that all who have the database open share, and whoever replaces it has alone.
#[derive(Debug)]
pub(super) struct Presence(File);

impl Presence {
    /// Waits for whoever is replacing the database, within bounds.
    pub(super) fn enter(database: &Path) -> io::Result<Self> {
        let path = beside(database, LOCK);
        private_file(&path)?;
        let it = Self(OpenOptions::new().read(true).write(true).open(path)?);
        it.share()?;
        Ok(it)
    }

    fn share(&self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            match self.0.try_lock_shared() {
                Ok(()) => return Ok(()),
                Err(fs::TryLockError::Error(error)) => return Err(error),
                Err(fs::TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Does something while nobody else has the database open; none if somebody has.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> T) -> io::Result<Option<T>> {
        self.0.unlock()?;
        let done = self.0.try_lock().is_ok().then(work);
        self.0.unlock()?;
        self.share()?;
        Ok(done)
    }
}

/// Whether a directory is on a file system of another machine, or one that may be.
#[cfg(target_os = "linux")]
pub(super) fn is_network(directory: &Path) -> io::Result<bool> {
    /// The kernel's numbers for them (`linux/magic.h`, `statfs(2)`): AFS, CEPH, CIFS, CODA,
    /// FUSE, GFS2, GPFS, Lustre, NCP, NFS, OCFS2, SMB, SMB 2 and 9P.
    const NETWORK: [u32; 14] = [
        0x5346_414f,
        0x00c3_6400,
        0xff53_4d42,
        0x7375_7245,
        0x6573_5546,
        0x0116_1970,
        0x4750_4653,
        0x0bd0_0bd0,
        0x0000_564c,
        0x0000_6969,
        0x7461_636f,
        0x0000_517b,
        0xfe53_4d42,
        0x0102_1997,
    ];
    let kind = rustix::fs::statfs(directory)?.f_type;
    Ok(NETWORK
        .iter()
        .any(|it| i128::from(*it) == i128::from(kind) & 0xffff_ffff))
}

/// Nobody can say, so that `SQLite` has to find out.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_network(_directory: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Whether a file that is there may be a database of ours: it has our number, or our lock is beside
/// it; one that is empty may become one. Nothing is written.
///
/// Without the lock no process of ours has the file open, so that opening and closing it here lets go of no
/// lock of `SQLite`'s ([fcntl](https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_)).
pub(super) fn may_be_ours(database: &Path, application: u32) -> io::Result<bool> {
    let found = match fs::metadata(database) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        found => found?,
    };
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if found.len() == 0 || beside(database, LOCK).try_exists()? {
        return Ok(true);
    }
    let mut header = Vec::new();
    File::open(database)?
        .take(HEADER)
        .read_to_end(&mut header)?;
    let number = header.get(NUMBER).map(<[u8]>::to_vec);
    Ok(header.starts_with(MAGIC) && number == Some(application.to_be_bytes().to_vec()))
}

/// Puts a damaged database aside under a name that nothing has.
pub(super) fn put_aside(database: &Path) -> io::Result<PathBuf> {
    let aside = free_name(database)?;
    for (from, to) in super::family(database).iter().zip(super::family(&aside)) {
        match fs::rename(from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(aside)
}

/// `….damaged`, `….damaged.2` and so on. Whoever asks has the database alone.
fn free_name(database: &Path) -> io::Result<PathBuf> {
    let first = beside(database, "damaged");
    let others = (2..=MOST_ASIDE).map(|number| beside(&first, &number.to_string()));
    for name in std::iter::once(first.clone()).chain(others) {
        let taken = super::family(&name).into_iter();
        if taken.map(fs::symlink_metadata).all(|it| it.is_err()) {
            return Ok(name);
        }
    }
    let full = format!(
        "{MOST_ASIDE} damaged ones are kept already as {}: remove those that nobody needs",
        first.display()
    );
    Err(io::Error::other(full))
}
