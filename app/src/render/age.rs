//! Times that lie behind: for people by how long ago, for programs in seconds.

use std::time::SystemTime;

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |it| it.as_secs())
}

/// How long ago that was, in words.
pub(crate) fn ago(time: SystemTime) -> String {
    let seconds = time.elapsed().map_or(0, |it| it.as_secs());
    let (count, unit) = match seconds {
        0..120 => return "just now".into(),
        120..7200 => (seconds / 60, "minutes"),
        7200..172_800 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit} ago")
}
