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
    /// CPU architecture, in Go's names: `amd64`, `arm64`, …
    pub architecture: String,
    /// Operating system, in Go's names: `linux`, `windows`, …
    pub os: String,
    /// Version of the operating system; on Windows the full build, `10.0.20348.2113`.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features the image needs, for instance `win32k`.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture: `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// OS and architecture must be equal (`x86_64` and `aarch64` mean `amd64` and
    /// `arm64`; a missing variant of `arm64` means `v8`, of `arm` means `v7`).
    /// Variant and OS version matter only if `self` names them; a version matches
    /// itself and, given as a prefix of whole components, everything below it:
    /// `10.0.20348` matches `10.0.20348.2113`. Each feature asked for must be offered.
    pub fn matches(&self, offered: &Self) -> bool {
        self.os == offered.os
            && architecture(&self.architecture) == architecture(&offered.architecture)
            && (self.variant.is_none() || self.full_variant() == offered.full_variant())
            && self.os_version_matches(offered)
            && self
                .os_features
                .iter()
                .all(|feature| offered.os_features.contains(feature))
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

    fn full_variant(&self) -> Option<&str> {
        match (architecture(&self.architecture), self.variant.as_deref()) {
            ("arm64", None) => Some("v8"),
            ("arm", None) => Some("v7"),
            (_, variant) => variant,
        }
    }
}

fn architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
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
            [os, arch, variant] => (os, arch, Some(variant)),
            _ => return Err(wrong()),
        };
        Ok(Self {
            variant: variant.map(Into::into),
            os_version: version.map(Into::into),
            ..Self::new(
                os.to_ascii_lowercase(),
                architecture(&arch.to_ascii_lowercase()),
            )
        })
    }
}
