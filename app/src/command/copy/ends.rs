//! A copy's destinations, and how they are served.

use std::sync::Arc;

use futures_util::future::join_all;
use oci::{Document, PushTarget, Repository, Source, TargetError};
use push::{
    ArchiveTarget, Destination, Engine, LayoutTarget, PushError, Report,
    fanout::{Branch, FanoutOptions, push_to_all},
};

use crate::{
    interrupt::CLOSING,
    open::IN_REGISTRY,
    render::progress::{Lane, Progress},
};

/// One destination.
pub(crate) struct End {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) engine: Engine,
    pub(crate) target: Box<dyn PushTarget>,
    pub(crate) destination: Destination,
    /// Itself, if it is a layout.
    pub(crate) layout: Option<LayoutTarget>,
    /// Itself, if it is an archive.
    pub(crate) archive: Option<ArchiveTarget>,
    /// What is elsewhere than it was named, as JSON.
    pub(crate) routed: Option<serde_json::Value>,
}

/// What came of one.
pub(super) type Delivery = Result<Report, PushError>;

/// What came of all of them.
pub(super) struct Deliveries {
    pub(super) results: Vec<Delivery>,
    /// How often each read a blob for itself; the others are read once for all.
    pub(super) reopened: Vec<u64>,
}

/// Copies to all destinations at the same time, and reads what several of them need once. What one
/// meets with is not the others' business: each has an outcome of its own, in their order.
pub(super) async fn deliver(
    ends: &[End],
    source: &Arc<dyn Source>,
    progress: &Progress,
) -> Deliveries {
    let landings = match ends {
        [end] => {
            let alone = end
                .engine
                .push(&**source, &*end.target, &end.destination, progress);
            vec![(alone.await, 0)]
        }
        several => {
            let lanes: Vec<Lane<'_>> = several.iter().map(|it| progress.lane(it.name())).collect();
            let ends = several.iter().zip(&lanes);
            let branches: Vec<Branch<'_>> = ends.map(|(end, lane)| branch(end, lane)).collect();
            let options = FanoutOptions::default();
            let landings = push_to_all(Arc::clone(source), &branches, options).await;
            landings
                .into_iter()
                .map(|it| (it.result, it.reopened))
                .collect()
        }
    };
    let mut deliveries = Deliveries {
        results: Vec::with_capacity(ends.len()),
        reopened: Vec::with_capacity(ends.len()),
    };
    for (end, (result, reopened)) in ends.iter().zip(landings) {
        deliveries.results.push(end.listed(result, &**source).await);
        deliveries.reopened.push(reopened);
    }
    deliveries
}

fn branch<'a>(end: &'a End, lane: &'a Lane<'_>) -> Branch<'a> {
    Branch {
        engine: &end.engine,
        target: &*end.target,
        destination: &end.destination,
        observer: lane,
    }
}

/// Waits for what is still being written to files, for as long as an end may take.
pub(super) async fn settle(ends: &[End]) {
    let layouts = ends.iter().filter_map(|end| end.layout.as_ref());
    let settling = join_all(layouts.map(LayoutTarget::settle));
    let _ = tokio::time::timeout(CLOSING, settling).await;
}

impl End {
    /// What it is called towards a person: as it was written, or nearly.
    pub(super) fn name(&self) -> &str {
        self.text.strip_prefix(IN_REGISTRY).unwrap_or(&self.text)
    }

    /// The same result; what has no tag is found in a layout afterwards, and an archive is there.
    async fn listed(&self, result: Delivery, source: &dyn Source) -> Delivery {
        let report = result?;
        if let Some(archive) = &self.archive {
            let root = self.engine.pushed_root(source).await?;
            let finished = archive.finish(&root).await;
            finished.map_err(|error| not_listed(&root, archive.repository(), error))?;
        }
        if let Some(layout) = self.layout.as_ref().filter(|_| report.tags.is_empty()) {
            list(layout, &self.engine, source).await?;
        }
        Ok(report)
    }
}

/// What has no tag is found in a layout by its being listed.
async fn list(
    layout: &LayoutTarget,
    engine: &Engine,
    source: &dyn Source,
) -> Result<(), PushError> {
    let root = engine.pushed_root(source).await?;
    let listed = layout.list(&root, None).await;
    listed.map_err(|error| not_listed(&root, layout.repository(), error))
}

fn not_listed(root: &Document, repository: &Repository, error: TargetError) -> PushError {
    PushError::ManifestPutFailed {
        digest: root.digest().clone(),
        repository: repository.clone(),
        tag: None,
        error: Box::new(error),
    }
}
