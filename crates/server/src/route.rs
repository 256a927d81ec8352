//! Routes: which resource a path names, and which endpoint a request calls.
//!
//! A repository's name may hold any number of slashes, and parts such as `blobs`
//! or `manifests`; so a path is read from its end, where the grammar is fixed.
//! [distribution-spec, Endpoints](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints).

use std::{fmt, sync::Arc};

use axum::http::{Method, StatusCode};
use oci::{Digest, Registry, TagOrDigest, wire::ErrorCode};
use percent_encoding::percent_decode_str;

use crate::{answer::Refusal, endpoint::Endpoint};

/// A repository's name, by the specification's grammar; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(Arc<str>);

/// A resource.
#[derive(Clone, Debug)]
pub(crate) enum Resource {
    Ping,
    Catalog,
    Token,
    Health,
    Metrics,
    Page(Page),
    Blob(Name, Digest),
    Uploads(Name),
    Upload(Name, String),
    Manifest(Name, TagOrDigest),
    Tags(Name),
    Referrers(Name, Digest),
}

/// A page for people with a browser, or what such a page needs.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    Home,
    Repository(Name),
    Style,
    Icon,
}

/// The parameters of a query, percent-decoded, in order. A `+` stays a `+`:
/// media types have them, and clients forget to escape them.
#[derive(Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

/// The most parameters read of one query.
const MAX_PARAMETERS: usize = 256;

// === impl Name ===

impl Name {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Any registry will do: it is the path's grammar that is wanted.
        Registry::docker_hub().repository(text).ok()?;
        Some(Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Query ===

/// The names alone: a form may hold a password.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        f.write_str("Query")?;
        f.debug_list().entries(names).finish()
    }
}

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        Self(
            query
                .unwrap_or_default()
                .split('&')
                .filter(|part| !part.is_empty())
                .take(MAX_PARAMETERS)
                .map(|part| {
                    let (key, value) = part.split_once('=').unwrap_or((part, ""));
                    (decoded(key), decoded(value))
                })
                .collect(),
        )
    }

    /// The fields of a form, where a `+` is a space.
    pub(crate) fn form(text: &str) -> Self {
        Self::parse(Some(&text.replace('+', "%20")))
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(it, _)| it == key);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter, in order.
    pub(crate) fn all<'a>(&'a self, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(it, _)| it == key)
            .map(|(_, value)| value.as_str())
    }
}

/// Percent-decoded text; what is not UTF-8 is replaced, and then matches nothing.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

// === impl Resource ===

impl Resource {
    /// The resource a path names. An error is the answer to give.
    pub(crate) fn parse(path: &str) -> Result<Self, Refusal> {
        let path = decoded(path);
        match path.as_str() {
            "/v2" | "/v2/" => return Ok(Self::Ping),
            "/v2/_catalog" => return Ok(Self::Catalog),
            "/token" => return Ok(Self::Token),
            "/healthz" => return Ok(Self::Health),
            "/metrics" => return Ok(Self::Metrics),
            "/" => return Ok(Self::Page(Page::Home)),
            "/style.css" => return Ok(Self::Page(Page::Style)),
            "/icon.svg" => return Ok(Self::Page(Page::Icon)),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("/repositories/") {
            let name = Name::parse(name).ok_or_else(not_found)?;
            return Ok(Self::Page(Page::Repository(name)));
        }
        let rest = path.strip_prefix("/v2/").ok_or_else(not_found)?;
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => {
                Ok(Self::Uploads(repository(name)?))
            }
            [name @ .., "blobs", "uploads", id] => {
                Ok(Self::Upload(repository(name)?, (*id).to_owned()))
            }
            [name @ .., "blobs", it] => Ok(Self::Blob(repository(name)?, digest(it)?)),
            [name @ .., "manifests", it] => Ok(Self::Manifest(repository(name)?, slot(it)?)),
            [name @ .., "tags", "list"] => Ok(Self::Tags(repository(name)?)),
            [name @ .., "referrers", it] => Ok(Self::Referrers(repository(name)?, digest(it)?)),
            _ => Err(not_found()),
        }
    }

