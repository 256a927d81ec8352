//! How many rows a table keeps.
//!
//! The time of the last row that stays is looked for first, so that most of what goes is dropped by
//! one comparison; of the rows of that very time as many go as are too many.

#![expect(
    clippy::disallowed_types,
    reason = "this is the one place that names the database"
)]

use rusqlite::{Connection, OptionalExtension as _};

use super::failed;
use crate::{journal::StateError, state::table};

/// A table that has a bound.
pub(super) struct Bounded {
    table: &'static str,
    /// The columns that say which row it is.
    key: &'static str,
    /// What the newest have most of.
    age: &'static str,
    most: usize,
}

pub(super) const LOCATIONS: Bounded = Bounded {
    table: "location",
    key: "digest, repository",
    age: "seen",
    most: table::LOCATIONS,
};

pub(super) const HOLDS: Bounded = Bounded {
    table: "hold",
    key: "repository",
    age: "seen",
    most: table::HOLDS,
};

/// Nobody knows when these were seen: any may go.
pub(super) const CONTENTS: Bounded = Bounded {
    table: "content",
    key: "blob",
    age: "blob",
    most: table::PAIRS,
};

pub(super) const SIGHTINGS: Bounded = Bounded {
    table: "sighting",
    key: "registry, repository, name",
    age: "seen",
    most: table::SIGHTINGS,
};

/// Drops the oldest rows of more than are kept, of the same time those that come last in their
/// order; says how many.
pub(super) fn keep_newest(connection: &Connection, bounded: &Bounded) -> Result<usize, StateError> {
    let Bounded {
        table,
        key,
        age,
        most,
    } = bounded;
    let last = format!("SELECT {age} FROM {table} ORDER BY {age} DESC LIMIT 1 OFFSET {most} - 1");
    let counted = format!("SELECT count(*) FROM {table}");
    let count = || -> Result<usize, StateError> {
        let count: i64 = connection
            .query_row(&counted, [], |row| row.get(0))
            .map_err(failed)?;
        Ok(usize::try_from(count).unwrap_or_default())
    };
    if count()? <= *most {
        return Ok(0);
    }
    let last: Option<rusqlite::types::Value> = connection
        .query_row(&last, [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let older = format!("DELETE FROM {table} WHERE {age} < ?");
    let mut gone = connection.execute(&older, [&last]).map_err(failed)?;
    let excess = count()?.saturating_sub(*most);
    if excess > 0 {
        let descending = key.replace(", ", " DESC, ");
        let as_old = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} \
             WHERE {age} = ? ORDER BY {descending} DESC LIMIT {excess})"
        );
        gone += connection.execute(&as_old, [&last]).map_err(failed)?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Bounded, Connection, keep_newest};

    proptest! {
        /// Whatever order rows come in, and in how many steps, the same stay.
        #[test]
        fn i3_the_newest_stay_and_of_the_same_time_those_that_come_first(
            rows in prop::collection::btree_map(0..40_i64, 0..5_i64, 0..40),
            most in 1..20_usize,
            step in 1..40_usize,
            order in any::<prop::sample::Selector>(),
        ) {
            let bounded = Bounded { table: "t", key: "a, b", age: "seen", most };
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute_batch("CREATE TABLE t (a, b, seen, PRIMARY KEY (a, b)) WITHOUT ROWID")
                .unwrap();
            let mut left: Vec<(i64, i64)> = rows.into_iter().collect();
            let mut expected = left.clone();
            let all = left.len();
            let mut gone = 0;
            while !left.is_empty() {
                for _ in 0..step.min(left.len()) {
                    let (key, seen) = *order.select(&left);
                    left.retain(|(it, _)| *it != key);
                    let sql = "INSERT INTO t VALUES (?, ?, ?)";
                    connection.execute(sql, [key / 7, key % 7, seen]).unwrap();
                }
                gone += keep_newest(&connection, &bounded).unwrap();
            }
            expected.sort_by_key(|(key, seen)| (std::cmp::Reverse(*seen), *key));
            expected.truncate(most);
            expected.sort_unstable();
            let mut listed = connection.prepare("SELECT a * 7 + b, seen FROM t").unwrap();
            let kept = listed.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let mut kept: Vec<(i64, i64)> = kept.map(Result::unwrap).collect();
            kept.sort_unstable();
            prop_assert_eq!(gone, all - expected.len());
            prop_assert_eq!(kept, expected);
        }
    }
}
