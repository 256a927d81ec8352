//! Answers made up by a test.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::time;

/// An answer made up by a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) retry_after: Option<RetryAfter>,
    pub(crate) body: Bytes,
}

/// When a client may come back: the two forms of
/// [`Retry-After`](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RetryAfter {
    /// After so many seconds, as a number.
    Seconds(u64),
    /// So long after the answer, as an HTTP date, which has whole seconds.
    #[serde(with = "time")]
    DateIn(Duration),
}

/// The text form of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Text {
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<RetryAfter>,
    /// Short for a body with one error and its content type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
}

// === impl Answer ===

impl Answer {
    /// An answer with this status and nothing else; a number that is no status is a 500.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            retry_after: None,
            body: Bytes::new(),
        }
    }

    /// 200 and an HTML page, as a captive portal or a wrong host gives it.
    pub fn html() -> Self {
        Self::new(200)
            .header("content-type", "text/html; charset=utf-8")
            .body("<!doctype html><html><body>Welcome</body></html>")
    }

    /// A redirect to a URL.
    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::new(status).header("location", to)
    }

    /// An error body with one error, as the specification writes it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::new(status)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// 429, and when to come back.
    pub fn too_many_requests(retry_after: RetryAfter) -> Self {
        Self::error(429, "TOOMANYREQUESTS", "too many requests").retry_after(retry_after)
    }

    /// A token service's answer whose token the registry does not know, as one that expired
    /// at once; `expires_in` is said to be so many seconds.
    pub fn worthless_token(expires_in: u64) -> Self {
        let body = serde_json::json!({"token": "expired", "expires_in": expires_in});
        Self::new(200)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// The same with a header more. What is no header is left out.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, when: RetryAfter) -> Self {
        self.retry_after = Some(when);
        self
    }

    /// The same with this body. `Content-Length` is set unless a header says otherwise.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl RetryAfter {
    /// The header's value in an answer given at `now`.
    pub(crate) fn value(self, now: SystemTime) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::DateIn(time) => httpdate::fmt_http_date(now + time),
        }
    }
}

// === text ===

impl TryFrom<Text> for Answer {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        if !(200..=599).contains(&text.status) {
            return Err(format!("status {} is not one of 200 to 599", text.status));
        }
        let message = text.message.unwrap_or_default();
        let mut answer = match (text.code, text.body) {
            (Some(_), Some(_)) => return Err("an answer has a code or a body, not both".into()),
            (Some(code), None) => Self::error(text.status, &code, &message),
            (None, _) if !message.is_empty() => return Err("a message needs a code".into()),
            (None, body) => Self::new(text.status).body(body.unwrap_or_default()),
        };
        for (name, value) in text.headers {
            let fits = axum::http::HeaderName::try_from(&name).is_ok()
                && axum::http::HeaderValue::try_from(&value).is_ok();
            if !fits {
                return Err(format!("{name:?}: {value:?} is not a header"));
            }
            answer = answer.header(name, value);
        }
        answer.retry_after = text.retry_after;
        Ok(answer)
    }
}

impl From<Answer> for Text {
    fn from(answer: Answer) -> Self {
        Self {
            status: answer.status,
            retry_after: answer.retry_after,
            code: None,
            message: None,
            body: (!answer.body.is_empty())
                .then(|| String::from_utf8_lossy(&answer.body).into_owned()),
            headers: answer.headers,
        }
    }
}
