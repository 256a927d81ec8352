//! References as text: printed, and in JSON.
//!
//! `Display` is what people and URLs read, without the scheme; JSON keeps the
//! scheme, so that what is read back is what was written.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Reference, Registry, Repository, Scheme, Tag, TagOrDigest, grammar};

impl fmt::Display for Reference {
    /// The whole reference without its scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        after_repository(self, f)
    }
}

fn after_repository(it: &Reference, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(tag) = &it.tag {
        write!(f, ":{tag}")?;
    }
    if let Some(digest) = &it.digest {
        write!(f, "@{digest}")?;
    }
    Ok(())
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.directory().is_some() { "" } else { "/" };
        write!(f, "{}{slash}{}", self.registry, self.path)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TagOrDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A reference as the text that parses back: with its scheme, where it has one.
struct Whole<'a>(&'a Reference);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.scheme {
            Some(scheme) => write!(f, "{scheme}://{}", self.0.repository)?,
            None => WholeRepository(&self.0.repository).fmt(f)?,
        }
        after_repository(self.0, f)
    }
}

/// A repository as the text that parses back: a registry that does not look like one (`Host/app`
/// names it, and it is kept in lower case) has the port that nobody writes.
struct WholeRepository<'a>(&'a Repository);

impl fmt::Display for WholeRepository<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        if self.0.directory().is_some() || grammar::split_registry(&text, None).0.is_some() {
            return f.write_str(&text);
        }
        let port = Scheme::Https.port();
        write!(f, "{}:{port}/{}", self.0.registry, self.0.path)
    }
}

/// Debug, serde: as the text that parses back.
macro_rules! as_text {
    ($($name:ident by $text:expr;)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", $text(self).to_string())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&$text(self))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text! {
    Registry by std::convert::identity;
    Repository by WholeRepository;
    Tag by std::convert::identity;
    TagOrDigest by std::convert::identity;
    Reference by Whole;
}
