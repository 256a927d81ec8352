//! Connections: opened within a limit of time and of number, also [ahead](super::ahead) of their requests, through a proxy where there is one,
//! agreed on TLS.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{StatusCode, Uri};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;
use url::Url;

use super::{
    address::{Lookup, PrivateAddress, Reach, UnknownName},
    ahead::{self, Ahead},
    limit::{Host, Hosts, Lane, Slot},
    location::Origin,
    proxy::{
        Proxies, Proxy,
        socks::{self, Refusal, SocksError},
        tunnel::{self, TunnelError},
    },
    socket::{Counted, Socket},
    tls::{Tls, TlsError, refusal::TlsRefusal},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections of one lane.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    http: HttpConnector<Lookup>,
    /// To proxies, that are the user's own.
    to_proxies: HttpConnector<Lookup>,
    proxies: Arc<Proxies>,
    reach: Reach,
    tls: Arc<Tls>,
    hosts: Arc<Hosts>,
    lane: Lane,
    limit: Duration,
    ahead: Arc<Ahead>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection within the connect limit")]
    TimedOut,
    #[error("could not connect to {to}")]
    Tcp {
        /// The host and port.
        to: String,
        unmade: Unmade,
        #[source]
        error: BoxError,
    },
    #[error(transparent)]
    Tls(TlsRefusal),
    #[error(transparent)]
    TlsSetup(#[from] TlsError),
    #[error("could not connect to the proxy {proxy}")]
    Proxy {
        proxy: String,
        #[source]
        error: BoxError,
    },
    #[error(
        "the proxy {0} wants a user name and a password (407): give them in its URL, http://NAME:PASSWORD@HOST"
    )]
    ProxyCredentials(String),
    #[error("the proxy {proxy} does not connect to {host}: {status}")]
    ProxyRefused {
        proxy: String,
        host: String,
        status: StatusCode,
    },
    #[error("the proxy {proxy} is of no use")]
    Socks {
        proxy: String,
        #[source]
        refusal: Refusal,
    },
    #[error("the answer of the proxy {0} is not HTTP: is it a proxy?")]
    NoProxy(String),
    #[error("the host is not one TLS can be spoken with")]
    Name,
    #[error("the connection is no longer wanted")]
    Unwanted,
    #[error("a public registry leads to {0}, whose address is private or this machine's own")]
    Private(String),
}

/// Why a TCP connection was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmade {
    /// The name could not be looked up.
    UnknownName,
    /// Nobody listens there.
    Refused,
    Otherwise,
}

