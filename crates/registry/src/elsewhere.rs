//! Foreign layers, from the `urls` that their descriptors give.
//!
//! ```text
//!   the source itself ──has it──▶ its bytes
//!          │ has not
//!          └─▶ url 1 ─▶ file ─▶ digest and size right? ──yes──▶ the file's bytes
//!                                   └ no ─▶ url 2 … at most five
//! ```
//!
//! A manifest's author wrote the `urls`: they are a stranger's word. So they are gone to only if
//! that was asked for; over TLS, and to public addresses, but for hosts that the user names;
//! without credentials, without the registry's headers; and a redirect leads from https to
//! https only. What comes goes into a temporary file first: whether it is the layer is known when
//! the last byte is there, and nobody's upload may begin with another's.

use std::{
    collections::{HashMap, HashSet},
    io::{self, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_RANGE, LOCATION, RANGE, USER_AGENT},
};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Hasher, Repository, Reread, Source,
    SourceError, wire::ByteRange,
};
use tempfile::NamedTempFile;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    sync::OnceCell,
};
use url::Url;

use crate::{
    Client,
    client::call::MAX_REDIRECTS,
    transport::{
        Kind, Outgoing, TransportError,
        address::Reach,
        answer::{Answer, AnswerBody},
        body::RequestBody,
        location::{self, LocationError, Origin},
        pause::Account,
        redact::OriginOnly,
        retry::may_change,
    },
};

/// How many of a layer's `urls` are gone to.
pub const MAX_URLS: usize = 5;

/// The largest piece that is read from a file at once, in bytes.
const PIECE: usize = 256 * 1024;

/// Which `urls` may be gone to, and where what comes is kept until it is verified.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Hosts of one's own (`host` or `host:port`): they may be at private addresses, and be spoken
    /// to without TLS.
    trusted: HashSet<String>,
    directory: Option<PathBuf>,
}

/// Another source, whose foreign layers are fetched from their `urls` if it has not got them.
///
/// What was fetched is kept in a file without a name for as long as this is there, and read again
/// from it.
#[derive(Debug)]
pub struct WithElsewhere {
    source: Box<dyn Source>,
    client: Client,
    elsewhere: Elsewhere,
    fetched: Mutex<HashMap<Digest, Arc<OnceCell<NamedTempFile>>>>,
}

