//! Causes that are told once more: their texts, in their order.
//!
//! Several who wait for one read each get its failure. A cause of somebody else's type cannot be
//! copied; what it says can.

use std::{error::Error, fmt};

use crate::{SourceError, TargetError};

/// The longest chain of causes that is told again.
const MAX_CAUSES: usize = 16;

/// What an error said, and what the causes of it did.
#[derive(Debug)]
struct Told {
    text: String,
    source: Option<Box<Told>>,
}

impl Told {
    /// An error and its causes.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(error), |it| (*it).source());
        let texts: Vec<String> = chain.take(MAX_CAUSES).map(ToString::to_string).collect();
        let mut texts = texts.into_iter().rev();
        let last = Self {
            text: texts.next().unwrap_or_default(),
            source: None,
        };
        texts.fold(last, |source, text| Self {
            text,
            source: Some(Box::new(source)),
        })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|it| it as _)
    }
}

impl SourceError {
    /// The same error once more, for another who waits for the same bytes. What failed a registry stays
    /// a [`TargetError`]; any other cause becomes what it says.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::NotFound { place } => Self::NotFound {
                place: place.clone(),
            },
            Self::Missing { digest, place } => Self::Missing {
                digest: digest.clone(),
                place: place.clone(),
            },
            Self::WrongSize {
                digest,
                place,
                expected,
                actual,
            } => Self::WrongSize {
                digest: digest.clone(),
                place: place.clone(),
                expected: *expected,
                actual: *actual,
            },
            Self::Altered {
                expected,
                actual,
                place,
            } => Self::Altered {
                expected: expected.clone(),
                actual: actual.clone(),
                place: place.clone(),
            },
            Self::Unreadable { place, error } => match error.downcast_ref::<TargetError>() {
                Some(error) => Self::unreadable(place, error.again()),
                None => Self::unreadable(place, Told::of(&**error)),
            },
            Self::Document { place, error } => Self::unreadable(place, Told::of(error)),
            Self::Invalid { place, reason } => Self::invalid(place, reason.as_str()),
        }
    }
}

impl TargetError {
    /// The same error once more, for another who waits for the same. A cause that is no
    /// [`SourceError`] becomes what it says.
    #[must_use]
    pub fn again(&self) -> Self {
        let again = Self::new(self.kind().clone(), self.attempted())
            .with_answer(self.answer().clone())
            .with_sent(self.sent());
        let again = match self.status() {
            Some(status) => again.with_status(status),
            None => again,
        };
        match (self.as_source_error(), self.source()) {
            (Some(error), _) => again.with_source(error.again()),
            (None, Some(other)) => again.with_source(Told::of(other)),
            (None, None) => again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, TargetErrorKind};

    fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
        let chain = std::iter::successors(Some(error), |it| (*it).source());
        chain.map(ToString::to_string).collect()
    }

    #[test]
    fn an_error_that_is_told_again_says_the_same_and_is_of_the_same_kind() {
        let digest = || Digest::of(b"x");
        let place = || "r.test/app".to_owned();
        let io = || std::io::Error::other(std::io::Error::other("inner"));
        let target = || TargetError::new(TargetErrorKind::RateLimited, "download it");
        let own = SourceError::Missing {
            digest: digest(),
            place: place(),
        };
        for error in [
            SourceError::NotFound { place: place() },
            SourceError::unreadable("a", io()),
            SourceError::unreadable("b", target().with_status(429).with_source(io())),
            SourceError::unreadable("c", TargetError::from_source(own, "send it")),
            SourceError::invalid("d", "broken"),
            SourceError::WrongSize {
                digest: digest(),
                place: place(),
                expected: 1,
                actual: 2,
            },
            SourceError::Altered {
                expected: digest(),
                actual: digest(),
                place: place(),
            },
        ] {
            let again = error.again();
            assert_eq!(chain(&again), chain(&error));
            assert_eq!(
                std::mem::discriminant(&again),
                std::mem::discriminant(&error)
            );
            let (
                SourceError::Unreadable { error, .. },
                SourceError::Unreadable { error: again, .. },
            ) = (&error, &again)
            else {
                continue;
            };
            let of = |it: &(dyn Error + Send + Sync + 'static)| -> Option<(TargetErrorKind, bool)> {
                let error = it.downcast_ref::<TargetError>()?;
                Some((error.kind().clone(), error.as_source_error().is_some()))
            };
            assert_eq!(of(&**again), of(&**error));
        }
    }
}