impl Unmade {
    /// By what is somewhere in the chain.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        for error in std::iter::successors(Some(error), |it| it.source()) {
            let Some(io) = error.downcast_ref::<io::Error>() else {
                continue;
            };
            let inner = io.get_ref();
            if matches!(inner, Some(inner) if inner.is::<UnknownName>()) {
                return Self::UnknownName;
            }
            if io.kind() == io::ErrorKind::ConnectionRefused {
                return Self::Refused;
            }
        }
        Self::Otherwise
    }
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
        proxies: Arc<Proxies>,
    ) -> Self {
        let tcp = |lookup| {
            let mut tcp = HttpConnector::new_with_resolver(lookup);
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            tcp.set_connect_timeout(Some(limit));
            tcp.set_keepalive(Some(Duration::from_mins(1)));
            tcp
        };
        let reach = lookup.reach;
        let anywhere = Lookup {
            names: lookup.names.clone(),
            reach: Reach::Anywhere,
        };
        Self {
            http: tcp(lookup),
            to_proxies: tcp(anywhere),
            proxies,
            reach,
            tls,
            hosts,
            lane,
            limit,
            ahead: Arc::default(),
        }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Socket>, ConnectError> {
        let origin = self.origin(&uri)?;
        if let Some(socket) = self.ahead.take(&origin).await {
            return Ok(TokioIo::new(socket));
        }
        let host = self.hosts.of(&origin);
        let slot = host.slot(self.lane, self.limit).await;
        let slot = slot.ok_or(ConnectError::Unwanted)?;
        Ok(TokioIo::new(self.open(uri, &origin, slot).await?))
    }

    /// Opens connections ahead, until there are as many as `wanted` says by then.
    pub(super) fn open_ahead(
        &self,
        origin: Origin,
        wanted: impl Fn(&Host) -> usize + Send + 'static,
    ) {
        let this = self.clone();
        tokio::spawn(async move {
            let host = this.hosts.of(&origin);
            let Ok(uri) = format!("{origin}/").parse::<Uri>() else {
                return;
            };
            if timeout(ahead::KEPT, host.stood()).await.is_err() {
                return;
            }
            while let Some(slot) = host.slot_ahead(this.lane, wanted(&host)) {
                let (opener, to, uri) = (this.clone(), origin.clone(), uri.clone());
                let opening = async move { opener.open(uri, &to, slot).await };
                this.ahead.keep(&origin, opening);
            }
        });
    }

    /// Where a connection leads to, if it may.
    fn origin(&self, uri: &Uri) -> Result<Origin, ConnectError> {
        let url = Url::parse(&uri.to_string()).map_err(|_| ConnectError::Name)?;
        let origin = Origin::of(&url).map_err(|_| ConnectError::Name)?;
        if self.reach == Reach::Public && origin.is_private() {
            return Err(ConnectError::Private(origin.to_string()));
        }
        Ok(origin)
    }

    async fn open(mut self, uri: Uri, origin: &Origin, slot: Slot) -> Result<Socket, ConnectError> {
        let host = self.hosts.of(origin);
        let limit = self.limit;
        let proxies = self.proxies.clone();
        let opening = async {
            match proxies.of(origin) {
                None => {
                    let tcp = self.direct(uri, origin).await?;
                    host.counters.connection();
                    self.with_tls(Counted::new(tcp, slot), origin).await
                }
                Some(proxy) => {
                    let tcp = self.reach_proxy(proxy).await?;
                    host.counters.connection();
                    let counted = Counted::new(tcp, slot);
                    // Kept apart: what is rare takes no room in every connection being made.
                    Box::pin(self.through(proxy, counted, origin)).await
                }
            }
        };
        let socket = timeout(limit, opening)
            .await
            .map_err(|_| ConnectError::TimedOut)??;
        host.stands();
        Ok(socket)
    }

    async fn direct(&mut self, uri: Uri, origin: &Origin) -> Result<TcpStream, ConnectError> {
        let tcp = self.http.call(uri).await.map_err(|error| {
            if is_private_address(&error) {
                ConnectError::Private(origin.to_string())
            } else {
                ConnectError::Tcp {
                    to: origin.authority(),
                    unmade: Unmade::of(&error),
                    error: error.into(),
                }
            }
        })?;
        Ok(tcp.into_inner())
    }

    async fn reach_proxy(&mut self, proxy: &Proxy) -> Result<TcpStream, ConnectError> {
        let uri = proxy.url.as_str().parse();
        let uri: Uri = uri.map_err(|_| ConnectError::Name)?;
        let tcp = self.to_proxies.call(uri).await;
        let tcp = tcp.map_err(|error| ConnectError::Proxy {
            proxy: proxy.shown(),
            error: error.into(),
        })?;
        Ok(tcp.into_inner())
    }

    /// A connection to `origin` through a proxy that `counted` leads to.
    async fn through(
        &self,
        proxy: &Proxy,
        counted: Counted,
        origin: &Origin,
    ) -> Result<Socket, ConnectError> {
        if let Some(login) = &proxy.socks {
            let mut counted = counted;
            let opened = socks::open(&mut counted, origin, login).await;
            opened.map_err(|error| of_socks(proxy, error))?;
            return self.with_tls(counted, origin).await;
        }
        if proxy.origin.tls() {
            // What a proxy is asked is no question to a registry: HTTP/1.1.
            let mut stream = self.agree(counted, &proxy.origin, Lane::Bodies).await?;
            if !origin.tls() {
                return Ok(Socket::from(stream).forwarded());
            }
            dig(proxy, &mut stream, origin).await?;
            return Ok(self.agree(stream, origin, self.lane).await?.into());
        }
        let mut counted = counted;
        if !origin.tls() {
            return Ok(Socket::from(counted).forwarded());
        }
        dig(proxy, &mut counted, origin).await?;
        Ok(self.agree(counted, origin, self.lane).await?.into())
    }

    async fn with_tls(&self, counted: Counted, origin: &Origin) -> Result<Socket, ConnectError> {
        if origin.tls() {
            let agreeing = Box::pin(self.agree(counted, origin, self.lane));
            Ok(agreeing.await?.into())
        } else {
            Ok(counted.into())
        }
    }

    async fn agree<S>(
        &self,
        stream: S,
        origin: &Origin,
        lane: Lane,
    ) -> Result<TlsStream<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = origin.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::Name)?;
        let config = self.tls.config(&origin.authority(), lane).await?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        stream.map_err(|error| ConnectError::Tls(TlsRefusal::of(origin.authority(), &error)))
    }
}

/// Has the proxy connect to `origin`.
async fn dig<S>(proxy: &Proxy, stream: &mut S, origin: &Origin) -> Result<(), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opened = tunnel::open(stream, &origin.authority(), proxy.authorization.as_ref()).await;
    let shown = proxy.origin.to_string();
    opened.map_err(|error| match error {
        TunnelError::Io(error) => ConnectError::Proxy {
            proxy: shown,
            error: error.into(),
        },
        TunnelError::Refused(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            ConnectError::ProxyCredentials(shown)
        }
        TunnelError::Refused(status) => ConnectError::ProxyRefused {
            proxy: shown,
            host: origin.authority(),
            status,
        },
        TunnelError::NotHttp => ConnectError::NoProxy(shown),
    })
}

fn of_socks(proxy: &Proxy, error: SocksError) -> ConnectError {
    let proxy = proxy.shown();
    match error {
        SocksError::Io(error) => ConnectError::Proxy {
            proxy,
            error: error.into(),
        },
        SocksError::Refused(refusal) => ConnectError::Socks { proxy, refusal },
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
