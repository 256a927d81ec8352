//! A client of the OCI distribution protocol.
//!
//! ```text
//!   Client ──▶ RepositoryClient ──▶ RegistryPushTarget   (implements oci::PushTarget)
//!     │          blobs · mounts     RegistrySource       (implements oci::Source)
//!     │          manifests · tags · uploads
//!     ├── auth        who may: challenges, credentials, tokens
//!     └── transport   how bytes travel: connections, limits, retries, where to
//! ```
//!
//! One [`Client`] per process: it owns the connections, the tokens and the limits
//! of every host it speaks to. A handle on a repository is cheap.
//!
//! Three decisions shape it:
//!
//! - **Bodies and questions travel apart.** With TLS, blobs go over HTTP/1.1
//!   connections of their own and everything else over HTTP/2 where it is offered:
//!   a server's HTTP/2 window throttles a large body, and not a client's. [`HttpVersions`] has
//!   the other ways.
//! - **What is limited is standing still, not taking long.** An upload may take a
//!   day; a connection on which no byte moves may not take a minute.
//! - **Credentials belong to an origin.** A `Location`, a redirect or a page link that
//!   leads elsewhere is followed without them, or not at all; and never to a private address by a
//!   public registry's word.
//!
//! The crate reads neither environment nor home directory, and prints nothing.

mod auth;
mod blobs;
mod client;
mod download;
mod elsewhere;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod manifests;
mod manner;
mod mounts;
mod obstacle;
mod pages;
mod profile;
mod quirks;
mod referrers;
mod source;
mod tags;
mod target;
mod transport;
mod uploads;
mod validation;

pub use auth::{
    credentials::{CredentialError, CredentialProvider, Credentials},
    docker_config::{DockerConfig, DockerConfigError, server_name},
    helper::{CredentialHelpers, HelperError},
    known::KnownChallenge,
    store::CredentialStore,
    trusted::{TrustedHost, TrustedHostError},
};
pub use client::{BuildError, Client, ClientBuilder, RepositoryClient, login::Login};
pub use download::DownloadError;
pub use elsewhere::{Elsewhere, MAX_URLS, WithElsewhere};
pub use error::names_foreign_token_service;
pub use event::{ClientEvent, ClientObserver};
pub use manner::ChunkSize;
pub use obstacle::Obstacle;
pub use profile::{
    Fact, Profile, Seen,
    refusals::Refusals,
    store::{KeptFact, MemoryProfiles, ProfileStore},
};
pub use source::RegistrySource;
pub use target::RegistryPushTarget;
pub use transport::{
    address::Resolver,
    pause::PauseBoard,
    proxy::{Proxies, ProxyError},
    rate::{Rate, RateError},
    retry::RetryPolicy,
    timeouts::Timeouts,
    tls::host::{HostTls, HostTlsError},
    traffic::{HostTraffic, Traffic},
    turns::{RequestRate, RequestRateError},
    version::HttpVersions,
};
