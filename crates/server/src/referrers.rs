//! Referrers: the manifests that are about another one.
//!
//! [distribution-spec, Listing Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers).
//! The list is never missing: of what nobody refers to, or of a repository that is
//! not there, it is empty.

use std::{collections::BTreeSet, io, sync::Arc};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use oci::{Descriptor, Digest, Document, MediaType, document::View, wire::ErrorCode};
use serde::Serialize;

use crate::{
    answer::{self, Refusal, set},
    exchange::Exchange,
    route::Name,
    store::{self, Store, StoredManifest},
};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// A page ends before it is longer than this: a client reads manifests up to 4 MiB.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// `GET …/referrers/<digest>[?artifactType=…]`.
pub(crate) async fn list(x: &Exchange, name: Name, subject: Digest) -> Result<Response, Refusal> {
    if x.faults.no_referrers || !x.app.options.referrers {
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported)
            .message("this registry lists no referrers"));
    }
    let kind = x.query.get("artifactType").map(str::to_owned);
    let after: Option<Digest> = x.query.get("after").and_then(|it| it.parse().ok());
    let (store, wanted) = (Arc::clone(&x.app.store), kind.clone());
    let (repository, about) = (name.clone(), subject.clone());
    let (manifests, more) = store::blocking(move || {
        page(
            &*store,
            &repository,
            &about,
            wanted.as_deref(),
            after.as_ref(),
        )
    })
    .await?;
    let last = manifests.last().map(|it| it.digest.clone());
    let page = Page {
        schema_version: 2,
        media_type: "application/vnd.oci.image.index.v1+json",
        manifests,
    };
    let body = serde_json::to_vec(&page).map_err(io::Error::other)?;
    let mut response = answer::with_body(StatusCode::OK, body);
    let index = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
    response.headers_mut().insert(header::CONTENT_TYPE, index);
    if kind.is_some() {
        set(&mut response, FILTERS_APPLIED, "artifactType");
    }
    if let (true, Some(last)) = (more, last) {
        let kind = kind.map_or_else(String::new, |it| {
            let all = percent_encoding::NON_ALPHANUMERIC;
            let it = percent_encoding::utf8_percent_encode(&it, all).to_string();
            format!("&artifactType={it}")
        });
        let link = format!("</v2/{name}/referrers/{subject}?after={last}{kind}>; rel=\"next\"");
        set(&mut response, header::LINK, link);
    }
    Ok(response)
}

/// The descriptors of one page, and whether there are more.
fn page(
    store: &dyn Store,
    name: &Name,
    subject: &Digest,
    kind: Option<&str>,
    after: Option<&Digest>,
) -> io::Result<(Vec<Descriptor>, bool)> {
    let mut page = Vec::new();
    let mut bytes = 0;
    for digest in all(store, name, subject)? {
        if after.is_some_and(|after| digest <= *after) {
            continue;
        }
        let Some(manifest) = store.manifest(name, &digest)? else {
            continue;
        };
        let Some(descriptor) = describe(manifest, &digest) else {
            continue;
        };
        if kind.is_some_and(|kind| descriptor.artifact_type.as_deref() != Some(kind)) {
            continue;
        }
        bytes += serde_json::to_vec(&descriptor).map_or(0, |it| it.len());
        if bytes > MAX_PAGE_BYTES && !page.is_empty() {
            return Ok((page, true));
        }
        page.push(descriptor);
    }
    Ok((page, false))
}

/// Every manifest about `subject`, in order: what said so when it was put, and what an
/// index under the fallback tag lists, kept up by clients of registries without this list.
fn all(store: &dyn Store, name: &Name, subject: &Digest) -> io::Result<BTreeSet<Digest>> {
    let mut all: BTreeSet<Digest> = store.referrers(name, subject)?.into_iter().collect();
    if let Ok(tag) = fallback_tag(subject).parse()
        && let Some(digest) = store.tag(name, &tag)?
        && let Some(it) = store.manifest(name, &digest)?
        && let Ok(document) = Document::with_digest(it.bytes, Some(&it.media_type), &digest)
        && let Some(index) = document.as_index()
    {
        all.extend(index.manifests.iter().map(|it| it.digest.clone()));
    }
    Ok(all)
}

/// [distribution-spec, Referrers Tag Schema](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema).
fn fallback_tag(subject: &Digest) -> String {
    let encoded = subject.encoded();
    let cut = encoded.get(..64).unwrap_or(encoded);
    format!("{}-{cut}", subject.algorithm())
}

/// What the list says of a referrer: its artifact type (the config's media type, if an image
/// manifest has none) and all its annotations.
fn describe(manifest: StoredManifest, digest: &Digest) -> Option<Descriptor> {
    let media_type: MediaType = manifest.media_type;
    let document = Document::with_digest(manifest.bytes, Some(&media_type), digest).ok()?;
    let mut descriptor = document.descriptor().clone();
    match document.view() {
        View::Manifest(it) => {
            let config = || it.config.media_type.to_string();
            descriptor.artifact_type = Some(it.artifact_type.clone().unwrap_or_else(config));
            descriptor.annotations.clone_from(&it.annotations);
        }
        View::Index(it) => {
            descriptor.artifact_type.clone_from(&it.artifact_type);
            descriptor.annotations.clone_from(&it.annotations);
        }
        _ => return None,
    }
    Some(descriptor)
}
