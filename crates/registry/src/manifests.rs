//! Manifests: put byte for byte, asked for, read back.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, ETAG},
};
use oci::{
    Digest, Document, DocumentError, MAX_MANIFEST_BYTES, ManifestReceipt, MediaType, Presence, Tag,
    TagOrDigest, TargetError, TargetErrorKind,
};

use crate::{
    RepositoryClient,
    blobs::{DIGEST, check_digest},
    client::call::{Call, Payload},
    error::{CallError, Unexpected, protocol, refusal},
    profile::Fact,
    transport::{Kind, answer::Answer},
};

mod tagged;

/// The header by which a registry says that it lists a manifest under its subject.
const SUBJECT: &str = "oci-subject";

impl RepositoryClient {
    /// Puts a manifest under a tag, or under its digest.
    ///
    /// The bytes are the document's own, the type is the one it says it has. An answer that
    /// names another digest is [`TargetErrorKind::DigestMismatch`]; one that names none is
    /// followed by one question which digest is there.
    pub(crate) async fn put_manifest(
        &self,
        document: &Document,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        let at = match tag {
            Some(tag) => TagOrDigest::Tag(tag.clone()),
            None => TagOrDigest::Digest(document.digest().clone()),
        };
        let attempted = || format!("put manifest {} as {}", document.digest(), self.name(&at));
        let answer = self.put(document, &at.to_string(), HeaderMap::new()).await;
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        if answer.status != StatusCode::CREATED {
            return Err(self.refused(answer, document, attempted()).await);
        }
        self.receipt(answer, document, &at, &attempted).await
    }

    /// The error that a refused manifest is.
    pub(crate) async fn refused(
        &self,
        answer: Answer,
        document: &Document,
        attempted: String,
    ) -> TargetError {
        let refusal = refusal(answer, attempted).await;
        self.learn_validation(document, &refusal).await;
        refusal
    }

    /// What the answer to a manifest that was taken says of it.
    async fn receipt(
        &self,
        answer: Answer,
        document: &Document,
        at: &TagOrDigest,
        attempted: &impl Fn() -> String,
    ) -> Result<ManifestReceipt, TargetError> {
        let said = answer.header(DIGEST).map(str::to_owned);
        let subject = document.subject().map(|it| it.digest.to_string());
        let listed = subject.is_some() && answer.header(SUBJECT) == subject.as_deref();
        if subject.is_some() {
            self.learn(Fact::Referrers(listed));
        }
        answer.finish().await;
        let said = said.map_or(Ok(false), |said| check_said(&said, document));
        let said = said.map_err(|kind| TargetError::new(kind, attempted()).with_status(201))?;
        let verified = said || self.is_at(document, at, attempted).await?;
        let receipt = if verified {
            ManifestReceipt::verified()
        } else {
            ManifestReceipt::default()
        };
        Ok(receipt.with_subject(listed))
    }

