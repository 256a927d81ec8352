//! A copy's destinations, made of what was written on the command line.

use oci::{Repository, Source};
use push::{ArchiveTarget, Destination, Engine, LayoutTarget, Sessions, State};
use registry::Client;

use super::{CopyArgs, End};
use crate::{
    command::{push as pushing, transfer::TransferArgs},
    error::AppError,
    open::{self, course::Course, place::Place},
    settings::Settings,
};

/// What destinations are made of.
pub(super) struct Ending<'a> {
    pub(super) args: &'a CopyArgs,
    pub(super) client: &'a Client,
    pub(super) course: &'a Course,
    pub(super) settings: &'a Settings,
    pub(super) kept: (State, Sessions),
}

impl Ending<'_> {
    pub(super) async fn all(self, to: &[Place], source: &dyn Source) -> Result<Vec<End>, AppError> {
        let transfer = &self.args.transfer;
        let (state, sessions) = self.kept.clone();
        // One for all registries: what goes to several repositories of one is sent to it once.
        let engine = transfer.engine(self.settings, (state, sessions), self.args.is_verbatim());
        let to_files = Engine::new(transfer.options(self.settings));
        let mut ends = Vec::with_capacity(to.len());
        let mut in_registries = 0;
        for (place, text) in to.iter().zip(&self.args.destinations) {
            ends.push(match place {
                Place::Registry(named) => {
                    let at = in_registries;
                    in_registries += 1;
                    let reference = self.course.destination(at).unwrap_or(named);
                    let repository = reference.repository();
                    let mount_from = self.course.siblings(at, &transfer.mount_from);
                    pushing::warn_of_other_registries(repository.registry(), &mount_from);
                    End {
                        text: text.clone(),
                        engine: engine.clone(),
                        destination: open::destination(
                            reference,
                            &transfer.tags,
                            &mount_from,
                            (source, &engine),
                        )
                        .await?,
                        target: Box::new(self.client.push_target(repository)),
                        layout: None,
                        archive: None,
                        routed: self.course.json(at),
                    }
                }
                Place::Path { path, name } => {
                    let layout = LayoutTarget::new(path);
                    End {
                        text: text.clone(),
                        engine: to_files.clone(),
                        destination: in_layout(name.as_deref(), transfer)?,
                        target: Box::new(layout.clone()),
                        layout: Some(layout),
                        archive: None,
                        routed: None,
                    }
                }
                Place::Archive { path, name } => {
                    let archive = ArchiveTarget::new(path);
                    End {
                        text: text.clone(),
                        engine: to_files.clone(),
                        destination: in_layout(name.as_deref(), transfer)?,
                        target: Box::new(archive.clone()),
                        layout: None,
                        archive: Some(archive),
                        routed: None,
                    }
                }
            });
        }
        Ok(ends)
    }
}

/// The names an image gets in a layout.
fn in_layout(name: Option<&str>, transfer: &TransferArgs) -> Result<Destination, AppError> {
    let own = name.map(|it| {
        it.parse().map_err(|error| AppError::Reference {
            text: it.to_owned(),
            error,
        })
    });
    let own = own.transpose()?;
    let none: Vec<Repository> = Vec::new();
    Ok(Destination {
        tags: own
            .into_iter()
            .chain(transfer.tags.iter().cloned())
            .collect(),
        mount_from: none,
    })
}
