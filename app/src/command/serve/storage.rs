//! Flags of `serve` about what is kept, and for how long.

use std::{io::Write as _, path::Path, time::Duration};

use clap::Args;
use server::{Collected, Collection, ServerBuilder};

use crate::{error::AppError, settings::duration};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageArgs {
    /// Remove from the store what nothing refers to, say what went, and serve nothing
    #[arg(long)]
    gc: bool,

    /// With --gc: say what would go, and remove nothing
    #[arg(long, requires = "gc", hide_short_help = true)]
    gc_dry_run: bool,

    /// How long a blob is kept that no manifest refers to, since it was last pushed or asked for;
    /// shorter than --session-timeout, a slow push may lose its first blobs
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h", hide_short_help = true)]
    gc_grace: Duration,

    /// How long to wait between two collections of garbage while serving; 0 is never
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h", hide_short_help = true)]
    gc_interval: Duration,

    /// Remove manifests too that no tag leads to; who pulls by digest loses them
    #[arg(long, hide_short_help = true)]
    gc_untagged: bool,
}

impl StorageArgs {
    /// The builder with these settings.
    pub(super) fn apply(&self, builder: ServerBuilder) -> ServerBuilder {
        let mut collection = Collection::default();
        collection.grace = self.gc_grace;
        collection.interval = (!self.gc_interval.is_zero()).then_some(self.gc_interval);
        collection.untagged = self.gc_untagged;
        builder.collection(collection)
    }

    /// The store to collect garbage from instead of serving anything, if that is wanted.
    ///
    /// Fails where nothing is kept, or not there: a name that is mistaken makes no store.
    pub(super) fn only_collects<'a>(
        &self,
        store: Option<&'a Path>,
    ) -> Result<Option<&'a Path>, AppError> {
        match store {
            _ if !self.gc => Ok(None),
            Some(store) if !store.exists() => Err(AppError::NoFile(store.to_owned())),
            Some(store) => Ok(Some(store)),
            None => Err(AppError::Usage(
                "--gc removes garbage from a store, and there is none without --store DIR: what is \
                 kept in memory ends with the process, and files are served as they are"
                    .into(),
            )),
        }
    }

    /// Collects garbage, and says on standard output what went.
    pub(super) async fn collect(
        &self,
        builder: ServerBuilder,
        store: &Path,
    ) -> Result<(), AppError> {
        let collected = builder
            .collect_garbage(self.gc_dry_run)
            .await
            .map_err(AppError::Serve)?;
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(said(&collected, self.gc_dry_run, store).as_bytes())
            .map_err(AppError::Output)
    }
}

fn said(collected: &Collected, dry_run: bool, store: &Path) -> String {
    let verb = if dry_run { "would go" } else { "removed" };
    let Collected {
        blobs,
        manifests,
        contents,
        leftovers,
        unreadable,
        ..
    } = collected;
    let mut said = format!(
        "{verb} from {}:\n\
         blobs no manifest refers to: {blobs}\n\
         manifests no tag leads to: {manifests}\n\
         contents no repository holds: {} ({} bytes)\n\
         abandoned uploads and leftovers: {} ({} bytes)\n",
        store.display(),
        contents.count,
        contents.bytes,
        leftovers.count,
        leftovers.bytes,
    );
    for repository in unreadable {
        said.push_str("kept all of ");
        said.push_str(repository);
        said.push_str(": one of its manifests cannot be read; push it again, or delete it\n");
    }
    said
}
