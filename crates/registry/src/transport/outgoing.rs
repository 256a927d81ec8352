//! One request: what it asks, for what, and by which lane it goes.

use std::sync::Arc;

use http::{
    HeaderMap, Method, Request, Uri,
    header::{CONTENT_LENGTH, PROXY_AUTHORIZATION},
};
use oci::UploadObserver;
use url::Url;

use super::{
    address::Reach,
    body::{Flow, RequestBody},
    error::TransportError,
    limit::{Host, Lane, Work},
    location::LocationError,
    pause::Account,
    proxy::Proxy,
};

/// A request.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    /// Known while a blob is sent; also says that it goes by the lane for bodies.
    pub(crate) flow: Option<(Arc<Flow>, &'a dyn UploadObserver)>,
    pub(crate) kind: Kind,
    pub(crate) reach: Reach,
    /// In whose name.
    pub(crate) account: Account,
}

/// What a request is for, as far as limits are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answered at once.
    Question,
    /// Answered when the registry has stored what was sent.
    Commit,
    /// The same where so many bytes were sent before.
    CommitOf(u64),
    /// Answered with a blob, that is read as slowly as its reader likes.
    Download,
    /// A question to a token service.
    Token,
    /// Said in leaving: once, and with what is at hand.
    Farewell,
}

impl Outgoing<'_> {
    pub(super) fn work(&self) -> Work {
        match self.kind {
            Kind::Download => Work::Downloads,
            _ if self.flow.is_some() => Work::Bodies,
            _ => Work::Questions,
        }
    }

    /// Without TLS there is no HTTP/2 to keep bodies away from, so all share the same connections.
    pub(super) fn lane(&self, host: &Host) -> Lane {
        if self.url.scheme() == "http" {
            return Lane::Bodies;
        }
        host.dialect.lane(self.work() != Work::Questions)
    }
}

/// The headers, and what the proxy that is told of them wants to see.
pub(super) fn with_credentials(
    mut headers: HeaderMap,
    forwarding: Option<&Arc<Proxy>>,
) -> HeaderMap {
    if let Some(shown) = forwarding.and_then(|proxy| proxy.authorization.as_ref()) {
        headers.insert(PROXY_AUTHORIZATION, shown.clone());
    }
    headers
}

pub(super) fn request(
    method: &Method,
    url: &Url,
    headers: HeaderMap,
    body: RequestBody,
) -> Result<Request<RequestBody>, TransportError> {
    let uri: Uri = url
        .as_str()
        .parse()
        .map_err(|_| TransportError::Location(LocationError::Malformed))?;
    let length = body.length();
    let has_length = length > 0 || !matches!(*method, Method::GET | Method::HEAD | Method::DELETE);
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    if has_length {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    Ok(request)
}
