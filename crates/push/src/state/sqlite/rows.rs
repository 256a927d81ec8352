//! The tables as statements.

#![expect(
    clippy::disallowed_types,
    reason = "this is the one place that names the database"
)]

use oci::UploadSession;
use rusqlite::{OptionalExtension, Transaction, named_params, params};

use super::failed;
use crate::{
    journal::{
        BlobKey, StateError,
        rules::{LIFE, Now, Row},
    },
    state::table::{FACT_LIFE, Fact, ROWS, Table},
};

/// The tables, inside a transaction.
pub(super) struct SqliteTable<'a>(pub(super) &'a Transaction<'a>);

const COLUMNS: &str = "location, size, acknowledged, chunk_min, owner, rev, opened, touched";

impl Table for SqliteTable<'_> {
    fn session(&self, blob: &BlobKey) -> Result<Option<Row>, StateError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM session WHERE registry = ? AND repository = ? AND digest = ?"
        );
        let mut statement = self.0.prepare(&sql).map_err(failed)?;
        let row = statement.query_row(params_of(blob), |row| session(row, 0));
        row.optional().map_err(failed)
    }

    fn put_session(&mut self, blob: &BlobKey, row: &Row) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO session (registry, repository, digest, location, size, \
             acknowledged, chunk_min, owner, rev, opened, touched) VALUES (:registry, \
             :repository, :digest, :location, :size, :acknowledged, :chunk_min, :owner, :rev, \
             :opened, :touched)";
        let [registry, repository, digest] = params_of(blob);
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let done = statement.execute(named_params! {
            ":registry": registry,
            ":repository": repository,
            ":digest": digest,
            ":location": row.session.location(),
            ":size": signed(row.size),
            ":acknowledged": signed(row.session.acknowledged()),
            ":chunk_min": signed(row.session.chunk_minimum()),
            ":owner": row.owner,
            ":rev": signed(row.rev),
            ":opened": signed(row.opened),
            ":touched": signed(row.touched),
        });
        done.map(drop).map_err(failed)
    }

    fn delete_session(&mut self, blob: &BlobKey) -> Result<(), StateError> {
        let sql = "DELETE FROM session WHERE registry = ? AND repository = ? AND digest = ?";
        self.0
            .execute(sql, params_of(blob))
            .map(drop)
            .map_err(failed)
    }

    fn sessions(&self) -> Result<Vec<(BlobKey, Row)>, StateError> {
        let sql = format!(
            "SELECT registry, repository, digest, {COLUMNS} FROM session \
             ORDER BY registry, repository, digest LIMIT {ROWS}"
        );
        let mut statement = self.0.prepare(&sql).map_err(failed)?;
        let rows = statement.query_map([], |row| {
            let (registry, path): (String, String) = (row.get(0)?, row.get(1)?);
            let digest: String = row.get(2)?;
            Ok((format!("{registry}/{path}"), digest, session(row, 3)?))
        });
        let mut sessions = Vec::new();
        for row in rows.map_err(failed)? {
            let (repository, digest, row) = row.map_err(failed)?;
            // A name this version cannot read is nothing it can go on with.
            if let (Ok(repository), Ok(digest)) = (repository.parse(), digest.parse()) {
                sessions.push((BlobKey { repository, digest }, row));
            }
        }
        Ok(sessions)
    }

    fn fact(&self, host: &str, key: &str) -> Result<Option<Fact>, StateError> {
        let sql = "SELECT host, key, value, seen FROM host_fact WHERE host = ? AND key = ?";
        let row = self.0.query_row(sql, [host, key], fact);
        row.optional().map_err(failed)
    }

    fn put_fact(&mut self, fact: &Fact) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO host_fact (host, key, value, seen) VALUES (?, ?, ?, ?)";
        let values = params![fact.host, fact.key, fact.value, signed(fact.seen)];
        self.0.execute(sql, values).map(drop).map_err(failed)
    }

    fn forget(&mut self, host: &str) -> Result<usize, StateError> {
        let sql = "DELETE FROM host_fact WHERE host = ?";
        self.0.execute(sql, [host]).map_err(failed)
    }

    fn facts_of(&self, host: &str) -> Result<Vec<Fact>, StateError> {
        let sql = format!(
            "SELECT host, key, value, seen FROM host_fact WHERE host = ? ORDER BY key LIMIT {ROWS}"
        );
        let mut statement = self.0.prepare(&sql).map_err(failed)?;
        let rows = statement.query_map([host], fact).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn facts(&self) -> Result<Vec<Fact>, StateError> {
        let sql =
            format!("SELECT host, key, value, seen FROM host_fact ORDER BY host, key LIMIT {ROWS}");
        let mut statement = self.0.prepare(&sql).map_err(failed)?;
        let rows = statement.query_map([], fact).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn pause(&self, host: &str) -> Result<Option<u64>, StateError> {
        let sql = "SELECT until FROM pause WHERE host = ?";
        let until = self.0.query_row(sql, [host], |row| unsigned(row, 0));
        until.optional().map_err(failed)
    }

    fn put_pause(&mut self, host: &str, until: u64) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO pause (host, until) VALUES (?, ?)";
        let values = params![host, signed(until)];
        self.0.execute(sql, values).map(drop).map_err(failed)
    }

    fn purge(&mut self, now: &Now<'_>) -> Result<(), StateError> {
        let outlived = signed(now.time.saturating_sub(LIFE));
        let sessions = "DELETE FROM session WHERE touched < ?";
        self.0.execute(sessions, [outlived]).map_err(failed)?;
        let forgotten = signed(now.time.saturating_sub(FACT_LIFE));
        let facts = "DELETE FROM host_fact WHERE seen < ?";
        self.0.execute(facts, [forgotten]).map_err(failed)?;
        let pauses = "DELETE FROM pause WHERE until <= ?";
        self.0.execute(pauses, [signed(now.time)]).map_err(failed)?;
        Ok(())
    }
}

fn params_of(blob: &BlobKey) -> [String; 3] {
    let repository = &blob.repository;
    [
        repository.registry().to_string(),
        repository.path().to_owned(),
        blob.digest.to_string(),
    ]
}

fn session(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Row> {
    let session = UploadSession::new(row.get::<_, String>(first)?)
        .with_acknowledged(unsigned(row, first + 2)?)
        .with_chunk_minimum(unsigned(row, first + 3)?);
    Ok(Row {
        session,
        size: unsigned(row, first + 1)?,
        owner: row.get(first + 4)?,
        rev: unsigned(row, first + 5)?,
        opened: unsigned(row, first + 6)?,
        touched: unsigned(row, first + 7)?,
    })
}

fn fact(row: &rusqlite::Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact {
        host: row.get(0)?,
        key: row.get(1)?,
        value: row.get(2)?,
        seen: unsigned(row, 3)?,
    })
}

/// `SQLite`'s numbers have a sign; ours stay below where that matters.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
