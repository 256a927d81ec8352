//! The tables as statements.

#![expect(
    clippy::disallowed_types,
    reason = "this is the one place that names the database"
)]

use oci::{Registry, UploadSession};
use rusqlite::{OptionalExtension, Transaction, named_params, params};

use super::{bounds, failed};
use crate::{
    index::{Evidence, MOST_LOCATIONS, rules::Row as Location},
    journal::{
        BlobKey, StateError,
        rules::{LIFE, Now, Row},
    },
    state::{
        locations::{Found, Kept, Place, Which},
        table::{FACT_LIFE, Fact, LOCATION_LIFE, ROWS, SIGHTING_LIFE, Slot, Table},
    },
};

/// The tables, inside a transaction.
pub(super) struct SqliteTable<'a>(pub(super) &'a Transaction<'a>);

/// Whether a fact is one of those that are meant.
const IS_MEANT: &str = "(:digest IS NULL OR digest = :digest) AND (:registry IS NULL OR registry = :registry) \
     AND (:repository IS NULL OR repository = :repository)";

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

    fn location(&self, place: &Place) -> Result<Option<Location>, StateError> {
        let sql = "SELECT size, evidence, seen FROM location WHERE digest = ? AND repository = ?";
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let at = [&place.digest, &place.repository];
        let row = statement.query_row(at, |row| location(row, 0));
        row.optional().map_err(failed)
    }

    fn put_location(&mut self, place: &Place, row: &Location) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO location (digest, repository, registry, size, evidence,              seen) VALUES (?, ?, ?, ?, ?, ?)";
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let done = statement.execute(params![
            place.digest,
            place.repository,
            place.registry,
            signed(row.held.map_or(0, |(size, _)| size)),
            row.held.map(|(_, by)| by.name()),
            signed(row.seen),
        ]);
        done.map(drop).map_err(failed)
    }

    fn locate(&self, registry: &str, digests: &[String]) -> Result<Vec<Found>, StateError> {
        let mut found = Vec::new();
        // A list at a time, cut short while it is sorted: what very many repositories hold, as a
        // base layer, takes a tenth of the time of numbering all of them.
        for here in ["=", "<>"] {
            let sql = format!(
                "SELECT size, evidence, best.seen, hold.seen, digest, repository, best.registry \
                 FROM (SELECT * FROM location WHERE digest = ? AND registry {here} ? \
                 ORDER BY evidence IS NULL, seen DESC, repository LIMIT {MOST_LOCATIONS}) AS best \
                 LEFT JOIN hold USING (repository)"
            );
            let mut statement = self.0.prepare(&sql).map_err(failed)?;
            for digest in digests {
                let rows = statement.query_map([digest.as_str(), registry], |row| {
                    Ok(Found {
                        place: place(row, 4)?,
                        row: location(row, 0)?,
                        denied: maybe(row, 3)?,
                    })
                });
                for row in rows.map_err(failed)? {
                    found.push(row.map_err(failed)?);
                }
            }
        }
        Ok(found)
    }

    fn hold(&self, place: &Place) -> Result<Option<u64>, StateError> {
        let sql = "SELECT seen FROM hold WHERE repository = ?";
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let seen = statement.query_row([&place.repository], |row| unsigned(row, 0));
        seen.optional().map_err(failed)
    }

    fn put_hold(&mut self, place: &Place, seen: u64) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO hold (repository, registry, seen) VALUES (?, ?, ?)";
        let values = params![place.repository, place.registry, signed(seen)];
        self.0.execute(sql, values).map(drop).map_err(failed)
    }

    fn delete_hold(&mut self, place: &Place) -> Result<(), StateError> {
        let sql = "DELETE FROM hold WHERE repository = ?";
        let done = self.0.execute(sql, [&place.repository]);
        done.map(drop).map_err(failed)
    }

    fn seen(&self, which: &Which, after: &Place, most: usize) -> Result<Vec<Kept>, StateError> {
        let sql = format!(
            "SELECT 0, NULL, seen, '' AS digest, repository, registry, 1 FROM hold              WHERE ('', repository) > (:after_digest, :after_repository) AND {IS_MEANT}              UNION ALL              SELECT size, evidence, seen, digest, repository, registry, 0 FROM location              WHERE (digest, repository) > (:after_digest, :after_repository) AND {IS_MEANT}              ORDER BY 4, 5 LIMIT :most",
        )
        // A hold has no digest of its own.
        .replacen("digest = :digest", "'' = :digest", 1);
        let mut statement = self.0.prepare(&sql).map_err(failed)?;
        let values = named_params! {
            ":after_digest": after.digest,
            ":after_repository": after.repository,
            ":digest": which.digest,
            ":registry": which.registry,
            ":repository": which.repository,
            ":most": signed(most as u64),
        };
        let rows = statement.query_map(values, |row| {
            let seen = location(row, 0)?;
            let is_hold: bool = row.get(6)?;
            Ok(Kept {
                place: place(row, 3)?,
                row: (!is_hold).then_some(seen),
                seen: seen.seen,
            })
        });
        let rows = rows.map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn unsee(&mut self, which: &Which) -> Result<usize, StateError> {
        let values = named_params! {
            ":digest": which.digest,
            ":registry": which.registry,
            ":repository": which.repository,
        };
        let locations = format!("DELETE FROM location WHERE {IS_MEANT}");
        let holds = format!("DELETE FROM hold WHERE {IS_MEANT}");
        let holds = holds.replacen("digest = :digest", "'' = :digest", 1);
        let mut count = 0;
        for sql in [locations, holds] {
            count += self.0.execute(&sql, values).map_err(failed)?;
        }
        Ok(count)
    }

    fn prune(&mut self, before: u64) -> Result<usize, StateError> {
        let mut count = 0;
        for sql in [
            "DELETE FROM location WHERE seen < ?",
            "DELETE FROM hold WHERE seen < ?",
        ] {
            count += self.0.execute(sql, [signed(before)]).map_err(failed)?;
        }
        Ok(count)
    }

    fn content(&self, blob: &str) -> Result<Option<String>, StateError> {
        let sql = "SELECT content FROM content WHERE blob = ?";
        let content = self.0.query_row(sql, [blob], |row| row.get(0));
        content.optional().map_err(failed)
    }

    fn put_content(&mut self, blob: &str, content: &str) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO content (blob, content) VALUES (?, ?)";
        let done = self.0.execute(sql, [blob, content]);
        done.map(drop).map_err(failed)
    }

    fn with_content(&self, content: &str, most: usize) -> Result<Vec<String>, StateError> {
        let sql = format!("SELECT blob FROM content WHERE content = ? ORDER BY blob LIMIT {most}");
        let mut statement = self.0.prepare(&sql).map_err(failed)?;
        let rows = statement.query_map([content], |row| row.get(0));
        let rows = rows.map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn sighting(&self, at: &Slot) -> Result<Option<(String, u64)>, StateError> {
        let sql = "SELECT digest, seen FROM sighting \
             WHERE registry = ? AND repository = ? AND name = ?";
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let row = statement.query_row(slot(at), |row| Ok((row.get(0)?, unsigned(row, 1)?)));
        row.optional().map_err(failed)
    }

    fn put_sighting(&mut self, at: &Slot, digest: &str, seen: u64) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO sighting (registry, repository, name, digest, seen) \
             VALUES (?, ?, ?, ?, ?)";
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        let [registry, repository, name] = slot(at);
        let values = params![registry, repository, name, digest, signed(seen)];
        statement.execute(values).map(drop).map_err(failed)
    }

    fn any_sighting(&self, registry: &Registry, since: u64) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sighting WHERE registry = ? AND seen >= ?)";
        let values = params![registry.to_string(), signed(since)];
        self.0
            .query_row(sql, values, |row| row.get(0))
            .map_err(failed)
    }

    fn delete_sighting(&mut self, at: &Slot) -> Result<(), StateError> {
        let sql = "DELETE FROM sighting WHERE registry = ? AND repository = ? AND name = ?";
        let mut statement = self.0.prepare(sql).map_err(failed)?;
        statement.execute(slot(at)).map(drop).map_err(failed)
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
        self.keep_within_bounds(now)?;
        bounds::keep_newest(self.0, &bounds::CONTENTS)?;
        let outdated = signed(now.time.saturating_sub(SIGHTING_LIFE));
        let sightings = "DELETE FROM sighting WHERE seen < ?";
        self.0.execute(sightings, [outdated]).map_err(failed)?;
        bounds::keep_newest(self.0, &bounds::SIGHTINGS)?;
        Ok(())
    }

    fn keep_within_bounds(&mut self, now: &Now<'_>) -> Result<usize, StateError> {
        let old = self.prune(now.time.saturating_sub(LOCATION_LIFE))?;
        let locations = bounds::keep_newest(self.0, &bounds::LOCATIONS)?;
        Ok(old + locations + bounds::keep_newest(self.0, &bounds::HOLDS)?)
    }
}

fn slot(at: &Slot) -> [String; 3] {
    let repository = &at.repository;
    [
        repository.registry().to_string(),
        repository.path().to_owned(),
        at.name.clone(),
    ]
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

/// Size, evidence and time. A word this version does not know is the least it could mean.
fn location(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Location> {
    let evidence: Option<String> = row.get(first + 1)?;
    let by = evidence.map(|it| Evidence::named(&it).unwrap_or(Evidence::Implied));
    let size = unsigned(row, first)?;
    Ok(Location {
        held: by.map(|by| (size, by)),
        seen: unsigned(row, first + 2)?,
    })
}

fn place(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Place> {
    Ok(Place {
        digest: row.get(first)?,
        repository: row.get(first + 1)?,
        registry: row.get(first + 2)?,
    })
}

fn maybe(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let number: Option<i64> = row.get(column)?;
    Ok(number.and_then(|it| u64::try_from(it).ok()))
}

/// `SQLite`'s numbers have a sign; ours stay below where that matters.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
