//! Lists: a repository's tags, and the repositories; in pages.
//!
//! [distribution-spec, Listing Tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags).

use std::{io, sync::Arc};

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use oci::wire::ErrorCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::{
    answer::{Refusal, set},
    auth::Principal,
    exchange::Exchange,
    lists::{Items, Listing, Page, Stretch},
    route::{Name, Query},
    store::Store,
};

/// The longest page, whatever is asked for.
const MAX_PAGE: usize = 10_000;
/// A page ends before it is longer than this, whatever is asked for.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

/// A repository's tags.
struct Tags {
    store: Arc<dyn Store>,
    name: Name,
}

/// The repositories that somebody may pull.
struct Repositories {
    store: Arc<dyn Store>,
    principal: Principal,
}

/// `GET …/tags/list`.
pub(crate) async fn list(x: &Exchange, name: Name) -> Result<Response, Refusal> {
    let (store, wanted) = (Arc::clone(&x.app.store), name.clone());
    let asked = x
        .app
        .memory
        .lister
        .run(move || store.has_repository(&wanted));
    if !asked.await?? {
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown)
            .message("there is no such repository")
            .detail(name.to_string()));
    }
    let opening = format!("{{\"name\":{},\"tags\":[", json!(name.as_str()));
    let path = format!("/v2/{name}/tags/list");
    let store = Arc::clone(&x.app.store);
    page(x, Tags { store, name }, opening, &path).await
}

/// `GET /v2/_catalog`: the repositories that its reader may pull.
pub(crate) async fn catalog(x: &Exchange) -> Result<Response, Refusal> {
    let listing = Repositories {
        store: Arc::clone(&x.app.store),
        principal: x.principal.clone(),
    };
    let opening = "{\"repositories\":[".to_owned();
    page(x, listing, opening, "/v2/_catalog").await
}

/// The items after `last`, `n` of them.
async fn page(
    x: &Exchange,
    listing: impl Listing<Key = String>,
    opening: String,
    path: &str,
) -> Result<Response, Refusal> {
    let items = size(&x.query)?;
    let page = Page {
        listing,
        frame: (opening, "]}"),
        media_type: "application/json",
        after: x.query.get("last").map(str::to_owned),
        items,
        bytes: MAX_PAGE_BYTES,
    };
    let (mut response, next) = page.answer(&x.app).await?;
    if let Some(last) = next {
        let last = utf8_percent_encode(&last, NON_ALPHANUMERIC);
        let link = format!("<{path}?n={items}&last={last}>; rel=\"next\"");
        set(&mut response, header::LINK, link);
    }
    Ok(response)
}

/// How many items a page is to have.
fn size(query: &Query) -> Result<usize, Refusal> {
    let size = match query.get("n") {
        None => MAX_PAGE,
        Some(n) => n.parse::<usize>().map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported)
                .message("n is not a number")
        })?,
    };
    Ok(size.min(MAX_PAGE))
}

impl Listing for Tags {
    type Key = String;

    fn write(&self, stretch: &Stretch<String>, into: &mut Items<String>) -> io::Result<()> {
        // One more, to know whether there is one.
        let after = stretch.after.as_deref().unwrap_or_default();
        let tags = self.store.tags_after(&self.name, after, stretch.most + 1)?;
        write(tags.into_iter().map(|it| it.to_string()), stretch, into)
    }
}

impl Listing for Repositories {
    type Key = String;

    fn write(&self, stretch: &Stretch<String>, into: &mut Items<String>) -> io::Result<()> {
        let after = stretch.after.as_deref().unwrap_or_default();
        let names = self.store.repositories()?;
        let seen = names.iter().filter(|it| it.as_str() > after);
        let seen = seen.filter(|it| self.principal.may_see(it));
        write(seen.map(ToString::to_string), stretch, into)
    }
}

fn write(
    names: impl Iterator<Item = String>,
    stretch: &Stretch<String>,
    into: &mut Items<String>,
) -> io::Result<()> {
    for name in names {
        let is_over = stretch.until.as_ref().is_some_and(|until| name > *until);
        if is_over || !into.push(name.clone(), &name)? {
            break;
        }
    }
    Ok(())
}
