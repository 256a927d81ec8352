//! An image that was built into an OCI layout: a directory, or an archive.

use std::{io::Write as _, path::Path};

use oci::{PushTarget, Source, TargetError};
use push::{ArchiveTarget, Destination, Engine, LayoutTarget, Options, PushError, Report};
use serde_json::json;
use wcow::{Built, LayerSource};

use super::{Building, FoundBases, Named, downloads, tell::built_json};
use crate::{
    error::AppError,
    exit::Cause,
    interrupt::{self, CLOSING},
};

/// Where it goes.
enum Output {
    Directory(LayoutTarget),
    Archive(ArchiveTarget),
}

/// Assembles, and writes the image to the path, under the tags that it has.
pub(super) async fn write(
    building: &Building<'_>,
    path: &Path,
    names: &Named,
) -> Result<(), AppError> {
    let args = building.args;
    let output = Output::at(path)?;
    let state = args.state.look(building.environment).await?;
    let bases = FoundBases::new(
        &args.connection,
        building.environment,
        state,
        building.progress.clone(),
        None,
    );
    let (environment, progress) = (building.environment, building.progress);
    let (client, settings) = downloads::stranger(args, environment, progress).await?;
    let deadline = interrupt::deadline(settings.timeout);
    let transfer = args.transfer();
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
        let source = transfer.with_foreign(Box::new(built.clone()), &client)?;
        output.offer(&built);
        let target = output.target();
        let pushing = engine.push(&*source, target, &destination, &**building.progress);
        let report = pushing.await?;
        output.finish(&engine, &*source, &report).await?;
        Ok((built, report))
    };
    let result = interrupt::until_interrupted(deadline, work).await;
    building.progress.finish();
    if let Output::Directory(layout) = &output {
        let _ = tokio::time::timeout(CLOSING, layout.settle()).await;
    }
    let (built, report) = result?;
    tell(building, path, &built, &report)
}

impl Output {
    /// What a path means: an archive if it ends in `.tar`, else a directory.
    fn at(path: &Path) -> Result<Self, AppError> {
        let extension = path
            .extension()
            .and_then(|it| it.to_str())
            .unwrap_or_default();
        let compressed = ["tgz", "gz", "zst"].contains(&extension);
        match extension {
            "tar" if !path.is_dir() => Ok(Self::Archive(ArchiveTarget::new(path))),
            _ if compressed || path.is_file() => Err(AppError::Usage(format!(
                "--output {} is neither a directory nor an archive: name a directory, or a file that ends in .tar; its layers are compressed already",
                path.display()
            ))),
            _ => Ok(Self::Directory(LayoutTarget::new(path))),
        }
    }

    fn target(&self) -> &dyn PushTarget {
        match self {
            Self::Directory(layout) => layout,
            Self::Archive(archive) => archive,
        }
    }

    /// Layers that were written and hashed just now become blobs as they are, where that can be.
    fn offer(&self, built: &Built) {
        let Self::Directory(layout) = self else {
            return;
        };
        for layer in built.parts().iter().flat_map(|it| it.image().layers()) {
            if let LayerSource::File(path) = &layer.source {
                layout.offer(&layer.digest, path);
            }
        }
    }

    /// An archive is there when it is whole; what has no tag is found in a layout by its being
    /// listed.
    async fn finish(
        &self,
        engine: &Engine,
        source: &dyn Source,
        report: &Report,
    ) -> Result<(), PushError> {
        let root = engine.pushed_root(source).await?;
        let done: Result<(), TargetError> = match self {
            Self::Archive(archive) => archive.finish(&root).await,
            Self::Directory(layout) if report.tags.is_empty() => layout.list(&root, None).await,
            Self::Directory(_) => Ok(()),
        };
        done.map_err(|error| PushError::ManifestPutFailed {
            digest: root.digest().clone(),
            repository: self.target().repository().clone(),
            tag: None,
            error: Box::new(error),
        })
    }
}

fn tell(
    building: &Building<'_>,
    path: &Path,
    built: &Built,
    report: &Report,
) -> Result<(), AppError> {
    let place = path.display().to_string();
    let mut stdout = std::io::stdout().lock();
    if building.args.json.json {
        let mut value = serde_json::to_value(report).unwrap_or_else(|_| json!({}));
        value["output"] = json!(place);
        value["build"] = built_json(built);
        value["cause"] = json!(Cause::Done);
        writeln!(stdout, "{value}")
    } else {
        let digest = built.digest().map(ToString::to_string).unwrap_or_default();
        writeln!(stdout, "{digest} is in {place}")
    }
    .map_err(AppError::Output)
}
