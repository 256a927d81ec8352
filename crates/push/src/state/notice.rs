//! What a person should know about how the state was opened.

use std::path::PathBuf;

use crate::journal::StateError;

/// Something about the state that is worth a warning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// The file was damaged and is begun anew: interrupted uploads start from the beginning.
    #[error("the state file was damaged: {} is begun anew, the old one is kept as {}", path.display(), aside.display())]
    Rebuilt {
        /// The file.
        path: PathBuf,
        /// Where the damaged one is now.
        aside: PathBuf,
    },
    /// There is no database: what is learned ends with the process.
    #[error("the state file {} is not used, so that a push that is interrupted starts anew", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Why it is not used.
        #[source]
        cause: NoDatabase,
    },
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoDatabase {
    /// A network file system has no shared memory, which
    /// [the log needs](https://www.sqlite.org/wal.html).
    #[error("it is on a network file system, or one that may be (FUSE): choose a local one")]
    Network,
    /// A newer longshore wrote it.
    #[error("a newer version wrote it (format {version}; this one knows {known})")]
    Newer {
        /// Its format.
        version: i64,
        /// The newest this version knows.
        known: i64,
    },
    /// It is a file of something else, and as it was.
    #[error("it is not a state file of longshore")]
    Foreign,
    /// It is damaged, and whoever opens it only looks.
    #[error("it is damaged, and left as it is: a push puts it aside and begins anew")]
    LeftDamaged,
    /// It is damaged, and others have it open: moving it now would damage more.
    #[error("it is damaged, and another process has it open: it is begun anew later")]
    DamagedInUse,
    /// It is damaged.
    #[error("it is damaged, and cannot be put aside")]
    Damaged(#[source] StateError),
    /// The `SQLite` that is compiled in is one that can
    /// [damage a database with several writers](https://www.sqlite.org/wal.html#walresetbug).
    #[error("SQLite {version} is too old")]
    OldLibrary {
        /// Which it is.
        version: &'static str,
    },
    /// It cannot be opened or written: no right to, no room, a read-only file system.
    #[error("it cannot be opened and written")]
    Unusable(#[source] StateError),
}
