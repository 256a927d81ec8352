//! What becomes of what is known when something is seen. Pure: both implementations read a row,
//! ask here, and write what comes back, so that they cannot differ.

use super::Evidence;

/// What is kept of one blob in one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The blob's size in bytes and how it is known; none for gone.
    pub(crate) held: Option<(u64, Evidence)>,
    /// When it was seen, in milliseconds since 1970.
    pub(crate) seen: u64,
}

/// Whether `new` takes the place of `old`: the newer does; of the same time what is gone, which
/// costs least if it is wrong, then what was seen more directly.
///
/// What was seen later than `now` was noted by a clock that has been set back since: whatever comes
/// takes its place, or nothing would until that time comes.
pub(crate) fn replaces(new: &Row, old: &Row, now: u64) -> bool {
    let order = |it: &Row| (it.seen, it.held.is_none(), it.held.map(|(_, by)| by));
    old.seen > now || order(new) > order(old)
}

/// Whether being denied at `new` takes the place of having been at `old`.
pub(crate) fn renews(new: u64, old: u64, now: u64) -> bool {
    old > now || new > old
}

/// Whether a repository that could not be read at `denied` can be by what `new` says.
pub(crate) fn admits(new: &Row, denied: u64, now: u64) -> bool {
    (denied > now || new.seen >= denied) && new.held.is_some()
}
