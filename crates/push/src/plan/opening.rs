//! What a push sends first: its blobs, or the manifest that names them. Pure.
//!
//! A registry that refuses incomplete manifests answers for all blobs at once: the manifest, put
//! by its digest, is a question for each of them. It costs a request and a round trip where
//! the answer is no, so it is asked where much is likely to be there: by what was learned of the
//! repository, or because there is so much to ask for that one request more is nothing.

use oci::{Tag, Validation};

use super::{Findings, Siblings, Standing};
use crate::graph::{Graph, Node};

/// From so many blobs on, one request more is nothing beside what it may save.
const MANY: usize = 16;

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The blobs, each asked for by itself.
    Blobs,
    /// The root, by its digest.
    Manifest {
        /// Whether the blobs go before it that were never seen in the repository: they are few, and
        /// it would be refused for them.
        after_new: bool,
        /// Whether the registry taking it proves that all is there.
        proves: bool,
    },
}

/// The tag that a root goes under when it is put after a refusal: the only one that does not name it yet, where
/// nothing else comes between the root and its tags.
pub(crate) fn only_tag<'t>(graph: &Graph, tags: &'t [Tag], held: &[Tag]) -> Option<&'t Tag> {
    let mut open = tags.iter().filter(|it| !held.contains(it));
    let tag = open.next()?;
    let refers = |it: &Node| it.document.subject().is_some();
    let alone = open.next().is_none() && !graph.nodes().iter().any(refers);
    alone.then_some(tag)
}

/// What goes first, if this much is open.
pub(crate) fn opening(
    graph: &Graph,
    findings: &Findings,
    siblings: &Siblings,
    (validation, refuses_mounts): (Validation, bool),
) -> Opening {
    if findings.nodes[0].is_held() || validation == Validation::Lacking {
        return Opening::Blobs;
    }
    // What a registry says of a manifest says nothing of foreign layers: it takes it without them, or
    // refuses it for their `urls`.
    if graph.blobs().iter().any(|it| it.descriptor.is_foreign()) {
        return Opening::Blobs;
    }
    let (mut likely, mut unknown, mut elsewhere) = (0, 0, 0);
    let blobs = graph.blobs().iter().zip(&findings.blobs);
    let open = blobs.filter(|(_, standing)| **standing != Standing::HeldByParent);
    for (blob, _) in open {
        let digest = &blob.descriptor.digest;
        if siblings.is_held(digest) {
            likely += 1;
        } else if refuses_mounts || siblings.of(digest).is_empty() {
            unknown += 1;
        } else {
            elsewhere += 1;
        }
    }
    let new = unknown + elsewhere;
    let worth_it = match validation {
        Validation::Proven | Validation::Dated => {
            let all_likely = likely >= 2 && new == 0;
            let many = likely + unknown >= MANY && elsewhere <= likely + unknown;
            all_likely || many
        }
        // Much is there and something is not: the answer tells what kind of registry it is.
        Validation::Unknown => likely >= MANY && new > 0,
        _ => false,
    };
    if !worth_it {
        return Opening::Blobs;
    }
    let proves = validation == Validation::Proven;
    Opening::Manifest {
        after_new: proves && 0 < new && new < likely,
        proves,
    }
}
