//! Tags, page by page.

use http::{HeaderMap, Method, StatusCode};
use oci::{Tag, TargetError, TargetErrorKind};
use serde::Deserialize;
use url::Url;

use crate::{
    RepositoryClient,
    client::call::{Call, Payload},
    error::{CallError, Unexpected, protocol, refusal},
    pages::MAX_PAGES,
    transport::Kind,
};

/// The longest page read, in bytes, inclusive.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Tags asked for in a page.
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl RepositoryClient {
    /// The repository's tags, in the registry's order; names that are no tags are left out.
    ///
    /// Pages are followed on the registry's own origin only. A repository that is not there is
    /// [`TargetErrorKind::Refused`] with status 404.
    pub async fn tags(&self) -> Result<Vec<Tag>, TargetError> {
        let attempted = || format!("list the tags of {}", self.repository);
        let fail = |error: CallError| error.into_target(attempted());
        let first = format!("tags/list?n={PAGE}");
        let url = self.inner().url(&self.repository, &first);
        let mut url = url.map_err(|error| fail(error.into()))?;
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let call = self.tags_call(url.clone());
            let answer = self.inner().call(&call).await.map_err(fail)?;
            let status = answer.status;
            if status != StatusCode::OK {
                return Err(refusal(answer, attempted()).await);
            }
            if answer.is_html() {
                return Err(protocol(status, Unexpected::Html, attempted()));
            }
            let next = self
                .next_page(&answer)
                .map_err(|error| fail(error.into()))?;
            let body = answer.bytes(MAX_PAGE_BYTES).await;
            let body = body.map_err(|error| fail(error.into()))?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|_| protocol(status, Unexpected::Json, attempted()))?;
            let page = page.tags.unwrap_or_default();
            tags.extend(page.iter().filter_map(|tag| tag.parse::<Tag>().ok()));
            match next {
                Some(next) if !page.is_empty() => url = next,
                _ => return Ok(tags),
            }
        }
        Err(TargetError::new(TargetErrorKind::Protocol, attempted())
            .with_source(Unexpected::TooManyPages(MAX_PAGES)))
    }

    fn tags_call(&self, url: Url) -> Call<'_> {
        Call {
            repository: &self.repository,
            scopes: self.scopes.clone(),
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Nothing,
            kind: Kind::Question,
        }
    }
}
