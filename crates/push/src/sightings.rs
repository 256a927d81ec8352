//! Which manifests were seen in which repositories, and under which tags.
//!
//! It decides what a push asks first, and nothing else: an image that was never seen in a
//! repository is sent without asking for it, one that was is asked for under the name it had.
//! No answer is taken from here, so that a wrong entry costs a request.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use oci::{Digest, Registry, Repository, TagOrDigest};

/// How long something seen is worth asking for: longer than between two releases of most images.
pub(crate) const BELIEVED: Duration = Duration::from_hours(30 * 24);
/// How many names are remembered in memory at most; what is over it is not remembered.
const MAX_NAMES: usize = 100_000;

/// A manifest, and a name it had in a repository: a tag, or its own digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenName {
    /// The name.
    pub name: TagOrDigest,
    /// The manifest.
    pub digest: Digest,
}

/// Remembers what was seen where. Only hints: losing all of it costs questions.
#[async_trait]
pub trait Sightings: fmt::Debug + Send + Sync {
    /// The manifest last seen under each of these names, not longer than 30 days ago; none where
    /// none was, or where it is not known any more.
    async fn recall(&self, repository: &Repository, names: &[TagOrDigest]) -> Vec<Option<Digest>>;

    /// Whether anything was seen on this registry: only then does a blank say something.
    async fn knows(&self, registry: &Registry) -> bool;

    /// The registry has just shown these. Kept soon, and not waited for.
    fn note(&self, repository: &Repository, seen: Vec<SeenName>);

    /// The registry has just said that there is nothing under these names. Dropped soon, and
    /// not waited for.
    fn forget(&self, repository: &Repository, names: Vec<TagOrDigest>);
}

/// [`Sightings`] in memory: what this process has seen. Bounded: it stops learning at 100,000 names.
#[derive(Debug, Default)]
pub struct Seen {
    names: Mutex<HashMap<(Repository, TagOrDigest), (Digest, Instant)>>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Repository, TagOrDigest), (Digest, Instant)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sightings for Seen {
    async fn recall(&self, repository: &Repository, names: &[TagOrDigest]) -> Vec<Option<Digest>> {
        let seen = self.lock();
        let last = |name: &TagOrDigest| {
            let (digest, at) = seen.get(&(repository.clone(), name.clone()))?;
            (at.elapsed() <= BELIEVED).then(|| digest.clone())
        };
        names.iter().map(last).collect()
    }

    async fn knows(&self, registry: &Registry) -> bool {
        let seen = self.lock();
        let on = |((repository, _), (_, at)): (&(Repository, TagOrDigest), &(Digest, Instant))| {
            repository.registry() == registry && at.elapsed() <= BELIEVED
        };
        seen.iter().any(on)
    }

    fn note(&self, repository: &Repository, seen: Vec<SeenName>) {
        let mut names = self.lock();
        for it in seen {
            let key = (repository.clone(), it.name);
            if names.len() < MAX_NAMES || names.contains_key(&key) {
                names.insert(key, (it.digest, Instant::now()));
            }
        }
    }

    fn forget(&self, repository: &Repository, gone: Vec<TagOrDigest>) {
        let mut names = self.lock();
        for name in gone {
            names.remove(&(repository.clone(), name));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use oci::{Digest, Repository, TagOrDigest};

    use super::{Seen, SeenName, Sightings};

    fn recalled(seen: &Seen, repository: &Repository, name: &TagOrDigest) -> Option<Digest> {
        let names = [name.clone()];
        let recalled = seen.recall(repository, &names).now_or_never().unwrap();
        recalled[0].clone()
    }

    #[test]
    fn a_name_is_remembered_for_its_repository_until_it_is_gone() {
        let seen = Seen::default();
        let app: Repository = "r.test/app".parse().unwrap();
        let other: Repository = "r.test/other".parse().unwrap();
        let name = TagOrDigest::Tag("1".parse().unwrap());
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        for digest in [&one, &two] {
            let digest = digest.clone();
            let name = name.clone();
            seen.note(&app, vec![SeenName { name, digest }]);
        }
        assert_eq!(recalled(&seen, &app, &name), Some(two));
        assert_eq!(recalled(&seen, &other, &name), None);
        seen.forget(&app, vec![name.clone()]);
        assert_eq!(recalled(&seen, &app, &name), None);
    }
}
