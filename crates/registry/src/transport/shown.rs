//! The secrets that a request has shown, to be kept out of what its answer has a person read.
//!
//! A registry that repeats a header in an error means no harm, and whoever collects the log of a
//! build reads the password in it.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use oci::wire::{ErrorBody, ErrorCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Secrets that are shorter are found anywhere.
const MIN_SECRET: usize = 4;

/// What takes the place of a text with a secret in it.
const NOT_SHOWN: &str = "(not shown: it repeats the credentials)";

/// What a request has shown. Never shown itself.
#[derive(Default)]
pub(crate) struct Shown(Vec<SecretString>);

impl Shown {
    /// What an `Authorization` has: the token, or the password and what it is sent as.
    pub(crate) fn of(header: Option<&HeaderValue>) -> Self {
        let text = header.and_then(|it| it.to_str().ok());
        let Some((_, sent)) = text.and_then(|it| it.split_once(' ')) else {
            return Self::default();
        };
        let decoded = BASE64_STANDARD.decode(sent).unwrap_or_default();
        let decoded = String::from_utf8_lossy(&decoded);
        let password = decoded.split_once(':').map(|(_, password)| password);
        let secrets = [Some(sent), password].into_iter().flatten();
        Self(secrets.map(SecretString::from).collect())
    }

    /// The same with what a body had.
    pub(crate) fn and(mut self, secret: Option<&SecretString>) -> Self {
        self.0.extend(secret.cloned());
        self
    }

    /// Whether a text has one of them in it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let mut secrets = self.0.iter().map(ExposeSecret::expose_secret);
        secrets.any(|it| it.len() >= MIN_SECRET && text.contains(it))
    }

    /// The same errors without the texts that have one of them.
    pub(crate) fn kept_out_of(&self, mut body: ErrorBody) -> ErrorBody {
        for error in &mut body.errors {
            if self.is_in(error.code.as_str()) {
                error.code = ErrorCode::Unknown;
            }
            if error.message.as_deref().is_some_and(|it| self.is_in(it)) {
                error.message = Some(NOT_SHOWN.to_owned());
            }
            if self.is_within(&error.detail) {
                error.detail = Value::Null;
            }
        }
        body
    }

    fn is_within(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_in(text),
            Value::Array(values) => values.iter().any(|it| self.is_within(it)),
            Value::Object(values) => {
                let mut values = values.iter();
                values.any(|(key, value)| self.is_in(key) || self.is_within(value))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::wire::ErrorEntry;
    use serde_json::json;

    fn kept_out(header: &str, refresh: Option<&str>) -> String {
        let header = HeaderValue::from_str(header).unwrap();
        let refresh = refresh.map(SecretString::from);
        let told = |message: &str, detail: Value| {
            ErrorEntry::new(ErrorCode::from(message))
                .message(format!("got {message}!"))
                .detail(detail)
        };
        let body = ErrorBody {
            errors: vec![
                told(
                    "YWxpY2U6Y2FuYXJ5",
                    json!({"sent": ["Basic YWxpY2U6Y2FuYXJ5"]}),
                ),
                told("canary", json!({"canary": 1})),
                told("rotating-canary-7", json!("rotating-canary-7")),
                told(
                    "DENIED",
                    json!({"Class": "registry", "tries": [1, true, null]}),
                ),
            ],
        };
        let kept = Shown::of(Some(&header))
            .and(refresh.as_ref())
            .kept_out_of(body);
        serde_json::to_string(&kept).unwrap()
    }

    #[test]
    fn r10_what_was_sent_is_in_no_error_and_what_was_not_is_told_as_it_is() {
        let basic = kept_out("Basic YWxpY2U6Y2FuYXJ5", None);
        assert!(
            !basic.contains("canary\"") && !basic.contains("YWxpY2U6Y2FuYXJ5"),
            "{basic}"
        );
        assert!(
            basic.contains(NOT_SHOWN) && basic.contains("got DENIED!"),
            "{basic}"
        );
        assert!(basic.contains(r#""tries":[1,true,null]"#), "{basic}");
        let bearer = kept_out("Bearer YWxpY2U6Y2FuYXJ5", Some("rotating-canary-7"));
        assert!(
            !bearer.contains("YWxpY2U6Y2FuYXJ5") && !bearer.contains("rotating"),
            "{bearer}"
        );
        let other = kept_out("Bearer another-token", None);
        assert!(
            !other.contains(NOT_SHOWN) && other.contains("got canary!"),
            "{other}"
        );
    }

    #[test]
    fn what_is_too_short_to_be_a_secret_hides_nothing() {
        let header = HeaderValue::from_static("Basic YTpi");
        let shown = Shown::of(Some(&header));
        assert!(!shown.is_in("abc") && shown.is_in("sent YTpi"));
        assert!(!Shown::of(None).is_in("anything"));
    }
}
