//! One line of the access log, without anything secret and without anything that ends a line.
//!
//! Paths and user names are what clients make them: whatever is not plain printable ASCII is
//! escaped, so that no client writes a line of its own. Of a query only what the protocol's own
//! parameters say is shown: a token in a URL, or a session's state, is not for a log.

use std::{fmt::Write as _, time::SystemTime};

use serde_json::json;

use crate::{
    log::{Entry, Outcome},
    route::decoded,
};

/// The longest part of a path, a query or a user's name that is shown, in bytes.
const MAX_FIELD_BYTES: usize = 4096;
/// Parameters whose value says nothing that has to be kept from a log.
const SHOWN: [&str; 14] = [
    "account",
    "after",
    "artifactType",
    "digest",
    "digest-algorithm",
    "from",
    "last",
    "mount",
    "n",
    "ns",
    "offline_token",
    "scope",
    "service",
    "tag",
];

/// `<time> <client> <user> <method> <target> <outcome> <bytes in> <bytes out> <seconds>`, and
/// `faults=<action>,…` where some were done.
pub(super) fn text(entry: &Entry, now: SystemTime) -> String {
    let mut line = format!(
        "{} {} {} {} {} {} {} {} {:.6}",
        humantime::format_rfc3339_millis(now),
        client(entry),
        escaped(entry.user.as_deref().unwrap_or("-")),
        escaped(entry.method.as_str()),
        target(entry),
        outcome(entry),
        entry.body_length,
        entry.answer_length,
        seconds(entry),
    );
    if !entry.faults.is_empty() {
        let _ = write!(line, " faults={}", entry.faults.join(","));
    }
    line.push('\n');
    line
}

/// The same as an object.
pub(super) fn json(entry: &Entry, now: SystemTime) -> String {
    let mut object = json!({
        "time": humantime::format_rfc3339_millis(now).to_string(),
        "client": entry.client.map(|it| it.to_string()),
        "user": entry.user.as_deref().map(escaped),
        "method": escaped(entry.method.as_str()),
        "target": target(entry),
        "endpoint": entry.endpoint.name(),
        "status": entry.status(),
        "outcome": outcome_name(entry),
        "bytes_in": entry.body_length,
        "bytes_out": entry.answer_length,
        "seconds": seconds(entry),
    });
    if !entry.faults.is_empty() {
        object["faults"] = json!(entry.faults);
    }
    let mut line = object.to_string();
    line.push('\n');
    line
}

fn client(entry: &Entry) -> String {
    entry
        .client
        .map_or_else(|| "-".to_owned(), |it| it.to_string())
}

fn seconds(entry: &Entry) -> f64 {
    entry.ended.map_or(0.0, |ended| {
        ended.duration_since(entry.started).as_secs_f64()
    })
}

/// The status, and whether the answer was cut off; or why there was no answer.
fn outcome(entry: &Entry) -> String {
    match entry.outcome {
        Outcome::Answered(status) if entry.cut => format!("{status},cut"),
        Outcome::Answered(status) => status.to_string(),
        _ => outcome_name(entry).to_owned(),
    }
}

fn outcome_name(entry: &Entry) -> &'static str {
    match entry.outcome {
        Outcome::Answered(_) if entry.cut => "cut",
        Outcome::Answered(_) => "answered",
        Outcome::Reset => "reset",
        Outcome::Gone => "gone",
        Outcome::Open => "open",
    }
}

/// Path and query, as sent but for what is left out.
fn target(entry: &Entry) -> String {
    let mut target = escaped(&entry.path);
    if let Some(query) = &entry.query {
        let parts = query.split('&').filter(|it| !it.is_empty()).map(parameter);
        let shown = parts.collect::<Vec<_>>().join("&");
        let _ = write!(target, "?{}", escaped(&shown));
    }
    target
}

