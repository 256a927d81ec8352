//! What a config that is there is a sign of: its image ([`Beginning`]). The registry is asked, and
//! only its answer counts.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, stream, stream::FuturesUnordered};
use oci::{Digest, Presence, TargetErrorKind};
use tokio::sync::{Notify, OnceCell};

use super::{Run, lock};
use crate::{
    error::PushError,
    plan::{Action, Beginning, Step},
    report::Outcome,
};

/// The configs that are asked for, and what follows from the answers.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Those that are waited for, and whether each is there.
    configs: Mutex<HashMap<Digest, Option<bool>>>,
    told: Notify,
    /// The blobs of the first round, as they are asked for.
    first: Mutex<HashSet<Digest>>,
    /// The documents that are there, as positions.
    held: OnceCell<HashSet<usize>>,
}

impl Signs {
    /// The question for a blob was answered: whether it is there.
    pub(super) fn answered(&self, digest: &Digest, present: bool) {
        if let Some(answer) = lock(&self.configs).get_mut(digest) {
            answer.get_or_insert(present);
        }
        self.told.notify_waiters();
    }

    /// Whether the blob has to be asked for, and is not sent in the request that asks.
    pub(super) fn wants_a_question(&self, digest: &Digest) -> bool {
        lock(&self.first).contains(digest)
    }

    fn present(&self) -> Option<HashSet<Digest>> {
        let configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut present = HashSet::new();
        for (digest, answer) in configs.iter() {
            if (*answer)? {
                present.insert(digest.clone());
            }
        }
        Some(present)
    }

    /// The configs that are there, once all have been asked for.
    async fn all_answered(&self) -> HashSet<Digest> {
        loop {
            let told = self.told.notified();
            tokio::pin!(told);
            // From here on nothing is missed.
            told.as_mut().enable();
            if let Some(present) = self.present() {
                return present;
            }
            told.await;
        }
    }
}

impl Run<'_> {
    /// Gets every blob where it should be, the configs first; the documents that turned out to be
    /// there on the way.
    pub(super) async fn blobs_by_sign(
        &self,
        steps: &[Step],
        beginning: &Beginning,
    ) -> Result<HashSet<usize>, PushError> {
        let digest = |at: &usize| steps[*at].node.digest.clone();
        let configs = beginning.signs.iter().map(|it| (digest(&it.config), None));
        lock(&self.signs.configs).extend(configs);
        lock(&self.signs.first).extend(beginning.first.iter().map(digest));
        let first = beginning.first.iter().map(|it| (*it, false));
        let rest = beginning.rest.iter().map(|it| (*it, true));
        let mut going: FuturesUnordered<_> = first
            .chain(rest)
            .map(|(position, late)| async move {
                let step = &steps[position];
                let outcome = if late && self.is_below_held(position, beginning).await? {
                    self.there(step).await
                } else {
                    self.settle(step).await
                };
                Ok::<(usize, Outcome), PushError>((position, outcome?))
            })
            .collect();
        while let Some(done) = going.next().await {
            let (position, outcome) = done?;
            self.outcomes()[position] = Some(outcome);
        }
        Ok(self.signs.held.get().cloned().unwrap_or_default())
    }

    /// The registry holds a manifest that lists the blob.
    pub(super) async fn there(&self, step: &Step) -> Result<Outcome, PushError> {
        let present = Step {
            action: Action::Skip,
            ..step.clone()
        };
        self.settle(&present).await
    }

    async fn is_below_held(&self, blob: usize, beginning: &Beginning) -> Result<bool, PushError> {
        let nodes = self.graph.nodes();
        let held = self.signs.held.get_or_try_init(|| self.held(beginning));
        let held = held.await?;
        Ok(held.iter().any(|it| nodes[*it].blobs.contains(&blob)))
    }

    /// Asks for the manifests whose configs are there.
    async fn held(&self, beginning: &Beginning) -> Result<HashSet<usize>, PushError> {
        let present = self.signs.all_answered().await;
        let config = |at: usize| &self.graph.blobs()[at].descriptor.digest;
        let likely = beginning.signs.iter();
        let likely = likely.filter(|it| present.contains(config(it.config)));
        let questions = likely.map(|it| async move {
            let held = self.holds(self.graph.nodes()[it.node].document.digest());
            Ok::<_, PushError>(held.await?.then_some(it.node))
        });
        let questions: Vec<_> = questions.collect();
        let answers = stream::iter(questions).buffered(self.shared.options.concurrency.get());
        let answers: Vec<Option<usize>> = answers.try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Whether the registry says that it has a manifest; one that does not say goes without.
    async fn holds(&self, digest: &Digest) -> Result<bool, PushError> {
        let at = digest.clone().into();
        let error = match self.target.has_manifest(&at).await {
            Ok(answer) => return Ok(answer == Presence::Held(digest.clone())),
            Err(error) => error,
        };
        match error.kind() {
            TargetErrorKind::Denied | TargetErrorKind::Refused | TargetErrorKind::Unsupported => {
                Ok(false)
            }
            _ => Err(PushError::Question {
                repository: self.repository().clone(),
                subject: at,
                error: Box::new(error),
            }),
        }
    }
}
