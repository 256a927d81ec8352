//! Looks at every blob of the source before the first request.
//!
//! Without it a missing layer would be found after the others went up.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Descriptor, Digest, Source, SourceError};

use crate::{
    error::{Phase, PushError},
    graph::Graph,
    options::Foreign,
};

/// How many blobs are looked at at once.
const AT_ONCE: usize = 16;

/// Checks every blob whose bytes may be needed: not the foreign ones that are kept, and
/// not those that must be mounted, whose bytes need not be at hand. The first fault in the
/// order of the manifests is reported.
///
/// Returns the blobs that are not there and need not be, because the registry is thought to hold
/// them (`known`): those can only be mounted.
pub(crate) async fn preflight(
    graph: &Graph,
    source: &dyn Source,
    foreign: Foreign,
    must_mount: &(dyn Fn(&Descriptor) -> bool + Sync),
    known: &(dyn Fn(&Digest) -> bool + Sync),
) -> Result<HashSet<Digest>, PushError> {
    let needed: Vec<&Descriptor> = graph.wanted(foreign).filter(|it| !must_mount(it)).collect();
    let checks = needed.into_iter().map(|blob| async move {
        match source.check_blob(blob).await {
            Ok(()) => Ok(None),
            Err(SourceError::Missing { .. }) if known(&blob.digest) => Ok(Some(&blob.digest)),
            Err(cause) => Err(PushError::local_blob(blob, Phase::Preflight, cause)),
        }
    });
    // Collected first: a closure kept across an await would make the push unable to move
    // between threads.
    let checks: Vec<_> = checks.collect();
    let nowhere: Vec<Option<&Digest>> =
        stream::iter(checks).buffered(AT_ONCE).try_collect().await?;
    Ok(nowhere.into_iter().flatten().cloned().collect())
}