fn parameter(part: &str) -> String {
    let Some((name, value)) = part.split_once('=') else {
        return "[redacted]".to_owned();
    };
    if SHOWN.contains(&decoded(name).as_str()) {
        return format!("{name}={value}");
    }
    // A name nobody knows may be a secret of its own.
    let known = matches!(name, "_state" | "token" | "access_token" | "client_id");
    let name = if known { name } else { "[redacted]" };
    format!("{name}=[redacted]")
}

/// Text in which nothing ends a line, moves a cursor or separates fields; cut where it is long.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if shown.len() >= MAX_FIELD_BYTES {
            shown.push_str("[cut]");
            break;
        }
        match c {
            '\\' => shown.push_str("\\\\"),
            '!'..='~' => shown.push(c),
            _ => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use axum::http::{Method, Request, StatusCode};

    use super::*;
    use crate::{Endpoint, RequestLog, log::DEFAULT_ENTRIES};

    fn entry(method: &str, target: &str, user: Option<&str>) -> Entry {
        let log = RequestLog::new(DEFAULT_ENTRIES, false, None);
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(target)
            .header("authorization", "Bearer canary")
            .body(())
            .unwrap();
        let record = log.begin(&request, Endpoint::Other, 0);
        record.came_from(Some(SocketAddr::from(([192, 0, 2, 7], 4711))));
        record.identified(user);
        record.received(12);
        record.answered(StatusCode::CREATED);
        let mut entry = log.entries().remove(0);
        entry.ended = Some(entry.started + Duration::from_micros(1500));
        entry
    }

    #[test]
    fn a_line_has_every_field_in_its_place() {
        let it = entry("PUT", "/v2/a/blobs/uploads/1?digest=sha256:ab", Some("ann"));
        assert_eq!(
            text(&it, SystemTime::UNIX_EPOCH),
            "1970-01-01T00:00:00.000Z 192.0.2.7:4711 ann PUT \
             /v2/a/blobs/uploads/1?digest=sha256:ab 201 12 0 0.001500\n"
        );
        let object: serde_json::Value =
            serde_json::from_str(&json(&it, SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(
            object,
            json!({
                "time": "1970-01-01T00:00:00.000Z", "client": "192.0.2.7:4711", "user": "ann",
                "method": "PUT", "target": "/v2/a/blobs/uploads/1?digest=sha256:ab",
                "endpoint": "other", "status": 201, "outcome": "answered",
                "bytes_in": 12, "bytes_out": 0, "seconds": 0.0015,
            })
        );
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (query, shown) in [
            ("token=canary", "token=[redacted]"),
            ("_state=canary&digest=x", "_state=[redacted]&digest=x"),
            ("canary", "[redacted]"),
            ("canary=1&n=3", "[redacted]=[redacted]&n=3"),
            ("%74oken=canary", "[redacted]=[redacted]"),
            ("n=1&&last=b", "n=1&last=b"),
        ] {
            let it = entry("GET", &format!("/v2/?{query}"), None);
            assert_eq!(target(&it), format!("/v2/?{shown}"));
            let now = SystemTime::now();
            assert!(!text(&it, now).contains("canary"));
            assert!(!json(&it, now).contains("canary"));
        }
    }

    #[test]
    fn nobody_writes_a_line_or_a_field_of_their_own() {
        let user = "ann\n1970-01-01 GET / 200\r\u{1b}[2J\u{2028}\u{85}\0 é\\";
        let it = entry("GET", "/v2/", Some(user));
        let line = text(&it, SystemTime::UNIX_EPOCH);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.bytes().all(|it| matches!(it, b' '..=b'~' | b'\n')));
        assert_eq!(line.split(' ').count(), 9);
        let object = json(&it, SystemTime::UNIX_EPOCH);
        assert_eq!(object.matches('\n').count(), 1);
        assert!(object.bytes().all(|it| matches!(it, b' '..=b'~' | b'\n')));
    }

    #[test]
    fn a_line_is_of_bounded_length() {
        let it = entry(
            "GET",
            &format!("/v2/{0}?tag={0}", "a".repeat(30_000)),
            Some(&"\u{1F980}".repeat(30_000)),
        );
        assert!(text(&it, SystemTime::now()).len() < 16 * 1024);
    }
}
