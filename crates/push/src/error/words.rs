//! The parts of messages that take more than a format string: lists, cut where they are long.

use oci::{Descriptor, Digest, Repository, Tag};

use super::NotMounted;
use crate::mount::MountAnswer;

/// What a fault of a graph is about.
pub(super) fn described(descriptor: Option<&Descriptor>) -> String {
    descriptor.map_or_else(
        || "image".to_owned(),
        |it| format!("manifest {}", it.digest),
    )
}

/// A manifest, and the tag it was to have.
pub(super) fn named(digest: &Digest, tag: Option<&Tag>) -> String {
    tag.map_or_else(|| digest.to_string(), |tag| format!("{digest} as {tag}"))
}

/// Which tags name what already.
pub(super) fn taken_tags(
    repository: &Repository,
    digest: &Digest,
    taken: &[(Tag, Digest)],
) -> String {
    let tags = taken.iter().map(|(tag, there)| format!("{tag} is {there}"));
    let tags: Vec<String> = tags.collect();
    let noun = if tags.len() == 1 { "tag" } else { "tags" };
    let tags = tags.join(", ");
    format!("the {noun} in {repository} would be moved to {digest}: {tags}")
}

/// The first of them in full, and how many more there are.
pub(super) fn required(blobs: &[NotMounted]) -> String {
    let Some(first) = blobs.first() else {
        return "blobs must be mounted".to_owned();
    };
    let more = match blobs.len() - 1 {
        0 => String::new(),
        1 => ", and one more blob,".to_owned(),
        more => format!(", and {more} more blobs,"),
    };
    let tried: Vec<String> = first.tried.iter().map(ToString::to_string).collect();
    let tried = match &tried[..] {
        [] => "no repository is known to hold it".to_owned(),
        tried => tried.join("; "),
    };
    format!("blob {} ({tried}){more} could not be mounted", first.digest)
}

/// What may get the blobs mounted the next time.
pub(super) fn mount_hint(blobs: &[NotMounted]) -> &'static str {
    let mut tried = blobs.iter().flat_map(|it| &it.tried);
    if blobs.iter().any(|it| it.tried.is_empty()) {
        "name a repository that holds it with --mount-from"
    } else if tried.any(|it| it.answer == MountAnswer::OnHold) {
        "where the account may read a repository by now, name it with --mount-from, or have what is known of it forgotten: longshore index forget"
    } else {
        "push what is missing to one of these repositories, or allow it to be sent"
    }
}

/// How many digests a message lists; the field holds them all.
const LISTED: usize = 8;

/// Digests, of many the first few, with the verb that follows.
pub(super) fn listed(digests: &[Digest]) -> String {
    let shown: Vec<String> = digests
        .iter()
        .take(LISTED)
        .map(ToString::to_string)
        .collect();
    let more = digests.len().saturating_sub(LISTED);
    let noun = if digests.len() == 1 { "is" } else { "are" };
    match more {
        0 => format!("{} {noun}", shown.join(", ")),
        more => format!("{} and {more} more {noun}", shown.join(", ")),
    }
}
