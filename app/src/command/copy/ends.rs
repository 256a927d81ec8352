//! A copy's destinations, and how they are served.

use futures_util::future::join_all;
use oci::{PushTarget, Source};
use push::{Destination, Engine, LayoutTarget, PushError, Report};

use crate::{interrupt::CLOSING, render::progress::Progress};

/// One destination.
pub(super) struct End {
    /// As it was written.
    pub(super) text: String,
    pub(super) engine: Engine,
    pub(super) target: Box<dyn PushTarget>,
    pub(super) destination: Destination,
    /// Itself, if it is a layout.
    pub(super) layout: Option<LayoutTarget>,
    /// What is elsewhere than it was named, as JSON.
    pub(super) routed: Option<serde_json::Value>,
}

/// What came of one.
pub(super) type Delivery = Result<Report, PushError>;

/// Copies to all destinations at the same time. What one meets with is not the others' business:
/// each has an outcome of its own, in their order.
pub(super) async fn deliver(
    ends: &[End],
    source: &dyn Source,
    progress: &Progress,
) -> Vec<Delivery> {
    join_all(ends.iter().map(|end| end.receive(source, progress))).await
}

/// Waits for what is still being written to files, for as long as an end may take.
pub(super) async fn settle(ends: &[End]) {
    let layouts = ends.iter().filter_map(|end| end.layout.as_ref());
    let settling = join_all(layouts.map(LayoutTarget::settle));
    let _ = tokio::time::timeout(CLOSING, settling).await;
}

impl End {
    async fn receive(&self, source: &dyn Source, progress: &Progress) -> Delivery {
        let report = self
            .engine
            .push(source, &*self.target, &self.destination, progress)
            .await?;
        if let Some(layout) = self.layout.as_ref().filter(|_| report.tags.is_empty()) {
            list(layout, source).await?;
        }
        Ok(report)
    }
}

/// What has no tag is found in a layout by its being listed.
async fn list(layout: &LayoutTarget, source: &dyn Source) -> Result<(), PushError> {
    let root = source.root().await.map_err(|error| PushError::Source {
        descriptor: None,
        error: Box::new(error),
    })?;
    let listed = layout.list(&root, None).await;
    listed.map_err(|error| PushError::ManifestPutFailed {
        digest: root.digest().clone(),
        repository: layout.repository().clone(),
        tag: None,
        error: Box::new(error),
    })
}
