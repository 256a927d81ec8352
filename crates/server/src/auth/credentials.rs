//! Credentials as a request carries them.

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::secret::Secret;

/// What `Authorization` says.
#[derive(Debug)]
pub(super) enum Given {
    /// Nothing; also an empty name with an empty password, which some clients send for it.
    Nothing,
    /// A user name and a password.
    Basic(String, Secret),
    /// A token.
    Bearer(Secret),
    /// Something that cannot be read.
    Unreadable,
}

impl Given {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Self::Nothing;
        };
        let Some((scheme, rest)) = value.to_str().ok().and_then(|it| it.split_once(' ')) else {
            return Self::Unreadable;
        };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::Bearer(rest.into());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Self::Unreadable;
        }
        let decoded = STANDARD.decode(rest).ok();
        let text = decoded.and_then(|it| String::from_utf8(it).ok());
        match text.as_deref().and_then(|it| it.split_once(':')) {
            Some(("", "")) => Self::Nothing,
            Some((user, password)) => Self::Basic(user.to_owned(), password.into()),
            None => Self::Unreadable,
        }
    }
}
