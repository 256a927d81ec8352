//! Calls: a request with everything around it: who may, where to, and once more.
//!
//! ```text
//!   call     ── again after a failure, within a budget
//!     attempt   ── authorized; a 401 answered once
//!       follow    ── redirects, credentials left behind where the origin changes
//!         exchange  ── one request
//! ```

use std::{
    ops::Range,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, LOCATION, USER_AGENT},
};
use oci::{BlobUpload, Registry, Repository, wire::ScopeSet};
use tokio::time::Duration;
use url::Url;

use super::{Inner, tape::Reel};
use crate::{
    auth::{Asked, Door},
    error::CallError,
    transport::{
        Kind, Outgoing, TransportError,
        address::Reach,
        answer::Answer,
        body::{BlobBody, Flow, RequestBody, expect_empty},
        limit::Work,
        location::{self, LocationError, Origin},
        pause::Account,
    },
};

/// Hops of a redirect that are followed, at the most.
pub(crate) const MAX_REDIRECTS: usize = 5;
/// How long a token should last when a body sets out.
const TOKEN_FOR_BODY: Duration = Duration::from_mins(1);
/// The same for a body of this many bytes or more: it is long on its way, and some registries look
/// at the token again at its end.
const TOKEN_FOR_LARGE_BODY: Duration = Duration::from_mins(2);
const LARGE_BODY: u64 = 64 * 1024 * 1024;
/// How long a token should last when something is committed that was sent already.
const TOKEN_FOR_COMMIT: Duration = Duration::from_secs(15);

/// A request to a registry, as often as it takes.
pub(crate) struct Call<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) scopes: ScopeSet,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload<'a>,
    pub(crate) kind: Kind,
}

/// What a call carries, each time it is made.
pub(crate) enum Payload<'a> {
    Nothing,
    Bytes(Bytes),
    /// These bytes of a blob, at least one unless the blob has none.
    Blob(&'a BlobPayload<'a>, Range<u64>),
    /// No bytes, and a commit of so many that the registry has got already.
    Commit(u64),
}

/// A blob as a payload: read on from where the last request ended, or opened anew.
pub(crate) struct BlobPayload<'a> {
    pub(crate) upload: BlobUpload<'a>,
    /// Bytes handed to the transport, in all requests together.
    sent: AtomicU64,
    /// Bytes handed to it in the last request.
    last: AtomicU64,
    /// Up to which offset the blob was handed over.
    cursor: AtomicU64,
    reel: Reel,
}

impl<'a> BlobPayload<'a> {
    pub(crate) fn new(upload: BlobUpload<'a>) -> Self {
        Self {
            upload,
            sent: AtomicU64::new(0),
            last: AtomicU64::new(0),
            cursor: AtomicU64::new(0),
            reel: Reel::default(),
        }
    }

    /// Bytes handed to the transport so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Bytes handed to it in the last request.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// What the last request was is of no interest any more.
    pub(crate) fn forget_last(&self) {
        self.last.store(0, Relaxed);
    }

    fn begin(&self, part: &Range<u64>) -> Arc<Flow> {
        if self.cursor.swap(part.start, Relaxed) != part.start {
            self.upload.observer.rewound(part.start);
        }
        self.last.store(0, Relaxed);
        Arc::new(Flow::new(part.end - part.start))
    }

    fn end(&self, flow: &Flow) {
        self.sent.fetch_add(flow.handed(), Relaxed);
        self.cursor.fetch_add(flow.handed(), Relaxed);
        self.last.store(flow.handed(), Relaxed);
    }
}