    /// Whether a manifest is where it was put, as far as the registry can say. It may take a moment
    /// to be seen there; one that never is was not taken, whatever the answer said.
    async fn is_at(
        &self,
        document: &Document,
        at: &TagOrDigest,
        attempted: &impl Fn() -> String,
    ) -> Result<bool, TargetError> {
        let mut retry = self.inner().retry.start();
        loop {
            match self.has_manifest(at).await? {
                Presence::Held(there) if there.matches(document.bytes()) => return Ok(true),
                Presence::Held(there) => {
                    let attempted = format!("verify manifest {}", self.name(at));
                    return Err(mismatch(document.digest(), &there, attempted));
                }
                Presence::Unknown => return Ok(false),
                Presence::Absent => {}
            }
            let Some(wait) = retry.after_failure(None) else {
                let unexpected = Unexpected::ManifestNotThere;
                return Err(protocol(StatusCode::CREATED, unexpected, attempted()));
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Puts a document at `rest`: a tag or a digest, and perhaps a query.
    async fn put(
        &self,
        document: &Document,
        rest: &str,
        headers: HeaderMap,
    ) -> Result<Answer, CallError> {
        let call = self.put_call(document, rest, headers)?;
        self.inner().call(&call).await
    }

    pub(crate) fn put_call(
        &self,
        document: &Document,
        rest: &str,
        mut headers: HeaderMap,
    ) -> Result<Call<'_>, CallError> {
        // A type that cannot stand in a header was not one a document could have.
        if let Ok(media_type) = HeaderValue::from_str(document.media_type().as_str()) {
            headers.insert(CONTENT_TYPE, media_type);
        }
        let bytes = Payload::Bytes(document.bytes().clone());
        self.manifest_call(Method::PUT, rest, headers, bytes)
    }

    /// Whether there is a manifest, and under which digest.
    ///
    /// An answer without a digest is followed by reading the manifest and hashing it.
    pub async fn has_manifest(&self, at: &TagOrDigest) -> Result<Presence, TargetError> {
        let attempted = || format!("ask for manifest {}", self.name(at));
        let answer = self.ask(Method::HEAD, at).await;
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        match answer.status {
            StatusCode::OK if answer.is_html() => {
                Err(protocol(answer.status, Unexpected::Html, attempted()))
            }
            StatusCode::OK => match (said_digest(&answer), at) {
                (Some(there), TagOrDigest::Digest(asked))
                    if there.algorithm() == asked.algorithm() && there != *asked =>
                {
                    Err(mismatch(asked, &there, attempted()))
                }
                (Some(there), _) => Ok(Presence::Held(there)),
                (None, _) => Ok(match self.manifest(at).await? {
                    Some(document) => Presence::Held(document.digest().clone()),
                    None => Presence::Absent,
                }),
            },
            StatusCode::NOT_FOUND => Ok(Presence::Absent),
            StatusCode::METHOD_NOT_ALLOWED => Ok(Presence::Unknown),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED if self.is_foreign(&answer) => {
                Ok(Presence::Unknown)
            }
            _ => Err(refusal(answer, attempted()).await),
        }
    }

    /// A manifest or index, verified; none if there is none.
    ///
    /// Asked for by digest it has that digest; by tag, the one the answer names, where it names one.
    pub async fn manifest(&self, at: &TagOrDigest) -> Result<Option<Document>, TargetError> {
        let attempted = || format!("read manifest {}", self.name(at));
        let read = self.read(at, &attempted).await?;
        let document = read.map(Read::into_document).transpose();
        document.map_err(|error| unusable(error, attempted()))
    }

    /// The same, with the entity tag that it has there.
    pub(crate) async fn manifest_and_tag(
        &self,
        at: &TagOrDigest,
    ) -> Result<Option<(Document, Option<HeaderValue>)>, TargetError> {
        let attempted = || format!("read manifest {}", self.name(at));
        let Some(read) = self.read(at, &attempted).await? else {
            return Ok(None);
        };
        let entity_tag = read.entity_tag.clone();
        let document = read.into_document();
        let document = document.map_err(|error| unusable(error, attempted()))?;
        Ok(Some((document, entity_tag)))
    }

    /// A manifest as it is served. An answer that breaks off is asked for again.
    async fn read(
        &self,
        at: &TagOrDigest,
        attempted: &impl Fn() -> String,
    ) -> Result<Option<Read>, TargetError> {
        let fail = |error: CallError| error.into_target(attempted());
        let mut retry = self.inner().retry.start();
        loop {
            let answer = self.ask(Method::GET, at).await.map_err(fail)?;
            match answer.status {
                StatusCode::OK if answer.is_html() => {
                    return Err(protocol(answer.status, Unexpected::Html, attempted()));
                }
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                _ => return Err(refusal(answer, attempted()).await),
            }
            let declared = answer
                .header(CONTENT_TYPE.as_str())
                .map(MediaType::from_header)
                // Some serve every manifest as plain JSON or as bytes: then it says itself what it is.
                .filter(|it| it.is_manifest() || it.is_index());
            let expected = match at {
                TagOrDigest::Digest(digest) => Some(digest.clone()),
                TagOrDigest::Tag(_) => said_digest(&answer),
            };
            let entity_tag = answer.headers.get(ETAG).cloned();
            let url = answer.url.clone();
            match answer.bytes(MAX_MANIFEST_BYTES).await {
                Ok(bytes) => {
                    return Ok(Some(Read {
                        bytes,
                        declared,
                        expected,
                        entity_tag,
                    }));
                }
                Err(error) => {
                    let transport = &self.inner().transport;
                    let pause = transport.pause_after(&mut retry, &url, error).await;
                    pause.map_err(|error| fail(error.into()))?;
                }
            }
        }
    }

    async fn ask(&self, method: Method, at: &TagOrDigest) -> Result<Answer, CallError> {
        let accepted = MediaType::MANIFESTS.map(|it| it.to_string()).join(", ");
        let mut headers = HeaderMap::new();
        if let Ok(accepted) = HeaderValue::try_from(accepted) {
            headers.insert(ACCEPT, accepted);
        }
        let call = self.manifest_call(method, &at.to_string(), headers, Payload::Nothing)?;
        self.inner().call(&call).await
    }

    fn manifest_call<'a>(
        &'a self,
        method: Method,
        rest: &str,
        headers: HeaderMap,
        payload: Payload<'a>,
    ) -> Result<Call<'a>, CallError> {
        let kind = match payload {
            Payload::Nothing => Kind::Question,
            _ => Kind::Commit,
        };
        Ok(Call {
            repository: self.along_with.as_ref().unwrap_or(&self.repository),
            scopes: self.scopes.clone(),
            method,
            url: self
                .inner()
                .url(&self.repository, &format!("manifests/{rest}"))?,
            headers,
            payload,
            kind,
        })
    }

