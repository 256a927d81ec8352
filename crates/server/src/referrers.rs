//! Referrers: the manifests that are about another one.
//!
//! [distribution-spec, Listing Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers).
//! The list is never missing: of what nobody refers to, or of a repository that is
//! not there, it is empty.

use std::{collections::BTreeSet, io, sync::Arc};

use axum::{
    http::{HeaderName, StatusCode, header},
    response::Response,
};
use oci::{Descriptor, Digest, Document, MediaType, document::View, wire::ErrorCode};

use crate::{
    answer::{Refusal, set},
    exchange::Exchange,
    lists::{Items, Listing, Page, Stretch},
    route::Name,
    store::{Store, StoredManifest},
};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// A page ends before it is longer than this: a client reads manifests up to 4 MiB.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;
/// The longest page in items, which bounds how many manifests are read for it.
const MAX_PAGE: usize = 10_000;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The manifests about another one.
struct Referrers {
    store: Arc<dyn Store>,
    name: Name,
    subject: Digest,
    /// Only those of this artifact type.
    kind: Option<String>,
}

/// `GET …/referrers/<digest>[?artifactType=…]`.
pub(crate) async fn list(x: &Exchange, name: Name, subject: Digest) -> Result<Response, Refusal> {
    if x.faults.no_referrers || !x.app.options.referrers {
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported)
            .message("this registry lists no referrers"));
    }
    let kind = x.query.get("artifactType").map(str::to_owned);
    let opening = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":["#);
    let page = Page {
        listing: Referrers {
            store: Arc::clone(&x.app.store),
            name: name.clone(),
            subject: subject.clone(),
            kind: kind.clone(),
        },
        frame: (opening, "]}"),
        media_type: INDEX,
        after: x.query.get("after").and_then(|it| it.parse().ok()),
        items: MAX_PAGE,
        bytes: MAX_PAGE_BYTES,
    };
    let (mut response, next) = page.answer(&x.app).await?;
    if kind.is_some() {
        set(&mut response, FILTERS_APPLIED, "artifactType");
    }
    if let Some(last) = next {
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

impl Listing for Referrers {
    type Key = Digest;

    fn write(&self, stretch: &Stretch<Digest>, into: &mut Items<Digest>) -> io::Result<()> {
        for digest in all(&*self.store, &self.name, &self.subject)? {
            if stretch.after.as_ref().is_some_and(|after| digest <= *after) {
                continue;
            }
            if stretch.until.as_ref().is_some_and(|until| digest > *until) {
                break;
            }
            let Some(manifest) = self.store.manifest(&self.name, &digest)? else {
                continue;
            };
            let Some(descriptor) = describe(manifest, &digest) else {
                continue;
            };
            let kind = self.kind.as_deref();
            if kind.is_some() && descriptor.artifact_type.as_deref() != kind {
                continue;
            }
            if !into.push(digest, &descriptor)? {
                break;
            }
        }
        Ok(())
    }
}

/// Every manifest about `subject`, in order: what said so when it was put, and what an
/// index under the fallback tag lists, kept up by clients of registries without this list.
fn all(store: &dyn Store, name: &Name, subject: &Digest) -> io::Result<BTreeSet<Digest>> {
    let mut all: BTreeSet<Digest> = store.referrers(name, subject)?.into_iter().collect();
    if let Ok(tag) = subject.referrers_tag().parse()
        && let Some(digest) = store.tag(name, &tag)?
        && let Some(it) = store.manifest(name, &digest)?
        && let Ok(document) = Document::with_digest(it.bytes, Some(&it.media_type), &digest)
        && let Some(index) = document.as_index()
    {
        all.extend(index.manifests.iter().map(|it| it.digest.clone()));
    }
    Ok(all)
}

/// What the list says of a referrer: its artifact type (the config's media type, if an image
/// manifest has none) and all its annotations.
fn describe(manifest: StoredManifest, digest: &Digest) -> Option<Descriptor> {
    let media_type: MediaType = manifest.media_type;
    let document = Document::with_digest(manifest.bytes, Some(&media_type), digest).ok()?;
    let mut descriptor = document.descriptor().clone();
    match document.view() {
        View::Manifest(it) => descriptor.annotations.clone_from(&it.annotations),
        View::Index(it) => descriptor.annotations.clone_from(&it.annotations),
        _ => return None,
    }
    descriptor.artifact_type = document.artifact_type().map(str::to_owned);
    Some(descriptor)
}
