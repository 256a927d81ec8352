//! What earlier processes learned of a registry is told to whoever can use it, and what this one
//! learns is kept.

use std::{num::NonZeroUsize, sync::Arc};

use oci::{Digest, Registry};

use super::{Inner, RepositoryClient};
use crate::{
    profile::{Fact, Profile, ledger::Page},
    transport::{
        adaptive::Adaptive,
        limit::{Host, Work},
        location::Origin,
    },
};

impl RepositoryClient {
    /// The registry has shown something of itself.
    pub(crate) fn learn(&self, fact: Fact) {
        self.inner().learn(self.repository.registry(), fact);
    }

    /// A mount of this blob was refused that could have been given.
    pub(crate) fn learn_refusal(&self, blob: &Digest) {
        let page = self.inner().profiles.page(self.repository.registry());
        page.refused_to_mount(blob);
    }

    /// What to go by of this key. The first of a process who asks is told nothing of what is kept
    /// from earlier ones: it is to find out whether that still holds.
    pub(crate) async fn believed(&self, key: &'static str) -> Option<Fact> {
        let registry = self.repository.registry();
        self.inner().recall(registry).await;
        self.inner().profiles.page(registry).believed(key)
    }

    /// What this process was shown of this key: for what nothing would contradict.
    pub(crate) fn shown(&self, key: &str) -> Option<Fact> {
        let page = self.inner().profiles.page(self.repository.registry());
        page.shown(key)
    }

    /// What is known of this key, from this process or an earlier one.
    pub(crate) fn known(&self, key: &str) -> Option<Fact> {
        let page = self.inner().profiles.page(self.repository.registry());
        page.known(key)
    }

    /// What the registry bears of bodies at once.
    pub(crate) fn bears_bodies(&self) -> Option<Arc<Adaptive>> {
        self.inner().bears(self.repository.registry(), Work::Bodies)
    }
}

impl Inner {
    /// What is kept of this registry has been told when this is over: before its first request.
    pub(crate) async fn recall(&self, registry: &Registry) {
        let page = self.profiles.page(registry);
        if !page.is_recalled() {
            // Once a process: it takes no room in every request.
            Box::pin(self.recall_page(registry, &page)).await;
        }
    }

    async fn recall_page(&self, registry: &Registry, page: &Page) {
        let host = self.profile_name(registry);
        let told = |profile: &Profile| {
            tracing::debug!(%registry, facts = profile.facts().count(), "known from before");
            if let Some(challenge) = profile.challenge() {
                self.auth.told(registry, challenge);
            }
            self.manner.told(registry, profile.uploads());
            if profile
                .get("http2")
                .is_some_and(|it| it.fact == Fact::Http2(false))
                && let Some(host) = self.host(registry)
            {
                host.dialect.had_only_http1();
            }
            for (work, at_once) in profile.at_once() {
                if let Some(bears) = self.bears(registry, work) {
                    bears.begin_at(at_once.get());
                }
            }
        };
        self.profiles.recall(page, &host, told).await;
    }

    /// A registry has shown something of itself.
    pub(crate) fn learn(&self, registry: &Registry, fact: Fact) {
        self.profiles.page(registry).learn(fact);
    }

    /// The page of a registry, with what is kept of it.
    pub(crate) async fn page(&self, registry: &Registry) -> Arc<Page> {
        self.recall(registry).await;
        self.profiles.page(registry)
    }

    /// Keeps what was learned of all registries.
    pub(super) async fn keep_profiles(&self) {
        for (registry, challenge) in self.auth.known() {
            self.learn(&registry, Fact::Challenge(challenge));
        }
        for registry in self.profiles.registries() {
            let page = self.profiles.page(&registry);
            let speaks = self
                .host(&registry)
                .and_then(|it| it.dialect.speaks_http2());
            if let Some(speaks) = speaks {
                page.learn(Fact::Http2(speaks));
            }
            for work in [Work::Questions, Work::Bodies] {
                let bears = self.bears(&registry, work);
                let shown = bears.and_then(|it| NonZeroUsize::new(it.shown()?));
                if let Some(fact) = shown.and_then(|it| Fact::of_load(work, it)) {
                    page.learn(fact);
                }
            }
            let host = self.profile_name(&registry);
            self.profiles.keep(&page, &host).await;
        }
    }

    fn host(&self, registry: &Registry) -> Option<Arc<Host>> {
        let origin = Origin::of(&self.api_url(registry, "").ok()?).ok()?;
        Some(self.transport.hosts.of(&origin))
    }

    fn bears(&self, registry: &Registry, work: Work) -> Option<Arc<Adaptive>> {
        self.transport
            .bears(&self.api_url(registry, "").ok()?, work)
    }

    /// A registry as a store names it. What it says without TLS anybody may have said: it counts
    /// for nothing where there is TLS.
    fn profile_name(&self, registry: &Registry) -> String {
        if self.is_plain(registry) {
            format!("http://{registry}")
        } else {
            registry.to_string()
        }
    }
}
