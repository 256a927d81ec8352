//! Fields that some tools write as `null`, or empty, where they mean nothing.
//!
//! Go writes a list that was never filled as `null`. A manifest travels as its
//! own bytes; that it can be *read* should not hang on such a field.

use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// The default for `null`.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Nothing for `null` and for the empty text.
pub(crate) fn or_empty<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.filter(|text: &String| !text.is_empty()))
}

/// Whether a key is there, in order of weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// It is not.
    #[default]
    Absent,
    /// It is, and its value is `null`.
    Null,
    /// It is, with a value.
    Present,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<IgnoredAny>::deserialize(deserializer)? {
            Some(_) => Self::Present,
            None => Self::Null,
        })
    }
}
