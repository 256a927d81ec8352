//! How a push is made: by what kind of client, to what kind of registry.

use std::{net::SocketAddr, num::NonZeroU64, num::NonZeroUsize, sync::Arc, time::Duration};

use oci::{Registry, Repository, Tag};
use push::{Destination, Engine, LayerRepos, Options, State};
use registry::{ChunkSize, Client, CredentialStore, Credentials, RetryPolicy, Timeouts};
use server::{Auth, Bearer, RunningServer, Server, ServerBuilder, Validation};

use crate::trouble::Trouble;

/// The repository that is pushed into.
pub const REPOSITORY: &str = "chaos/app";
/// The tag it is pushed under.
pub const TAG: &str = "v1";
/// How long a chunk is, in bytes.
pub const CHUNK: u64 = 4096;
/// Who the client is, where it has to say so.
pub const USER: &str = "chaos";
/// And its password: nobody else may see it.
pub const PASSWORD: &str = "canary-4d8c1f";

/// How often anything is tried, at the most.
const ATTEMPTS: u32 = 5;
/// The longest wait a registry may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// No new attempt after this.
const BUDGET: Duration = Duration::from_secs(15);
/// The client's limits where nothing is to be waited for.
const UNHURRIED: Duration = Duration::from_secs(8);
/// The client's limits where something stands still.
const HURRIED: Duration = Duration::from_millis(400);

/// A client and a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scenario {
    /// One body a blob; anybody may push.
    Whole,
    /// Chunks of [`CHUNK`] bytes, and a journal of their sessions.
    Chunks,
    /// Tokens, from the registry's own token service.
    Token,
    /// A registry that takes manifests without what they name: nothing but the client keeps
    /// the order.
    Trusting,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Chunks, Self::Token, Self::Trusting];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Chunks => "chunks",
            Self::Token => "token",
            Self::Trusting => "trusting",
        }
    }

    /// Its registry, whose clients come by way of `proxy`.
    pub fn server(self, proxy: SocketAddr) -> ServerBuilder {
        let builder = Server::builder().memory().page(false).metrics(false);
        match self {
            Self::Whole | Self::Chunks => builder,
            Self::Token => {
                let tokens = Bearer::new()
                    .user(USER, PASSWORD)
                    .service(proxy.to_string())
                    .realm(format!("http://{proxy}/token"));
                builder.auth(Auth::Bearer(tokens))
            }
            Self::Trusting => builder.validation(Validation::AcceptAll),
        }
    }

    /// Its client.
    pub fn client(self, registry: &Registry, seed: u64, hurried: bool) -> Result<Client, Trouble> {
        let limit = if hurried { HURRIED } else { UNHURRIED };
        let timeouts = Timeouts::default()
            .with_connect(UNHURRIED)
            .with_idle(limit)
            .with_commit(limit);
        let retry = RetryPolicy::default()
            .with_attempts(ATTEMPTS)
            .with_backoff(Duration::from_millis(1), Duration::from_millis(8))
            .with_max_retry_after(LONGEST_WAIT)
            .with_budget(BUDGET)
            .with_seed(seed);
        let mut builder = Client::builder().timeouts(timeouts).retry(retry);
        if self == Self::Chunks {
            let chunk = NonZeroU64::new(CHUNK).unwrap_or(NonZeroU64::MIN);
            builder = builder.chunk_size(ChunkSize::AtMost(chunk));
        }
        if self == Self::Token {
            let credentials = Credentials::Password {
                username: USER.to_owned(),
                password: PASSWORD.into(),
            };
            let store = CredentialStore::new().with(registry.clone(), credentials);
            builder = builder.credentials(store);
        }
        builder.build().map_err(Trouble::setting_up)
    }

    /// Its engine.
    pub fn engine(self, at_once: usize, journal: &State) -> Engine {
        let options = Options {
            concurrency: NonZeroUsize::new(at_once).unwrap_or(NonZeroUsize::MIN),
            journal_from: 1,
            ..Options::default()
        };
        let layers = Arc::new(LayerRepos::new());
        match self {
            Self::Chunks => Engine::with_journal(options, layers, Arc::new(journal.clone())),
            _ => Engine::with_layers(options, layers),
        }
    }

    /// How long its client waits for an answer.
    pub fn patience(hurried: bool) -> Duration {
        if hurried { HURRIED } else { UNHURRIED }
    }

    /// Whether a reader of its registry needs a token.
    pub fn asks_who(self) -> bool {
        self == Self::Token
    }

    /// Where it pushes to.
    pub fn destination(proxy: SocketAddr) -> Result<(Repository, Destination), Trouble> {
        let registry: Registry = proxy.to_string().parse().map_err(Trouble::setting_up)?;
        let repository = registry
            .repository(REPOSITORY)
            .map_err(Trouble::setting_up)?;
        let tag: Tag = TAG.parse().map_err(Trouble::setting_up)?;
        Ok((repository, Destination::tagged([tag])))
    }
}

/// Sessions that are open in a registry.
pub fn left_open(registry: &RunningServer) -> usize {
    registry.open_sessions()
}
