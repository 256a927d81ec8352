//! What an image is called: repositories, and its tags in each.

use oci::{Reference, Tag};

use crate::{error::AppError, open};

/// What an image is called.
pub(super) struct Named(Vec<Reference>);

/// What it is called in one repository.
pub(super) struct InRepository {
    /// As it was named first.
    pub(super) first: Reference,
    /// What else it is called there.
    pub(super) other_tags: Vec<Tag>,
}

impl Named {
    /// The references of `--tag`.
    pub(super) fn of(texts: &[String]) -> Result<Self, AppError> {
        let references = texts.iter().map(|it| open::reference(it));
        let references: Vec<Reference> = references.collect::<Result<_, _>>()?;
        if let Some(other) = references.iter().find(|it| it.digest().is_some()) {
            return Err(AppError::Usage(format!(
                "--tag {other} has a digest, and that is known when the image is built: leave it out"
            )));
        }
        Ok(Self(references))
    }

    /// Its tags, each once; of a reference without one, the default one.
    pub(super) fn tags(&self) -> Vec<Tag> {
        let mut tags = Vec::new();
        for tag in self.0.iter().filter_map(Reference::tag_or_latest) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// The repositories it goes to, in the order in which they come up.
    pub(super) fn by_repository(&self) -> Vec<InRepository> {
        let mut all: Vec<InRepository> = Vec::new();
        for reference in &self.0 {
            let is_it = |it: &&mut InRepository| it.first.repository() == reference.repository();
            let Some(known) = all.iter_mut().find(is_it) else {
                all.push(InRepository {
                    first: reference.clone(),
                    other_tags: Vec::new(),
                });
                continue;
            };
            let tag = reference.tag_or_latest();
            let is_new = |it: &Tag| {
                known.first.tag_or_latest().as_ref() != Some(it) && !known.other_tags.contains(it)
            };
            let tag = tag.filter(is_new);
            known.other_tags.extend(tag);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_by_repository_and_each_is_there_once() {
        let texts = [
            "r.test/a:1",
            "r.test/b",
            "r.test/a:2",
            "r.test/a:1",
            "s.test/a:2",
            "r.test/b:latest",
        ];
        let named = Named::of(&texts.map(str::to_owned)).unwrap();
        let all = named.by_repository().into_iter();
        let all: Vec<_> = all
            .map(|it| {
                (
                    it.first.to_string(),
                    it.other_tags.iter().map(Tag::to_string).collect::<Vec<_>>(),
                )
            })
            .collect();
        let expected = [
            ("r.test/a:1", vec!["2"]),
            ("r.test/b", vec![]),
            ("s.test/a:2", vec![]),
        ];
        let expected = expected.map(|(first, others)| {
            (
                first.to_owned(),
                others.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            )
        });
        assert_eq!(all, expected);
        let tags: Vec<_> = named.tags().iter().map(Tag::to_string).collect();
        assert_eq!(tags, ["1", "latest", "2"]);
        let digest = oci::Digest::of(b"any");
        let error = Named::of(&[format!("r.test/a@{digest}")]).err().unwrap();
        assert!(matches!(error, AppError::Usage(_)));
    }
}
