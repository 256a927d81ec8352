//! Opens the database: makes it, knows its format, and tells damage from everything else.

#![expect(
    clippy::disallowed_types,
    reason = "this is the one place that names the database"
)]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{failed, files};
use crate::{journal::StateError, state::notice::NoDatabase};

/// Says that a database is ours: "lngs".
const APPLICATION: u32 = 0x6c6e_6773;
/// The format this version writes. What it adds to an older one is in [`MIGRATIONS`].
const FORMAT: i64 = 2;
/// The first `SQLite` that [keeps a log with several writers](https://www.sqlite.org/wal.html#walresetbug).
const SOUND: i32 = 3_051_003;
/// How long other processes are waited for.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How long a process waits that another made the log in the meantime.
const RETRY: Duration = Duration::from_millis(10);

/// From nothing to format 1, from 1 to 2, and so on: a new file goes through all of them, an older
/// one through those it has not seen. Tables are only added: nothing in a file is lost.
const MIGRATIONS: &[&str] = &[SESSIONS, LOCATIONS];

const SESSIONS: &str = "
CREATE TABLE session (
  registry TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, location TEXT NOT NULL,
  size INTEGER NOT NULL, acknowledged INTEGER NOT NULL, chunk_min INTEGER NOT NULL,
  owner TEXT NOT NULL, rev INTEGER NOT NULL, opened INTEGER NOT NULL, touched INTEGER NOT NULL,
  PRIMARY KEY (registry, repository, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE host_fact (
  host TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, seen INTEGER NOT NULL,
  PRIMARY KEY (host, key)) STRICT, WITHOUT ROWID;
CREATE TABLE pause (
  host TEXT NOT NULL PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// `repository` is the whole name; a location without `evidence` is one that was gone.
const LOCATIONS: &str = "
CREATE TABLE location (
  digest TEXT NOT NULL, repository TEXT NOT NULL, registry TEXT NOT NULL, size INTEGER NOT NULL,
  evidence TEXT, seen INTEGER NOT NULL,
  PRIMARY KEY (digest, repository)) STRICT, WITHOUT ROWID;
CREATE TABLE hold (
  repository TEXT NOT NULL PRIMARY KEY, registry TEXT NOT NULL,
  seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE content (
  blob TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX content_blobs ON content (content, blob);
";

/// Made where it is not there yet: earlier versions of this format do not look at it.
const LATER: &str = "
CREATE TABLE IF NOT EXISTS sighting (
  registry TEXT NOT NULL, repository TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
  seen INTEGER NOT NULL, PRIMARY KEY (registry, repository, name)) STRICT, WITHOUT ROWID;
";

/// An open database.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) presence: files::Presence,
    /// Where a damaged one is that this one replaces.
    pub(super) aside: Option<PathBuf>,
}

/// Why a database could not be opened.
enum Failed {
    Damaged(StateError),
    Other(NoDatabase),
}

/// What becomes of a damaged database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum Damaged {
    /// It is put aside, and begun anew.
    Replaced,
    /// It stays as it is.
    Left,
}

/// Opens the file at `path`, or makes it. One that is not ours is not touched.
pub(super) fn open(path: &Path, damaged: Damaged) -> Result<Opened, NoDatabase> {
    if rusqlite::version_number() < SOUND {
        let version = rusqlite::version();
        return Err(NoDatabase::OldLibrary { version });
    }
    let unusable = |error| NoDatabase::Unusable(StateError::File(error));
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    if !files::may_be_ours(path, APPLICATION).map_err(unusable)? {
        return Err(NoDatabase::Foreign);
    }
    files::private_directory(directory).map_err(unusable)?;
    if files::is_network(directory).map_err(unusable)? {
        return Err(NoDatabase::Network);
    }
    let presence = files::Presence::enter(path).map_err(unusable)?;
    match connect(path) {
        Ok(connection) => Ok(Opened {
            connection,
            presence,
            aside: None,
        }),
        Err(Failed::Other(cause)) => Err(cause),
        Err(Failed::Damaged(_)) if damaged == Damaged::Left => Err(NoDatabase::LeftDamaged),
        Err(Failed::Damaged(_)) => {
            let rebuilt = presence.alone(|| rebuild(path)).map_err(unusable)?;
            let (connection, aside) = rebuilt.unwrap_or(Err(NoDatabase::DamagedInUse))?;
            Ok(Opened {
                connection,
                presence,
                aside,
            })
        }
    }
}

/// Begins anew, unless another process has just done so.
fn rebuild(path: &Path) -> Result<(Connection, Option<PathBuf>), NoDatabase> {
    match connect(path) {
        Ok(connection) => return Ok((connection, None)),
        Err(Failed::Other(cause)) => return Err(cause),
        Err(Failed::Damaged(_)) => {}
    }
    let aside = files::put_aside(path).map_err(|it| NoDatabase::Damaged(StateError::File(it)))?;
    match connect(path) {
        Ok(connection) => Ok((connection, Some(aside))),
        Err(Failed::Other(cause)) => Err(cause),
        Err(Failed::Damaged(error)) => Err(NoDatabase::Damaged(error)),
    }
}

fn connect(path: &Path) -> Result<Connection, Failed> {
    let unusable = |error| Failed::Other(NoDatabase::Unusable(StateError::File(error)));
    files::private_file(path).map_err(unusable)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(Failed::of)?;
    connection.busy_timeout(BUSY).map_err(Failed::of)?;
    check_origin(&connection)?;
    // `SQLite` gives the log the mode of the database.
    files::restrict(path).map_err(unusable)?;
    write_ahead(&connection)?;
    let settings = "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; \
         PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = 1048576;";
    connection.execute_batch(settings).map_err(Failed::of)?;
    prepare(&mut connection)?;
    connection.execute_batch(LATER).map_err(Failed::of)?;
    let sound: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(Failed::of)?;
    if sound != "ok" {
        return Err(Failed::Damaged(StateError::Database(sound.into())));
    }
    Ok(connection)
}

/// Nothing is changed in a file that is not ours, or that this version does not understand.
///
/// One look at all of it: another process may be making the tables.
fn check_origin(connection: &Connection) -> Result<(), Failed> {
    let look = connection.unchecked_transaction().map_err(Failed::of)?;
    let application = number(&look, "application_id")?;
    let ours = application == i64::from(APPLICATION);
    let format = number(&look, "user_version")?;
    let tables: i64 = look
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(Failed::of)?;
    drop(look);
    if ours && format > FORMAT {
        return Err(Failed::Other(NoDatabase::Newer {
            version: format,
            known: FORMAT,
        }));
    }
    if !ours && (application != 0 || tables > 0) {
        return Err(Failed::Other(NoDatabase::Foreign));
    }
    Ok(())
}

/// Switches to a log written ahead. The time limit for busy databases does not cover this.
fn write_ahead(connection: &Connection) -> Result<(), Failed> {
    let begun = Instant::now();
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        });
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let error = format!("it cannot have a log written ahead, only {mode:?}");
                let error = StateError::Database(error.into());
                return Err(Failed::Other(NoDatabase::Unusable(error)));
            }
            Err(error) if is_busy(&error) && begun.elapsed() < BUSY => std::thread::sleep(RETRY),
            Err(error) => return Err(Failed::of(error)),
        }
    }
}

/// Makes the tables that are not there yet, unless another process has.
fn prepare(connection: &mut Connection) -> Result<(), Failed> {
    if number(connection, "user_version")? == FORMAT {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(Failed::of)?;
    if number(&transaction, "user_version")? == FORMAT {
        return Ok(());
    }
    let format = number(&transaction, "user_version")?;
    let seen = usize::try_from(format).unwrap_or_default();
    for migration in MIGRATIONS.iter().skip(seen) {
        transaction.execute_batch(migration).map_err(Failed::of)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION)
        .and_then(|()| transaction.pragma_update(None, "user_version", FORMAT))
        .and_then(|()| transaction.commit())
        .map_err(Failed::of)
}

fn number(connection: &Connection, name: &str) -> Result<i64, Failed> {
    connection
        .pragma_query_value(None, name, |row| row.get(0))
        .map_err(Failed::of)
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

impl Failed {
    fn of(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(failed(error))
            }
            _ => Self::Other(NoDatabase::Unusable(failed(error))),
        }
    }
}
