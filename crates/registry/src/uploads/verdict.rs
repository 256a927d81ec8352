//! What to make of the end of a body: pure, so that it can be read as a table.
//!
//! | what came | what it means |
//! | --- | --- |
//! | 201 | done |
//! | another 2xx | done if the blob is there |
//! | 404, 410, 416 | the session is gone, perhaps because the blob is done |
//! | 429 | nothing was taken: later, in a new session |
//! | 408, 499, 5xx, a break, a time limit | anybody's guess: look, then send again |
//! | no connection | nothing was sent: again, in the same session |
//! | any other 4xx | no |
//! | the source failed | no |

use http::StatusCode;

use crate::{error::CallError, quirks, transport::retry::may_change};

/// What to do after a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The registry has committed the blob.
    Done,
    /// It says so, in a way that is to be checked.
    DoneIfThere,
    /// Look whether the blob is there after all; if not, from the start in a new session.
    LookThenAnew,
    /// From the start in a new session.
    Anew,
    /// From the start in the same session.
    Same,
    /// No attempt will change it.
    Failed,
}

/// By the status of the answer.
pub(super) fn of_status(status: StatusCode) -> Verdict {
    match status {
        StatusCode::CREATED => Verdict::Done,
        status if status.is_success() => Verdict::DoneIfThere,
        status if quirks::lost_its_session(status) => Verdict::LookThenAnew,
        StatusCode::TOO_MANY_REQUESTS => Verdict::Anew,
        status if may_change(status) => Verdict::LookThenAnew,
        _ => Verdict::Failed,
    }
}

/// Where there was no answer.
pub(super) fn of_error(error: &CallError) -> Verdict {
    match error {
        CallError::Transport(error) if !error.may_change() => Verdict::Failed,
        CallError::Transport(error) if error.nothing_sent() => Verdict::Same,
        CallError::Transport(_) => Verdict::LookThenAnew,
        CallError::Auth(_) | CallError::Source(_) => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{
        TransportError, connect::ConnectError, location::LocationError, timeouts::Limit,
    };

    #[test]
    fn every_status_has_its_verdict() {
        let cases = [
            (201, Verdict::Done),
            (200, Verdict::DoneIfThere),
            (202, Verdict::DoneIfThere),
            (204, Verdict::DoneIfThere),
            (307, Verdict::Failed),
            (400, Verdict::Failed),
            (401, Verdict::Failed),
            (403, Verdict::Failed),
            (404, Verdict::LookThenAnew),
            (408, Verdict::LookThenAnew),
            (410, Verdict::LookThenAnew),
            (413, Verdict::Failed),
            (416, Verdict::LookThenAnew),
            (429, Verdict::Anew),
            (500, Verdict::LookThenAnew),
            (501, Verdict::Failed),
            (503, Verdict::LookThenAnew),
        ];
        for (status, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(of_status(status), expected, "{status}");
        }
    }

    #[test]
    fn every_failure_has_its_verdict() {
        let broken = || TransportError::Broken("reset".into());
        let cases = [
            (broken(), Verdict::LookThenAnew),
            (TransportError::TimedOut(Limit::Idle), Verdict::LookThenAnew),
            (
                TransportError::Connect(ConnectError::Tcp("refused".into())),
                Verdict::Same,
            ),
            (TransportError::Connect(ConnectError::Name), Verdict::Failed),
            (TransportError::NotHttp("?".into()), Verdict::Failed),
            (LocationError::Malformed.into(), Verdict::Failed),
        ];
        for (error, expected) in cases {
            let shown = error.to_string();
            assert_eq!(of_error(&error.into()), expected, "{shown}");
        }
        let source = oci::SourceError::invalid("here", "gone");
        assert_eq!(of_error(&source.into()), Verdict::Failed);
    }
}
