//! What a text on the command line means: something in a registry, or something on this machine.
//!
//! ```text
//!   docker://REFERENCE               in a registry
//!   oci:DIRECTORY[:TAG]              an OCI image layout
//!   oci-archive:FILE[:NAME]          an archive of one
//!   docker-archive:FILE[:NAME]       what docker save writes: to read from
//!   /…  ./…  ../…                    a path
//!   anything else                    a reference, if nothing on this machine has that name;
//!                                    a path, if it cannot be a reference
//! ```
//!
//! A text that could be both is refused, with the two ways to write it: what a command does must
//! not depend on what happens to lie in a directory.

use std::path::{Path, PathBuf};

use oci::{Reference, Tag};

use super::{IN_REGISTRY, reference};
use crate::error::AppError;

/// What begins a layout's directory.
const LAYOUT: &str = "oci:";
/// What begins an archive.
const OCI_ARCHIVE: &str = "oci-archive:";
const DOCKER_ARCHIVE: &str = "docker-archive:";
/// What other tools read and write, and this one does not.
const OF_OTHERS: [&str; 5] = [
    "dir:",
    "docker-daemon:",
    "containers-storage:",
    "containerd:",
    "ostree:",
];

/// Where an image is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a registry.
    Registry(Reference),
    /// In a directory or a file.
    Path {
        path: PathBuf,
        /// Which image there.
        name: Option<String>,
    },
    /// In an archive that is to be written.
    Archive {
        path: PathBuf,
        /// What the image is called there.
        name: Option<String>,
    },
}

impl Place {
    /// Where an image is read from.
    pub(crate) fn source(text: &str) -> Result<Self, AppError> {
        if let Some(file) = text.strip_prefix(OCI_ARCHIVE) {
            return Ok(named_path(file));
        }
        if let Some(file) = text.strip_prefix(DOCKER_ARCHIVE) {
            return Ok(saved(file));
        }
        Self::of(text, "source")
    }

    /// Where an image goes.
    pub(crate) fn destination(text: &str) -> Result<Self, AppError> {
        if let Some(file) = text.strip_prefix(OCI_ARCHIVE) {
            return match named_path(file) {
                Self::Path { path, .. } if path.as_os_str().is_empty() => Err(AppError::Usage(
                    format!("the destination {text:?} names no file: it is oci-archive:FILE[:TAG]"),
                )),
                Self::Path { path, name } => Ok(Self::Archive { path, name }),
                other => Ok(other),
            };
        }
        if text.starts_with(DOCKER_ARCHIVE) {
            return Err(AppError::Usage(format!(
                "the destination {text:?} is an archive as docker save writes it, and none is written: copy to oci-archive:FILE[:TAG], which is an OCI image layout in one file"
            )));
        }
        Self::of(text, "destination")
    }

    fn of(text: &str, role: &str) -> Result<Self, AppError> {
        if text.is_empty() {
            return Err(AppError::Usage(format!("the {role} is empty")));
        }
        if let Some(directory) = text.strip_prefix(LAYOUT) {
            return Ok(named_path(directory));
        }
        if text.starts_with(IN_REGISTRY) {
            return reference(text).map(Self::Registry);
        }
        if let Some(prefix) = OF_OTHERS.iter().find(|it| text.starts_with(**it)) {
            return Err(AppError::Usage(format!(
                "the {role} {text:?} cannot be used: {prefix} is not known here; known are registry/repository:tag, oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] (to read from) and paths"
            )));
        }
        let path = || Self::Path {
            path: text.into(),
            name: None,
        };
        if is_path(text) {
            return Ok(path());
        }
        let exists = Path::new(text).symlink_metadata().is_ok();
        match (reference(text), exists) {
            (Ok(_), true) => Err(AppError::Usage(format!(
                "the {role} {text:?} may be a path or a reference: write ./{text} for what is there on this machine, docker://{text} for what is in a registry"
            ))),
            (Ok(reference), false) => Ok(Self::Registry(reference)),
            (Err(_), true) => Ok(path()),
            (Err(error), false) => Err(error),
        }
    }

    /// The reference, if it is in a registry.
    pub(crate) fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            Self::Path { .. } | Self::Archive { .. } => None,
        }
    }
}

/// A push's source on this machine: a path, and which image there if the text says so. What comes
/// before the path is for people: what is there is told by its content.
pub(crate) fn file(text: &str) -> (PathBuf, Option<String>) {
    let place = if let Some(path) = text.strip_prefix(LAYOUT) {
        named_path(path)
    } else if let Some(path) = text.strip_prefix(OCI_ARCHIVE) {
        named_path(path)
    } else if let Some(path) = text.strip_prefix(DOCKER_ARCHIVE) {
        saved(path)
    } else {
        return (text.into(), None);
    };
    match place {
        Place::Path { path, name } | Place::Archive { path, name } => (path, name),
        Place::Registry(_) => (text.into(), None),
    }
}

/// A push's source, which is a path unless it says otherwise, as a place is written.
pub(crate) fn source_text(text: &str) -> String {
    let told = [IN_REGISTRY, LAYOUT, OCI_ARCHIVE, DOCKER_ARCHIVE];
    let is_told = told.iter().any(|it| text.starts_with(it));
    if is_told || is_path(text) || Path::new(text).is_absolute() {
        return text.to_owned();
    }
    format!("./{text}")
}

/// A push's destination, which is a reference whatever is on this machine, as a place is written.
pub(crate) fn reference_text(text: &str) -> String {
    if text.contains("://") {
        return text.to_owned();
    }
    format!("{IN_REGISTRY}{text}")
}

/// What begins a place that is on this machine.
const ON_THIS_MACHINE: [&str; 6] = ["oci:", "oci-archive:", "docker-archive:", "/", "./", "../"];

