//! What is about a manifest by its tag alone: `sha256-<hash>.sig` and the like.
//!
//! A tag that is not there costs one request, and one that is there gives its manifest in it: so for
//! a few subjects each name is asked for, three a subject and all at once, however many tags the
//! repository has. For more subjects than [`ASKED`] the tag list takes fewer requests, unless it is
//! long: it has to be read a page after the other, and nobody knows beforehand how many there are.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Digest, DigestTagged, Tag, TargetError, TargetErrorKind};
use tokio::sync::Mutex;

use crate::RepositoryClient;

/// Subjects for which each name is asked for; for more the tags are listed, once.
const ASKED: usize = 8;
/// Names asked for at the same time.
const AT_ONCE: usize = 16;

/// What is known of a repository's tags.
#[derive(Debug, Default)]
pub(crate) struct KnownTags(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Subjects asked for so far.
    subjects: usize,
    list: List,
}

#[derive(Debug, Default)]
enum List {
    #[default]
    NotRead,
    /// The digest tags in it.
    Read(HashSet<Tag>),
    /// It cannot be had.
    Unavailable,
}

impl RepositoryClient {
    /// What is under the digest tags of `subjects`.
    pub(crate) async fn digest_tags(
        &self,
        subjects: &[Digest],
        known: &KnownTags,
    ) -> Result<Vec<DigestTagged>, TargetError> {
        let mut names: Vec<(Digest, Tag)> = Vec::new();
        for subject in subjects {
            names.extend(subject.digest_tags().map(|tag| (subject.clone(), tag)));
        }
        self.leave_out_absent(subjects.len(), known, &mut names)
            .await?;
        let reads: Vec<_> = names
            .into_iter()
            .map(|(subject, tag)| async move {
                let found = self.manifest(&tag.clone().into()).await?;
                Ok::<_, TargetError>(found.map(|it| DigestTagged::new(subject, tag, it)))
            })
            .collect();
        let found: Vec<Option<DigestTagged>> =
            stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Leaves out the names that the tag list, if it is worth reading or was read, does not have.
    async fn leave_out_absent(
        &self,
        subjects: usize,
        known: &KnownTags,
        names: &mut Vec<(Digest, Tag)>,
    ) -> Result<(), TargetError> {
        let mut known = known.0.lock().await;
        known.subjects += subjects;
        if matches!(known.list, List::NotRead) && known.subjects > ASKED {
            known.list = match self.tags().await {
                Ok(tags) => {
                    let of_digests = tags.into_iter().filter(|it| Digest::is_in_tag(it.as_str()));
                    List::Read(of_digests.collect())
                }
                Err(error) if error.retryable() => return Err(error),
                // Some let an account read what it can name, and not list it.
                Err(error) if *error.kind() == TargetErrorKind::Unsafe => return Err(error),
                Err(_) => List::Unavailable,
            };
        }
        if let List::Read(tags) = &known.list {
            names.retain(|(_, tag)| tags.contains(tag));
        }
        Ok(())
    }
}
