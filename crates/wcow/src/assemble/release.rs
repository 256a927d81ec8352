//! What one image is for: a platform, and on Windows a release of the base.
//!
//! A release is chosen by one rule. If the Dockerfile says `ARG BASE_VERSION` before its first
//! `FROM`, that argument is the release, and `FROM` uses it as it likes. If it does not, the release
//! takes the place of the tag of the image that the last stage is built on.

use oci::Platform;

use super::BuildError;
use crate::dockerfile::{Base, Dockerfile, Instruction, Plan, TargetOs};

/// The argument that is the release.
pub(super) const ARGUMENT: &str = "BASE_VERSION";

/// What one image is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The platform; on Windows with a version, if the base has several builds.
    pub platform: Platform,
    /// The release of the base: `ltsc2022`.
    pub base_version: Option<String>,
}

impl Release {
    /// The system the image is for.
    pub(super) fn os(&self) -> Result<TargetOs, BuildError> {
        os_of(&self.platform)
    }

    /// Whether the release can be chosen, as far as that can be told before anything is read.
    pub(super) fn check(&self, file: &Dockerfile, plan: &Plan) -> Result<(), BuildError> {
        let Some(version) = self.base_version.as_ref().filter(|_| !is_declared(file)) else {
            return Ok(());
        };
        let mut at = plan.stages().last();
        while let Some(stage) = at {
            at = match &stage.base {
                Base::Stage(below) => plan.stages().iter().find(|it| it.index == *below),
                Base::Image(reference) if retagged(reference, version).is_some() => None,
                Base::Image(_) | Base::Scratch => {
                    return Err(BuildError::NoTagToReplace {
                        file: file.name().to_owned(),
                        line: stage.stage.line,
                        version: version.clone(),
                        reference: match &stage.base {
                            Base::Image(reference) => reference.clone(),
                            _ => "scratch".to_owned(),
                        },
                    });
                }
            };
        }
        Ok(())
    }

    /// The image that a stage is built on, of this release.
    pub(super) fn base(&self, file: &Dockerfile, reference: &str) -> String {
        let version = self.base_version.as_ref().filter(|_| !is_declared(file));
        let retagged = version.and_then(|it| retagged(reference, it));
        retagged.unwrap_or_else(|| reference.to_owned())
    }
}

/// The system of a platform.
pub(super) fn os_of(platform: &Platform) -> Result<TargetOs, BuildError> {
    match platform.os.as_str() {
        "windows" => Ok(TargetOs::Windows),
        "linux" => Ok(TargetOs::Linux),
        _ => Err(BuildError::Platform(platform.to_string())),
    }
}

/// Whether the Dockerfile uses the release itself.
pub(super) fn is_declared(file: &Dockerfile) -> bool {
    file.globals().iter().any(|step| match &step.instruction {
        Instruction::Arg(arguments) => arguments.iter().any(|it| it.name == ARGUMENT),
        _ => false,
    })
}

/// The reference with another tag, or with one. One with a digest has no tag that counts.
fn retagged(reference: &str, tag: &str) -> Option<String> {
    if reference.contains('@') || tag.parse::<oci::Tag>().is_err() {
        return None;
    }
    let (prefix, rest) = match reference.split_once(':') {
        Some((prefix @ ("oci" | "docker"), rest)) => (Some(prefix), rest),
        Some(("oci-archive" | "docker-archive", _)) => return None,
        _ => (None, reference),
    };
    let name_at = rest.rfind('/').map_or(0, |it| it + 1);
    let end = rest[name_at..]
        .find(':')
        .map_or(rest.len(), |it| name_at + it);
    let rest = &rest[..end];
    Some(match prefix {
        Some(prefix) => format!("{prefix}:{rest}:{tag}"),
        None => format!("{rest}:{tag}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_takes_the_place_of_the_tag() {
        for (reference, expected) in [
            (
                "mcr.test/windows/nanoserver:1809",
                Some("mcr.test/windows/nanoserver:ltsc2022"),
            ),
            (
                "127.0.0.1:5000/nanoserver",
                Some("127.0.0.1:5000/nanoserver:ltsc2022"),
            ),
            ("nanoserver", Some("nanoserver:ltsc2022")),
            ("docker://r.test/a:1", Some("docker://r.test/a:ltsc2022")),
            ("oci:there:1", Some("oci:there:ltsc2022")),
            ("oci:there", Some("oci:there:ltsc2022")),
            ("oci-archive:a.tar", None),
            ("r.test/a@sha256:00", None),
        ] {
            assert_eq!(
                retagged(reference, "ltsc2022").as_deref(),
                expected,
                "{reference}"
            );
        }
        assert_eq!(retagged("r.test/a:1", "no tag"), None);
    }
}