    /// The methods it takes, as `Allow` has them.
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Self::Token => "GET, POST",
            Self::Ping
            | Self::Health
            | Self::Metrics
            | Self::Page(_)
            | Self::Catalog
            | Self::Tags(_)
            | Self::Referrers(..) => "GET, HEAD",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
        }
    }

    /// The repository it is in, if it is in one.
    pub(crate) fn name(&self) -> Option<&Name> {
        match self {
            Self::Ping
            | Self::Catalog
            | Self::Token
            | Self::Health
            | Self::Metrics
            | Self::Page(_) => None,
            Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Manifest(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _) => Some(name),
        }
    }
}

impl Endpoint {
    /// The endpoint a request calls.
    pub(crate) fn of(method: &Method, resource: Option<&Resource>, query: &Query) -> Self {
        let Some(resource) = resource else {
            return Self::Other;
        };
        match (resource, method.as_str()) {
            (Resource::Token, _) => Self::Token,
            (Resource::Health, "GET" | "HEAD") => Self::Health,
            (Resource::Metrics, "GET" | "HEAD") => Self::Metrics,
            (Resource::Page(_), "GET" | "HEAD") => Self::Page,
            (Resource::Ping, "GET" | "HEAD") => Self::Ping,
            (Resource::Catalog, "GET" | "HEAD") => Self::Catalog,
            (Resource::Blob(..), "HEAD") => Self::BlobHead,
            (Resource::Blob(..), "GET") => Self::BlobGet,
            (Resource::Blob(..), "DELETE") => Self::BlobDelete,
            (Resource::Uploads(_), "POST") if query.get("mount").is_some() => Self::Mount,
            (Resource::Uploads(_), "POST") if query.get("digest").is_some() => Self::UploadSingle,
            (Resource::Uploads(_), "POST") => Self::UploadPost,
            (Resource::Upload(..), "GET" | "HEAD") => Self::UploadStatus,
            (Resource::Upload(..), "PATCH") => Self::UploadPatch,
            (Resource::Upload(..), "PUT") => Self::UploadPut,
            (Resource::Upload(..), "DELETE") => Self::UploadCancel,
            (Resource::Manifest(..), "HEAD") => Self::ManifestHead,
            (Resource::Manifest(..), "GET") => Self::ManifestGet,
            (Resource::Manifest(..), "PUT") => Self::ManifestPut,
            (Resource::Manifest(..), "DELETE") => Self::ManifestDelete,
            (Resource::Tags(_), "GET" | "HEAD") => Self::TagList,
            (Resource::Referrers(..), "GET" | "HEAD") => Self::Referrers,
            _ => Self::Other,
        }
    }

    /// Whether it changes what is stored, or opens or ends the way to do so.
    pub(crate) fn writes(self) -> bool {
        matches!(
            self,
            Self::BlobDelete
                | Self::UploadPost
                | Self::UploadSingle
                | Self::Mount
                | Self::UploadPatch
                | Self::UploadPut
                | Self::UploadCancel
                | Self::ManifestPut
                | Self::ManifestDelete
        )
    }

    /// Whether it only reads.
    pub(crate) fn reads(self) -> bool {
        matches!(
            self,
            Self::Ping
                | Self::BlobHead
                | Self::BlobGet
                | Self::ManifestHead
                | Self::ManifestGet
                | Self::TagList
                | Self::Referrers
                | Self::Catalog
                | Self::Health
                | Self::Metrics
                | Self::Page
        )
    }
}

pub(crate) fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported).message("no such endpoint")
}

fn repository(parts: &[&str]) -> Result<Name, Refusal> {
    let text = parts.join("/");
    Name::parse(&text).ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid)
            .message("not a repository's name")
            .detail(text.chars().take(300).collect::<String>())
    })
}

pub(crate) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error: oci::DigestError| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid).message(error.to_string())
    })
}

fn slot(text: &str) -> Result<TagOrDigest, Refusal> {
    if text.contains(':') {
        return digest(text).map(TagOrDigest::Digest);
    }
    text.parse().map_err(|error: oci::ReferenceError| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::TagInvalid).message(error.to_string())
    })
}

#[cfg(test)]
mod tests;
