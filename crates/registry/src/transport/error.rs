//! Why an exchange had no answer, and what follows from that.

use std::time::Duration;

use hyper_util::client::legacy;

use super::{
    connect::{ConnectError, Unmade},
    location::LocationError,
    timeouts::Limit,
    tls::refusal::TlsRefusal,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an exchange had no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TransportError {
    #[error(transparent)]
    Connect(ConnectError),
    #[error("the connection broke")]
    Broken(#[source] BoxError),
    #[error("{0}")]
    TimedOut(Limit),
    #[error("{host} wants no requests for another {}", Seconds(*left))]
    Paused { host: String, left: Duration },
    #[error("the answer is not HTTP, or its head is too long")]
    NotHttp(#[source] BoxError),
    #[error("the answer's body is over {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Location(#[from] LocationError),
}

impl TransportError {
    /// Whether another attempt may go better: not where the peer is the wrong one.
    pub(crate) fn may_change(&self) -> bool {
        match self {
            Self::Connect(error) => {
                matches!(
                    error,
                    ConnectError::TimedOut
                        | ConnectError::Tcp { .. }
                        | ConnectError::Proxy { .. }
                        | ConnectError::Unwanted
                ) || matches!(
                    error,
                    ConnectError::ProxyRefused { status, .. } if status.is_server_error()
                ) || matches!(
                    error,
                    ConnectError::Socks { refusal, .. } if refusal.may_change()
                )
            }
            Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Paused { .. } | Self::NotHttp(_) | Self::TooLong(_) | Self::Location(_) => false,
        }
    }

    /// Whether nothing can have arrived: there was no connection, or nothing was tried.
    pub(crate) fn nothing_sent(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::Location(_) | Self::Paused { .. }
        )
    }

    pub(super) fn from_client(error: legacy::Error, host: &str) -> Self {
        if error.is_connect() {
            return match connect_error(&error, host) {
                ConnectError::TimedOut => Self::TimedOut(Limit::Connect),
                error => Self::Connect(error),
            };
        }
        if let Some(refusal) = TlsRefusal::of_client_certificate(host, &error) {
            return Self::Connect(ConnectError::Tls(refusal));
        }
        let parse = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<hyper::Error>())
            .is_some_and(hyper::Error::is_parse);
        if parse || is_no_answer(&error) {
            Self::NotHttp(error.into())
        } else {
            Self::Broken(error.into())
        }
    }
}

/// Whether an answer over HTTP/2 was none, by this client's own verdict: its head is too long, say.
/// What is wrong with all of a connection is another matter.
fn is_no_answer(error: &legacy::Error) -> bool {
    let error: &(dyn std::error::Error + 'static) = error;
    let mut chain = std::iter::successors(Some(error), |it| it.source());
    chain.any(|it| {
        let of_http2 = it.downcast_ref::<h2::Error>();
        // A head without end is answered by leaving: https://www.rfc-editor.org/rfc/rfc9113#section-7
        let too_much = |it: &h2::Error| it.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        of_http2.is_some_and(|it| it.is_library() && (it.is_reset() || too_much(it)))
    })
}

/// A time in seconds, rounded up.
struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} s", self.0.as_millis().div_ceil(1000))
    }
}

/// The connector's own error, made again: the client keeps the one there was.
fn connect_error(error: &legacy::Error, host: &str) -> ConnectError {
    let ours = std::error::Error::source(error).and_then(|it| it.downcast_ref::<ConnectError>());
    match ours {
        Some(ConnectError::TimedOut) => ConnectError::TimedOut,
        Some(ConnectError::Unwanted) => ConnectError::Unwanted,
        Some(ConnectError::Name) => ConnectError::Name,
        Some(ConnectError::Private(host)) => ConnectError::Private(host.clone()),
        Some(ConnectError::Proxy { proxy, error }) => ConnectError::Proxy {
            proxy: proxy.clone(),
            error: innermost(&**error).into(),
        },
        Some(ConnectError::ProxyCredentials(proxy)) => {
            ConnectError::ProxyCredentials(proxy.clone())
        }
        Some(ConnectError::ProxyRefused {
            proxy,
            host,
            status,
        }) => ConnectError::ProxyRefused {
            proxy: proxy.clone(),
            host: host.clone(),
            status: *status,
        },
        Some(ConnectError::Socks { proxy, refusal }) => ConnectError::Socks {
            proxy: proxy.clone(),
            refusal: refusal.clone(),
        },
        Some(ConnectError::NoProxy(proxy)) => ConnectError::NoProxy(proxy.clone()),
        Some(ConnectError::Tls(refusal)) => ConnectError::Tls(refusal.clone()),
        Some(ConnectError::TlsSetup(error)) => ConnectError::TlsSetup(error.clone()),
        Some(ConnectError::Tcp { to, unmade, error }) => ConnectError::Tcp {
            to: to.clone(),
            unmade: *unmade,
            error: innermost(&**error).into(),
        },
        None => ConnectError::Tcp {
            to: host.to_owned(),
            unmade: Unmade::Otherwise,
            error: innermost(error).into(),
        },
    }
}

/// The text of the error at the end of the chain: the system's own, not what each layer
/// of the client called it.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |it| it.source());
    chain.last().map_or_else(String::new, ToString::to_string)
}
