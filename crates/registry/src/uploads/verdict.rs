//! What to make of an answer that takes no bytes, or of none: pure, so that it can be read as a table.
//!
//! | what came | what it means |
//! | --- | --- |
//! | 404, 410, `BLOB_UPLOAD_UNKNOWN` | the session is gone, perhaps because the blob is done |
//! | 416, `RANGE_INVALID` | the session ends elsewhere |
//! | 413 | shorter bodies |
//! | 429 | later |
//! | 401 with a new token at hand | ask, and go on |
//! | `DIGEST_INVALID` | other bytes arrived |
//! | 408, 499, 5xx, a break, a time limit | anybody's guess: look, ask, go on |
//! | no connection | nothing was sent: the same again |
//! | 400, 405, 411, 415, 501 | no, in this way |
//! | any other 4xx | no |
//! | the source failed | no |

use http::StatusCode;
use oci::{TargetError, wire::ErrorCode};

use super::machine::Trouble;
use crate::{
    error::CallError,
    quirks,
    transport::{TransportError, retry::may_change},
};

/// What distribution calls a chunk that begins elsewhere
/// ([source](https://github.com/distribution/distribution/blob/v3.1.1/registry/api/errcode/register.go)).
const RANGE_INVALID: &str = "RANGE_INVALID";

/// By a refusal: its status and codes.
pub(super) fn of_refusal(
    status: StatusCode,
    refusal: &TargetError,
    renewed: bool,
    maximum: Option<u64>,
) -> Trouble {
    let says = |code: &ErrorCode| status.is_client_error() && refusal.codes().any(|it| it == code);
    match status.as_u16() {
        401 if renewed => Trouble::Renewed,
        401 | 403 => Trouble::Final,
        413 => Trouble::TooLong(maximum),
        429 => Trouble::Busy,
        416 => Trouble::OutOfRange,
        _ if says(&ErrorCode::DigestInvalid) => Trouble::WrongDigest,
        _ if says(&ErrorCode::BlobUploadUnknown) => Trouble::Lost,
        _ if quirks::lost_its_session(status) => Trouble::Lost,
        _ if says(&ErrorCode::BlobUploadInvalid) => Trouble::OutOfRange,
        _ if refusal.codes().any(|it| it.as_str() == RANGE_INVALID) => Trouble::OutOfRange,
        _ if may_change(status) => Trouble::Unsure,
        400 | 405 | 411 | 415 | 501 => Trouble::Unwanted,
        _ => Trouble::Final,
    }
}

/// Where there was no answer.
pub(super) fn of_error(error: &CallError) -> Trouble {
    match error {
        CallError::Transport(error) if !error.may_change() => Trouble::Final,
        CallError::Transport(error) if error.nothing_sent() => Trouble::Unsent,
        CallError::Transport(TransportError::TimedOut(_)) => Trouble::Silent,
        CallError::Transport(_) => Trouble::Broken,
        CallError::Auth(_) | CallError::Source(_) => Trouble::Final,
    }
}

#[cfg(test)]
mod tests {
    use oci::{TargetErrorKind, wire::ErrorBody};

    use super::*;
    use crate::transport::{
        connect::{ConnectError, Unmade},
        location::LocationError,
        timeouts::Limit,
    };

    #[test]
    fn every_status_has_its_meaning() {
        let refusal = TargetError::new(TargetErrorKind::Refused, "upload");
        let cases = [
            (400, Trouble::Unwanted),
            (401, Trouble::Final),
            (403, Trouble::Final),
            (404, Trouble::Lost),
            (405, Trouble::Unwanted),
            (408, Trouble::Unsure),
            (409, Trouble::Final),
            (410, Trouble::Lost),
            (413, Trouble::TooLong(None)),
            (416, Trouble::OutOfRange),
            (429, Trouble::Busy),
            (499, Trouble::Unsure),
            (500, Trouble::Unsure),
            (501, Trouble::Unwanted),
            (503, Trouble::Unsure),
            (302, Trouble::Final),
        ];
        for (status, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                of_refusal(status, &refusal, false, None),
                expected,
                "{status}"
            );
        }
        let unauthorized = StatusCode::UNAUTHORIZED;
        assert_eq!(
            of_refusal(unauthorized, &refusal, true, None),
            Trouble::Renewed
        );
    }

    #[test]
    fn a_code_says_more_than_its_status() {
        for (code, expected) in [
            (ErrorCode::DigestInvalid, Trouble::WrongDigest),
            (ErrorCode::BlobUploadUnknown, Trouble::Lost),
            (ErrorCode::BlobUploadInvalid, Trouble::OutOfRange),
            (ErrorCode::NameInvalid, Trouble::Unwanted),
        ] {
            let body = format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#);
            let refusal = TargetError::new(TargetErrorKind::Refused, "upload")
                .with_answer(ErrorBody::parse(body.as_bytes()));
            let status = StatusCode::BAD_REQUEST;
            assert_eq!(of_refusal(status, &refusal, false, None), expected);
        }
    }

    #[test]
    fn every_failure_has_its_meaning() {
        let broken = || TransportError::Broken("reset".into());
        let cases: [(TransportError, Trouble); 7] = [
            (broken(), Trouble::Broken),
            (TransportError::TimedOut(Limit::Idle), Trouble::Silent),
            (TransportError::TimedOut(Limit::Commit), Trouble::Silent),
            (
                TransportError::Connect(ConnectError::Tcp {
                    to: "registry.example:443".into(),
                    unmade: Unmade::Refused,
                    error: "refused".into(),
                }),
                Trouble::Unsent,
            ),
            (TransportError::Connect(ConnectError::Name), Trouble::Final),
            (TransportError::NotHttp("?".into()), Trouble::Final),
            (LocationError::Malformed.into(), Trouble::Final),
        ];
        for (error, expected) in cases {
            let shown = error.to_string();
            assert_eq!(of_error(&error.into()), expected, "{shown}");
        }
        let source = oci::SourceError::invalid("here", "gone");
        assert_eq!(of_error(&source.into()), Trouble::Final);
    }
}
