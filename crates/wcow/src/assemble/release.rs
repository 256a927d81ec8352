//! What one image is for: a platform, and on Windows a release of the base.
//!
//! A release is chosen by one rule. If the Dockerfile says `ARG BASE_VERSION` before its first
//! `FROM`, that argument is the release, and `FROM` uses it as it likes. If it does not, the release
//! takes the place of the tag of the image that the last stage is built on, unless a rule for that
//! image says itself where the release goes.

use oci::Platform;

use super::BuildError;
use crate::{
    FromMap,
    dockerfile::{Base, Dockerfile, Instruction, Plan, TargetOs},
};

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
    pub(super) fn check(
        &self,
        file: &Dockerfile,
        plan: &Plan,
        rules: &FromMap,
    ) -> Result<(), BuildError> {
        let Some(version) = self.base_version.as_ref().filter(|_| !is_declared(file)) else {
            return Ok(());
        };
        let mut at = plan.stages().last();
        while let Some(stage) = at {
            at = match &stage.base {
                Base::Stage(below) => plan.stages().iter().find(|it| it.index == *below),
                Base::Image(reference)
                    if self.placed(reference, rules).is_some()
                        || retagged(reference, version).is_some() =>
                {
                    None
                }
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

    /// The image of this release that the image is built on: as it is named, and what a rule has
    /// in its place.
    pub(super) fn base(
        &self,
        file: &Dockerfile,
        reference: &str,
        rules: &FromMap,
    ) -> (String, Option<String>) {
        let version = self.base_version.as_ref().filter(|_| !is_declared(file));
        if version.is_some()
            && let Some(to) = self.placed(reference, rules)
        {
            return (reference.to_owned(), Some(to));
        }
        let retagged = version.and_then(|it| retagged(reference, it));
        self.as_written(retagged.as_deref().unwrap_or(reference), rules)
    }

    /// The same of a stage that files are copied from only: its tag stays.
    pub(super) fn as_written(&self, reference: &str, rules: &FromMap) -> (String, Option<String>) {
        let to = rules.mapped(reference, self.base_version.as_deref());
        (reference.to_owned(), to)
    }

    /// What a rule says that has a place for the release: the tag is the one that is written.
    fn placed(&self, reference: &str, rules: &FromMap) -> Option<String> {
        let mapped = || rules.mapped(reference, self.base_version.as_deref());
        rules.places_version(reference).then(mapped)?
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
        Some((prefix @ "oci", rest)) => (Some(prefix), rest),
        // Without the slashes it is an image's name.
        Some((prefix @ "docker", rest)) if rest.starts_with("//") => (Some(prefix), rest),
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
            // An image of that name is no place to look in.
            ("docker:windowsservercore-1809", Some("docker:ltsc2022")),
            ("docker", Some("docker:ltsc2022")),
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
