//! Blobs: whether one is there, and its bytes.

use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, RANGE},
};
use oci::{
    BlobStream, Descriptor, Digest, Presence, SourceError, TargetError, TargetErrorKind,
    wire::ByteRange,
};

use crate::{
    RepositoryClient,
    client::call::{Call, Payload},
    error::{CallError, Unexpected, protocol, refusal},
    transport::{
        Kind,
        answer::{Answer, AnswerBody},
        location::Origin,
        retry::Retry,
    },
};

/// The header that says which digest the content has.
pub(crate) const DIGEST: &str = "docker-content-digest";

/// What a download is, for an error that says where.
const ATTEMPTED: &str = "download it";

/// A download that got on by so many bytes since it last broke may break as often again.
const PROGRESS: u64 = 16 * 1024 * 1024;

impl RepositoryClient {
    /// Whether the repository holds a blob.
    ///
    /// `Unknown` where the answer is about something else: a signed URL that takes no HEAD, a
    /// length that is not the blob's.
    pub async fn has_blob(&self, blob: &Descriptor) -> Result<Presence, TargetError> {
        let attempted = || format!("ask for blob {} in {}", blob.digest, self.repository);
        let call = self.blob_call(Method::HEAD, &blob.digest, HeaderMap::new(), Kind::Question);
        let answer = match call {
            Ok(call) => self.inner().call(&call).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        match answer.status {
            StatusCode::OK if answer.is_html() => {
                Err(protocol(answer.status, Unexpected::Html, attempted()))
            }
            StatusCode::OK => held(&answer, blob)
                .map_err(|kind| TargetError::new(kind, attempted()).with_status(200)),
            StatusCode::NOT_FOUND => Ok(Presence::Absent),
            StatusCode::METHOD_NOT_ALLOWED => Ok(Presence::Unknown),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED if self.is_foreign(&answer) => {
                Ok(Presence::Unknown)
            }
            _ => Err(refusal(answer, attempted()).await),
        }
    }

    /// The bytes of a blob from `offset` (in bytes, at most its size) to its end.
    ///
    /// A connection that breaks is made anew, and the blob goes on where it stopped. The bytes are
    /// not verified, only their number.
    pub async fn open_blob(
        &self,
        blob: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, SourceError> {
        let mut download = Download {
            from: self.clone(),
            blob: blob.clone(),
            at: offset,
            retry: self.inner().retry.start(),
            failed_at: offset,
            body: None,
        };
        if offset < blob.size {
            download.body = Some(download.open().await?);
        }
        Ok(Box::pin(stream::try_unfold(download, Download::next)))
    }

    fn blob_call(
        &self,
        method: Method,
        digest: &Digest,
        headers: HeaderMap,
        kind: Kind,
    ) -> Result<Call<'_>, CallError> {
        Ok(Call {
            repository: self.along_with.as_ref().unwrap_or(&self.repository),
            scopes: self.scopes.clone(),
            method,
            url: self
                .inner()
                .url(&self.repository, &format!("blobs/{digest}"))?,
            headers,
            payload: Payload::Nothing,
            kind,
        })
    }

    /// Whether an answer came from elsewhere, by a redirect.
    pub(crate) fn is_foreign(&self, answer: &Answer) -> bool {
        let own = self.inner().origin(&self.repository).ok();
        own != Origin::of(&answer.url).ok()
    }

    /// Where content is, for an error.
    fn place(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.repository)
    }
}

/// What a 200 says: held, or about something else; another digest is an error.
fn held(answer: &Answer, blob: &Descriptor) -> Result<Presence, TargetErrorKind> {
    let said = answer.header(DIGEST);
    if let Some(said) = said {
        check_digest(said, &blob.digest)?;
    }
    let length = answer.header(CONTENT_LENGTH.as_str());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length != blob.size => Ok(Presence::Unknown),
        None if said.is_none() => Ok(Presence::Unknown),
        _ => Ok(Presence::Held(blob.digest.clone())),
    }
}

/// Checks the digest that a header names: ours, or one of another algorithm, which says nothing of ours.
/// Whether it is ours.
pub(crate) fn check_digest(said: &str, ours: &Digest) -> Result<bool, TargetErrorKind> {
    match said.parse::<Digest>() {
        Ok(said) if said == *ours => Ok(true),
        Ok(said) if said.algorithm() != ours.algorithm() => Ok(false),
        _ => Err(TargetErrorKind::DigestMismatch {
            expected: ours.clone(),
            actual: said.chars().take(160).collect(),
        }),
    }
}

