//! What an image is called: one repository, and tags there.

use oci::{Reference, Tag};

use crate::{error::AppError, open};

/// What an image is called.
pub(super) struct Named(Vec<Reference>);

impl Named {
    /// The references of `--tag`; all are of one repository.
    pub(super) fn of(texts: &[String]) -> Result<Self, AppError> {
        let references = texts.iter().map(|it| open::reference(it));
        let references: Vec<Reference> = references.collect::<Result<_, _>>()?;
        if let Some(first) = references.first() {
            for other in &references {
                if other.repository() != first.repository() {
                    return Err(AppError::Usage(format!(
                        "{} and {} are two repositories: build for one of them, and have longshore copy take the image to the other",
                        first.repository(),
                        other.repository()
                    )));
                }
                if other.digest().is_some() {
                    return Err(AppError::Usage(format!(
                        "--tag {other} has a digest, and that is known when the image is built: leave it out"
                    )));
                }
            }
        }
        Ok(Self(references))
    }

    /// Where it is pushed, if it has a name.
    pub(super) fn first(&self) -> Option<&Reference> {
        self.0.first()
    }

    /// Its tags; of a reference without one, the default one.
    pub(super) fn tags(&self) -> Vec<Tag> {
        self.0.iter().filter_map(Reference::tag_or_latest).collect()
    }

    /// The same without the first.
    pub(super) fn other_tags(&self) -> Vec<Tag> {
        self.tags().into_iter().skip(1).collect()
    }
}
