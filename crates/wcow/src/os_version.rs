//! Versions of Windows: which base is the right one, and what an image says it is for.
//!
//! A version is `major.minor.build.revision`, and a container of one build runs on hosts of that
//! build, whatever the revision
//! ([version compatibility](https://learn.microsoft.com/en-us/virtualization/windowscontainers/deploy-containers/version-compatibility)).
//! Versions are compared as numbers: as texts, revision 997 would come after 5256.

use std::{fmt, str::FromStr};

/// A version of Windows, or of a base for one: `10.0.20348.2113`.
///
/// Ordered as numbers; a version without revision is before all with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OsVersion {
    /// `10.0.20348` of `10.0.20348.2113`.
    pub build: Build,
    /// `2113`, if it is said.
    pub revision: Option<u32>,
}

/// What has to agree between a container and its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Build {
    /// `10` of `10.0.20348`.
    pub major: u32,
    /// `0` of it.
    pub minor: u32,
    /// `20348` of it.
    pub number: u32,
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no version of Windows: expected major.minor.build[.revision], like 10.0.20348.2113"
)]
pub struct OsVersionError(String);

impl FromStr for OsVersion {
    type Err = OsVersionError;

    fn from_str(text: &str) -> Result<Self, OsVersionError> {
        let wrong = || OsVersionError(text.chars().take(80).collect());
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
            part.parse().ok().filter(|_| digits).ok_or_else(wrong)
        };
        let parts: Vec<u32> = text.split('.').map(number).collect::<Result<_, _>>()?;
        let (build, revision) = match parts[..] {
            [major, minor, number] => ((major, minor, number), None),
            [major, minor, number, revision] => ((major, minor, number), Some(revision)),
            _ => return Err(wrong()),
        };
        let (major, minor, number) = build;
        let build = Build {
            major,
            minor,
            number,
        };
        Ok(Self { build, revision })
    }
}

impl fmt::Display for OsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.build.fmt(f)?;
        match self.revision {
            Some(revision) => write!(f, ".{revision}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.number)
    }
}

/// Which version an image says it is for, and why it cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Nobody says.
    #[error(
        "{base} does not say which version of Windows it is for, and without that no host knows \
         whether it can run the image: choose a base that says it, or say it with --os-version, \
         like --os-version 10.0.20348.2113"
    )]
    OsVersionUnresolved {
        /// The base.
        base: String,
    },
    /// It is to be left out, and the base says it.
    #[error(
        "--os-version none leaves out what {base} says, that it is for {actual}: hosts of other \
         builds would take the image too. Leave it away, or add --force-os-version"
    )]
    LeftOut {
        /// The base.
        base: String,
        /// What the base says.
        actual: String,
    },
    /// What is said instead is another build.
    #[error(
        "--os-version {chosen} is of another build than {base}, which is {actual}: a host that runs \
         the one does not run the other. Choose a base for {}, or add --force-os-version",
        .chosen.build
    )]
    OtherBuild {
        /// The base.
        base: String,
        /// What was chosen.
        chosen: OsVersion,
        /// What the base says.
        actual: String,
    },
}

/// What an image says its version of Windows is: what the user chose, else what the descriptor of
/// the base says, else what its config says. What is blank says nothing. None if the user chose that
/// nothing is said, as nothing is in bases for `HostProcess` containers, which run on any build.
pub fn resolve(
    base: &str,
    chosen: Option<Chosen>,
    descriptor: Option<&str>,
    config: Option<&str>,
) -> Result<Option<String>, VersionError> {
    let said = [descriptor, config].into_iter().flatten().map(str::trim);
    let said = said.clone().find(|it| !it.is_empty());
    let Some(Chosen { version, forced }) = chosen else {
        let unresolved = || VersionError::OsVersionUnresolved {
            base: base.to_owned(),
        };
        let said = said.map(str::to_owned).ok_or_else(unresolved);
        return said.map(Some);
    };
    let Some(version) = version else {
        return match said {
            Some(actual) if !forced => Err(VersionError::LeftOut {
                base: base.to_owned(),
                actual: actual.to_owned(),
            }),
            _ => Ok(None),
        };
    };
    if let Some(actual) = said
        && !forced
        && actual.parse::<OsVersion>().map(|it| it.build) != Ok(version.build)
    {
        return Err(VersionError::OtherBuild {
            base: base.to_owned(),
            chosen: version,
            actual: actual.to_owned(),
        });
    }
    Ok(Some(version.to_string()))
}

