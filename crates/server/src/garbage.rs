//! Garbage collection on demand: a store that no server has open, once.

use std::ops::ControlFlow;

use crate::{
    ServerBuilder, ServerError, running,
    store::{self, Collected, Rules},
};

impl ServerBuilder {
    /// Collects garbage once, without serving anything: for stores in a directory that no
    /// server has open. Uploads that a server could go on with are kept.
    ///
    /// With `dry_run` nothing is removed, and the answer says what would be.
    pub async fn collect_garbage(self, dry_run: bool) -> Result<Collected, ServerError> {
        let opened = running::open(&self).await?;
        let rules = Rules {
            untagged: self.collection.untagged,
            dry_run,
            idle: self.limits.session_idle,
        };
        let work = move || {
            let mut collected = Collected::default();
            if let Some(garbage) = opened.garbage() {
                let unhurried = &mut || ControlFlow::Continue(());
                store::collect(garbage, &rules, &mut collected, unhurried)?;
            }
            opened.renew_views()?;
            Ok(collected)
        };
        store::blocking(work)
            .await
            .map_err(|error| ServerError::Store {
                path: running::path_of(&self),
                error,
            })
    }
}
