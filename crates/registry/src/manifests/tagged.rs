//! Manifests under tags: under several in one request, and under one that must be new.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{HeaderName, IF_NONE_MATCH},
};
use oci::{
    Document, ManifestReceipt, NewTag, Presence, Tag, TagOrDigest, TagsReceipt, TargetError,
    wire::ErrorCode,
};

use super::RepositoryClient;
use crate::{profile::Fact, transport::answer::Answer};

/// The header in which a registry names the tags it made.
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Tags in one request, at the most: every registry that takes several is to take as many
/// ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)).
const AT_ONCE: usize = 10;

impl RepositoryClient {
    /// How many tags are worth naming in one request.
    pub(crate) fn tags_at_once(&self) -> usize {
        let refuses = Fact::TagParameters(false);
        if self.known(refuses.key()) == Some(refuses) {
            1
        } else {
            AT_ONCE
        }
    }

    /// Puts a manifest under its digest and these tags. Where the URL is too long for the registry
    /// it is told in halves; where it is silent about all of them, that is remembered.
    pub(crate) async fn put_manifest_as(
        &self,
        document: &Document,
        tags: &[Tag],
    ) -> Result<TagsReceipt, TargetError> {
        let mut receipt = TagsReceipt::default();
        let mut pending = vec![tags];
        while let Some(part) = pending.pop().filter(|it| !it.is_empty()) {
            match self.put_part(document, part).await? {
                Taken::Under(tags, manifest) if !tags.is_empty() => {
                    self.learn(Fact::TagParameters(true));
                    receipt.tags.extend(tags);
                    receipt.manifest = manifest;
                }
                Taken::Under(_, manifest) => {
                    self.learn(Fact::TagParameters(false));
                    receipt.manifest = manifest;
                    break;
                }
                Taken::TooMany => {
                    let (first, second) = part.split_at(part.len() / 2);
                    pending.extend([second, first]);
                }
                Taken::NotAtAll => {
                    self.learn(Fact::TagParameters(false));
                    break;
                }
            }
        }
        Ok(receipt)
    }

    async fn put_part(&self, document: &Document, tags: &[Tag]) -> Result<Taken, TargetError> {
        let at = TagOrDigest::Digest(document.digest().clone());
        let attempted = || format!("put manifest {} under {} tags", self.name(&at), tags.len());
        // A tag has no character that a query would have to escape.
        let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let rest = format!("{at}?{}", query.join("&"));
        let answer = self.put(document, &rest, HeaderMap::new()).await;
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        match answer.status {
            StatusCode::CREATED => {
                let made = confirmed(&answer, tags);
                let manifest = self.receipt(answer, document, &at, &attempted).await?;
                Ok(Taken::Under(made, manifest))
            }
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
                if tags.len() > 1 =>
            {
                answer.finish().await;
                Ok(Taken::TooMany)
            }
            status => {
                let refusal = self.refused(answer, document, attempted()).await;
                let missing = ErrorCode::ManifestBlobUnknown;
                if is_unknown(status) && !refusal.codes().any(|it| *it == missing) {
                    return Ok(Taken::NotAtAll);
                }
                Err(refusal)
            }
        }
    }

    /// Puts a manifest under a tag, on the condition that there is nothing yet. The condition may
    /// fail because of an earlier attempt of our own whose answer was lost.
    pub(crate) async fn put_new_tag(
        &self,
        document: &Document,
        tag: &Tag,
    ) -> Result<NewTag, TargetError> {
        let at = TagOrDigest::Tag(tag.clone());
        let attempted = || format!("put manifest {} as {}", document.digest(), self.name(&at));
        let nothing = (IF_NONE_MATCH, HeaderValue::from_static("*"));
        let condition = HeaderMap::from_iter([nothing]);
        let answer = self.put(document, tag.as_str(), condition).await;
        let answer = answer.map_err(|error| error.into_target(attempted()))?;
        match answer.status {
            StatusCode::CREATED => {
                let receipt = self.receipt(answer, document, &at, &attempted).await?;
                Ok(NewTag::Put(receipt))
            }
            StatusCode::PRECONDITION_FAILED => {
                let refusal = self.refused(answer, document, attempted()).await;
                match self.has_manifest(&at).await? {
                    Presence::Held(there) if there.matches(document.bytes()) => {
                        Ok(NewTag::Put(ManifestReceipt::verified()))
                    }
                    Presence::Held(there) => Ok(NewTag::Taken(there)),
                    _ => Err(refusal),
                }
            }
            _ => Err(self.refused(answer, document, attempted()).await),
        }
    }
}

/// What came of one request with several tags.
enum Taken {
    /// The manifest was taken, and these tags made.
    Under(Vec<Tag>, ManifestReceipt),
    /// These were too many.
    TooMany,
    /// Such requests are not known.
    NotAtAll,
}

/// Those of `asked` that an answer names, in one header or several.
fn confirmed(answer: &Answer, asked: &[Tag]) -> Vec<Tag> {
    let values = answer.headers.get_all(TAG);
    let values = values.iter().filter_map(|it| it.to_str().ok());
    let named: Vec<&str> = values.flat_map(|it| it.split(',')).map(str::trim).collect();
    let made = asked.iter().filter(|tag| named.contains(&tag.as_str()));
    made.cloned().collect()
}

/// Whether a status says that a registry does not know requests with tags.
fn is_unknown(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 414 | 431 | 501)
}
