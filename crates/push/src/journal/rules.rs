//! Who may have a row, and what becomes of it. Pure: a row and a wish in, a row and an answer out.
//!
//! Both implementations do no more than read a row, ask here, and write what comes back, in
//! one transaction. So they cannot differ in what they grant.

use oci::UploadSession;

use super::{Claim, Removed, Stored};

/// How long an owner whose process cannot be looked at is believed to be at work, in milliseconds.
pub(crate) const LEASE: u64 = 60_000;
/// How long a session is worth asking about, in milliseconds: six days, one less than
/// [distribution](https://github.com/distribution/distribution/blob/HEAD/docs/content/about/configuration.md)
/// keeps an upload.
pub(crate) const LIFE: u64 = 6 * 24 * 3_600_000;

/// What is kept for a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) session: UploadSession,
    /// The blob's size in bytes.
    pub(crate) size: u64,
    /// Who has it; empty for nobody.
    pub(crate) owner: String,
    /// Grows with every change.
    pub(crate) rev: u64,
    /// When it was begun and last written, in milliseconds since 1970.
    pub(crate) opened: u64,
    pub(crate) touched: u64,
}

/// What is to become of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    Put(Row),
    Delete,
}

/// When, and who is at work.
pub(crate) struct Now<'a> {
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    /// Whether an owner's process is still there; none if that cannot be told.
    pub(crate) alive: &'a dyn Fn(&str) -> Option<bool>,
}

impl Now<'_> {
    /// Whether an upload is using the row.
    pub(crate) fn in_use(&self, row: &Row) -> bool {
        if row.owner.is_empty() {
            return false;
        }
        match (self.alive)(&row.owner) {
            Some(alive) => alive,
            None => self.time.abs_diff(row.touched) <= LEASE,
        }
    }

    /// Whether the registry will have forgotten the session.
    pub(crate) fn outlived(&self, row: &Row) -> bool {
        self.time.saturating_sub(row.touched) > LIFE
    }

    fn next(&self, row: &Row) -> Row {
        Row {
            rev: row.rev.wrapping_add(1),
            touched: self.time,
            ..row.clone()
        }
    }
}

/// How far an interrupted upload got.
pub(crate) fn look(row: Option<&Row>, now: &Now<'_>) -> Option<u64> {
    let row = row.filter(|row| !now.in_use(row) && !now.outlived(row))?;
    Some(row.session.acknowledged())
}

/// Gives the row to the claim, if it is to be had.
pub(crate) fn take(
    row: Option<&Row>,
    claim: &Claim,
    now: &Now<'_>,
) -> (Change, Option<UploadSession>) {
    let Some(row) = row.filter(|row| !now.in_use(row)) else {
        return (Change::Nothing, None);
    };
    // What cannot be of this blob is not gone on with.
    if now.outlived(row) || row.size != claim.size || row.session.acknowledged() > claim.size {
        return (Change::Delete, None);
    }
    let taken = Row {
        owner: claim.owner.clone(),
        ..now.next(row)
    };
    (Change::Put(taken), Some(row.session.clone()))
}

/// Keeps a session for the claim. A row nobody is using is replaced.
pub(crate) fn store(
    row: Option<&Row>,
    claim: &Claim,
    session: &UploadSession,
    now: &Now<'_>,
) -> (Change, Stored) {
    let kept = match row {
        Some(row) if row.owner == claim.owner => now.next(row),
        Some(row) if now.in_use(row) => return (Change::Nothing, Stored::Others),
        other => Row {
            session: session.clone(),
            size: claim.size,
            owner: claim.owner.clone(),
            rev: other.map_or(1, |row| row.rev.wrapping_add(1)),
            opened: now.time,
            touched: now.time,
        },
    };
    let kept = Row {
        session: session.clone(),
        ..kept
    };
    (Change::Put(kept), Stored::Kept)
}

/// Keeps the claim's row in its hands.
pub(crate) fn renew(row: Option<&Row>, claim: &Claim, now: &Now<'_>) -> (Change, Stored) {
    match row {
        None => (Change::Nothing, Stored::Gone),
        Some(row) if row.owner == claim.owner => (Change::Put(now.next(row)), Stored::Kept),
        Some(_) => (Change::Nothing, Stored::Others),
    }
}

/// Drops the claim's row.
pub(crate) fn finish(row: Option<&Row>, claim: &Claim) -> Change {
    match row {
        Some(row) if row.owner == claim.owner => Change::Delete,
        _ => Change::Nothing,
    }
}

/// Leaves the claim's row to whoever comes next.
pub(crate) fn let_go(row: Option<&Row>, claim: &Claim, now: &Now<'_>) -> Change {
    match row {
        Some(row) if row.owner == claim.owner => Change::Put(Row {
            owner: String::new(),
            ..now.next(row)
        }),
        _ => Change::Nothing,
    }
}

/// Drops a row by hand, unless it is in use.
pub(crate) fn remove(row: Option<&Row>, now: &Now<'_>) -> (Change, Removed) {
    match row {
        None => (Change::Nothing, Removed::Nothing),
        Some(row) if now.in_use(row) => (Change::Nothing, Removed::InUse),
        Some(row) => (Change::Delete, Removed::Session(row.session.clone())),
    }
}