/// A blob as it is downloaded.
struct Download {
    from: RepositoryClient,
    blob: Descriptor,
    at: u64,
    retry: Retry,
    /// Where it last broke.
    failed_at: u64,
    body: Option<AnswerBody>,
}

impl Download {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, SourceError> {
        loop {
            let Some(body) = &mut self.body else {
                return Ok(None);
            };
            let error = match body.piece().await {
                Ok(Some(piece)) => {
                    self.at += piece.len() as u64;
                    if self.at > self.blob.size {
                        return Err(self.wrong_size());
                    }
                    return Ok(Some((piece, self)));
                }
                // All of them are there: an answer that goes on, breaks off or stands still after
                // that has nothing more to give.
                Ok(None) | Err(_) if self.at == self.blob.size => return Ok(None),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if self.at >= self.failed_at + PROGRESS {
                self.retry = self.from.inner().retry.start();
            }
            self.failed_at = self.at;
            let Some(wait) = self.retry.after_failure(None) else {
                return Err(match error {
                    Some(error) => self.failed(error.into()),
                    None => self.wrong_size(),
                });
            };
            // Its permit is free for others meanwhile.
            self.body = None;
            tokio::time::sleep(wait).await;
            self.body = Some(self.open().await?);
        }
    }

    /// Asks for the bytes from where it stands.
    async fn open(&self) -> Result<AnswerBody, SourceError> {
        let place = self.place();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if self.at > 0 {
            let range = ByteRange::From {
                first: self.at,
                last: None,
            };
            let value = HeaderValue::try_from(range.to_string());
            headers.insert(
                RANGE,
                value.map_err(|error| SourceError::unreadable(&place, error))?,
            );
        }
        let call = self
            .from
            .blob_call(Method::GET, &self.blob.digest, headers, Kind::Download)
            .map_err(|error| self.failed(error))?;
        let answer = self.from.inner().call(&call).await;
        let answer = answer.map_err(|error| self.failed(error))?;
        let unexpected =
            |what| SourceError::unreadable(&place, protocol(answer.status, what, ATTEMPTED));
        match answer.status {
            StatusCode::OK if answer.is_html() => Err(unexpected(Unexpected::Html)),
            StatusCode::OK => self.skip(answer.into_body()).await,
            StatusCode::PARTIAL_CONTENT if self.starts_here(&answer) => Ok(answer.into_body()),
            StatusCode::PARTIAL_CONTENT => Err(unexpected(Unexpected::OtherRange)),
            StatusCode::NOT_FOUND => Err(SourceError::Missing {
                digest: self.blob.digest.clone(),
                place,
            }),
            _ => {
                let error = refusal(answer, ATTEMPTED).await;
                Err(SourceError::unreadable(place, error))
            }
        }
    }

    fn starts_here(&self, answer: &Answer) -> bool {
        let range = answer.header(CONTENT_RANGE.as_str()).unwrap_or_default();
        let first = range
            .strip_prefix("bytes ")
            .and_then(|it| it.split('-').next());
        first.and_then(|it| it.parse().ok()) == Some(self.at)
    }

    /// An answer that ignored the range: what is known already is read and dropped.
    async fn skip(&self, mut body: AnswerBody) -> Result<AnswerBody, SourceError> {
        let mut left = self.at;
        while left > 0 {
            let piece = body.piece().await;
            let piece = piece.map_err(|error| self.failed(error.into()))?;
            let Some(piece) = piece else {
                return Err(self.wrong_size());
            };
            let known = left.min(piece.len() as u64);
            left -= known;
            let known = usize::try_from(known).unwrap_or(piece.len());
            if known < piece.len() {
                body.put_back(piece.slice(known..));
            }
        }
        Ok(body)
    }

    /// The registry's failure, of the kind that it is.
    fn failed(&self, error: CallError) -> SourceError {
        SourceError::unreadable(self.place(), error.into_target(ATTEMPTED))
    }

    fn wrong_size(&self) -> SourceError {
        SourceError::WrongSize {
            digest: self.blob.digest.clone(),
            place: self.place(),
            expected: self.blob.size,
            actual: self.at,
        }
    }

    fn place(&self) -> String {
        self.from.place(&self.blob.digest)
    }
}