/// A version that the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which; none if the image is to say none.
    pub version: Option<OsVersion>,
    /// Whether it may be of another build than the base, or none where the base says one.
    pub forced: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> OsVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let ordered = [
            "9.9.9",
            "10.0.17763",
            "10.0.20348.997",
            "10.0.20348.5256",
            "10.0.26100.1",
        ];
        for pair in ordered.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        for text in ordered {
            assert_eq!(version(text).to_string(), text);
        }
        for wrong in [
            "",
            "10",
            "10.0",
            "10.0.x",
            "10.0.1.2.3",
            "10..1",
            "+1.0.0",
            " 10.0.1",
            "10.0.99999999999",
        ] {
            assert!(wrong.parse::<OsVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn e2_what_is_chosen_goes_before_the_descriptor_and_that_before_the_config() {
        let chosen = |text: &str| {
            Some(Chosen {
                version: Some(version(text)),
                forced: false,
            })
        };
        let (a, b, c) = ("10.0.20348.3", "10.0.20348.2", "10.0.20348.1");
        for (chosen, descriptor, config, expected) in [
            (chosen(a), Some(b), Some(c), a),
            (chosen(a), None, None, a),
            (chosen(a), Some(""), Some(c), a),
            (None, Some(b), Some(c), b),
            (None, Some(""), Some(c), c),
            (None, Some("  "), Some(c), c),
            (None, None, Some(c), c),
            (None, Some(b), None, b),
        ] {
            assert_eq!(
                resolve("base", chosen, descriptor, config)
                    .unwrap()
                    .as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn e2_another_build_is_refused_unless_forced() {
        let (server, newer) = (version("10.0.26100.1"), "10.0.20348.2");
        let chosen = |forced| {
            Some(Chosen {
                version: Some(server),
                forced,
            })
        };
        for (descriptor, config) in [
            (Some(newer), None),
            (None, Some(newer)),
            (Some("odd"), None),
        ] {
            let error = resolve("base", chosen(false), descriptor, config).unwrap_err();
            assert!(matches!(error, VersionError::OtherBuild { .. }), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("--force-os-version") && text.contains("10.0.26100"),
                "{text}"
            );
            let forced = resolve("base", chosen(true), descriptor, config);
            assert_eq!(forced.unwrap().as_deref(), Some("10.0.26100.1"));
        }
    }

    #[test]
    fn that_none_is_said_is_a_choice_and_a_forced_one_where_the_base_says_it() {
        let none = |forced| {
            Some(Chosen {
                version: None,
                forced,
            })
        };
        let said = "10.0.20348.2";
        for blank in [None, Some(""), Some(" ")] {
            assert_eq!(resolve("base", none(false), blank, blank), Ok(None));
            for (descriptor, config) in [(Some(said), blank), (blank, Some(said))] {
                let error = resolve("base", none(false), descriptor, config).unwrap_err();
                assert!(matches!(error, VersionError::LeftOut { .. }), "{error}");
                let text = error.to_string();
                assert!(
                    text.contains(said) && text.contains("--force-os-version"),
                    "{text}"
                );
                assert_eq!(resolve("base", none(true), descriptor, config), Ok(None));
            }
        }
    }

    #[test]
    fn e3_without_any_version_both_remedies_are_named() {
        for blank in [None, Some(""), Some(" \t")] {
            let error = resolve("r.test/base:1", None, blank, blank).unwrap_err();
            let expected = VersionError::OsVersionUnresolved {
                base: "r.test/base:1".into(),
            };
            assert_eq!(error, expected);
            let text = error.to_string();
            assert!(text.contains("choose a base that says it"), "{text}");
            assert!(text.contains("--os-version 10.0.20348.2113"), "{text}");
        }
    }
}
