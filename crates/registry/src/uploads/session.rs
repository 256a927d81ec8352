//! Upload sessions: opened, asked about, given up.

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE},
};
use oci::{
    Algorithm, Descriptor, Digest, SessionStatus, TargetError, UploadSession,
    wire::{ChunkRange, UploadedRange},
};
use url::Url;

use super::machine::Part;
use crate::{
    RepositoryClient,
    client::call::{BlobPayload, Call, Payload},
    error::{CallError, Unexpected, protocol, refusal},
    profile::Fact,
    quirks,
    transport::{
        Kind, TransportError,
        answer::Answer,
        location::{self, LocationError, Origin},
    },
};

/// The header that says how small a chunk may be, in bytes.
const CHUNK_MINIMUM: &str = "oci-chunk-min-length";
/// The header that says how large a body may be, in bytes; Cloudflare's own
/// ([source](https://github.com/cloudflare/serverless-registry)).
const CHUNK_MAXIMUM: &str = "oci-chunk-max-length";
/// How long giving a session up may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// A session that was opened, and the longest body it takes.
pub(super) struct Opening {
    pub(super) session: UploadSession,
    pub(super) maximum: Option<u64>,
}

impl RepositoryClient {
    /// Opens a session for a blob.
    pub(super) async fn open_session(&self, blob: &Descriptor) -> Result<Opening, TargetError> {
        let attempted = || {
            format!(
                "open an upload in {} for blob {}",
                self.repository, blob.digest
            )
        };
        let rest = match blob.digest.algorithm() {
            Algorithm::Sha256 => "blobs/uploads/".to_owned(),
            other => format!("blobs/uploads/?digest-algorithm={other}"),
        };
        let answer = match self.inner().url(&self.repository, &rest) {
            Ok(url) => {
                let call = self.session_call(Method::POST, url, Payload::Nothing, Kind::Question);
                self.inner().call(&call).await
            }
            Err(error) => Err(error.into()),
        };
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(refusal(answer, attempted()).await);
        }
        let session = session_of(self, &answer);
        let maximum = chunk_maximum(&answer);
        answer.finish().await;
        let session = session.map_err(|fault| fault.into_target(attempted()))?;
        Ok(Opening { session, maximum })
    }

    /// Sends a part of a blob into its session, once; a closing one with the digest.
    pub(super) async fn send_part(
        &self,
        payload: &BlobPayload<'_>,
        session: &UploadSession,
        part: Part,
    ) -> Result<Answer, CallError> {
        let blob = payload.upload.blob;
        let mut url = self.location(session)?;
        self.note_host(&url);
        let method = if part.closing {
            add_digest(&mut url, &blob.digest);
            Method::PUT
        } else {
            Method::PATCH
        };
        let end = part.from + part.length;
        let body = if part.length == 0 && blob.size > 0 {
            Payload::Commit(blob.size)
        } else {
            Payload::Blob(payload, part.from..end)
        };
        let mut call = self.session_call(method, url, body, Kind::Commit);
        let octets = HeaderValue::from_static("application/octet-stream");
        call.headers.insert(CONTENT_TYPE, octets);
        let range = ChunkRange::new(part.from, part.length);
        if let Some(range) = range.filter(|_| quirks::has_a_range(part.from, part.closing)) {
            let range = HeaderValue::try_from(range.to_string());
            call.headers
                .extend(range.ok().map(|it| (CONTENT_RANGE, it)));
        }
        self.inner().attempt(&call).await
    }

    /// Whether a body goes to the registry itself is known to the next one's connection.
    fn note_host(&self, url: &Url) {
        if let (Ok(home), Ok(to)) = (self.inner().origin(&self.repository), Origin::of(url)) {
            let host = self.inner().transport.hosts.of(&home);
            host.sends(to != home);
        }
    }

    /// The session after an answer to a part: where it goes on now, and how much it says it has.
    pub(super) fn session_after(
        &self,
        answer: &Answer,
        before: &UploadSession,
        expected: u64,
    ) -> Result<(UploadSession, Option<u64>), TransportError> {
        let range = answer.header(RANGE.as_str());
        let range = range.and_then(|it| it.parse::<UploadedRange>().ok());
        let location = self.location_in(answer, before)?;
        let session = UploadSession::new(location).with_chunk_minimum(before.chunk_minimum());
        Ok((session, range.map(|it| it.bytes(expected))))
    }

    fn location_in(
        &self,
        answer: &Answer,
        before: &UploadSession,
    ) -> Result<String, TransportError> {
        Ok(match answer.header(LOCATION.as_str()) {
            Some(location) => {
                let origin = self.inner().origin(&self.repository)?;
                location::follow(&answer.url, location, &origin)?.to_string()
            }
            None => before.location().to_owned(),
        })
    }

    /// What the registry holds of a session.
    pub(crate) async fn session_status(
        &self,
        session: &UploadSession,
    ) -> Result<SessionStatus, TargetError> {
        let attempted = || format!("ask about an upload in {}", self.repository);
        let answer = match self.location(session) {
            Ok(url) => {
                let call = self.session_call(Method::GET, url, Payload::Nothing, Kind::Question);
                self.inner().call(&call).await
            }
            Err(error) => Err(error.into()),
        };
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        match answer.status.as_u16() {
            200 | 202 | 204 if !answer.is_html() => {
                let open = self.session_in(&answer, session);
                answer.finish().await;
                open.map_err(|error| CallError::from(error).into_target(attempted()))
            }
            400 | 403 | 404 | 410 | 416 => Ok(SessionStatus::Gone),
            _ => Err(refusal(answer, attempted()).await),
        }
    }

    /// A status answer's session; gone if it does not say how far it got.
    fn session_in(
        &self,
        answer: &Answer,
        before: &UploadSession,
    ) -> Result<SessionStatus, TransportError> {
        let range = answer.header(RANGE.as_str());
        let Some(range) = range.and_then(|it| it.parse::<UploadedRange>().ok()) else {
            return Ok(SessionStatus::Gone);
        };
        let location = self.location_in(answer, before)?;
        let session = UploadSession::new(location)
            .with_acknowledged(range.bytes(before.acknowledged()))
            .with_chunk_minimum(before.chunk_minimum());
        Ok(SessionStatus::Open(session))
    }

    /// Gives a session up: one request, with what the token at hand allows.
    pub(crate) async fn cancel(&self, session: &UploadSession) -> Result<(), TargetError> {
        let attempted = || format!("give up an upload in {}", self.repository);
        let url = self.location(session);
        let url = url.map_err(|error| CallError::from(error).into_target(attempted()))?;
        let call = self.session_call(Method::DELETE, url, Payload::Nothing, Kind::Farewell);
        let answer = tokio::time::timeout(FAREWELL, self.inner().attempt(&call)).await;
        let answer = answer.unwrap_or(Err(CallError::Transport(TransportError::TimedOut(
            crate::transport::timeouts::Limit::Total,
        ))));
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        match answer.status {
            StatusCode::NOT_FOUND => {}
            status if status.is_success() => {}
            _ => return Err(refusal(answer, attempted()).await),
        }
        answer.finish().await;
        Ok(())
    }

    /// Where a session goes on. It may have been kept for long, or come from anywhere: checked again.
    fn location(&self, session: &UploadSession) -> Result<Url, TransportError> {
        let url = Url::parse(session.location()).map_err(|_| LocationError::Malformed)?;
        location::check(&url, &self.inner().origin(&self.repository)?)?;
        Ok(url)
    }

    pub(super) fn session_call<'a>(
        &'a self,
        method: Method,
        url: Url,
        payload: Payload<'a>,
        kind: Kind,
    ) -> Call<'a> {
        Call {
            repository: &self.repository,
            scopes: self.scopes.clone(),
            method,
            url,
            headers: HeaderMap::new(),
            payload,
            kind,
        }
    }
}

