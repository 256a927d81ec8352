//! References: registry, repository, tag and digest, parsed once at the edge.
//!
//! The grammar is [distribution-spec's](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)
//! for names and tags, and Docker's for what may be left out: no registry means
//! Docker Hub, one name there means `library/`, no tag means `latest` (only when
//! somebody asks for it: [`Reference::tag_or_latest`]).

use std::{fmt, str::FromStr};

use crate::Digest;

mod digest_tags;
mod error;
mod grammar;
mod matching;
mod text;

pub use error::ReferenceError;
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
/// `docker.io`; an IPv6 address is in its shortest form; `:443` is dropped, or
/// `:80` behind `http://`. A loopback registry keeps its port as it was written,
/// because whether it is spoken to with TLS is for the caller to say.
///
/// ```
/// use longshore_oci::Registry;
/// let it: Registry = "GHCR.io:443".parse()?;
/// assert_eq!(it.name(), "ghcr.io");
/// assert_eq!("index.docker.io".parse::<Registry>()?, Registry::docker_hub());
/// # Ok::<(), longshore_oci::ReferenceError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registry(Box<str>);

/// In the place of a registry's name, for what is in a directory: no registry can have it.
const ON_DISK: &str = "oci:";
/// The same for what is in one file.
const IN_FILE: &str = "oci-archive:";

/// A repository of a registry: `registry/path`; or a directory that stands in for one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: Registry,
    path: Box<str>,
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// What stands in the manifest slot of a URL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum TagOrDigest {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

/// A reference to an image: `[scheme://][registry/]repository[:tag][@digest]`.
///
/// | text | what it is |
/// | --- | --- |
/// | `alpine` | `docker.io/library/alpine`, no tag |
/// | `team/app:1` | `docker.io/team/app`, tag `1` |
/// | `localhost/app`, `host.example/app`, `host:5000/app`, `[::1]:5000/app` | the first part is a registry: it is `localhost`, or has a dot or a colon |
/// | `Host/app` | the same: it has upper-case letters, which no repository has |
/// | `https://host/app` | the same: it comes after a scheme |
/// | `docker://alpine` | `alpine` |
/// | `app@sha256:…`, `host:5000/app:1@sha256:…` | with a digest |
/// | the empty text | [`Empty`](ReferenceError::Empty) |
/// | `::x`, `app:` | [`Tag`](ReferenceError::Tag) |
/// | `host:port/app`, `host:65536/app` | [`Registry`](ReferenceError::Registry) |
/// | `host:5000/Team/App` | [`UpperCase`](ReferenceError::UpperCase) |
/// | `host.example/`, `host.example/app/`, `host.example/a//b` | [`Repository`](ReferenceError::Repository) |
/// | `app@sha256:12`, `app@` | [`Digest`](ReferenceError::Digest) |
/// | 64 hex digits | [`ImageId`](ReferenceError::ImageId) |
/// | `ftp://host/app` | [`Scheme`](ReferenceError::Scheme) |
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

// === impl Scheme ===

impl Scheme {
    /// The scheme as it is written before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port meant where none is written: 80 or 443.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
        grammar::is_loopback(self.host())
    }

    /// The repository at `path` of this registry; on Docker Hub a path of one
    /// part is below `library/`.
    pub fn repository(&self, path: &str) -> Result<Repository, ReferenceError> {
        grammar::check_path(path)?;
        let path = if self.is_docker_hub() && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if self.0.len() + 1 + path.len() > MAX_NAME_BYTES {
            return Err(ReferenceError::TooLong(grammar::shortened(&path)));
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
        grammar::registry(text, Scheme::Https).map(|name| Self(name.into()))
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

    /// A directory of this machine in the place of a repository: for a target that writes files.
    /// It is printed as `oci:<directory>`, which is not parsed back; it is a repository of no
    /// registry, so nothing is mounted into it or from it.
    pub fn in_directory(directory: &str) -> Self {
        Self {
            registry: Registry(ON_DISK.into()),
            path: directory.into(),
        }
    }

    /// An archive on this machine in the place of a repository, likewise: printed as
    /// `oci-archive:<file>`.
    pub fn in_archive(file: &str) -> Self {
        Self {
            registry: Registry(IN_FILE.into()),
            path: file.into(),
        }
    }

    /// The directory or the archive, if it is one.
    pub fn directory(&self) -> Option<&str> {
        matches!(&*self.registry.0, ON_DISK | IN_FILE).then_some(&*self.path)
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

    /// By the grammar of [`Reference`], with neither tag nor digest. A repository has no
    /// scheme: one that is written is dropped, and a port beside it is kept.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (scheme, rest) = grammar::scheme(text)?;
        let reference = Reference::read(rest, scheme, Scheme::Https)?;
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

    /// The same tag and digest in another repository. No scheme: it was of the registry.
    #[must_use]
    pub fn in_repository(&self, repository: Repository) -> Self {
        Self {
            scheme: None,
            repository,
            tag: self.tag.clone(),
            digest: self.digest.clone(),
        }
    }

    /// Reads what comes after `scheme`; the port of `implied` is dropped from the registry.
    fn read(text: &str, scheme: Option<Scheme>, implied: Scheme) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if grammar::is_image_id(text) {
            return Err(ReferenceError::ImageId(text.into()));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let digest = digest
            .map(str::parse)
            .transpose()
            .map_err(ReferenceError::Digest)?;
        let (registry, path) = grammar::split_registry(name, scheme);
        let (path, tag) = grammar::split_tag(path);
        let tag = tag.map(str::parse).transpose()?;
        let registry = match registry {
            Some(name) => Registry(grammar::registry(name, implied)?.into()),
            None => Registry::docker_hub(),
        };
        let repository = registry.repository(path)?;
        Ok(Self {
            scheme,
            repository,
            tag,
            digest,
        })
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (scheme, rest) = grammar::scheme(text)?;
        Self::read(rest, scheme, scheme.unwrap_or(Scheme::Https))
    }
}

#[cfg(test)]
mod tests;
