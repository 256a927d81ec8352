//! What a stage starts with: its base, its platform, and what its variables hold.

use oci::Platform;

use super::{StageState, Work};
use crate::{
    Base, BuildEvent, Wanted,
    assemble::{BuildError, release::os_of},
    dockerfile::{PlannedStage, Scope, TargetOs},
};

impl Work<'_> {
    /// Reads the image that `FROM` names, or the one that a rule puts in its place.
    pub(super) async fn base(
        &self,
        planned: &PlannedStage,
        reference: &str,
        os: TargetOs,
        platform: Platform,
    ) -> Result<Base, BuildError> {
        let file = self.assembler.dockerfile;
        let options = &self.assembler.options;
        let (named, mapped) = if self.is_image {
            self.release.base(file, reference, &options.from_map)
        } else {
            self.release.as_written(reference, &options.from_map)
        };
        let reference = match mapped {
            Some(to) => {
                let told = BuildEvent::Mapped {
                    from: named,
                    to: to.clone(),
                };
                self.assembler.events.tell(&told);
                to
            }
            None => named,
        };
        let wanted = Wanted {
            platform,
            os_version: options.os_version.filter(|_| self.is_image),
        };
        let base = Base::read(self.assembler.bases, &reference, os, &wanted).await;
        let base = base.map_err(|error| BuildError::Base {
            file: self.file(),
            line: planned.stage.line,
            reference: reference.clone(),
            error: Box::new(error),
        })?;
        self.assembler.events.tell(&BuildEvent::Base {
            reference,
            platform: Box::new(base.platform().clone()),
            digest: base.manifest().digest().clone(),
            bytes: base.layers().iter().map(|it| it.size).sum(),
        });
        Ok(base)
    }

    /// What a stage is for: what its `FROM` says, else what the image is for.
    pub(super) fn platform(&self, planned: &PlannedStage) -> Result<Platform, BuildError> {
        let Some(text) = &planned.platform else {
            return Ok(self.release.platform.clone());
        };
        let said = parsed(text).ok_or_else(|| BuildError::Platform(text.clone()))?;
        // Of the same platform the release may know the version.
        let release = &self.release.platform;
        let is_same = said.os_version.is_none() && said.matches(release);
        Ok(if is_same { release.clone() } else { said })
    }

    /// Variables at the start of the stage.
    pub(super) fn scope(&self, state: &StageState) -> Result<Scope, BuildError> {
        let configuration = &state.configuration;
        let mut environment: Vec<String> = configuration
            .env()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let os = os_of(&state.platform)?;
        let is_windows = os == TargetOs::Windows;
        let has_path = configuration
            .env()
            .any(|(it, _)| it.eq_ignore_ascii_case("PATH"));
        if is_windows && !has_path && self.assembler.options.path_default {
            environment.push(format!("PATH={}", configuration.path_in_registry()));
        }
        let scope = self.plan.scope_on(os, &environment);
        Ok(scope.with_arguments(state.arguments.clone()))
    }
}

/// A platform as `FROM --platform` has it: `linux/amd64`, `windows(10.0.20348)/amd64`.
fn parsed(text: &str) -> Option<Platform> {
    let Some((os, rest)) = text.split_once('(') else {
        return text.parse().ok();
    };
    let (version, rest) = rest.split_once(')')?;
    format!("{os}{rest}:{version}").parse().ok()
}
