//! What was learned of registries, in the state that runs share.

use async_trait::async_trait;
use push::State;
use registry::{KeptFact, ProfileStore};

/// A state, as the client wants to keep profiles.
#[derive(Clone, Debug)]
pub(crate) struct StateProfiles(pub(crate) State);

#[async_trait]
impl ProfileStore for StateProfiles {
    async fn load(&self, host: &str) -> Vec<KeptFact> {
        // What cannot be read is as good as not there.
        let facts = self.0.facts_of_host(host).await.unwrap_or_default();
        let kept = facts.into_iter().map(|it| KeptFact {
            key: it.key,
            value: it.value,
            seen: it.seen,
        });
        kept.collect()
    }

    async fn keep(&self, host: &str, facts: Vec<(String, String)>) {
        // What cannot be kept is learned again.
        let _ = self.0.put_host_facts(host, facts).await;
    }
}