impl Inner {
    /// Makes a call, again and again while that can help; not for blobs, whose bytes
    /// [`uploads`](crate::uploads) sends again itself.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answer, CallError> {
        let mut retry = self.retry.start();
        let bears = self.transport.bears(&call.url, Work::Questions);
        loop {
            let halved = bears.as_ref().map(|it| it.halved());
            let outcome = match self.attempt(call).await {
                Ok(answer) => Ok(answer),
                Err(CallError::Transport(error)) => Err(error),
                // What auth could not do it has tried often enough.
                Err(other) => return Err(other),
            };
            retry.was_too_much(bears.as_ref().map(|it| it.halved()) != halved);
            let Some(wait) = self.transport.patience(&mut retry, &call.url, &outcome) else {
                return Ok(outcome?);
            };
            if let Ok(answer) = outcome {
                answer.finish().await;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes a call once: with what the registry wants to see, and where its redirects lead.
    pub(crate) async fn attempt(&self, call: &Call<'_>) -> Result<Answer, CallError> {
        self.recall(call.repository.registry()).await;
        let door = self.door(call.repository)?;
        let needed = match &call.payload {
            Payload::Blob(_, part) if part.end - part.start >= LARGE_BODY => TOKEN_FOR_LARGE_BODY,
            Payload::Blob(..) => TOKEN_FOR_BODY,
            _ if call.kind == Kind::Commit => TOKEN_FOR_COMMIT,
            _ => Duration::ZERO,
        };
        let mut asked = Asked::new(call.scopes.clone(), needed);
        if call.kind == Kind::Farewell {
            asked = asked.with_what_is_at_hand();
        }
        loop {
            let mut permission = {
                let (of, transport) = (Some(call.repository), &self.transport);
                let authorizing = pin!(self.auth.authorize(transport, &door, of, &asked));
                transport.meanwhile(&call.url, authorizing).await?
            };
            let mut answer = self.follow(call, &door, permission.header.as_ref()).await?;
            let grant = permission.grant.take();
            let foreign = Origin::of(&answer.url).map_err(TransportError::from)? != door.origin;
            if answer.status != StatusCode::UNAUTHORIZED || foreign {
                door.passed(&permission);
                if answer.status == StatusCode::FORBIDDEN && !foreign {
                    answer.note = grant.map(Into::into);
                }
                return Ok(answer);
            }
            // Somebody may be fetching a token already, and need a permit for it.
            answer.step_aside();
            let again = self
                .auth
                .challenged(
                    &door,
                    Some(call.repository),
                    permission,
                    &answer.headers,
                    &mut asked,
                )
                .await?;
            if !again {
                answer.note = grant.map(Into::into);
                return Ok(answer);
            }
            if matches!(&call.payload, Payload::Blob(payload, _) if payload.last() > 0) {
                // What of the body has arrived is to be asked before any of it goes again.
                answer.renewed = true;
                return Ok(answer);
            }
            answer.finish().await;
        }
    }

    /// Counts a body that is sent again.
    pub(crate) fn sending_again(&self, repository: &Repository) {
        let Ok(origin) = self.origin(repository) else {
            return;
        };
        let host = self.transport.hosts.of(&origin);
        host.counters.retry();
    }

    pub(crate) fn door_of(&self, registry: &Registry) -> Result<Arc<Door>, TransportError> {
        let origin = Origin::of(&self.api_url(registry, "")?)?;
        Ok(self.auth.door(registry, origin))
    }

    pub(crate) fn door(&self, repository: &Repository) -> Result<Arc<Door>, TransportError> {
        self.door_of(repository.registry())
    }

    async fn follow(
        &self,
        call: &Call<'_>,
        door: &Door,
        credentials: Option<&HeaderValue>,
    ) -> Result<Answer, CallError> {
        let mut url = call.url.clone();
        let account = self.auth.account(door, Some(call.repository));
        for _ in 0..=MAX_REDIRECTS {
            let origin = Origin::of(&url).map_err(TransportError::from)?;
            let own = credentials.filter(|_| origin == door.origin);
            let headers = self.headers(call, origin == door.origin, own);
            let account = if origin == door.origin {
                account.clone()
            } else {
                Account::anonymous()
            };
            let guest = if origin == door.origin {
                None
            } else {
                self.auth.guest(door, &url)
            };
            let reach = match &guest {
                Some(_) => Reach::Anywhere,
                None => self.transport.reach(&door.origin, &origin).await,
            };
            let to = Hop {
                url: url.clone(),
                headers,
                reach,
                account,
            };
            let answer = match guest {
                Some(guest) => Box::pin(self.visit(call, &guest, to)).await?,
                None => self.exchange(call, to).await?,
            };
            let Some(location) = redirect(&call.method, &answer) else {
                return Ok(answer);
            };
            url = location::follow(&url, location, &door.origin).map_err(TransportError::from)?;
            answer.finish().await;
        }
        Err(TransportError::from(LocationError::TooManyRedirects(MAX_REDIRECTS)).into())
    }

    /// A request to another host, that may have the registry's credentials if it asks for them.
    async fn visit(&self, call: &Call<'_>, guest: &Door, to: Hop) -> Result<Answer, CallError> {
        let mut asked = Asked::new(call.scopes.clone(), Duration::ZERO);
        if call.kind == Kind::Farewell {
            asked = asked.with_what_is_at_hand();
        }
        loop {
            let permission = self
                .auth
                .authorize(&self.transport, guest, Some(call.repository), &asked)
                .await?;
            let mut hop = to.clone();
            if let Some(credentials) = &permission.header {
                hop.headers.insert(AUTHORIZATION, credentials.clone());
                hop.account = self.auth.account(guest, Some(call.repository));
            }
            let mut answer = self.exchange(call, hop).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                guest.passed(&permission);
                return Ok(answer);
            }
            answer.step_aside();
            let challenged = self.auth.challenged(
                guest,
                Some(call.repository),
                permission,
                &answer.headers,
                &mut asked,
            );
            if !challenged.await? {
                return Ok(answer);
            }
            if matches!(&call.payload, Payload::Blob(payload, _) if payload.last() > 0) {
                answer.renewed = true;
                return Ok(answer);
            }
            answer.finish().await;
        }
    }

    fn headers(&self, call: &Call<'_>, home: bool, credentials: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = if home {
            self.headers_of(call.repository.registry())
        } else {
            HeaderMap::new()
        };
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.extend(call.headers.clone());
        if let Some(credentials) = credentials {
            headers.insert(AUTHORIZATION, credentials.clone());
        }
        headers
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        Hop {
            url,
            headers,
            reach,
            account,
        }: Hop,
    ) -> Result<Answer, CallError> {
        let outgoing = Outgoing {
            method: call.method.clone(),
            url,
            headers,
            body: RequestBody::empty(),
            flow: None,
            kind: call.kind,
            reach,
            account,
        };
        match &call.payload {
            Payload::Nothing => Ok(self.transport.exchange(outgoing).await?),
            Payload::Commit(bytes) => {
                let kind = Kind::CommitOf(*bytes);
                let outgoing = Outgoing { kind, ..outgoing };
                Ok(self.transport.exchange(outgoing).await?)
            }
            Payload::Bytes(bytes) => {
                let body = RequestBody::Bytes(bytes.clone());
                let outgoing = Outgoing { body, ..outgoing };
                Ok(self.transport.exchange(outgoing).await?)
            }
            Payload::Blob(payload, part) => self.exchange_blob(payload, part, outgoing).await,
        }
    }

