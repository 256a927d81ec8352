//! Platforms: what an image runs on, and how one is chosen out of an index.
//!
//! [image-spec, Image Index](https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What an image runs on.
///
/// Parsed from and printed as `os/architecture[/variant][:os.version]`, for
/// instance `linux/arm64/v8` or `windows/amd64:10.0.20348.2113`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// CPU architecture, in Go's names: `amd64`, `arm64`, … Empty if a document left it out.
    #[serde(default, deserialize_with = "crate::nullable::or_default")]
    pub architecture: String,
    /// Operating system, in Go's names: `linux`, `windows`, … Empty if a document left it out.
    #[serde(default, deserialize_with = "crate::nullable::or_default")]
    pub os: String,
    /// Version of the operating system; on Windows the full build, `10.0.20348.2113`.
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "crate::nullable::or_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features the image needs, for instance `win32k`.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "crate::nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// Variant of the architecture: `v7`, `v8`, …
    #[serde(
        default,
        deserialize_with = "crate::nullable::or_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("platform {0:?} is malformed: expected os/architecture[/variant][:os.version]")]
pub struct PlatformError(String);

impl Platform {
    /// A platform with neither version, features nor variant.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self {
            architecture: architecture.into(),
            os: os.into(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        }
    }

    /// Whether an image for `offered` is what `self` asks for.
    ///
    /// OS and architecture must be equal, whatever name the architecture goes by
    /// (`x86_64` is `amd64`, `aarch64` is `arm64`, `i386` is `386`, `armhf` is `arm/v7`).
    /// Variant and OS version matter only if `self` names them: a missing variant
    /// counts as `v1` of `amd64`, `v8` of `arm64` and `v7` of `arm`; a version matches
    /// itself and, given as a prefix of whole components, everything below it:
    /// `10.0.20348` matches `10.0.20348.2113`. Each feature asked for must be offered.
    ///
    /// ```
    /// use longshore_oci::Platform;
    /// let asked: Platform = "windows/amd64:10.0.20348".parse()?;
    /// assert!(asked.matches(&"windows/amd64:10.0.20348.2113".parse()?));
    /// assert!(!asked.matches(&"windows/amd64:10.0.203480.1".parse()?));
    /// # Ok::<(), longshore_oci::platform::PlatformError>(())
    /// ```
    pub fn matches(&self, offered: &Self) -> bool {
        let (asked, variant) = named(&self.architecture, self.variant.as_deref());
        self.os == offered.os
            && asked == named(&offered.architecture, None).0
            && (variant.is_none() || self.cpu() == offered.cpu())
            && self.os_version_matches(offered)
            && self
                .os_features
                .iter()
                .all(|feature| offered.os_features.contains(feature))
    }

    /// Architecture and variant, a missing variant counting as the default one.
    pub(crate) fn cpu(&self) -> (&str, Option<&str>) {
        let (architecture, variant) = named(&self.architecture, self.variant.as_deref());
        let default = match architecture {
            "amd64" => Some("v1"),
            "arm64" => Some("v8"),
            "arm" => Some("v7"),
            _ => None,
        };
        (architecture, variant.or(default))
    }

    fn os_version_matches(&self, offered: &Self) -> bool {
        let Some(wanted) = &self.os_version else {
            return true;
        };
        let Some(rest) = offered
            .os_version
            .as_deref()
            .and_then(|version| version.strip_prefix(wanted.as_str()))
        else {
            return false;
        };
        rest.is_empty() || rest.starts_with('.')
    }
}

/// Architecture and variant in Go's names. The other names are those containerd
/// knows ([platforms](https://github.com/containerd/platforms/blob/main/database.go)).
fn named<'a>(architecture: &'a str, variant: Option<&'a str>) -> (&'a str, Option<&'a str>) {
    let (architecture, implied) = match architecture {
        "x86_64" | "x86-64" => ("amd64", None),
        "i386" => ("386", None),
        "aarch64" => ("arm64", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        other => (other, None),
    };
    let variant = match (architecture, variant) {
        ("arm" | "arm64", Some("8")) => Some("v8"),
        ("arm", Some("7")) => Some("v7"),
        ("arm", Some("6")) => Some("v6"),
        ("arm", Some("5")) => Some("v5"),
        (_, variant) => variant,
    };
    (architecture, variant.or(implied))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        if let Some(version) = &self.os_version {
            write!(f, ":{version}")?;
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let wrong = || PlatformError(text.chars().take(160).collect());
        let (path, version) = match text.split_once(':') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let legal = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !parts.iter().chain(version.iter()).all(legal) {
            return Err(wrong());
        }
        let (os, arch, variant) = match parts[..] {
            [os, arch] => (os, arch, None),
            [os, arch, variant] => (os, arch, Some(variant.to_ascii_lowercase())),
            _ => return Err(wrong()),
        };
        let arch = arch.to_ascii_lowercase();
        let (arch, variant) = named(&arch, variant.as_deref());
        Ok(Self {
            variant: variant.map(Into::into),
            os_version: version.map(Into::into),
            ..Self::new(os.to_ascii_lowercase(), arch)
        })
    }
}

#[cfg(test)]
mod tests;
