//! One request from arrival to answer: log, faults, auth, handler, faults again.
//!
//! Every exchange runs as a task of its own, so that what a request has begun is
//! finished (a commit) or kept (a prefix) when its connection dies meanwhile.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    response::Response,
};
use oci::wire::ErrorCode;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::{self, Refusal},
    app::App,
    auth::Principal,
    blobs,
    body::{self, Intake},
    endpoint::Endpoint,
    exchange::{Exchange, detached, mark_secrets},
    faults::{
        Asked,
        plan::{After, Instead},
    },
    leaving,
    log::Outcome,
    manifests, page, referrers,
    route::{self, Query, Resource, decoded},
    socket::Connection,
    tags, tamper, uploads, warning,
};

/// The longest that anything stalls; a server that stops ends it sooner.
const MAX_STALL: Duration = Duration::from_hours(1);
/// A head that is longer, target included, needs room as long as its request is under way, in bytes.
const LONG_HEAD_BYTES: usize = 16 * 1024;
/// So much: it is there twice, here and in its connection's buffer, with what allocators keep of both.
const LONG_HEAD_ROOM: usize = 256 * 1024;
/// The longest form the token service takes, in bytes, inclusive.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// The whole registry as one function: routing is by the path's end, which no router does.
pub(crate) async fn serve(State(app): State<Arc<App>>, request: Request) -> Response {
    let connection = match request.extensions().get::<Connection>() {
        Some(connection) => connection.clone(),
        None => Connection::new(0, None, app.limits.streams, &app.memory.allowance),
    };
    let tasks = app.tasks.clone();
    let under_way = connection.begin(request.version() == Version::HTTP_2).await;
    let counted = app.metrics.under_way();
    let seat = connection.place(&app.turns.requests);
    // Dropped with this function, which ends with the stream a client gives up: the handler goes on.
    let gone = CancellationToken::new();
    let _gone = gone.clone().drop_guard();
    let handling = exchange(app, request, (connection.clone(), gone), seat.is_some());
    let task = tasks.spawn(async move {
        let response = handling.await;
        drop((under_way, counted));
        response
    });
    match task.await {
        Ok(Some(response)) => leaving::follow(response, &connection, seat),
        Ok(None) => std::future::pending().await,
        Err(error) => {
            tracing::error!(%error, "a handler died");
            answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Handles a request; without an answer the connection is broken already.
async fn exchange(
    app: Arc<App>,
    request: Request,
    (connection, gone): (Connection, CancellationToken),
    is_seated: bool,
) -> Option<Response> {
    let resource = Resource::parse(request.uri().path());
    let query = Query::parse(request.uri().query());
    let endpoint = Endpoint::of(request.method(), resource.as_ref().ok(), &query);
    let record = app.log.begin(&request, endpoint, connection.number());
    record.came_from(connection.client());
    let faults = app.faults.plan(Asked {
        endpoint,
        method: request.method().as_str(),
        path: request.uri().path(),
        query: &decoded(request.uri().query().unwrap_or_default()),
        headers: request.headers(),
    });
    record.faults(&faults.names);
    let path = request.uri().path();
    let is_api = path == "/v2" || path.starts_with("/v2/");
    let (mut parts, body) = request.into_parts();
    parts.headers = detached(&parts.headers);
    mark_secrets(&mut parts.headers);
    let uri_bytes = parts.uri.path_and_query().map_or(0, |it| it.as_str().len());
    drop(parts.uri);
    let head_bytes = uri_bytes + head_bytes(&parts.headers);
    let room =
        (head_bytes > LONG_HEAD_BYTES).then(|| app.memory.allowance.take_spare(LONG_HEAD_ROOM));
    let is_busy = !is_seated || matches!(room, Some(None));
    let intake = Intake::new(
        body,
        Arc::clone(&record),
        gone.clone(),
        &app.limits,
        faults.body.clone(),
    );
    let mut x = Exchange {
        app,
        method: parts.method,
        version: parts.version,
        headers: parts.headers,
        query,
        intake,
        record,
        about: resource.as_ref().ok().and_then(Resource::name).cloned(),
        is_api,
        uri_bytes,
        principal: Principal::default(),
        faults,
    };
    let answered = match x.instead(&gone).await {
        Some(scripted) => scripted,
        None if is_busy => Err(busy()),
        None => x.handle(endpoint, resource).await,
    };
    let answer = x.finish(answered, &connection, &gone).await;
    drop(room);
    answer
}

/// How long names and values are together.
fn head_bytes(headers: &HeaderMap) -> usize {
    let length = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    headers.iter().map(length).sum()
}

/// More requests are under way than there may be, or there is no room for so long a head.
fn busy() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests)
        .message("too many requests are under way")
        .header(header::RETRY_AFTER, 1)
}

impl Exchange {
    /// What a fault does in the handler's place.
    async fn instead(&mut self, gone: &CancellationToken) -> Option<Result<Response, Refusal>> {
        if !self.faults.delay.is_zero() {
            tokio::time::sleep(self.faults.delay).await;
        }
        if let Some((bytes, answer)) = &self.faults.limit
            && self.faults.instead.is_none()
            && body::declared_length(&self.headers).is_some_and(|it| it > *bytes)
        {
            return Some(Err(Refusal::Scripted(Box::new(answer.clone()))));
        }
        match self.faults.instead.take()? {
            Instead::Answer(answer) => Some(Err(Refusal::Scripted(Box::new(answer)))),
            Instead::Reset => Some(Err(Refusal::Reset)),
            Instead::Endless => Some(Ok(tamper::endless())),
            Instead::Stall => {
                stall(gone).await;
                Some(Err(Refusal::Abandoned))
            }
        }
    }

    async fn handle(
        &mut self,
        endpoint: Endpoint,
        resource: Result<Resource, Refusal>,
    ) -> Result<Response, Refusal> {
        self.check_head()?;
        let resource = resource?;
        let guard = &self.app.guard;
        let (query, headers, origin) = (&self.query, &self.headers, self.origin());
        self.principal = guard
            .check(endpoint, &resource, query, headers, &origin)
            .await?;
        self.record.identified(self.principal.user.as_deref());
        self.check_writes(endpoint)?;
        self.dispatch(endpoint, resource).await
    }

    async fn dispatch(
        &mut self,
        endpoint: Endpoint,
        resource: Resource,
    ) -> Result<Response, Refusal> {
        match (endpoint, resource) {
            (Endpoint::Ping, _) => Ok(ping()),
            (Endpoint::Token, _) if self.method == Method::GET => {
                self.app.guard.token(&self.query, &self.headers).await
            }
            (Endpoint::Token, _) if self.method == Method::POST => {
                let form = self.intake.collect(MAX_FORM_BYTES).await?;
                self.app.guard.token_for_form(&self.headers, &form).await
            }
            (Endpoint::Health, _) => Ok(self.app.health.answer(&self.app.store).await),
            (Endpoint::Metrics, _) if self.app.options.metrics => self
                .app
                .metrics
                .answer(self.app.levels(), &self.app.memory.allowance),
            (Endpoint::Metrics, _) => Err(route::not_found()),
            (Endpoint::Page, Resource::Page(page)) => page::answer(self, page).await,
            (Endpoint::Catalog, _) => tags::catalog(self).await,
            (Endpoint::BlobHead | Endpoint::BlobGet, Resource::Blob(name, digest)) => {
                blobs::read(self, name, digest).await
            }
            (Endpoint::BlobDelete, Resource::Blob(name, digest)) => {
                blobs::delete(self, name, digest).await
            }
            (
                Endpoint::UploadPost | Endpoint::UploadSingle | Endpoint::Mount,
                Resource::Uploads(name),
            ) => uploads::post(self, name).await,
            (Endpoint::UploadPatch, Resource::Upload(name, id)) => {
                uploads::patch(self, &name, &id).await
            }
            (Endpoint::UploadPut, Resource::Upload(name, id)) => {
                uploads::put(self, &name, &id).await
            }
            (Endpoint::UploadStatus, Resource::Upload(name, id)) => {
                uploads::status(self, &name, &id).await
            }
            (Endpoint::UploadCancel, Resource::Upload(name, id)) => {
                uploads::cancel(self, &name, &id).await
            }
            (Endpoint::ManifestHead | Endpoint::ManifestGet, Resource::Manifest(name, which)) => {
                manifests::get(self, name, which).await
            }
            (Endpoint::ManifestPut, Resource::Manifest(name, which)) => {
                manifests::put(self, name, which).await
            }
            (Endpoint::ManifestDelete, Resource::Manifest(name, which)) => {
                manifests::delete(self, name, which).await
            }
            (Endpoint::TagList, Resource::Tags(name)) => tags::list(self, name).await,
            (Endpoint::Referrers, Resource::Referrers(name, digest)) => {
                referrers::list(self, name, digest).await
            }
            (_, resource) => Err(Refusal::not_allowed(
                resource.methods(),
                "this method is not for this path",
            )),
        }
    }

    fn check_head(&self) -> Result<(), Refusal> {
        let refused = |status, message: String| {
            Err(Refusal::new(status, ErrorCode::Unsupported).message(message))
        };
        // Two would be read one way here and another way by a proxy:
        // https://www.rfc-editor.org/rfc/rfc9112#section-3.2
        let hosts = self.headers.get_all(header::HOST).iter().count();
        if self.version == Version::HTTP_11 && hosts != 1 {
            let message = format!("a request has one Host header, this one has {hosts}");
            return refused(StatusCode::BAD_REQUEST, message);
        }
        // Any other coding is one that nobody here undoes:
        // https://www.rfc-editor.org/rfc/rfc9112#section-6.1
        let mut codings = self.headers.get_all(header::TRANSFER_ENCODING).iter();
        let is_plain = |it: &HeaderValue| it.as_bytes().eq_ignore_ascii_case(b"chunked");
        if codings.next().is_some_and(|it| !is_plain(it)) || codings.next().is_some() {
            let message = "the only transfer coding taken is chunked, once".to_owned();
            return refused(StatusCode::BAD_REQUEST, message);
        }
        let limits = &self.app.limits;
        if self.uri_bytes > limits.uri_bytes {
            let message = format!("the target is over the limit of {} bytes", limits.uri_bytes);
            return refused(StatusCode::URI_TOO_LONG, message);
        }
        if self.headers.len() > limits.headers {
            let message = format!("there are more than {} headers", limits.headers);
            return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message);
        }
        if head_bytes(&self.headers) > limits.header_bytes {
            let message = format!(
                "the headers are over the limit of {} bytes",
                limits.header_bytes
            );
            return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message);
        }
        Ok(())
    }

    /// Turns what came of a request into its answer, and ends its entry in the log.
    async fn finish(
        mut self,
        answered: Result<Response, Refusal>,
        connection: &Connection,
        gone: &CancellationToken,
    ) -> Option<Response> {
        let response = match answered {
            Ok(response) => Ok(response),
            Err(Refusal::Denied(denied)) => Ok(denied.into_response(&self.app.memory.allowance)),
            Err(Refusal::Scripted(answer)) => Ok(tamper::scripted(*answer)),
            Err(Refusal::Abandoned) => Err(Outcome::Gone),
            Err(Refusal::Reset) => Err(Outcome::Reset),
        };
        let response = match (response, self.faults.after.take()) {
            (Ok(_), Some(After::Answer(answer))) => Ok(tamper::scripted(answer)),
            (Ok(_), Some(After::Reset)) => Err(Outcome::Reset),
            (Ok(_), Some(After::Stall)) => {
                stall(gone).await;
                Err(Outcome::Gone)
            }
            (response, _) => response,
        };
        if !self.faults.delay_answer.is_zero() {
            tokio::time::sleep(self.faults.delay_answer).await;
        }
        let mut response = match response {
            Ok(response) => response,
            Err(outcome) => {
                self.record.unanswered(outcome);
                // Over HTTP/2 who has left has left one stream; others go on beside it.
                if outcome != Outcome::Gone || self.version < Version::HTTP_2 {
                    connection.reset();
                }
                return None;
            }
        };
        if self.is_api {
            let warnings = &self.app.options.warnings;
            let about = self.about.as_ref().map(route::Name::as_str);
            warning::warn(warnings, about, response.headers_mut());
        }
        for change in &self.faults.changes {
            tamper::apply(change, &mut response, &self.origin());
        }
        if let Some((bytes, resets)) = self.faults.cut {
            connection.cut_after(bytes, resets);
        }
        // HTTP/2 has a way of its own to say that the rest of a body is not wanted.
        if self.intake.drop_rest(&self.headers) && self.version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        self.record.answered(response.status());
        Some(self.record.follow(response))
    }
}

async fn stall(gone: &CancellationToken) {
    let _ = tokio::time::timeout(MAX_STALL, gone.cancelled()).await;
}

fn ping() -> Response {
    let mut response = answer::with_body(StatusCode::OK, "{}");
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    // Old Docker clients look for it.
    let version = HeaderValue::from_static("registry/2.0");
    headers.insert("docker-distribution-api-version", version);
    response
}