    /// A reference to `at`, for an error.
    fn name(&self, at: &TagOrDigest) -> String {
        match at {
            TagOrDigest::Tag(tag) => format!("{}:{tag}", self.repository),
            TagOrDigest::Digest(digest) => format!("{}@{digest}", self.repository),
        }
    }
}

/// A manifest as it was served, and what is known of it.
struct Read {
    bytes: Bytes,
    declared: Option<MediaType>,
    expected: Option<Digest>,
    entity_tag: Option<HeaderValue>,
}

impl Read {
    fn into_document(self) -> Result<Document, DocumentError> {
        let declared = self.declared.as_ref();
        match &self.expected {
            Some(digest) => Document::with_digest(self.bytes, declared, digest),
            None => Document::new(self.bytes, declared),
        }
    }
}

fn unusable(error: DocumentError, attempted: String) -> TargetError {
    match error {
        DocumentError::DigestMismatch { expected, actual } => {
            mismatch(&expected, &actual, attempted)
        }
        error => TargetError::new(TargetErrorKind::Protocol, attempted).with_source(error),
    }
}

/// Whether a header names the document: by its own digest, or by the one that another algorithm gives
/// its bytes. A registry has a tag name a SHA-256 digest, whichever one a manifest goes by elsewhere.
fn check_said(said: &str, document: &Document) -> Result<bool, TargetErrorKind> {
    match said.parse::<Digest>() {
        Ok(said) if said.matches(document.bytes()) => Ok(true),
        _ => check_digest(said, document.digest()),
    }
}

fn said_digest(answer: &Answer) -> Option<Digest> {
    answer.header(DIGEST)?.parse().ok()
}

fn mismatch(expected: &Digest, actual: &Digest, attempted: String) -> TargetError {
    let kind = TargetErrorKind::DigestMismatch {
        expected: expected.clone(),
        actual: actual.to_string(),
    };
    TargetError::new(kind, attempted)
}
