//! The web page at `/`: what the registry holds, for people with a browser.
//!
//! It is made here, whole, and needs no script and nothing from elsewhere; a strict
//! [policy](https://www.w3.org/TR/CSP3/) says so to the browser. Templates escape what they are given, and what they are
//! given is bounded: pages of fifty, so many manifests looked into, a few pages made at a time.
//! A repository that the asker may not pull from is one that is not there.

mod home;
mod image;
mod repository;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use oci::Registry;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    allowance::Allowance,
    answer::{self, Refusal},
    exchange::Exchange,
    route::{Page, not_found},
};

/// Rows of one page.
const ROWS: usize = 50;
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("../templates/style.css");
const ICON: &str = include_str!("../templates/icon.svg");
/// What stays as it is in a link's query.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'/');

/// What every page shows around what it is about.
#[derive(Clone, Debug)]
struct Frame {
    /// The registry as the asker calls it.
    registry: String,
    user: Option<String>,
    version: &'static str,
    /// Whether it is reached without TLS.
    plain: bool,
}

#[derive(Template)]
#[template(path = "absent.html")]
struct Absent {
    frame: Frame,
}

/// Answers a request for a page or for what a page needs.
pub(crate) async fn answer(x: &Exchange, page: Page) -> Result<Response, Refusal> {
    if !x.app.options.page {
        return Err(not_found());
    }
    match page {
        Page::Style => return Ok(file("text/css; charset=utf-8", STYLE)),
        Page::Icon => return Ok(file("image/svg+xml", ICON)),
        Page::Home | Page::Repository(_) => {}
    }
    // A page may take reading many files: a few are made at a time, others wait.
    let turn = Arc::clone(&x.app.turns.pages);
    let _turn = turn.acquire_owned().await;
    let (frame, allowance) = (frame(x), &x.app.memory.allowance);
    match page {
        Page::Repository(name) => match repository::page(x, name, frame.clone()).await? {
            Some(page) => html(allowance, StatusCode::OK, &page),
            None => html(allowance, StatusCode::NOT_FOUND, &Absent { frame }),
        },
        _ => html(allowance, StatusCode::OK, &home::page(x, frame).await?),
    }
}

fn frame(x: &Exchange) -> Frame {
    // What clients are to call it, else this client's word for it, if that can be a host: it
    // ends up in commands.
    let origin = x.origin();
    let (scheme, host) = origin.split_once("://").unwrap_or_default();
    let named = host.parse::<Registry>().is_ok().then(|| host.to_owned());
    Frame {
        registry: named.unwrap_or_else(|| x.app.address.to_string()),
        user: x.principal.user.clone(),
        version: env!("CARGO_PKG_VERSION"),
        plain: scheme != "https",
    }
}

fn html(
    allowance: &Allowance,
    status: StatusCode,
    page: &impl Template,
) -> Result<Response, Refusal> {
    let text = page.render().map_err(std::io::Error::other)?;
    let mut response = answer::with_long_body(allowance, status, text)?;
    dress(&mut response, "text/html; charset=utf-8", "no-store");
    Ok(response)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = answer::with_body(StatusCode::OK, text);
    dress(&mut response, kind, "max-age=3600");
    response
}

fn dress(response: &mut Response, kind: &'static str, cache: &'static str) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A link to a repository's page.
fn link(name: &str) -> String {
    format!("/repositories/{name}")
}

/// A link to the page that goes on after a row.
fn next(path: &str, search: &str, last: &str) -> String {
    let last = utf8_percent_encode(last, KEPT);
    if search.is_empty() {
        return format!("{path}?last={last}");
    }
    let search = utf8_percent_encode(search, KEPT);
    format!("{path}?q={search}&last={last}")
}
