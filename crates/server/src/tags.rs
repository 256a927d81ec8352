//! Lists: a repository's tags, and the repositories; in pages.
//!
//! [distribution-spec, Listing Tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags).

use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use oci::wire::ErrorCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::{
    answer::{self, Refusal, set},
    exchange::Exchange,
    route::{Name, Query},
    store,
};

/// The longest page, whatever is asked for.
const MAX_PAGE: usize = 10_000;

/// `GET …/tags/list`.
pub(crate) async fn list(x: &Exchange, name: Name) -> Result<Response, Refusal> {
    let (store, wanted) = (Arc::clone(&x.app.store), name.clone());
    let tags = store::blocking(move || store.tags(&wanted))
        .await?
        .ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown)
                .message("there is no such repository")
                .detail(name.to_string())
        })?;
    let tags = tags.iter().map(ToString::to_string);
    let page = Page::of(tags, &x.query)?;
    let body = json!({"name": name.as_str(), "tags": page.items});
    Ok(page.answer(&format!("/v2/{name}/tags/list"), &body))
}

/// `GET /v2/_catalog`: the repositories that its reader may pull.
pub(crate) async fn catalog(x: &Exchange) -> Result<Response, Refusal> {
    let store = Arc::clone(&x.app.store);
    let names = store::blocking(move || store.repositories()).await?;
    let seen = names.iter().filter(|it| x.principal.may_see(it));
    let page = Page::of(seen.map(ToString::to_string), &x.query)?;
    let body = json!({"repositories": page.items});
    Ok(page.answer("/v2/_catalog", &body))
}

struct Page {
    items: Vec<String>,
    /// How long it was to be, if there is more.
    next: Option<usize>,
}

impl Page {
    /// The items after `last`, `n` of them.
    fn of(items: impl Iterator<Item = String>, query: &Query) -> Result<Self, Refusal> {
        let size = match query.get("n") {
            None => MAX_PAGE,
            Some(n) => n.parse::<usize>().map_err(|_| {
                Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported)
                    .message("n is not a number")
            })?,
        };
        let size = size.min(MAX_PAGE);
        let last = query.get("last").unwrap_or_default();
        let mut rest = items.skip_while(|it| it.as_str() <= last).peekable();
        let items: Vec<String> = rest.by_ref().take(size).collect();
        let next = (size > 0 && rest.peek().is_some()).then_some(size);
        Ok(Self { items, next })
    }

    fn answer(&self, path: &str, body: &serde_json::Value) -> Response {
        let mut response = answer::with_body(StatusCode::OK, body.to_string());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let (Some(size), Some(last)) = (self.next, self.items.last()) {
            let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
            let link = format!("<{path}?n={size}&last={last}>; rel=\"next\"");
            set(&mut response, header::LINK, link);
        }
        response
    }
}
