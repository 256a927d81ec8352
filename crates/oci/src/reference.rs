//! References: registry, repository, tag and digest, parsed once at the edge.
//!
//! The grammar is [distribution-spec's](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)
//! for names and tags, and Docker's for what may be left out: no registry means
//! Docker Hub, one name there means `library/`, no tag means `latest` (only when
//! somebody asks for it: [`Reference::tag_or_latest`]).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Digest, DigestError};

mod grammar;
mod matching;

pub use matching::Parts;

/// The registry meant when a reference names none.
pub const DOCKER_HUB: &str = "docker.io";
/// The longest `registry/repository` accepted, in bytes
/// ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)
/// advises 255).
pub const MAX_NAME_BYTES: usize = 255;

/// How a reference says the registry is to be spoken to, when it says so at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http://`
    Http,
    /// `https://`
    Https,
}

/// A registry: a host, and a port where it is not the default one.
///
/// Kept in one normal form, so that equality means the same registry: lower
/// case; Docker Hub's aliases (`index.docker.io`, `registry-1.docker.io`) are
/// `docker.io`; `:443` is dropped.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registry(Box<str>);

/// A repository of a registry: `registry/path`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: Registry,
    path: Box<str>,
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// What stands in the manifest slot of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TagOrDigest {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

/// A reference to an image: `[scheme://][registry/]repository[:tag][@digest]`.
///
/// ```
/// use longshore_oci::Reference;
/// let it: Reference = "alpine".parse()?;
/// assert_eq!(it.to_string(), "docker.io/library/alpine");
/// let it: Reference = "127.0.0.1:5000/team/app:1.2".parse()?;
/// assert_eq!(it.repository().registry().to_string(), "127.0.0.1:5000");
/// # Ok::<(), longshore_oci::ReferenceError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    scheme: Option<Scheme>,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// Why a text is not a reference, or not the part of one it should be.
///
/// Texts are cut to 300 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing there.
    #[error("the reference is empty: expected registry/repository[:tag][@digest]")]
    Empty,
    /// The host or port is not one.
    #[error("registry {0:?} is malformed: expected host[:port]")]
    Registry(String),
    /// The repository's path is not one.
    #[error(
        "repository {0:?} is malformed: lower-case letters, digits and single separators . _ __ - only, parts divided by /"
    )]
    Repository(String),
    /// The repository's path has upper-case letters.
    #[error("repository {0:?} has upper-case letters: repositories are lower case")]
    UpperCase(String),
    /// Registry and repository are together over [`MAX_NAME_BYTES`].
    #[error("name {0:?} is too long: registry and repository take at most 255 bytes")]
    TooLong(String),
    /// The tag is not one.
    #[error("tag {0:?} is malformed: up to 128 letters, digits, . _ and -, the first not . or -")]
    Tag(String),
    /// The digest is not one.
    #[error("the reference's digest is wrong")]
    Digest(#[source] DigestError),
    /// A scheme that no registry is spoken to with.
    #[error("scheme {0:?} is not supported: use https://, http:// or none")]
    Scheme(String),
}

// === impl Registry ===

impl Registry {
    /// Docker Hub.
    pub fn docker_hub() -> Self {
        Self(DOCKER_HUB.into())
    }

    /// The name as people write it: `docker.io`, `ghcr.io`, `127.0.0.1:5000`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether this is Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        &*self.0 == DOCKER_HUB
    }

    /// The `host[:port]` its API is reached at: the name itself, and
    /// `registry-1.docker.io` for Docker Hub.
    pub fn api_authority(&self) -> &str {
        if self.is_docker_hub() {
            "registry-1.docker.io"
        } else {
            &self.0
        }
    }

    /// The host without the port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        grammar::split_port(&self.0).0
    }

    /// The port, if it is written.
    pub fn port(&self) -> Option<u16> {
        grammar::split_port(&self.0).1?.parse().ok()
    }

    /// Whether the host is this machine's loopback: `localhost`, a name below
    /// it, `127.0.0.0/8` or `[::1]`. Such a registry is spoken to without TLS unless
    /// the reference says `https://`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// The repository at `path` of this registry.
    pub fn repository(&self, path: &str) -> Result<Repository, ReferenceError> {
        grammar::check_path(path)?;
        if self.0.len() + 1 + path.len() > MAX_NAME_BYTES {
            return Err(ReferenceError::TooLong(grammar::shortened(path)));
        }
        Ok(Repository {
            registry: self.clone(),
            path: path.into(),
        })
    }
}

impl FromStr for Registry {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        grammar::registry(text, None).map(|name| Self(name.into()))
    }
}

// === impl Repository ===

impl Repository {
    /// The registry it is in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Its path within the registry, as URLs carry it: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A reference to `tag` in this repository.
    pub fn with_tag(&self, tag: Tag) -> Reference {
        Reference {
            scheme: None,
            repository: self.clone(),
            tag: Some(tag),
            digest: None,
        }
    }

    /// A reference to `digest` in this repository.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference {
            scheme: None,
            repository: self.clone(),
            tag: None,
            digest: Some(digest),
        }
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let reference: Reference = text.parse()?;
        match (reference.tag, reference.digest) {
            (None, None) => Ok(reference.repository),
            _ => Err(ReferenceError::Repository(grammar::shortened(text))),
        }
    }
}

// === impl Tag ===

impl Tag {
    /// `latest`.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if grammar::is_tag(text) {
            Ok(Self(text.into()))
        } else {
            Err(ReferenceError::Tag(grammar::shortened(text)))
        }
    }
}

// === impl TagOrDigest ===

impl fmt::Display for TagOrDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for TagOrDigest {
    type Err = ReferenceError;

    /// A text with a `:` is a digest, any other a tag.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            text.parse()
                .map(Self::Digest)
                .map_err(ReferenceError::Digest)
        } else {
            text.parse().map(Self::Tag)
        }
    }
}

impl From<Tag> for TagOrDigest {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for TagOrDigest {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

// === impl Reference ===

impl Reference {
    /// The scheme, where the text named one. `docker://` names none.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if there is one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag; `latest` if there is neither tag nor digest.
    pub fn tag_or_latest(&self) -> Option<Tag> {
        match (&self.tag, &self.digest) {
            (None, None) => Some(Tag::latest()),
            (tag, _) => tag.clone(),
        }
    }

    /// What to ask a registry for: the digest if there is one, else the tag, else `latest`.
    pub fn tag_or_digest(&self) -> TagOrDigest {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => TagOrDigest::Digest(digest.clone()),
            (None, Some(tag)) => TagOrDigest::Tag(tag.clone()),
            (None, None) => TagOrDigest::Tag(Tag::latest()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (scheme, rest) = grammar::scheme(text)?;
        if rest.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let digest = digest
            .map(str::parse)
            .transpose()
            .map_err(ReferenceError::Digest)?;
        let (registry, path) = grammar::split_registry(rest);
        let (path, tag) = grammar::split_tag(path);
        let tag = tag.map(str::parse).transpose()?;
        let registry = match registry {
            Some(name) => Registry(grammar::registry(name, scheme)?.into()),
            None => Registry::docker_hub(),
        };
        let repository = if registry.is_docker_hub() && !path.contains('/') && !path.is_empty() {
            registry.repository(&format!("library/{path}"))?
        } else {
            registry.repository(path)?
        };
        Ok(Self {
            scheme,
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    /// The whole reference without its scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

// === text ===

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Debug, serde: as the text that parses back.
macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.to_string())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(Registry, Repository, Tag, Reference);