/// Why a layer could not be had from one of its `urls`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotThere {
    #[error("the URL is not one of https: {0}")]
    Scheme(String),
    #[error("the URL is not one that can be gone to")]
    Location(#[source] LocationError),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer has more than the layer's {0} bytes")]
    TooLong(u64),
    #[error("it broke off after {0} bytes, and the server does not go on there")]
    NoMiddle(u64),
    #[error("the answer ends after {0} bytes")]
    TooShort(u64),
    #[error("the bytes have digest {0}")]
    Other(Digest),
    #[error("the answer could not be read")]
    Transport(#[from] TransportError),
    #[error("the bytes could not be kept in a temporary file")]
    File(#[from] io::Error),
}

/// Why it could be had from none of them.
#[derive(Debug, thiserror::Error)]
#[error("none of its urls gave it: {}", .0.join("; "))]
struct Nowhere(Vec<String>);

// === impl Elsewhere ===

impl Elsewhere {
    /// Over TLS and from public addresses only; kept in the system's directory for temporary
    /// files meanwhile.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and a host of one's own (`host` or `host:port`, with its port where that is not
    /// the scheme's) may be at a private address, and be spoken to without TLS.
    #[must_use]
    pub fn trust(mut self, host: impl Into<String>) -> Self {
        self.trusted.insert(host.into().to_ascii_lowercase());
        self
    }

    /// The same with another directory, which should be on a disk.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    fn trusts(&self, origin: &Origin) -> bool {
        let host = origin.host();
        let usual = if origin.tls() { 443 } else { 80 };
        let named = origin.port() == usual && self.trusted.contains(host);
        named || self.trusted.contains(&origin.authority())
    }

    /// The URL, if it may be gone to, and how far.
    pub(crate) fn admit(&self, url: &str) -> Result<(Url, Reach), NotThere> {
        let malformed = |_| NotThere::Location(LocationError::Malformed);
        let mut url = Url::parse(url).map_err(malformed)?;
        url.set_fragment(None);
        let origin = Origin::of(&url).map_err(NotThere::Location)?;
        location::check(&url, &origin).map_err(NotThere::Location)?;
        let trusted = self.trusts(&origin);
        if !origin.tls() && !trusted {
            return Err(NotThere::Scheme(origin.to_string()));
        }
        let reach = if trusted {
            Reach::Anywhere
        } else {
            Reach::Public
        };
        Ok((url, reach))
    }

    /// Asks a URL, and where that leads, for its bytes from some place on.
    pub(crate) async fn ask(
        &self,
        client: &Client,
        url: &Url,
        reach: Reach,
        from: u64,
    ) -> Result<Answer, NotThere> {
        let inner = &client.inner;
        let first = Origin::of(url).map_err(NotThere::Location)?;
        let (mut url, mut reach) = (url.clone(), reach);
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, inner.user_agent.clone());
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
            if let Some(range) = range(from) {
                headers.insert(RANGE, range);
            }
            let outgoing = Outgoing {
                method: Method::GET,
                url: url.clone(),
                headers,
                body: RequestBody::Bytes(Bytes::new()),
                flow: None,
                kind: Kind::Download,
                reach,
                account: Account::default(),
            };
            let answer = inner.transport.exchange(outgoing).await?;
            match answer.status.as_u16() {
                200 => return Ok(answer),
                206 if from > 0 && starts_at(&answer, from) => return Ok(answer),
                301..=303 | 307 | 308 => {}
                _ => return Err(NotThere::Status(answer.status)),
            }
            let Some(location) = answer.header(LOCATION.as_str()) else {
                return Err(NotThere::Status(answer.status));
            };
            url = location::follow(&url, location, &first).map_err(NotThere::Location)?;
            (url, reach) = self.admit(url.as_str())?;
            answer.finish().await;
        }
        let error = LocationError::TooManyRedirects(MAX_REDIRECTS);
        Err(NotThere::Location(error))
    }

    fn file(&self) -> io::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".longshore-");
        match &self.directory {
            Some(directory) => builder.tempfile_in(directory),
            None => builder.tempfile(),
        }
    }
}

// === impl NotThere ===

impl NotThere {
    /// Whether it may be otherwise the next time.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Transport(error) => error.may_change(),
            Self::Status(status) => may_change(*status),
            Self::TooShort(_) => true,
            _ => false,
        }
    }
}

// === impl WithElsewhere ===

impl WithElsewhere {
    /// `source`, and what it has not got of foreign layers from their `urls`, by `client`.
    pub fn new(source: Box<dyn Source>, client: &Client, elsewhere: Elsewhere) -> Self {
        Self {
            source,
            client: client.clone(),
            elsewhere,
            fetched: Mutex::default(),
        }
    }

