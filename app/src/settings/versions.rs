//! Over which versions of HTTP registries are spoken to, as people say it.

use std::str::FromStr;

use oci::Registry;
use registry::{ClientBuilder, HttpVersions};
use serde::Deserialize;

/// One setting. `auto` is none: the client decides by what it knows of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Version(Option<HttpVersions>);

/// What was said, of all hosts and of some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    all: Option<HttpVersions>,
    of: Vec<(Registry, HttpVersions)>,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "auto" => None,
            "mixed" => Some(HttpVersions::Mixed),
            "1.1" => Some(HttpVersions::Http1),
            "2" => Some(HttpVersions::Http2),
            _ => {
                return Err(format!(
                    "{text:?} is no version of HTTP: expected auto, mixed, 1.1 or 2"
                ));
            }
        }))
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Versions {
    /// A flag is about every host; what the file says of one goes before what it says of all.
    pub(super) fn decide(
        flag: Option<Version>,
        file: Option<Version>,
        of: impl IntoIterator<Item = (Registry, Option<Version>)>,
    ) -> Self {
        if let Some(flag) = flag {
            return Self {
                all: flag.0,
                of: Vec::new(),
            };
        }
        let said = |(host, version): (Registry, Option<Version>)| Some((host, version?.0?));
        Self {
            all: file.and_then(|it| it.0),
            of: of.into_iter().filter_map(said).collect(),
        }
    }

    /// The client, told of it.
    pub(crate) fn tell(&self, mut builder: ClientBuilder) -> ClientBuilder {
        if let Some(all) = self.all {
            builder = builder.http_versions(all);
        }
        for (host, versions) in &self.of {
            builder = builder.http_versions_of(host, *versions);
        }
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn p25_a_flag_goes_before_a_registrys_setting_and_that_before_the_one_for_all() {
        let lab: Registry = "lab.test".parse().unwrap();
        let of = || {
            [
                (lab.clone(), Some(version("2"))),
                ("x.test".parse().unwrap(), None),
            ]
        };
        let decided = Versions::decide(None, Some(version("1.1")), of());
        assert_eq!(decided.all, Some(HttpVersions::Http1));
        assert_eq!(decided.of, [(lab.clone(), HttpVersions::Http2)]);
        let decided = Versions::decide(Some(version("mixed")), Some(version("1.1")), of());
        assert_eq!(
            (decided.all, decided.of.len()),
            (Some(HttpVersions::Mixed), 0)
        );
        let decided = Versions::decide(Some(version("auto")), Some(version("1.1")), of());
        assert_eq!((decided.all, decided.of.len()), (None, 0));
        assert!("3".parse::<Version>().is_err());
    }
}