/// Why a 202 opens no session.
#[derive(Debug)]
pub(crate) enum SessionFault {
    /// It does not say where.
    NoLocation,
    /// It says somewhere that is not gone to.
    Location(TransportError),
}

impl SessionFault {
    /// The same for whoever wanted the session.
    pub(crate) fn into_target(self, attempted: String) -> TargetError {
        match self {
            Self::NoLocation => protocol(StatusCode::ACCEPTED, Unexpected::NoLocation, attempted),
            Self::Location(error) => CallError::from(error).into_target(attempted),
        }
    }
}

/// The session that a 202 opens.
pub(crate) fn session_of(
    repository: &RepositoryClient,
    answer: &Answer,
) -> Result<UploadSession, SessionFault> {
    let location = answer.header(LOCATION.as_str());
    let location = location.ok_or(SessionFault::NoLocation)?;
    let origin = repository.inner().origin(&repository.repository);
    let url = origin
        .and_then(|origin| Ok(location::follow(&answer.url, location, &origin)?))
        .map_err(SessionFault::Location)?;
    Ok(UploadSession::new(url).with_chunk_minimum(chunk_minimum(repository, answer)))
}

/// The shortest chunk of a new session, in bytes. Who says it to a POST need not say it to a mount
/// ([specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)): then what it said last counts.
fn chunk_minimum(repository: &RepositoryClient, answer: &Answer) -> u64 {
    let said = answer.header(CHUNK_MINIMUM);
    if let Some(said) = said.and_then(|it| it.trim().parse().ok()) {
        repository.learn(Fact::ChunkMinimum(said));
        return said;
    }
    match repository.known(Fact::ChunkMinimum(0).key()) {
        Some(Fact::ChunkMinimum(known)) => known,
        _ => 0,
    }
}

/// The longest body that an answer announces, in bytes.
pub(super) fn chunk_maximum(answer: &Answer) -> Option<u64> {
    answer.header(CHUNK_MAXIMUM)?.trim().parse().ok()
}

/// Appends `digest=<digest>` to whatever the registry put into a location, which stays as it is.
pub(super) fn add_digest(url: &mut Url, digest: &Digest) {
    let parameter = format!("digest={}%3A{}", digest.algorithm(), digest.encoded());
    let query = match url.query() {
        None | Some("") => parameter,
        Some(query) => format!("{query}&{parameter}"),
    };
    url.set_query(Some(&query));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_added_and_the_location_kept() {
        let digest = Digest::of(b"");
        let added = format!("digest=sha256%3A{}", digest.encoded());
        let cases = [
            ("http://r.test/u/1", format!("http://r.test/u/1?{added}")),
            ("http://r.test/u/1?", format!("http://r.test/u/1?{added}")),
            (
                "http://r.test/u/1?_state=a%2Fb%3D%3D&x=+%20~",
                format!("http://r.test/u/1?_state=a%2Fb%3D%3D&x=+%20~&{added}"),
            ),
        ];
        for (location, expected) in cases {
            let mut url = Url::parse(location).unwrap();
            add_digest(&mut url, &digest);
            assert_eq!(url.as_str(), expected);
        }
    }
}
