//! Why a target could not do what it was asked.

use std::{error::Error, fmt};

use crate::{
    Digest, SourceError,
    wire::{ErrorBody, ErrorCode, error::printable},
};

/// Why a target could not do what it was asked.
///
/// Matched by its [`kind`](Self::kind), never by its text. Carries what the
/// registry answered, whether trying again can help, and its cause.
#[derive(Debug)]
pub struct TargetError {
    kind: TargetErrorKind,
    attempted: String,
    status: Option<u16>,
    answer: ErrorBody,
    source: Option<Box<dyn Error + Send + Sync>>,
    sent: u64,
}

/// What kind of failure it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetErrorKind {
    /// No credentials, or wrong ones: 401 after everything there was to try.
    Unauthorized,
    /// The credentials are good and do not allow it: 403.
    Denied,
    /// Too many requests, and the wait would be too long: 429.
    RateLimited,
    /// The registry says no: any other 4xx.
    Refused,
    /// The registry is at fault: 5xx, again and again.
    Server,
    /// No connection, or one that broke: DNS, TCP, TLS, a reset.
    Network,
    /// A time limit passed.
    Timeout,
    /// The registry says another digest than the content has.
    DigestMismatch {
        /// The digest the content has.
        expected: Digest,
        /// The digest the registry says.
        actual: String,
    },
    /// Somebody else changes the same thing all the time.
    Contended,
    /// The answer is not the protocol's: no `Location`, an HTML page, an endless body.
    Protocol,
    /// The answer would lead somewhere credentials or bytes must not go.
    Unsafe,
    /// The bytes to send could not be read, or are not the right ones. The cause is a [`SourceError`].
    Source,
    /// The target writes to this machine, and could not: no room, no leave, something else there.
    Storage,
    /// The target cannot do this at all.
    Unsupported,
}

impl TargetError {
    /// A failure of `kind` at something `attempted`: a fragment such as `upload blob sha256:…`,
    /// that follows "could not".
    pub fn new(kind: TargetErrorKind, attempted: impl Into<String>) -> Self {
        Self {
            kind,
            attempted: attempted.into(),
            status: None,
            answer: ErrorBody::default(),
            source: None,
            sent: 0,
        }
    }

    /// A source that failed while it was read for the target.
    pub fn from_source(error: SourceError, attempted: impl Into<String>) -> Self {
        Self::new(TargetErrorKind::Source, attempted).with_source(error)
    }

    /// The same with the answer's HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The same with the errors of the answer's body.
    #[must_use]
    pub fn with_answer(mut self, answer: ErrorBody) -> Self {
        self.answer = answer;
        self
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with the body bytes that had been sent, in all attempts.
    #[must_use]
    pub fn with_sent(mut self, bytes: u64) -> Self {
        self.sent = bytes;
        self
    }

    /// What was attempted, as a fragment.
    pub(crate) fn attempted(&self) -> &str {
        &self.attempted
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> &TargetErrorKind {
        &self.kind
    }

    /// The HTTP status of the answer that decided it, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// What the registry said.
    pub fn answer(&self) -> &ErrorBody {
        &self.answer
    }

    /// The registry's error codes, in order.
    pub fn codes(&self) -> impl Iterator<Item = &ErrorCode> {
        self.answer.errors.iter().map(|entry| &entry.code)
    }

    /// Body bytes sent before it failed, in all attempts.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the same attempt may succeed later: the cause lies with the network, the registry's
    /// load or other clients, not with what was asked.
    pub fn retryable(&self) -> bool {
        matches!(
            self.kind,
            TargetErrorKind::RateLimited
                | TargetErrorKind::Server
                | TargetErrorKind::Network
                | TargetErrorKind::Timeout
                | TargetErrorKind::Contended
        )
    }

    /// The [`SourceError`] that caused it, if one did.
    pub fn as_source_error(&self) -> Option<&SourceError> {
        self.source.as_deref()?.downcast_ref()
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.attempted, self.kind)?;
        if let Some(status) = self.status {
            write!(f, " (HTTP {status})")?;
        }
        for entry in self.answer.errors.iter().take(8) {
            write!(f, "; {entry}")?;
        }
        Ok(())
    }
}

impl Error for TargetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|it| it as _)
    }
}

impl fmt::Display for TargetErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str("the registry wants other credentials"),
            Self::Denied => f.write_str("the credentials do not allow it"),
            Self::RateLimited => f.write_str("the registry wants fewer requests"),
            Self::Refused => f.write_str("the registry refused it"),
            Self::Server => f.write_str("the registry failed"),
            Self::Network => f.write_str("the connection failed"),
            Self::Timeout => f.write_str("a time limit passed"),
            Self::DigestMismatch { expected, actual } => {
                let actual = printable(actual, 160);
                write!(f, "the registry says digest {actual}, expected {expected}")
            }
            Self::Contended => f.write_str("others change it all the time"),
            Self::Protocol => f.write_str("the answer is not a registry's"),
            Self::Unsafe => f.write_str("the answer leads where it must not"),
            Self::Source => f.write_str("its bytes could not be read"),
            Self::Storage => f.write_str("it could not be kept on this machine"),
            Self::Unsupported => f.write_str("it is not supported"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::{TargetError, TargetErrorKind};
    use crate::{
        Digest, SourceError,
        wire::{ErrorBody, ErrorCode},
    };

    #[test]
    fn an_error_says_what_was_attempted_and_what_the_registry_said() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"},{"code":"X"}]}"#;
        let error = TargetError::new(TargetErrorKind::Denied, "put manifest h/a:1")
            .with_status(403)
            .with_answer(ErrorBody::parse(body))
            .with_sent(7);
        assert_eq!(
            error.to_string(),
            "could not put manifest h/a:1: the credentials do not allow it (HTTP 403); \
             DENIED: no[31m; X"
        );
        assert_eq!((error.status(), error.sent()), (Some(403), 7));
        let codes: Vec<_> = error.codes().cloned().collect();
        assert_eq!(codes, [ErrorCode::Denied, ErrorCode::Other("X".into())]);
        assert!(!error.retryable() && error.source().is_none());
    }

    #[test]
    fn a_source_that_failed_is_the_cause_and_not_repeated() {
        let missing = SourceError::Missing {
            digest: Digest::of(b""),
            place: "a place".into(),
        };
        let text = missing.to_string();
        let error = TargetError::from_source(missing, "upload blob x");
        assert_eq!(error.kind(), &TargetErrorKind::Source);
        assert!(matches!(
            error.as_source_error(),
            Some(SourceError::Missing { .. })
        ));
        assert_eq!(error.source().map(ToString::to_string), Some(text.clone()));
        assert!(!error.to_string().contains(&text));
    }

    #[test]
    fn only_network_load_and_others_are_worth_another_try() {
        use TargetErrorKind as Kind;
        let retryable = |kind| TargetError::new(kind, "x").retryable();
        for kind in [
            Kind::RateLimited,
            Kind::Server,
            Kind::Network,
            Kind::Timeout,
            Kind::Contended,
        ] {
            assert!(retryable(kind.clone()), "{kind}");
        }
        let mismatch = Kind::DigestMismatch {
            expected: Digest::of(b""),
            actual: "sha256:\u{1b}0".into(),
        };
        assert!(!mismatch.to_string().contains('\u{1b}'));
        for kind in [
            Kind::Unauthorized,
            Kind::Denied,
            Kind::Refused,
            mismatch,
            Kind::Protocol,
            Kind::Unsafe,
            Kind::Source,
            Kind::Storage,
            Kind::Unsupported,
        ] {
            assert!(!retryable(kind.clone()), "{kind}");
        }
    }
}