    async fn exchange_blob<'a>(
        &self,
        payload: &'a BlobPayload<'a>,
        part: &Range<u64>,
        mut outgoing: Outgoing<'a>,
    ) -> Result<Answer, CallError> {
        let blob = payload.upload.blob;
        // Opened before there is a permit: a source may need one itself.
        let stream = payload.reel.read(&payload.upload, part).await?;
        let flow = payload.begin(part);
        if blob.size == 0 {
            expect_empty(stream, blob).await?;
        } else {
            let to = Origin::of(&outgoing.url).map_err(TransportError::from)?;
            let host = self.transport.hosts.of(&to);
            let pace = Box::pin(self.transport.throttle.up(&to)).await;
            let body = BlobBody::new(stream, flow.clone(), host, pace);
            outgoing.body = RequestBody::Blob(Box::new(body));
        }
        outgoing.flow = Some((flow.clone(), payload.upload.observer));
        let mut sending = Sending {
            payload,
            flow: &flow,
            answered: false,
        };
        let outcome = self.transport.exchange(outgoing).await;
        sending.answered = outcome.is_ok();
        drop(sending);
        match (outcome, flow.take_failure()) {
            (Err(_), Some(failure)) => Err(failure.into()),
            (outcome, _) => Ok(outcome?),
        }
    }
}

/// One request of a call: where to, and with what.
#[derive(Clone)]
struct Hop {
    url: Url,
    headers: HeaderMap,
    reach: Reach,
    account: Account,
}

/// A body that is given up when this is dropped before there was an answer.
struct Sending<'a> {
    payload: &'a BlobPayload<'a>,
    flow: &'a Flow,
    answered: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.payload.end(self.flow);
        if !self.answered {
            self.flow.stop();
        }
    }
}

/// Where an answer redirects a request of this method, if it does.
///
/// 301, 302 and 303 only for what reads; 307 and 308 for everything, since every payload can be
/// made again.
fn redirect<'a>(method: &Method, answer: &'a Answer) -> Option<&'a str> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let followed = match answer.status.as_u16() {
        301..=303 => reads,
        307 | 308 => true,
        _ => false,
    };
    followed.then(|| answer.header(LOCATION.as_str())).flatten()
}
