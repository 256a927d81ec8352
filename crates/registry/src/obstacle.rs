//! What stands in the way to a registry, for who tells a person what to do about it.
//!
//! An error's text says what happened; what helps depends on which of a few things it was. They are
//! told apart here, where the transport's own errors are known, and not by their texts.

use oci::TargetError;

use crate::transport::{
    TransportError,
    connect::{ConnectError, Unmade},
};

/// What stood in the way of a request, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The host's name stands for no address.
    UnknownName,
    /// Nothing listens at the host and port.
    NothingListens,
    /// The host speaks no TLS at this port.
    NoTls,
    /// The host's certificate is of an issuer that is not trusted.
    Untrusted,
    /// What the host answers without TLS is not HTTP; often it is TLS.
    NotHttp,
}

impl Obstacle {
    /// What stood in the way of what failed with `error`; none if it was something else.
    pub fn of(error: &TargetError) -> Option<Self> {
        let first: &(dyn std::error::Error + 'static) = error;
        let mut chain = std::iter::successors(Some(first), |it| it.source());
        match chain.find_map(|it| it.downcast_ref::<TransportError>())? {
            TransportError::Connect(ConnectError::Tcp { unmade, .. }) => match unmade {
                Unmade::UnknownName => Some(Self::UnknownName),
                Unmade::Refused => Some(Self::NothingListens),
                Unmade::Otherwise => None,
            },
            TransportError::Connect(ConnectError::Tls(refusal)) if refusal.is_no_tls() => {
                Some(Self::NoTls)
            }
            TransportError::Connect(ConnectError::Tls(refusal)) if refusal.is_untrusted() => {
                Some(Self::Untrusted)
            }
            TransportError::NotHttp(_) => Some(Self::NotHttp),
            _ => None,
        }
    }
}
