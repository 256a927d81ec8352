//! What is about a manifest: asked of the registry, or of the tag that clients keep where it does
//! not say.
//!
//! ```text
//!   GET referrers/<digest> ──200──▶ pages, on the registry's own origin
//!            └──404, no list──▶ GET manifests/sha256-<hash> ──▶ an index of them, or nothing
//! ```
//!
//! [distribution-spec, Listing Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers).

use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{ACCEPT, HeaderName},
};
use oci::{
    Descriptor, Digest, Document, MAX_MANIFEST_BYTES, MediaType, Tag, TagOrDigest, TargetError,
    TargetErrorKind,
};
use url::{Url, form_urlencoded};

use crate::{
    RepositoryClient,
    client::call::{Call, Payload},
    error::{CallError, Unexpected, protocol, refusal},
    pages::MAX_PAGES,
    profile::Fact,
    quirks,
    transport::Kind,
};

mod digest_tags;
mod kept;
mod list;

pub(crate) use digest_tags::KnownTags;

/// In which answers name what they have filtered by.
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Referrers read of one manifest, at the most.
const MAX_REFERRERS: usize = 10_000;

/// A page of a list.
struct Page {
    items: Vec<Descriptor>,
    /// Whether the registry has left out what is of another type.
    filtered: bool,
    next: Option<Url>,
}

/// What a registry says to being asked for a list.
enum Listing {
    /// This.
    All(Vec<Descriptor>),
    /// That it has no such lists.
    Unavailable,
}

impl RepositoryClient {
    /// The manifests that are about `subject`; with `artifact_type`, only those of that type.
    ///
    /// Where the registry keeps no such list, the tag is read that clients keep in its place
    /// ([`Digest::referrers_tag`]). Nobody being about it, or it not being there, is an empty list.
    /// A tag of that name that is no index is [`TargetErrorKind::Unsupported`].
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, TargetError> {
        let absent = Fact::Referrers(false);
        // What was so yesterday proves nothing: the tag is kept no more once there is a list.
        if self.shown(absent.key()).as_ref() != Some(&absent) {
            if let Listing::All(items) = self.listed(subject, artifact_type).await? {
                self.learn(Fact::Referrers(true));
                return Ok(items);
            }
            self.learn(absent);
        }
        let Some((index, _)) = self.kept_index(subject).await? else {
            return Ok(Vec::new());
        };
        let items = index.as_index().map(|it| it.manifests.clone());
        let mut items = items.unwrap_or_default();
        items.truncate(MAX_REFERRERS);
        items.retain(|it| is_of_type(it, artifact_type));
        Ok(items)
    }

    /// What the registry itself lists.
    async fn listed(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Listing, TargetError> {
        let attempted = || format!("list what refers to {}@{subject}", self.repository);
        let fail = |error: CallError| error.into_target(attempted());
        let mut query = String::new();
        if let Some(artifact_type) = artifact_type {
            let mut pairs = form_urlencoded::Serializer::new(String::from("?"));
            query = pairs.append_pair("artifactType", artifact_type).finish();
        }
        let rest = format!("referrers/{subject}{query}");
        let url = self.inner().url(&self.repository, &rest);
        let mut next = Some(url.map_err(|error| fail(error.into()))?);
        let mut items = Vec::new();
        for page in 0..MAX_PAGES {
            let Some(url) = next else {
                return Ok(Listing::All(items));
            };
            let Some(page) = self.page(url, page == 0, &attempted).await? else {
                return Ok(Listing::Unavailable);
            };
            let filtered = page.filtered;
            let wanted = |it: &Descriptor| filtered || is_of_type(it, artifact_type);
            items.extend(page.items.into_iter().filter(wanted));
            if items.len() > MAX_REFERRERS {
                let error = TargetError::new(TargetErrorKind::Protocol, attempted());
                return Err(error.with_source(Unexpected::TooManyItems(MAX_REFERRERS)));
            }
            next = page.next;
        }
        Err(TargetError::new(TargetErrorKind::Protocol, attempted())
            .with_source(Unexpected::TooManyPages(MAX_PAGES)))
    }

    /// One page; none if there are no such lists, which only the first can show. An answer that
    /// breaks off is asked for again.
    async fn page(
        &self,
        url: Url,
        first: bool,
        attempted: &impl Fn() -> String,
    ) -> Result<Option<Page>, TargetError> {
        let fail = |error: CallError| error.into_target(attempted());
        let call = self.list_call(url);
        let mut retry = self.inner().retry.start();
        loop {
            let answer = self.inner().call(&call).await.map_err(fail)?;
            let status = answer.status;
            let led_away = status.is_client_error() && self.is_foreign(&answer);
            let lists_none = quirks::has_no_referrers(status, answer.is_html());
            if first && (led_away || lists_none) {
                answer.finish().await;
                return Ok(None);
            }
            if status != StatusCode::OK {
                return Err(refusal(answer, attempted()).await);
            }
            let next = self.next_page(&answer);
            let next = next.map_err(|error| fail(error.into()))?;
            let filters = answer.header(FILTERS.as_str()).unwrap_or_default();
            let filtered = filters.split(',').any(|it| it.trim() == "artifactType");
            let from = answer.url.clone();
            let error = match answer.bytes(MAX_MANIFEST_BYTES).await {
                Ok(body) => {
                    return match items(body) {
                        Some(items) => Ok(Some(Page {
                            items,
                            filtered,
                            next,
                        })),
                        None if first => Ok(None),
                        None => Err(protocol(status, Unexpected::Json, attempted())),
                    };
                }
                Err(error) => error,
            };
            let transport = &self.inner().transport;
            let pause = transport.pause_after(&mut retry, &from, error).await;
            pause.map_err(|error| fail(error.into()))?;
        }
    }

    fn list_call(&self, url: Url) -> Call<'_> {
        let accept = HeaderValue::from_str(MediaType::OCI_INDEX.as_str()).ok();
        Call {
            repository: &self.repository,
            scopes: self.scopes.clone(),
            method: Method::GET,
            url,
            headers: accept.map(|it| (ACCEPT, it)).into_iter().collect(),
            payload: Payload::Nothing,
            kind: Kind::Question,
        }
    }

    /// The index under the tag that clients keep, and its entity tag; none if there is none.
    async fn kept_index(
        &self,
        subject: &Digest,
    ) -> Result<Option<(Document, Option<HeaderValue>)>, TargetError> {
        let attempted = || format!("read what refers to {}@{subject}", self.repository);
        let Some(tag) = kept_under(subject) else {
            return Ok(None);
        };
        let at = TagOrDigest::Tag(tag.clone());
        match self.manifest_and_tag(&at).await? {
            Some((document, _)) if document.as_index().is_none() => {
                let error = TargetError::new(TargetErrorKind::Unsupported, attempted());
                Err(error.with_source(Unexpected::NotAnIndex(tag.to_string())))
            }
            found => Ok(found),
        }
    }
}

/// The tag that clients keep in the place of the registry's list.
fn kept_under(subject: &Digest) -> Option<Tag> {
    subject.referrers_tag().parse().ok()
}

fn items(body: Bytes) -> Option<Vec<Descriptor>> {
    let document = Document::new(body, None).ok()?;
    Some(document.as_index()?.manifests.clone())
}

fn is_of_type(it: &Descriptor, artifact_type: Option<&str>) -> bool {
    artifact_type.is_none_or(|wanted| it.artifact_type.as_deref() == Some(wanted))
}
