//! An image that was built into an OCI layout.

use std::{io::Write as _, path::Path};

use oci::Source;
use push::{Destination, Engine, LayoutTarget, Options, PushError, Report};
use serde_json::json;

use super::{Building, FoundBases, Named, tell::built_json};
use crate::{
    command::transfer::TransferArgs,
    error::AppError,
    exit::Cause,
    interrupt::{self, CLOSING},
};

/// Assembles, and writes the image into the directory, under the tags that it has.
pub(super) async fn write(
    building: &Building<'_>,
    directory: &Path,
    names: &Named,
) -> Result<(), AppError> {
    let args = building.args;
    refuse_archive(directory)?;
    let state = args.state.look(building.environment).await?;
    let bases = FoundBases::new(
        &args.connection,
        building.environment,
        state,
        building.progress.clone(),
        None,
    );
    let target = LayoutTarget::new(directory);
    let transfer = TransferArgs {
        foreign: args.foreign,
        ..TransferArgs::default()
    };
    let engine = Engine::new(Options {
        foreign: transfer.foreign(),
        ..Options::default()
    });
    let work = async {
        let built = building.assemble(&bases).await?;
        let destination = Destination {
            tags: names.tags(),
            mount_from: Vec::new(),
        };
        let pushing = engine.push(&built, &target, &destination, &**building.progress);
        let report = pushing.await?;
        if report.tags.is_empty() {
            list(&target, &built).await?;
        }
        Ok((built, report))
    };
    let result = interrupt::until_interrupted(None, work).await;
    building.progress.finish();
    let _ = tokio::time::timeout(CLOSING, target.settle()).await;
    let (built, report) = result?;
    tell(building, directory, &built, &report)
}

/// No archive is written, and a directory called `image.tar` is not what anybody means.
fn refuse_archive(path: &Path) -> Result<(), AppError> {
    let extension = path.extension().and_then(|it| it.to_str());
    let like_archive = extension.is_some_and(|it| matches!(it, "tar" | "tgz" | "gz" | "zst"));
    if !like_archive && !path.is_file() {
        return Ok(());
    }
    Err(AppError::Usage(format!(
        "--output {} is an archive, and none is written: name a directory, then tar -C DIRECTORY -cf FILE .",
        path.display()
    )))
}

/// What has no tag is found in a layout by its being listed.
async fn list(target: &LayoutTarget, built: &wcow::Built) -> Result<(), AppError> {
    let unreadable = |error| AppError::Source {
        place: "the image".into(),
        error,
    };
    let root = built.root().await.map_err(unreadable)?;
    let listed = target.list(&root, None).await;
    listed.map_err(|error| {
        AppError::Push(PushError::ManifestPutFailed {
            digest: root.digest().clone(),
            repository: oci::PushTarget::repository(target).clone(),
            tag: None,
            error: Box::new(error),
        })
    })
}

fn tell(
    building: &Building<'_>,
    directory: &Path,
    built: &wcow::Built,
    report: &Report,
) -> Result<(), AppError> {
    let place = directory.display().to_string();
    let mut stdout = std::io::stdout().lock();
    if building.args.json.json {
        let mut value = serde_json::to_value(report).unwrap_or_else(|_| json!({}));
        value["directory"] = json!(place);
        value["build"] = built_json(built);
        value["cause"] = json!(Cause::Done);
        writeln!(stdout, "{value}")
    } else {
        let digest = built.digest().map(ToString::to_string).unwrap_or_default();
        writeln!(stdout, "{digest} is in {place}")
    }
    .map_err(AppError::Output)
}
