//! The port: where profiles are kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;

/// A fact as a store has it: text, that nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFact {
    /// What it is about.
    pub key: String,
    /// What was seen.
    pub value: String,
    /// When it was kept.
    pub seen: SystemTime,
}

/// Keeps what registries have shown of themselves.
///
/// All of it is hints. A store that fails has nothing, or forgets: a client then sends the
/// requests that it would have spared. It is asked once for each host in a process, and told
/// things once or twice, and the client goes on without an answer after two seconds; it may be shared by any number of processes.
#[async_trait]
pub trait ProfileStore: fmt::Debug + Send + Sync {
    /// What is kept of a host, in no order. `host` is the registry's name, with `http://` before
    /// it where it is spoken to without TLS.
    async fn load(&self, host: &str) -> Vec<KeptFact>;

    /// Keeps these keys and values of a host, in the place of what was kept under these keys.
    async fn keep(&self, host: &str, facts: Vec<(String, String)>);
}

/// Keeps profiles as long as the process runs. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryProfiles(Arc<Mutex<Facts>>);

/// By host and key.
type Facts = BTreeMap<(String, String), KeptFact>;

#[async_trait]
impl ProfileStore for MemoryProfiles {
    async fn load(&self, host: &str) -> Vec<KeptFact> {
        let facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_host = facts.iter().filter(|((of, _), _)| of == host);
        of_host.map(|(_, it)| it.clone()).collect()
    }

    async fn keep(&self, host: &str, facts: Vec<(String, String)>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in facts {
            let seen = SystemTime::now();
            let at = (host.to_owned(), key.clone());
            all.insert(at, KeptFact { key, value, seen });
        }
    }
}
