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
};

const LOCKED: &str = "lock-";
const LEASED: &str = "lease-";

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
        let unnamed = directory.join(format!("new-{}", random()));
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
        let path = entry?.path();
        let named = path
            .file_name()
            .is_some_and(|it| it.to_string_lossy().starts_with(LOCKED));
        if named && File::open(&path).is_ok_and(|it| it.try_lock_shared().is_ok()) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

fn random() -> String {
    format!("{:032x}", fastrand::u128(..))
}