    /// The bytes of a layer, fetched once whoever asks.
    async fn open_elsewhere(
        &self,
        blob: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, SourceError> {
        let cell = {
            let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(fetched.entry(blob.digest.clone()).or_default())
        };
        let file = cell.get_or_try_init(|| self.fetch(blob)).await?;
        let unreadable = |error: io::Error| SourceError::unreadable(self.place(blob), error);
        let file = file.reopen().map_err(unreadable)?;
        let mut file = File::from_std(file);
        file.seek(SeekFrom::Start(offset))
            .await
            .map_err(unreadable)?;
        let place = self.place(blob);
        Ok(Box::pin(stream::try_unfold(
            (file, place),
            async |(mut file, place)| {
                let mut piece = BytesMut::with_capacity(PIECE);
                let read = file.read_buf(&mut piece).await;
                match read.map_err(|error| SourceError::unreadable(&place, error))? {
                    0 => Ok(None),
                    _ => Ok::<_, SourceError>(Some((piece.freeze(), (file, place)))),
                }
            },
        )))
    }

    async fn fetch(&self, blob: &Descriptor) -> Result<NamedTempFile, SourceError> {
        let mut attempts = Vec::new();
        for url in blob.urls.iter().take(MAX_URLS) {
            match self.fetch_from(url, blob).await {
                Ok(file) => return Ok(file),
                Err(error) => attempts.push(told(url, &error)),
            }
        }
        if blob.urls.len() > MAX_URLS {
            attempts.push(format!(
                "{} more were not tried",
                blob.urls.len() - MAX_URLS
            ));
        }
        Err(SourceError::unreadable(self.place(blob), Nowhere(attempts)))
    }

    /// The layer from one place, verified. An answer that breaks off is gone on with.
    async fn fetch_from(&self, url: &str, blob: &Descriptor) -> Result<NamedTempFile, NotThere> {
        let (url, reach) = self.elsewhere.admit(url)?;
        let kept = self.elsewhere.file()?;
        let mut file = File::from_std(kept.reopen()?);
        let mut hasher = Hasher::for_digest(&blob.digest);
        let mut retry = self.client.inner.retry.start();
        loop {
            let asked = self
                .elsewhere
                .ask(&self.client, &url, reach, hasher.bytes());
            let error = match asked.await {
                Ok(answer) => {
                    if hasher.bytes() > 0 && answer.status == StatusCode::OK {
                        // It does not go on in the middle: from its beginning, then.
                        file.set_len(0).await?;
                        file.seek(SeekFrom::Start(0)).await?;
                        hasher = Hasher::for_digest(&blob.digest);
                    }
                    let mut body = answer.into_body();
                    match self.take(&mut body, &mut file, &mut hasher, blob).await {
                        Ok(()) => break,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            match retry.after_failure(None).filter(|_| error.may_pass()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
        file.flush().await?;
        hasher.check(&blob.digest).map_err(NotThere::Other)?;
        Ok(kept)
    }

    /// Reads an answer to its end.
    async fn take(
        &self,
        body: &mut AnswerBody,
        file: &mut File,
        hasher: &mut Hasher,
        blob: &Descriptor,
    ) -> Result<(), NotThere> {
        while let Some(piece) = body.piece().await? {
            if hasher.bytes() + piece.len() as u64 > blob.size {
                return Err(NotThere::TooLong(blob.size));
            }
            file.write_all(&piece).await?;
            hasher.update(&piece);
        }
        if hasher.bytes() < blob.size {
            return Err(NotThere::TooShort(hasher.bytes()));
        }
        Ok(())
    }
}

/// What to ask for, if not for everything.
fn range(from: u64) -> Option<HeaderValue> {
    let range = ByteRange::From {
        first: from,
        last: None,
    };
    let value = HeaderValue::try_from(range.to_string()).ok();
    value.filter(|_| from > 0)
}

fn starts_at(answer: &Answer, from: u64) -> bool {
    let range = answer.header(CONTENT_RANGE.as_str()).unwrap_or_default();
    let first = range.strip_prefix("bytes ");
    let first = first.and_then(|it| it.split('-').next()?.parse().ok());
    first == Some(from)
}

/// An attempt for a person: only where the URL leads, which may be signed.
fn told(url: &str, error: &NotThere) -> String {
    let place = match Url::parse(url) {
        Ok(url) => OriginOnly(&url).to_string(),
        Err(_) => "a malformed URL".to_owned(),
    };
    let mut text = format!("{place}: {error}");
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn is_elsewhere(blob: &Descriptor) -> bool {
    blob.is_foreign() && !blob.urls.is_empty()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for WithElsewhere {
    async fn root(&self) -> Result<Document, SourceError> {
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        match self.source.open(blob, offset).await {
            Err(SourceError::Missing { .. }) if is_elsewhere(blob) => {
                self.open_elsewhere(blob, offset).await
            }
            opened => opened,
        }
    }

    fn verifies(&self) -> bool {
        false
    }

    /// A layer that has `urls` may be had from there: whether it can be, is seen when it is opened.
    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        match self.source.check_blob(blob).await {
            Err(SourceError::Missing { .. }) if is_elsewhere(blob) => Ok(()),
            checked => checked,
        }
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        match self.source.version(blob).await {
            Err(SourceError::Missing { .. }) if is_elsewhere(blob) => Ok(None),
            version => version,
        }
    }

    fn place(&self, blob: &Descriptor) -> String {
        self.source.place(blob)
    }

    async fn read_elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<Reread> {
        self.source.read_elsewhere(blob, fault).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.source.referrers(subject).await
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        self.source.digest_tags(subjects).await
    }

    fn leaves_out(&self, child: &Descriptor) -> bool {
        self.source.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.source.origin()
    }
}
