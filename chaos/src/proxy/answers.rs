//! Answers that the registry has not given.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use super::{Purpose, Shared};
use crate::{
    fault::{Change, Oddity, Wait},
    message::{Message, header, with_header},
};

/// A digest that is none of the image's.
const OTHER: &str = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// A refusal with a status.
pub(super) fn refusal(
    shared: &Shared,
    request: &Message,
    purpose: Purpose,
    code: u16,
    wait: Wait,
    close: bool,
) -> Vec<u8> {
    let error = match (code, purpose) {
        (401, _) => "UNAUTHORIZED",
        (403, _) => "DENIED",
        (404, Purpose::HeadManifest | Purpose::GetManifest) => "MANIFEST_UNKNOWN",
        (404, Purpose::HeadBlob) => "BLOB_UNKNOWN",
        (404, Purpose::PostUpload | Purpose::PutManifest) => "NAME_UNKNOWN",
        (404, _) => "BLOB_UPLOAD_UNKNOWN",
        (416, _) => "BLOB_UPLOAD_INVALID",
        (429, _) => "TOOMANYREQUESTS",
        _ => "",
    };
    let body = if error.is_empty() {
        "<html><body><h1>It does not work.</h1></body></html>".to_owned()
    } else {
        format!(r#"{{"errors":[{{"code":"{error}","message":"made up"}}]}}"#)
    };
    let kind = if error.is_empty() {
        "text/html"
    } else {
        "application/json"
    };
    let own = shared.own;
    let challenge = format!(
        "WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"{own}\",error=\"invalid_token\"\r\n"
    );
    let challenge = if code == 401 { &challenge } else { "" };
    let wait = retry_after(shared, wait);
    let close = if close { "Connection: close\r\n" } else { "" };
    let headers = format!("Content-Type: {kind}\r\n{challenge}{wait}{close}");
    answer(request, code, &headers, &body)
}

/// `Retry-After`, and the registry's peace until then.
fn retry_after(shared: &Shared, wait: Wait) -> String {
    match wait {
        Wait::Unsaid => String::new(),
        Wait::Seconds(seconds) => {
            let wait = Duration::from_secs(seconds.into());
            // From when the client has it, which is a little later.
            shared.be_quiet(Instant::now() + wait);
            format!("Retry-After: {seconds}\r\n")
        }
        Wait::Date(seconds) => {
            let now = SystemTime::now();
            let at = now + Duration::from_secs(seconds.into());
            let date = httpdate::fmt_http_date(at);
            // The date has whole seconds; a clock read twice may be a little apart.
            let said = httpdate::parse_http_date(&date).unwrap_or(now);
            let wait = said.duration_since(now).unwrap_or_default();
            shared.be_quiet(Instant::now() + wait.saturating_sub(Duration::from_millis(20)));
            format!("Retry-After: {date}\r\n")
        }
    }
}

/// The registry's answer, with another header.
pub(super) fn changed(
    answer: &[u8],
    change: Change,
    elsewhere: SocketAddr,
    target: &str,
) -> Vec<u8> {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.map_or(answer.len(), |it| it + 4));
    let path = target.split('?').next().unwrap_or("/");
    let location = header(head, "location").unwrap_or(path);
    let other_host = format!("http://{elsewhere}{location}");
    let range = header(head, "range").unwrap_or("0-0");
    let end: u64 = range
        .rsplit('-')
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    let less = format!("0-{}", end.saturating_sub(1));
    let more = format!("0-{}", end + 1);
    let length = header(head, "content-length").and_then(|it| it.parse::<u64>().ok());
    let length = (length.unwrap_or(0) + 1).to_string();
    let (name, value) = match change {
        Change::LocationElsewhere => ("location", Some(other_host.as_str())),
        Change::LocationMissing => ("location", None),
        Change::LocationMalformed => ("location", Some("http://[::1")),
        Change::RangeLess => ("range", Some(less.as_str())),
        Change::RangeMore => ("range", Some(more.as_str())),
        Change::RangeHuge => ("range", Some("0-99999999999")),
        Change::RangeMissing => ("range", None),
        Change::DigestOther => ("docker-content-digest", Some(OTHER)),
        Change::DigestMissing => ("docker-content-digest", None),
        Change::LengthMore => ("content-length", Some(length.as_str())),
    };
    [&with_header(head, name, value), body].concat()
}

/// An answer to a request that the registry has not got.
pub(super) fn made_up(
    shared: &Shared,
    oddity: Oddity,
    purpose: Purpose,
    request: &Message,
) -> Vec<u8> {
    let (_, target) = request.first_line();
    let path = target.split('?').next().unwrap_or("/");
    match oddity {
        Oddity::Html => {
            let page = "<!doctype html><title>Please log in</title>";
            answer(request, 200, "Content-Type: text/html\r\n", page)
        }
        Oddity::Garbage => b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec(),
        Oddity::RedirectElsewhere => {
            let location = format!("Location: http://{}{target}\r\n", shared.elsewhere);
            answer(request, 307, &location, "")
        }
        Oddity::RedirectLoop => answer(request, 307, &format!("Location: {target}\r\n"), ""),
        _ => granted(request, purpose, path, target),
    }
}

/// That it was done.
fn granted(request: &Message, purpose: Purpose, path: &str, target: &str) -> Vec<u8> {
    let digest = target
        .split_once("digest=")
        .map(|(_, it)| it.replace("%3A", ":"));
    let digest = digest.unwrap_or_default();
    match purpose {
        Purpose::PostUpload => {
            let headers = format!("Location: {path}0123456789abcdef\r\nRange: 0-0\r\n");
            answer(request, 202, &headers, "")
        }
        Purpose::Patch => {
            let end = request
                .header("content-range")
                .and_then(|it| it.split('-').nth(1));
            let headers = format!("Location: {target}\r\nRange: 0-{}\r\n", end.unwrap_or("0"));
            answer(request, 202, &headers, "")
        }
        Purpose::PutBlob => {
            let headers = format!("Location: {path}\r\nDocker-Content-Digest: {digest}\r\n");
            answer(request, 201, &headers, "")
        }
        Purpose::GetSession => {
            let headers = format!("Location: {target}\r\nRange: 0-4095\r\n");
            answer(request, 204, &headers, "")
        }
        Purpose::HeadBlob => {
            let digest = path.rsplit('/').next().unwrap_or("");
            let headers = format!("Docker-Content-Digest: {digest}\r\n");
            answer(request, 200, &headers, "")
        }
        _ => answer(request, 200, "", ""),
    }
}

/// How an answer without end begins.
pub(super) fn endless(oddity: Oddity) -> &'static [u8] {
    match oddity {
        Oddity::HugeHead => b"HTTP/1.1 200 OK\r\nX-Header: ",
        _ => b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\r\n",
    }
}

fn answer(request: &Message, code: u16, headers: &str, body: &str) -> Vec<u8> {
    let to_head = request.first_line().0 == "HEAD";
    let length = if code == 204 || (to_head && body.is_empty()) {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let body = if to_head || code == 204 { "" } else { body };
    format!("HTTP/1.1 {code} Made Up\r\n{headers}{length}\r\n{body}").into_bytes()
}
