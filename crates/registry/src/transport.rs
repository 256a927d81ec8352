//! How one request travels: limits around it, a connection under it, an answer out of it.
//!
//! ```text
//!   Outgoing ─▶ permit ─▶ lane ─▶ connection ─▶ Answer
//!                 │         │          └ watched: connect, idle, commit, total
//!                 │         └ bodies over HTTP/1.1, questions over HTTP/2, or otherwise
//!                 └ per host, held until the answer's body is read
//! ```
//!
//! One exchange is one request: nothing is followed, authenticated or tried again
//! here. This is the only module that names the HTTP client.

use std::{
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use futures_util::poll;
use http::{Response, StatusCode, header::AUTHORIZATION};
use hyper_util::{
    client::legacy::{
        self,
        connect::{CaptureConnection, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use url::Url;

pub(crate) mod adaptive;
pub(crate) mod address;
mod ahead;
mod allowance;
pub(crate) mod answer;
pub(crate) mod backoff;
pub(crate) mod body;
pub(crate) mod connect;
mod error;
pub(crate) mod limit;
pub(crate) mod location;
mod outgoing;
pub(crate) mod pause;
pub(crate) mod proxy;
pub(crate) mod rate;
pub(crate) mod redact;
pub(crate) mod retry;
pub(crate) mod shown;
pub(crate) mod socket;
pub(crate) mod timeouts;
pub(crate) mod tls;
pub(crate) mod traffic;
pub(crate) mod turns;
pub(crate) mod version;
pub(crate) mod warning;
mod watch;

use adaptive::{Adaptive, Load};
use address::{Lookup, Names, Reach, Resolver};
use answer::Answer;
use body::RequestBody;
use connect::{ConnectError, Connector};
pub(crate) use error::TransportError;
use limit::{Host, Hosts, Lane, Permit, Work};
use location::Origin;
pub(crate) use outgoing::{Kind, Outgoing};
use outgoing::{request, with_credentials};
use pause::{Account, Pauses};
use proxy::{Proxies, Proxy};
use rate::{Pace, Rates, Throttle};
use redact::{Endpoint, OriginOnly};
use retry::{Retry, may_change, retry_after};
use socket::Wire;
use timeouts::{Limit, Timeouts};
use tls::Tls;
use turns::Turns;
use warning::Warnings;
use watch::Watch;

use crate::quirks::lost_its_session;

type HyperClient = legacy::Client<Connector, RequestBody>;

/// What hyper may buffer for a connection: of a body that is written, and of an answer's head.
/// A head that is longer is an error.
const CONNECTION_BUFFER: usize = 64 * 1024;
/// The longest list of headers taken over HTTP/2, in bytes.
const MAX_HEADERS: u32 = 64 * 1024;

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Transport {
    anywhere: Lanes,
    /// Where only public addresses are connected to; a connection of the others never serves.
    public: Lanes,
    names: Arc<Names>,
    tls: Arc<Tls>,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) pauses: Pauses,
    turns: Turns,
    pub(crate) throttle: Throttle,
    warnings: Warnings,
    pub(crate) timeouts: Timeouts,
}

/// What requests and bodies wait at, and what answers pass.
pub(crate) struct Gates {
    pub(crate) pauses: Pauses,
    pub(crate) turns: Turns,
    pub(crate) rates: Rates,
    pub(crate) warnings: Warnings,
}

/// A client for each lane.
#[derive(Debug)]
struct Lanes {
    bodies: HyperClient,
    questions: HyperClient,
    /// What opens the connections of `bodies`.
    connector: Connector,
}

impl Transport {
    pub(crate) fn new(
        tls: Tls,
        hosts: Hosts,
        timeouts: Timeouts,
        resolver: Arc<dyn Resolver>,
        proxies: Proxies,
        gates: Gates,
    ) -> Self {
        let (tls, proxies) = (Arc::new(tls), Arc::new(proxies));
        let hosts = Arc::new(hosts);
        let in_flight = hosts.in_flight();
        let names = Arc::new(Names::new(resolver));
        let connector = |lane, reach| {
            let names = names.clone();
            let lookup = Lookup { names, reach };
            let (tls, hosts, proxies) = (tls.clone(), hosts.clone(), proxies.clone());
            Connector::new(tls, hosts, lane, timeouts.connect, lookup, proxies)
        };
        let client = |connector| {
            legacy::Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(Duration::from_mins(1))
                .pool_max_idle_per_host(in_flight)
                .http1_writev(true)
                .http1_max_buf_size(CONNECTION_BUFFER)
                .http2_max_header_list_size(MAX_HEADERS)
                .http2_keep_alive_interval(Duration::from_secs(20))
                .build(connector)
        };
        let lanes = |reach| {
            let bodies = connector(Lane::Bodies, reach);
            Lanes {
                bodies: client(bodies.clone()),
                questions: client(connector(Lane::Questions, reach)),
                connector: bodies,
            }
        };
        Self {
            anywhere: lanes(Reach::Anywhere),
            public: lanes(Reach::Public),
            names,
            tls,
            proxies,
            hosts,
            pauses: gates.pauses,
            turns: gates.turns,
            throttle: Throttle::new(gates.rates, in_flight),
            warnings: gates.warnings,
            timeouts,
        }
    }

    /// The token service may have credentials of the registry: what the one is trusted by, the
    /// other is.
    pub(crate) fn vouch(&self, service: &Origin, registry: &Origin) {
        self.tls.vouch(&service.authority(), &registry.authority());
    }

    /// So many blobs will be asked for at once at the registry at `url`, and so many of them sent: has a
    /// connection for each that needs one of its own. Only a hint.
    pub(crate) fn expect_blobs(&self, url: &Url, asked: usize, sent: usize) {
        let Ok(origin) = Origin::of(url) else {
            return;
        };
        let host = self.hosts.of(&origin);
        let wanted = if !self.outruns(&origin) {
            asked.max(sent)
        } else if host.sends_elsewhere() || host.dialect.lane(true) != Lane::Bodies {
            0
        } else {
            sent
        };
        self.anywhere.connector.open_ahead(origin, move |_| wanted);
    }

    /// Whether bodies to a host may go over other connections than what is asked before them.
    fn outruns(&self, origin: &Origin) -> bool {
        origin.tls() && self.hosts.of(origin).dialect.lane(false) != Lane::Bodies
    }

    /// Does what a question to `url` waits for before it is sent. Where that takes its time, and the
    /// question needs a connection of its own, one is opened meanwhile.
    pub(crate) async fn meanwhile<T>(
        &self,
        url: &Url,
        mut before: Pin<&mut impl Future<Output = T>>,
    ) -> T {
        if let Poll::Ready(done) = poll!(&mut before) {
            return done;
        }
        let origin = Origin::of(url).ok();
        let _waiting = origin.filter(|it| !self.outruns(it)).map(|origin| {
            let waiting = self.hosts.of(&origin).waiting();
            let connector = &self.anywhere.connector;
            connector.open_ahead(origin, Host::waiting_now);
            waiting
        });
        before.await
    }

    /// Sends one request and waits for the head of its answer.
    pub(crate) async fn exchange(&self, outgoing: Outgoing<'_>) -> Result<Answer, TransportError> {
        let origin = Origin::of(&outgoing.url)?;
        let host = self.hosts.of(&origin);
        let account = outgoing.account.clone();
        let work = outgoing.work();
        let shown = outgoing.headers.get(AUTHORIZATION).cloned();
        let permit = self.admit(&host, &origin, &account, work).await?;
        let mut answer = match self.timeouts.total {
            None => self.send(outgoing, &host, permit).await,
            Some(total) => tokio::time::timeout(total, self.send(outgoing, &host, permit))
                .await
                .unwrap_or(Err(TransportError::TimedOut(Limit::Total))),
        }?;
        self.warnings.heed(&origin, &answer.headers, shown.as_ref());
        answer.shown = shown;
        // Here, so that no lane has to learn it from an answer of its own.
        let now = SystemTime::now();
        let asked = retry_after(&answer.headers, now);
        let refused = answer.status == StatusCode::TOO_MANY_REQUESTS
            || may_change(answer.status) && asked.is_some();
        let asked = asked.or_else(|| allowance::used_up(&answer.headers, now));
        if refused || asked.is_some() && answer.status.is_success() {
            // Kept apart: what is rare takes no room in every request.
            Box::pin(self.pauses.begin(&origin, &account, asked)).await;
        }
        self.turns.heed(&origin, &answer.headers);
        Ok(answer)
    }

    /// The right to have one more request in flight, when the host wants requests.
    async fn admit(
        &self,
        host: &Host,
        origin: &Origin,
        account: &Account,
        work: Work,
    ) -> Result<Permit, TransportError> {
        loop {
            let place = host.place(work).await;
            let permit = match work {
                Work::Downloads => host.admit_download().await,
                Work::Bodies | Work::Questions => host.admit().await,
            }
            .with(place);
            match self.pauses.left(origin, account).await {
                Ok(None) => match self.turn(origin, account).await {
                    Ok(true) => return Ok(permit),
                    Ok(false) => drop(permit),
                    Err(left) => return Err(paused(origin, left)),
                },
                Ok(Some(left)) => {
                    // Others may ask in another name meanwhile.
                    drop(permit);
                    Box::pin(tokio::time::sleep(left)).await;
                }
                Err(left) => return Err(paused(origin, left)),
            }
        }
    }

    /// Waits for a turn; whether no pause began meanwhile.
    async fn turn(&self, origin: &Origin, account: &Account) -> Result<bool, Duration> {
        let waited = Box::pin(self.turns.wait(origin, self.pauses.patience())).await?;
        Ok(!waited || self.pauses.left(origin, account).await == Ok(None))
    }

    async fn send(
        &self,
        outgoing: Outgoing<'_>,
        host: &Arc<Host>,
        mut permit: Permit,
    ) -> Result<Answer, TransportError> {
        let work = outgoing.work();
        let flow = outgoing.flow.as_ref().map(|(flow, _)| flow.clone());
        let lane = outgoing.lane(host);
        let client = self.lane(outgoing.reach, lane);
        let authority = Origin::of(&outgoing.url)?.authority();
        let forwarding = forwarding(&self.proxies, &outgoing.url)?;
        let headers = with_credentials(outgoing.headers, forwarding);
        let mut request = request(&outgoing.method, &outgoing.url, headers, outgoing.body)?;
        let captured = capture_connection(&mut request);
        host.counters
            .request(&outgoing.method, outgoing.kind == Kind::Token);
        let watch = Watch {
            limits: &self.timeouts,
            kind: outgoing.kind,
            flow: outgoing.flow,
            captured: captured.clone(),
            seeking: Some(host.seeking()),
        };
        let answer = tokio::select! {
            biased;
            answer = client.request(request) => {
                answer.map_err(|error| TransportError::from_client(error, &authority))
            }
            limit = watch.run() => Err(TransportError::TimedOut(limit)),
        };
        let answer = of_proxy(answer, forwarding);
        permit.judge(load(work, answer.as_ref().map(Response::status)));
        if lane == Lane::Questions {
            learn_version(host, &captured, &answer);
        }
        if let Some(flow) = &flow {
            match &answer {
                Ok(_) if flow.ended() => {}
                // An answer before the end of the body: read it, then give the body up.
                Ok(_) => flow.hold(),
                Err(_) => flow.stop(),
            }
        }
        if let Ok(answer) = &answer {
            let connection = answer.extensions().get::<Wire>().map(Wire::number);
            tracing::debug!(
                method = %outgoing.method,
                host = %OriginOnly(&outgoing.url),
                path = %Endpoint(&outgoing.url),
                status = answer.status().as_u16(),
                connection,
                "answered"
            );
        }
        let early = flow.filter(|flow| !flow.ended());
        let pace = match outgoing.kind {
            Kind::Download => self.throttle.down(&Origin::of(&outgoing.url)?),
            _ => Pace::default(),
        };
        let answer = Answer::new(answer?, outgoing.url, self.timeouts.idle, early, permit);
        Ok(answer.at(pace))
    }

    /// What the host of a URL bears of a kind of requests.
    pub(crate) fn bears(&self, url: &Url, work: Work) -> Option<Arc<Adaptive>> {
        let host = self.hosts.of(&Origin::of(url).ok()?);
        host.bears(work).cloned()
    }

    /// How long to wait before the same is tried again; none if the outcome stands.
    pub(crate) fn patience(
        &self,
        retry: &mut Retry,
        url: &Url,
        outcome: &Result<Answer, TransportError>,
    ) -> Option<Duration> {
        let asked = match outcome {
            Ok(answer) if may_change(answer.status) => {
                retry_after(&answer.headers, SystemTime::now())
            }
            Err(error) if error.may_change() => None,
            _ => return None,
        };
        let wait = retry.after_failure(asked)?;
        let host = self.hosts.of(&Origin::of(url).ok()?);
        host.counters.retry();
        Some(wait)
    }

    /// The same for an answer that broke off in its body: waits, or says that it stands.
    pub(crate) async fn pause_after(
        &self,
        retry: &mut Retry,
        url: &Url,
        error: TransportError,
    ) -> Result<(), TransportError> {
        let outcome = Err(error);
        match (self.patience(retry, url, &outcome), outcome) {
            (Some(wait), _) => tokio::time::sleep(wait).await,
            (None, outcome) => drop(outcome?),
        }
        Ok(())
    }

    /// Which addresses a request to `to` may go to, that an answer of `registry` has led to.
    ///
    /// Where a proxy looks names up, nobody here does: such a name counts as public.
    pub(crate) async fn reach(&self, registry: &Origin, to: &Origin) -> Reach {
        let private = async {
            match self.proxies.of(registry) {
                Some(_) => registry.is_private(),
                None => self.names.is_private(registry).await,
            }
        };
        if to == registry || private.await {
            Reach::Anywhere
        } else {
            Reach::Public
        }
    }

    fn lane(&self, reach: Reach, lane: Lane) -> &HyperClient {
        let lanes = match reach {
            Reach::Anywhere => &self.anywhere,
            Reach::Public => &self.public,
        };
        match lane {
            Lane::Bodies => &lanes.bodies,
            Lane::Questions => &lanes.questions,
        }
    }
}

fn paused(origin: &Origin, left: Duration) -> TransportError {
    let host = origin.to_string();
    TransportError::Paused { host, left }
}

/// What a request says of its host's HTTP/2, where that was offered.
fn learn_version<B>(
    host: &Host,
    captured: &CaptureConnection,
    answer: &Result<Response<B>, TransportError>,
) {
    match answer {
        Ok(answer) => host
            .dialect
            .answered(answer.version() == http::Version::HTTP_2),
        Err(TransportError::Broken(_)) => {
            let mut extensions = http::Extensions::new();
            if let Some(connected) = captured.connection_metadata().as_ref() {
                connected.get_extras(&mut extensions);
            }
            let wire = extensions.get::<Wire>().filter(|it| it.is_shared());
            if let Some(wire) = wire {
                host.dialect.broke(wire.number());
            }
        }
        Err(_) => {}
    }
}

/// What the end of a request says of how much its host bears.
fn load(work: Work, answer: Result<StatusCode, &TransportError>) -> Load {
    match answer {
        Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        | Err(TransportError::Broken(_)) => Load::TooMuch,
        Ok(status) if work == Work::Bodies && lost_its_session(status) => Load::TooMuch,
        // A registry in trouble of another kind.
        Ok(status) if status.is_server_error() => Load::Unknown,
        Ok(_) => Load::Borne,
        Err(_) => Load::Unknown,
    }
}

/// The proxy that is told what is sent to this URL, and does not only carry it.
fn forwarding<'a>(
    proxies: &'a Proxies,
    url: &Url,
) -> Result<Option<&'a Arc<Proxy>>, TransportError> {
    let origin = Origin::of(url)?;
    let reads = |proxy: &&Arc<Proxy>| !origin.tls() && proxy.socks.is_none();
    Ok(proxies.of(&origin).filter(reads))
}

/// An answer that is the proxy's own: it is not let in.
fn of_proxy<B>(
    answer: Result<Response<B>, TransportError>,
    forwarding: Option<&Arc<Proxy>>,
) -> Result<Response<B>, TransportError> {
    match (answer, forwarding) {
        (Ok(answer), Some(proxy))
            if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
        {
            let error = ConnectError::ProxyCredentials(proxy.origin.to_string());
            Err(TransportError::Connect(error))
        }
        (answer, _) => answer,
    }
}
