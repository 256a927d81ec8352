//! Connections: opened within a limit of time and of number, agreed on TLS.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::Service;
use url::Url;

use super::{
    address::{Lookup, PrivateAddress, Reach},
    limit::{Hosts, Lane},
    location::Origin,
    socket::{Counted, Socket},
    tls::{Tls, TlsError, refusal::TlsRefusal},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections of one lane.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    http: HttpConnector<Lookup>,
    reach: Reach,
    tls: Arc<Tls>,
    hosts: Arc<Hosts>,
    lane: Lane,
    limit: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection within the connect limit")]
    TimedOut,
    #[error("could not connect")]
    Tcp(#[source] BoxError),
    #[error(transparent)]
    Tls(TlsRefusal),
    #[error(transparent)]
    TlsSetup(#[from] TlsError),
    #[error("the host is not one TLS can be spoken with")]
    Name,
    #[error("the connection is no longer wanted")]
    Unwanted,
    #[error("a public registry leads to {0}, whose address is private or this machine's own")]
    Private(String),
}

// === impl Connector ===

impl Connector {
    /// Connections of a lane, made within `limit`, to where `lookup` lets them.
    pub(super) fn new(
        tls: Arc<Tls>,
        hosts: Arc<Hosts>,
        lane: Lane,
        limit: Duration,
        lookup: Lookup,
    ) -> Self {
        let reach = lookup.reach;
        let mut http = HttpConnector::new_with_resolver(lookup);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(limit));
        http.set_keepalive(Some(Duration::from_mins(1)));
        Self {
            http,
            reach,
            tls,
            hosts,
            lane,
            limit,
        }
    }

    async fn connect(mut self, uri: Uri) -> Result<TokioIo<Socket>, ConnectError> {
        let url = Url::parse(&uri.to_string()).map_err(|_| ConnectError::Name)?;
        let origin = Origin::of(&url).map_err(|_| ConnectError::Name)?;
        if self.reach == Reach::Public && origin.is_private() {
            return Err(ConnectError::Private(origin.to_string()));
        }
        let host = self.hosts.of(&origin);
        let slot = host
            .slot(self.lane, self.limit)
            .await
            .ok_or(ConnectError::Unwanted)?;
        let limit = self.limit;
        let opening = async {
            let tcp = self.http.call(uri).await;
            let tcp = tcp.map_err(|error| {
                if is_private_address(&error) {
                    ConnectError::Private(origin.to_string())
                } else {
                    ConnectError::Tcp(error.into())
                }
            })?;
            let counted = Counted::new(tcp.into_inner(), slot);
            host.counters.connection();
            if origin.tls() {
                self.agree(counted, &origin).await
            } else {
                Ok(Socket::Plain(counted))
            }
        };
        let socket = timeout(limit, opening)
            .await
            .map_err(|_| ConnectError::TimedOut)??;
        Ok(TokioIo::new(socket))
    }

    async fn agree(&self, counted: Counted, origin: &Origin) -> Result<Socket, ConnectError> {
        let name = origin.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::Name)?;
        let config = self.tls.config(&origin.authority(), self.lane).await?;
        let stream = TlsConnector::from(config).connect(name, counted).await;
        let refused = |error| ConnectError::Tls(TlsRefusal::of(origin.authority(), &error));
        Ok(Socket::Tls(Box::new(stream.map_err(refused)?)))
    }
}

/// Whether the lookup's verdict is somewhere in the chain.
fn is_private_address(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |it| it.source()).any(|it| {
        let io = it.downcast_ref::<io::Error>();
        let inner = io.and_then(io::Error::get_ref);
        matches!(inner, Some(inner) if inner.is::<PrivateAddress>())
    })
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
