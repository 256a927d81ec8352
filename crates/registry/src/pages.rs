//! Lists that come in pages: where the next one is.

use http::header::LINK;
use url::Url;

use crate::{
    RepositoryClient,
    transport::{
        TransportError,
        answer::Answer,
        location::{self, LocationError, Origin},
    },
};

/// Pages read of one list, at the most.
pub(crate) const MAX_PAGES: usize = 1000;

impl RepositoryClient {
    /// Where the next page is: by `Link`, on the registry's own origin.
    pub(crate) fn next_page(&self, answer: &Answer) -> Result<Option<Url>, TransportError> {
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
