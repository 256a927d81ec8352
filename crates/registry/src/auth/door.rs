//! One registry's door: what is known of what it wants to see.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use oci::{Registry, Repository};
use tokio::sync::Mutex as AsyncMutex;

use super::{Permission, cache::Keyring, challenge::Wants, service::Refreshed};
use crate::transport::location::Origin;

/// One registry, or a host that may have its credentials, and what it wants to see.
#[derive(Debug)]
pub(crate) struct Door {
    /// Whose credentials are shown.
    pub(super) registry: Registry,
    /// Where its API is, and where its credentials may go.
    pub(crate) origin: Origin,
    /// Where the registry itself is, if this is a host that is trusted with its credentials.
    pub(super) home: Option<Origin>,
    pub(super) state: Mutex<State>,
    pub(super) gate: Arc<AsyncMutex<()>>,
    /// By repository; without one, for the registry as a whole.
    pub(super) keyrings: Mutex<HashMap<Option<Repository>, Arc<Keyring>>>,
    pub(super) refreshed: Mutex<Vec<Refreshed>>,
}

/// What is known of a registry.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) wants: Option<Wants>,
    /// It has not been seen by this process.
    pub(super) assumed: bool,
}

impl Door {
    pub(super) fn new(
        registry: &Registry,
        origin: Origin,
        home: Option<Origin>,
        wants: Option<Wants>,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry: registry.clone(),
            state: Mutex::new(State {
                assumed: wants.is_some(),
                wants,
            }),
            origin,
            home,
            gate: Arc::default(),
            keyrings: Mutex::default(),
            refreshed: Mutex::default(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wants(&self) -> Option<Wants> {
        self.state().wants.clone()
    }

    /// Whether a single request should find out what the registry wants: nobody knows, or it is
    /// hearsay that nothing would contradict before the request. A token service does.
    pub(super) fn is_unsure(&self) -> bool {
        let state = self.state();
        match state.wants {
            None => true,
            Some(Wants::Nothing | Wants::Basic) => state.assumed,
            Some(Wants::Bearer { .. }) => false,
        }
    }

    pub(super) fn learn(&self, wants: Wants) {
        *self.state() = State {
            wants: Some(wants),
            assumed: false,
        };
    }

    /// Forgets what an earlier process has learned; whether there was that to forget.
    pub(super) fn doubt(&self) -> bool {
        std::mem::take(&mut *self.state()).assumed
    }

    pub(super) fn keyring(&self, repository: Option<&Repository>) -> Arc<Keyring> {
        let mut keyrings = self.keyrings.lock().unwrap_or_else(PoisonError::into_inner);
        keyrings.entry(repository.cloned()).or_default().clone()
    }

    /// The request went through: whoever has waited for its answer may go on.
    pub(crate) fn passed(&self, permission: &Permission) {
        let mut state = self.state();
        state.assumed = false;
        if permission.header.is_none() {
            state.wants.get_or_insert(Wants::Nothing);
        }
    }
}
