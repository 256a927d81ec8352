//! Settings: how a server answers where that is a matter of choice, and its bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::warning::Warning;

/// How requests are answered where it is a matter of choice.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub(crate) struct Options {
    pub(crate) validation: Validation,
    pub(crate) uploads: UploadOptions,
    pub(crate) deletes: bool,
    pub(crate) metrics: bool,
    pub(crate) referrers: bool,
    pub(crate) page: bool,
    pub(crate) warnings: Vec<Warning>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            validation: Validation::All,
            uploads: UploadOptions::default(),
            deletes: true,
            metrics: true,
            referrers: true,
            page: true,
            warnings: Vec::new(),
        }
    }
}

/// What happens to a manifest whose children are not all in the repository.
///
/// Foreign layers and the subject may be missing in any case
/// ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Validation {
    /// It is refused; every missing child, of the first 1,000, is named in an error of its own,
    /// its digest the `detail`.
    #[default]
    All,
    /// It is refused; the first missing child alone is named, as some registries do.
    First,
    /// It is refused; no child is named, as some registries do.
    None,
    /// It is accepted.
    AcceptAll,
}

/// How uploads answer where registries differ.
///
/// The default is what most registries do; the rest is for tests of clients.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub struct UploadOptions {
    /// `Location` is a full URL rather than a path. Off.
    pub absolute_location: bool,
    /// `Location` carries a `_state` parameter that a client has to keep. Off.
    pub state_parameter: bool,
    /// `POST …?digest=` takes the blob; if not, it opens a session (202). On.
    pub single_post: bool,
    /// Mounts are tried at all; if not, each opens a session (202). On.
    pub mounts: bool,
    /// A mount without `from` looks in every repository the client may read. On.
    pub anonymous_mounts: bool,
    /// Announced as `OCI-Chunk-Min-Length`, in bytes; a shorter chunk has to be the last. None.
    pub chunk_min_length: Option<u64>,
    /// The longest body taken in one PATCH or PUT, in bytes, inclusive; a longer one is refused
    /// with 413, as proxies do. None.
    pub max_body_length: Option<u64>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            absolute_location: false,
            state_parameter: false,
            single_post: true,
            mounts: true,
            anonymous_mounts: true,
            chunk_min_length: None,
            max_body_length: None,
        }
    }
}

/// What becomes of content that nothing refers to any more.
///
/// A blob that no manifest of its repository refers to goes when its grace is over.
/// Pushing, mounting, reading or asking for it (`HEAD`) begins its grace anew, and so does
/// a manifest that refers to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Collection {
    /// How long content is kept that nothing refers to. Shorter than
    /// [`Limits::session_idle`], a push that takes long may find its first blobs gone. 24 hours.
    pub grace: Duration,
    /// How long a server waits between two runs; none if it is never to begin one. One hour.
    pub interval: Option<Duration>,
    /// Whether manifests go too that no tag leads to, not even by way of an index or of
    /// what it is a referrer of. Off: they are pulled by digest.
    pub untagged: bool,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            grace: Duration::from_hours(24),
            interval: Some(Duration::from_hours(1)),
            untagged: false,
        }
    }
}

/// The bounds of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest manifest taken, in bytes, inclusive. 4 MiB.
    pub manifest_bytes: usize,
    /// The longest head of a request, names and values of all headers together, in bytes, inclusive. 64 KiB.
    pub header_bytes: usize,
    /// The longest target of a request, path and query together, in bytes, inclusive; a longer
    /// one is refused with 414. 16 KiB.
    pub uri_bytes: usize,
    /// The most headers of a request, inclusive; more are refused with 431. 100.
    pub headers: usize,
    /// How long the head of a request, or a TLS handshake, may take from its first byte on; and
    /// how long a new connection may be silent. 30 seconds.
    pub head_timeout: Duration,
    /// How long a connection is kept that has no request under way. 2 minutes.
    pub keep_alive: Duration,
    /// How long a client may leave its answer unread; then the connection is cut. 60 seconds.
    pub answer_idle: Duration,
    /// How many upload sessions may be open at once; one more is refused with 429. 10,000.
    pub sessions: usize,
    /// How long an upload session is kept without a request. 24 hours.
    pub session_idle: Duration,
    /// How long an upload session is kept at all, across restarts too; a request that is under
    /// way then goes on to its end. 7 days.
    pub session_age: Duration,
    /// How long a request's body may be silent. 60 seconds.
    pub body_idle: Duration,
    /// How many bytes of a request's body have to come in every minute that is spent waiting
    /// for it; less is refused with 408. 16 KiB.
    pub body_floor: u64,
    /// How many connections are served at once; more wait, and the one goes
    /// that has been idle for longest. 256.
    pub connections: usize,
    /// How many connections of one client are served at once; more are closed at once. A client
    /// is an IPv4 address, or a network of 64 bits of IPv6. 128.
    pub connections_per_client: usize,
    /// How many requests of one HTTP/2 connection are under way at once. 128.
    pub streams: u32,
    /// How many bytes of blobs and manifests a server in memory keeps, blobs being uploaded
    /// included. 4 GiB.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: oci::MAX_MANIFEST_BYTES,
            header_bytes: 64 * 1024,
            uri_bytes: 16 * 1024,
            headers: 100,
            head_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_mins(2),
            answer_idle: Duration::from_mins(1),
            sessions: 10_000,
            session_idle: Duration::from_hours(24),
            session_age: Duration::from_hours(7 * 24),
            body_idle: Duration::from_mins(1),
            body_floor: 16 * 1024,
            connections: 256,
            connections_per_client: 128,
            streams: 128,
            memory_bytes: 4 * 1024 * 1024 * 1024,
        }
    }
}
