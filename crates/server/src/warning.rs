//! Warnings: what the operator of a registry has to say to those who use it.
//!
//! [distribution-spec, Warnings](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#warnings):
//! `Warning: 299 - "text"`, 4,096 bytes of it in one answer at most. Clients show them and do
//! nothing else about them.

use axum::http::{HeaderMap, HeaderValue, header::WARNING};
use oci::Registry;

/// The most bytes of warnings in one answer, inclusive.
const MAX_BYTES: usize = 4096;

/// Something that every answer under `/v2/` says to its client, or every answer about one
/// repository.
#[derive(Clone, Debug)]
pub struct Warning {
    value: HeaderValue,
    repository: Option<Box<str>>,
}

/// Why a text is no warning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WarningError {
    /// There is nothing in it.
    #[error("a warning without text says nothing")]
    Empty,
    /// It has something else than printable ASCII, which not every client could show.
    #[error("a warning is printable ASCII on one line, and {0:?} is not")]
    Character(char),
    /// It is longer than clients need to read.
    #[error("the warning takes {bytes} bytes of a header, {MAX_BYTES} is the most")]
    TooLong {
        /// How long the header would be.
        bytes: usize,
    },
    /// The repository's name is none.
    #[error("{0:?} is not a repository's name")]
    Repository(String),
}

impl Warning {
    /// A warning for everybody.
    ///
    /// Fails if the text is empty, is over 4,096 bytes once quoted, or is anything but
    /// printable ASCII.
    pub fn new(text: &str) -> Result<Self, WarningError> {
        if text.trim().is_empty() {
            return Err(WarningError::Empty);
        }
        if let Some(strange) = text.chars().find(|it| !matches!(it, ' '..='~')) {
            return Err(WarningError::Character(strange));
        }
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let value = format!("299 - \"{quoted}\"");
        if value.len() > MAX_BYTES {
            return Err(WarningError::TooLong { bytes: value.len() });
        }
        // Printable ASCII always is a header's value.
        let value = HeaderValue::try_from(value).map_err(|_| WarningError::Empty)?;
        Ok(Self {
            value,
            repository: None,
        })
    }

    /// The same for those only who ask for something in this repository.
    pub fn in_repository(mut self, name: &str) -> Result<Self, WarningError> {
        // Any registry will do: it is the name's grammar that is wanted.
        if Registry::docker_hub().repository(name).is_err() {
            return Err(WarningError::Repository(name.to_owned()));
        }
        self.repository = Some(name.into());
        Ok(self)
    }
}

/// Puts the warnings on an answer that is about this repository, or about none: as many of
/// them, in their order, as there is room for.
pub(crate) fn warn(warnings: &[Warning], about: Option<&str>, headers: &mut HeaderMap) {
    let mut room = MAX_BYTES;
    for warning in warnings {
        let meant = warning.repository.is_none() || warning.repository.as_deref() == about;
        if meant && warning.value.len() <= room {
            room -= warning.value.len();
            headers.append(WARNING, warning.value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<String, WarningError> {
        Warning::new(text).map(|it| it.value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_text_is_quoted_as_http_has_it() {
        assert_eq!(value("moves soon").unwrap(), r#"299 - "moves soon""#);
        assert_eq!(
            value(r#"say "hi" \ bye"#).unwrap(),
            r#"299 - "say \"hi\" \\ bye""#
        );
    }

    #[test]
    fn what_is_no_warning_is_told_why() {
        assert_eq!(value(" "), Err(WarningError::Empty));
        assert_eq!(value("a\r\nb: c"), Err(WarningError::Character('\r')));
        assert_eq!(value("é"), Err(WarningError::Character('é')));
        assert!(value(&"x".repeat(4088)).is_ok());
        let bytes = 4097;
        assert_eq!(
            value(&"x".repeat(4089)),
            Err(WarningError::TooLong { bytes })
        );
        let warning = Warning::new("x").unwrap();
        assert!(warning.in_repository("No Name").is_err());
    }

    #[test]
    fn an_answer_has_no_more_warnings_than_there_is_room_for() {
        let long = Warning::new(&"x".repeat(4000)).unwrap();
        let short = Warning::new("short").unwrap();
        let mut headers = HeaderMap::new();
        warn(&[long.clone(), long, short], None, &mut headers);
        let lengths: Vec<usize> = headers
            .get_all(WARNING)
            .iter()
            .map(HeaderValue::len)
            .collect();
        assert_eq!(lengths, [4008, 13]);
    }
}
