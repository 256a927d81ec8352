//! Answers made up or changed: what faults do to a response.

use std::time::SystemTime;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt as _;
use oci::{
    Digest,
    wire::{Challenge, ScopeSet, UploadedRange},
};

use crate::{
    answer,
    faults::{Answer, ChallengeForm, RangeFault, plan::Change},
};

/// An answer that a rule made up.
pub(crate) fn scripted(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer::with_body(status, answer.body);
    for (name, value) in answer.headers {
        set_text(&mut response, &name, &value);
    }
    if let Some(when) = answer.retry_after {
        let value = when.value(SystemTime::now());
        answer::set(&mut response, header::RETRY_AFTER, value);
    }
    response
}

/// 200 and a body without end.
pub(crate) fn endless() -> Response {
    let spaces = Bytes::from(vec![b' '; 64 * 1024]);
    let body = stream::repeat_with(move || Ok::<_, std::io::Error>(spaces.clone()));
    Response::new(Body::from_stream(body))
}

/// Changes an answer; `origin` is `scheme://host:port` of this server.
pub(crate) fn apply(change: &Change, response: &mut Response, origin: &str) {
    match change {
        Change::Status(status) => {
            if let (true, Ok(status)) = (
                response.status().is_success(),
                StatusCode::from_u16(*status),
            ) {
                *response.status_mut() = status;
            }
        }
        Change::WrongDigest => answer::set_digest(response, &Digest::of(b"something else")),
        Change::WrongBody(at) => wrong_byte(response, *at),
        Change::Omit(name) => {
            response.headers_mut().remove(name.as_str());
        }
        Change::Set(name, value) => set_text(response, name, value),
        Change::AbsoluteLocation => move_location(response, origin),
        Change::MoveLocation(origin) => move_location(response, origin),
        Change::Huge(bytes) => set_text(response, "x-padding", &"x".repeat(*bytes)),
        Change::Range(fault) => range(response, *fault),
        Change::Challenge(form) => challenge(response, *form),
    }
}

fn set_text(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}

fn move_location(response: &mut Response, origin: &str) {
    let location = response.headers().get(header::LOCATION);
    if let Some(location) = location.and_then(|it| it.to_str().ok()) {
        let path = location.find("/v2/").map_or("", |at| &location[at..]);
        let moved = format!("{origin}{path}");
        answer::set(response, header::LOCATION, moved);
    }
}

/// Inverts one byte of the body while it goes out.
fn wrong_byte(response: &mut Response, at: u64) {
    // Bytes to come before it; none when it went out.
    let mut left = Some(at);
    let body = std::mem::take(response.body_mut());
    let changed = body.map_frame(move |frame| {
        frame.map_data(|data| {
            let Some(before) = left else {
                return data;
            };
            match usize::try_from(before) {
                Ok(offset) if offset < data.len() => {
                    left = None;
                    let mut data = data.to_vec();
                    data[offset] ^= 0xff;
                    data.into()
                }
                _ => {
                    left = Some(before - data.len() as u64);
                    data
                }
            }
        })
    });
    *response.body_mut() = Body::new(changed);
}

/// Where an upload's answer says how far it is, it says something else.
fn range(response: &mut Response, fault: RangeFault) {
    let headers = response.headers_mut();
    if fault == RangeFault::Missing {
        headers.remove(header::RANGE);
        return;
    }
    let Some(text) = headers.get(header::RANGE).and_then(|it| it.to_str().ok()) else {
        return;
    };
    let unit = if text.starts_with("bytes=") {
        "bytes="
    } else {
        ""
    };
    let Some(last) = last_byte(text, unit) else {
        return;
    };
    let text = match fault {
        RangeFault::WithUnit if unit.is_empty() => format!("bytes={text}"),
        RangeFault::WithUnit | RangeFault::Missing => return,
        RangeFault::OneMore => format!("{unit}0-{}", last + 1),
        RangeFault::OneLess => format!("{unit}0-{}", last.saturating_sub(1)),
        RangeFault::Half => format!("{unit}0-{}", last / 2),
        RangeFault::AtMost(bytes) => {
            let last = UploadedRange::of(bytes.min(last.saturating_add(1)));
            format!("{unit}{last}")
        }
    };
    answer::set(response, header::RANGE, text);
}

/// The last byte that a range of the form `0-<last>` names, after its unit.
fn last_byte(range: &str, unit: &str) -> Option<u64> {
    let last = range.strip_prefix(unit)?.strip_prefix("0-")?;
    last.parse().ok().filter(|it| *it < u64::MAX)
}

/// A 401's challenge, in another form.
fn challenge(response: &mut Response, form: ChallengeForm) {
    if response.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    let text = response.headers().get(header::WWW_AUTHENTICATE);
    let Some(text) = text.and_then(|it| it.to_str().ok()).map(str::to_owned) else {
        return;
    };
    let headers = response.headers_mut();
    headers.remove(header::WWW_AUTHENTICATE);
    for text in challenges(&text, form) {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(header::WWW_AUTHENTICATE, value);
        }
    }
}

/// The headers that are to stand for this one.
fn challenges(text: &str, form: ChallengeForm) -> Vec<String> {
    let another = "Negotiate".to_owned();
    match form {
        ChallengeForm::AfterAnother => vec![format!("{another}, {text}")],
        ChallengeForm::TwoHeaders => vec![another, text.to_owned()],
        ChallengeForm::UpperCase => vec![upper_case(text)],
        ChallengeForm::ExtraParameters => {
            vec![format!(
                "{text},error_uri=none,note=\"a, \\\"b\\\", realm=c\""
            )]
        }
        ChallengeForm::Spaced => vec![spaced(text)],
        ChallengeForm::Garbage => vec!["=,\"".to_owned()],
        ChallengeForm::Missing => Vec::new(),
        ChallengeForm::NoScope | ChallengeForm::NoService | ChallengeForm::NoRealm => {
            let parsed = Challenge::parse(text).unwrap_or_default();
            let lesser = parsed.into_iter().map(|it| without(it, form));
            lesser.collect()
        }
    }
}

fn without(challenge: Challenge, form: ChallengeForm) -> String {
    match challenge {
        Challenge::Bearer {
            realm,
            service,
            scope,
            error,
        } => {
            let (no_scope, no_service) = (
                form == ChallengeForm::NoScope,
                form == ChallengeForm::NoService,
            );
            let text = Challenge::Bearer {
                realm,
                service: service.filter(|_| !no_service),
                scope: if no_scope { ScopeSet::new() } else { scope },
                error,
            }
            .to_string();
            match text.split_once(',') {
                Some((_, rest)) if form == ChallengeForm::NoRealm => format!("Bearer {rest}"),
                _ => text,
            }
        }
        Challenge::Basic { .. } if form == ChallengeForm::NoRealm => "Basic".to_owned(),
        other => other.to_string(),
    }
}

/// Everything outside of quotes in capitals.
fn upper_case(text: &str) -> String {
    outside_quotes(text, |c| c.to_ascii_uppercase().to_string())
}

/// Spaces where the grammar allows them.
fn spaced(text: &str) -> String {
    outside_quotes(text, |c| match c {
        ',' => " , ".to_owned(),
        '=' => " = ".to_owned(),
        c => c.to_string(),
    })
}

fn outside_quotes(text: &str, change: impl Fn(char) -> String) -> String {
    let (mut quoted, mut escaped) = (false, false);
    text.chars()
        .map(|c| {
            if c == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = quoted && c == '\\' && !escaped;
            if quoted { c.to_string() } else { change(c) }
        })
        .collect()
}
