//! Which repositories and tags the images of a file are served at. Pure.
//!
//! A full name (`ghcr.io/team/app:1.2`) is its path and its tag, whatever registry it names,
//! so that this one can stand in for that. A name of Docker Hub's official images is served
//! twice, `library/app` for those who know that path and `app` for people. A mere tag (`1.2`)
//! is one in the file's own repository, unless a full name of the same image has it too.
//! What is about another image is served where that is.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use oci::{Algorithm, Digest, Reference, Tag};
use push::source::ListedImage;

/// The repositories an image is served in, and its tags in each.
pub(super) type Places = BTreeMap<String, Vec<Tag>>;

/// How images get their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    /// The repository of what has no name of its own.
    repository: String,
    /// Whether everything is served there, whatever it is called.
    all: bool,
}

/// What a file's name ends with and no repository's should.
const SUFFIXES: [&str; 7] = [".gz", ".zst", ".tgz", ".tzst", ".tar", ".oci", ".docker"];

/// The longest repository's name made of a file's, in characters.
const LONGEST: usize = 100;

impl Naming {
    /// Everything in one repository; names count for their tags only.
    pub(super) fn all_in(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            all: true,
        }
    }

    /// By the names that stand in the file; what has none is served in a repository called
    /// after the file at `path`.
    pub(super) fn by_names(path: &Path) -> Self {
        Self {
            repository: repository_of(path),
            all: false,
        }
    }

    /// Where each of `images` is served, in their order, and what a person should know.
    pub(super) fn places(&self, images: &[ListedImage]) -> (Vec<Places>, Vec<String>) {
        let mut notes = Vec::new();
        let subjects: Vec<Option<Digest>> = images.iter().map(|it| subject(it, images)).collect();
        let mut all: Vec<Places> = Vec::new();
        for (image, subject) in images.iter().zip(&subjects) {
            let mut places = self.named(image, subject.is_some(), &mut notes);
            if places.is_empty() && subject.is_none() {
                places.insert(self.repository.clone(), Vec::new());
            }
            all.push(places);
        }
        self.place_referrers(images, &subjects, &mut all);
        if let Some(alone) = only(&subjects)
            && images[alone].names.is_empty()
        {
            all[alone].insert(self.repository.clone(), vec![Tag::latest()]);
        }
        settle(images, &mut all, &mut notes);
        (all, notes)
    }

    /// The places that an image's own names give it.
    fn named(&self, image: &ListedImage, is_referrer: bool, notes: &mut Vec<String>) -> Places {
        let mut places = Places::new();
        let mut bare: Vec<Tag> = Vec::new();
        for name in &image.names {
            match (name.parse::<Tag>(), name.parse::<Reference>()) {
                (Ok(tag), _) => bare.push(tag),
                (Err(_), Ok(reference)) => {
                    for repository in self.repositories(&reference) {
                        let tags = places.entry(repository).or_default();
                        tags.extend(reference.tag_or_latest().filter(|it| !tags.contains(it)));
                    }
                }
                (Err(_), Err(_)) => notes.push(format!(
                    "{name:?} is neither a tag nor a reference; {} is served by its digest",
                    image.root.digest
                )),
            }
        }
        for tag in bare {
            // A referrer's goes where its subject is: see below.
            if !is_referrer && !places.values().any(|tags| tags.contains(&tag)) {
                places.entry(self.repository.clone()).or_default().push(tag);
            }
        }
        places
    }

    fn repositories(&self, reference: &Reference) -> Vec<String> {
        if self.all {
            return vec![self.repository.clone()];
        }
        let repository = reference.repository();
        let path = repository.path();
        let short = path
            .strip_prefix("library/")
            .filter(|_| repository.registry().is_docker_hub());
        let names = short.into_iter().chain([path]);
        names.map(str::to_owned).collect()
    }

    /// Puts what is about another image where that is, or where it may be a part of what is
    /// there.
    fn place_referrers(
        &self,
        images: &[ListedImage],
        subjects: &[Option<Digest>],
        all: &mut [Places],
    ) {
        let anywhere: Vec<String> = all.iter().flat_map(|it| it.keys().cloned()).collect();
        for (at, subject) in subjects.iter().enumerate() {
            let Some(subject) = subject else { continue };
            let known = images.iter().position(|it| it.root.digest == *subject);
            let mut repositories: Vec<String> = match known {
                Some(known) => all[known].keys().cloned().collect(),
                None => anywhere.clone(),
            };
            if repositories.is_empty() {
                repositories.push(self.repository.clone());
            }
            let bare = images[at].names.iter().filter_map(|it| it.parse().ok());
            let bare: Vec<Tag> = bare.collect();
            for repository in repositories {
                let tags = all[at].entry(repository).or_default();
                for tag in &bare {
                    if !tags.contains(tag) {
                        tags.push(tag.clone());
                    }
                }
            }
        }
    }
}

/// What an image is about: its subject, or what the tag says under which registries without
/// a referrers API keep such
/// ([referrers tag schema](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema)).
///
/// A tag has room for a part of a long hash only: such a one is told by the images that are there.
fn subject(image: &ListedImage, images: &[ListedImage]) -> Option<Digest> {
    let by_tag = |name: &String| {
        let mut there = images.iter().map(|it| &it.root.digest);
        let known = there.find(|it| name.starts_with(&it.referrers_tag()));
        let whole = || {
            let (algorithm, hash) = name.split_once('-')?;
            let algorithm: Algorithm = algorithm.parse().ok()?;
            let hash = hash.get(..algorithm.hex_len())?;
            format!("{algorithm}:{hash}").parse().ok()
        };
        known.cloned().or_else(whole)
    };
    let mut tags = image.names.iter().filter(|it| Digest::is_in_tag(it));
    image.subject.clone().or_else(|| tags.find_map(by_tag))
}

/// The only one that is an image.
fn only(subjects: &[Option<Digest>]) -> Option<usize> {
    let mut images = (0..subjects.len()).filter(|at| subjects[*at].is_none());
    let first = images.next()?;
    images.next().is_none().then_some(first)
}

/// A tag is one image's: that of the first that has it.
fn settle(images: &[ListedImage], all: &mut [Places], notes: &mut Vec<String>) {
    let mut taken: HashMap<(String, Tag), usize> = HashMap::new();
    for (at, places) in all.iter_mut().enumerate() {
        for (repository, tags) in places {
            tags.retain(|tag| {
                let first = *taken.entry((repository.clone(), tag.clone())).or_insert(at);
                if first != at {
                    notes.push(format!(
                        "{repository}:{tag} is {}; {}, which comes later, is served by its digest",
                        images[first].root.digest, images[at].root.digest
                    ));
                }
                first == at
            });
        }
    }
}

/// A file's name as a repository's: without what says how it is packed, in lower case, and
/// with a dash for what no name may have.
fn repository_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut name: &str = &name.to_lowercase();
    while let Some(shorter) = SUFFIXES.iter().find_map(|it| name.strip_suffix(it)) {
        name = shorter;
    }
    let mut made = String::new();
    for it in name.chars().take(LONGEST) {
        let divides = !it.is_ascii_alphanumeric();
        if !divides {
            made.push(it);
        } else if made.ends_with(|last: char| last.is_ascii_alphanumeric()) {
            made.push(if matches!(it, '.' | '_') { it } else { '-' });
        }
    }
    let made = made.trim_end_matches(|it: char| !it.is_ascii_alphanumeric());
    if made.is_empty() {
        "image".to_owned()
    } else {
        made.to_owned()
    }
}

#[cfg(test)]
mod tests;
