//! Tags, page by page.

use http::{HeaderMap, Method, StatusCode, header::LINK};
use oci::{Tag, TargetError, TargetErrorKind};
use serde::Deserialize;
use url::Url;

use crate::{
    RepositoryClient,
    client::call::{Call, Payload},
    error::{CallError, Unexpected, protocol, refusal},
    transport::{
        Kind, TransportError,
        answer::Answer,
        location::{self, LocationError, Origin},
    },
};

/// Pages read of one list, at the most.
const MAX_PAGES: usize = 1000;
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

    /// Where the next page is: by `Link`, on the registry's own origin.
    fn next_page(&self, answer: &Answer) -> Result<Option<Url>, TransportError> {
        let Some(target) = answer.header(LINK.as_str()).and_then(next_link) else {
            return Ok(None);
        };
        let origin = self.inner().origin(&self.repository)?;
        let url = location::follow(&answer.url, target, &origin)?;
        let there = Origin::of(&url)?;
        if there != origin {
            return Err(LocationError::OtherOrigin(there.to_string()).into());
        }
        Ok(Some(url))
    }
}

/// The target of `<target>; rel="next"`
/// ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288#section-3)).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            parameter
                .trim()
                .strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        let cases = [
            (
                r#"</v2/a/tags/list?n=2&last=b>; rel="next""#,
                Some("/v2/a/tags/list?n=2&last=b"),
            ),
            ("<one>; rel=prev, <two>; rel=next", Some("two")),
            (r#"<one>; title="x"; REL=next"#, None),
            (r#"<one>; title="x"; rel="NEXT""#, Some("one")),
            ("<one>", None),
            ("nonsense", None),
            ("<open", None),
        ];
        for (header, expected) in cases {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }
}
