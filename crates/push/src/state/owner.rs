//! Who is at work: each process holds a lock on a file of its own, for as long as it lives.
//!
//! The kernel lets go of the lock when the process ends, however it ends: so a session is
//! free the moment its owner was killed, and is not as long as its owner lives, however
//! slow it is. An owner that could have no lock is believed for a minute after each renewal.
//! A file gets its name only once it is locked; whoever finds one without a lock may
//! remove it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

const LOCKED: &str = "lock-";
const LEASED: &str = "lease-";
/// Files that have no lock yet.
const UNNAMED: &str = "new-";
/// After this nobody is about to lock one.
const ABANDONED: Duration = Duration::from_mins(10);

/// The directory of the locks.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    directory: Option<PathBuf>,
}

/// This process.
#[derive(Debug)]
pub(super) struct Owner {
    name: String,
    lock: Option<(PathBuf, File)>,
}

impl Owners {
    /// No locks.
    pub(super) fn none() -> Self {
        Self { directory: None }
    }

    /// The locks beside a database.
    pub(super) fn beside(database: &Path) -> Self {
        Self {
            directory: Some(super::sqlite::beside(database, "owners")),
        }
    }

    /// This process as one of them, with a lock if there can be one.
    pub(super) fn register(&self) -> Owner {
        let Some(directory) = &self.directory else {
            return Owner::leased();
        };
        let _ = sweep(directory);
        Owner::locked(directory).unwrap_or_else(|_| Owner::leased())
    }

    /// Whether an owner (`name/number`) is still there; none if it has no lock to tell by.
    pub(super) fn alive(&self, owner: &str) -> Option<bool> {
        let directory = self.directory.as_ref()?;
        let name = owner.split('/').next().unwrap_or_default();
        let id = name.strip_prefix(LOCKED)?;
        if id.is_empty() || !id.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        match File::open(directory.join(name)) {
            Ok(file) => Some(file.try_lock_shared().is_err()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
            Err(_) => None,
        }
    }
}

impl Owner {
    /// An owner that is believed for a minute at a time.
    pub(super) fn leased() -> Self {
        Self {
            name: format!("{LEASED}{}", random()),
            lock: None,
        }
    }

    fn locked(directory: &Path) -> io::Result<Self> {
        super::sqlite::private_directory(directory)?;
        let name = format!("{LOCKED}{}", random());
        let unnamed = directory.join(format!("{UNNAMED}{}", random()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&unnamed)?;
        let path = directory.join(&name);
        let named = file
            .try_lock()
            .map_err(io::Error::from)
            .and_then(|()| fs::rename(&unnamed, &path));
        if let Err(error) = named {
            let _ = fs::remove_file(&unnamed);
            return Err(error);
        }
        Ok(Self {
            name,
            lock: Some((path, file)),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some((path, file)) = self.lock.take() {
            let _ = fs::remove_file(path);
            drop(file);
        }
    }
}

/// Removes what processes left that were killed; of very many, some.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)?.take(1024) {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let is = |prefix| name.to_string_lossy().starts_with(prefix);
        let left = is(LOCKED) || (is(UNNAMED) && is_old(&entry));
        if left && File::open(&path).is_ok_and(|it| it.try_lock_shared().is_ok()) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// A process that was killed between making a file and locking it leaves one; so does, for a
/// moment, one that is about to.
fn is_old(entry: &fs::DirEntry) -> bool {
    let made = entry.metadata().and_then(|it| it.modified());
    made.is_ok_and(|it| it.elapsed().is_ok_and(|age| age > ABANDONED))
}

fn random() -> String {
    format!("{:032x}", fastrand::u128(..))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_killed_processes_left_is_swept_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let made = |name: &str, age: Duration| {
            let file = File::create(at(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
            file
        };
        let old = 2 * ABANDONED;
        for name in ["lock-dead", "new-dead", "other"] {
            drop(made(name, old));
        }
        drop(made("new-fresh", Duration::ZERO));
        let (alive, slow) = (made("lock-alive", old), made("new-slow", old));
        alive.try_lock().unwrap();
        slow.try_lock().unwrap();
        sweep(directory.path()).unwrap();
        for (name, there) in [
            ("lock-dead", false),
            ("new-dead", false),
            ("other", true),
            ("new-fresh", true),
            ("lock-alive", true),
            ("new-slow", true),
        ] {
            assert_eq!(at(name).exists(), there, "{name}");
        }
    }
}