/// Whether a text says that what it names is on this machine, whatever is there.
pub(crate) fn is_on_this_machine(text: &str) -> bool {
    ON_THIS_MACHINE.iter().any(|it| text.starts_with(it))
}

/// Whether a text can be nothing but a path.
fn is_path(text: &str) -> bool {
    let begins = ["/", "./", "../"].iter().any(|it| text.starts_with(it));
    begins || matches!(text, "." | "..") || text.contains('\\')
}

/// A path, and a tag after its last colon if there is one.
fn named_path(text: &str) -> Place {
    match text.rsplit_once(':') {
        Some((path, name)) if !path.is_empty() && is_name(path, name) => Place::Path {
            path: path.into(),
            name: Some(name.to_owned()),
        },
        _ => Place::Path {
            path: text.into(),
            name: None,
        },
    }
}

/// The file that docker save wrote, and after its first colon the name of an image in it.
fn saved(text: &str) -> Place {
    match text.split_once(':') {
        Some((file, name)) if file.len() > 1 && !name.is_empty() => Place::Path {
            path: file.into(),
            name: Some(name.to_owned()),
        },
        _ => named_path(text),
    }
}

/// Whether what stands behind a colon is a tag; behind a drive's letter stands a path.
fn is_name(before: &str, text: &str) -> bool {
    let after_drive = before.len() == 1 && before.chars().all(|it| it.is_ascii_alphabetic());
    !after_drive && text.parse::<Tag>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str, name: Option<&str>) -> Place {
        Place::Path {
            path: text.into(),
            name: name.map(Into::into),
        }
    }

    #[test]
    fn a_text_is_what_its_beginning_says() {
        let registry = |text: &str| Place::Registry(text.parse().unwrap());
        for (text, expected) in [
            ("docker://alpine", registry("alpine")),
            ("docker://r.test/app:1", registry("r.test/app:1")),
            ("r.test/team/app:1", registry("r.test/team/app:1")),
            ("127.0.0.1:5000/app", registry("127.0.0.1:5000/app")),
            ("https://r.test/app", registry("https://r.test/app")),
            ("oci:there", path("there", None)),
            ("oci:there:1.2", path("there", Some("1.2"))),
            ("oci:/srv/a b:1", path("/srv/a b", Some("1"))),
            ("oci:C:\\images", path("C:\\images", None)),
            ("oci:C:\\images:1", path("C:\\images", Some("1"))),
            ("/srv/images", path("/srv/images", None)),
            ("./r.test/app", path("./r.test/app", None)),
            ("..", path("..", None)),
            ("C:\\images", path("C:\\images", None)),
        ] {
            assert_eq!(Place::destination(text).unwrap(), expected, "{text}");
            assert_eq!(Place::source(text).unwrap(), expected, "{text}");
        }
        for (text, expected) in [
            ("oci-archive:a.tar", path("a.tar", None)),
            ("oci-archive:a.tar:1", path("a.tar", Some("1"))),
            (
                "docker-archive:/a.tar:team/app:1",
                path("/a.tar", Some("team/app:1")),
            ),
        ] {
            assert_eq!(Place::source(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn the_source_of_a_push_may_say_what_it_is() {
        let named = |it: &str| Some(it.to_owned());
        for (text, expected) in [
            ("image", ("image".into(), None)),
            ("a:b", ("a:b".into(), None)),
            ("oci:image", ("image".into(), None)),
            ("oci:image:1.2", ("image".into(), named("1.2"))),
            ("oci-archive:a.tar:1", ("a.tar".into(), named("1"))),
            ("docker-archive:a.tar:b:1", ("a.tar".into(), named("b:1"))),
        ] {
            assert_eq!(file(text), expected, "{text}");
            let told = text.starts_with("oci") || text.starts_with("docker");
            let as_place = if told {
                text.to_owned()
            } else {
                format!("./{text}")
            };
            assert_eq!(source_text(text), as_place);
        }
    }

    #[test]
    fn what_could_be_both_is_refused_with_the_two_ways_to_write_it() {
        // Tests run in the package's directory.
        let error = Place::source("src").unwrap_err().to_string();
        assert!(
            error.contains("./src") && error.contains("docker://src"),
            "{error}"
        );
        assert!(Place::destination("src").is_err());
        assert_eq!(Place::source("./src").unwrap(), path("./src", None));
        // It has an upper-case letter, so it is no reference.
        assert_eq!(
            Place::source("Cargo.toml").unwrap(),
            path("Cargo.toml", None)
        );
        assert!(matches!(
            Place::source("docker://src").unwrap(),
            Place::Registry(_)
        ));
    }

    #[test]
    fn what_is_not_written_or_read_is_refused_with_what_would_be() {
        for text in ["docker-archive:a.tar:1", "oci-archive:"] {
            let error = Place::destination(text).unwrap_err().to_string();
            assert!(error.contains("oci-archive:FILE"), "{error}");
        }
        let archive = |name: Option<&str>| Place::Archive {
            path: "a.tar".into(),
            name: name.map(Into::into),
        };
        for (text, expected) in [
            ("oci-archive:a.tar", archive(None)),
            ("oci-archive:a.tar:1", archive(Some("1"))),
        ] {
            assert_eq!(Place::destination(text).unwrap(), expected);
        }
        for text in ["dir:there", "docker-daemon:app:1"] {
            let error = Place::source(text).unwrap_err().to_string();
            assert!(error.contains("oci:DIRECTORY"), "{error}");
        }
        assert!(Place::source("").is_err() && Place::destination("").is_err());
        assert!(Place::source("r.test/App:1:2").is_err());
    }
}
