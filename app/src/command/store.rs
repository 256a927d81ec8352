//! `store`: what is kept of what was fetched from registries.

use std::{fmt::Write as _, io::Write as _, path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use push::{
    ByteSize,
    cache::{Contents, Pruned, Store, Verified},
};
use serde_json::{Value, json};

use crate::{
    command::json::JsonArgs,
    env::Environment,
    error::AppError,
    interrupt,
    render::{
        Short,
        age::{ago, seconds},
        progress::Progress,
    },
    settings::length,
    store::{Place, StoreArgs},
};

/// Show, prune or verify what was fetched from registries
///
/// What a push or copy reads from a registry is kept in a store, so that no blob is fetched twice.
/// It is an OCI image layout, which other tools can read.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreCommandArgs {
    #[command(subcommand)]
    command: StoreCommand,

    /// The directory of the store [default: longshore/store in the user's cache directory]
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum StoreCommand {
    /// Show what is there
    Show(JsonArgs),
    /// Remove what was not used for longest, until what is left is no more than the limit
    ///
    /// What a running push or copy is reading stays.
    Prune {
        /// The most that is left, for instance 500MiB; 0 for nothing [default: the store's limit,
        /// 10GiB unless the settings say otherwise]
        #[arg(long, value_name = "SIZE", value_parser = length)]
        limit: Option<u64>,

        #[command(flatten)]
        output: JsonArgs,
    },
    /// Read all of it, and remove what is not what it should be
    Verify(JsonArgs),
}

pub(crate) async fn store(
    args: &StoreCommandArgs,
    environment: &Environment,
) -> Result<(), AppError> {
    let place = StoreArgs::at(args.store.clone()).place(environment)?;
    let place = place.ok_or_else(|| {
        AppError::Usage("no directory for the store is known: name one with --store".into())
    })?;
    let observer = Arc::new(Progress::plain());
    let looked = Store::look(&place.path, place.options(observer)).await?;
    let work = async {
        match &args.command {
            StoreCommand::Show(output) => show(looked, &place, output).await,
            StoreCommand::Prune { limit, output } => {
                prune(looked, &place, limit.unwrap_or(place.limit), output).await
            }
            StoreCommand::Verify(output) => verify(looked, &place, output).await,
        }
    };
    interrupt::until_interrupted(None, work).await
}

async fn show(store: Option<Store>, place: &Place, output: &JsonArgs) -> Result<(), AppError> {
    let Some(store) = store else {
        return nothing(place, *output);
    };
    let contents = store.contents().await?;
    if output.json {
        return print(&format!("{}\n", contents_json(place, &contents)));
    }
    print(&contents_text(place, &contents))
}

async fn prune(
    store: Option<Store>,
    place: &Place,
    limit: u64,
    output: &JsonArgs,
) -> Result<(), AppError> {
    let Some(store) = store else {
        return nothing(place, *output);
    };
    let pruned = store.prune(limit).await?;
    if output.json {
        return print(&format!("{}\n", pruned_json(&pruned)));
    }
    let mut text = format!(
        "removed {}, {}; {} are left, {}\n",
        pruned.removed,
        ByteSize(pruned.freed),
        pruned.left,
        ByteSize(pruned.left_bytes)
    );
    if pruned.in_use > 0 {
        let _ = writeln!(text, "{} stay because they are being used", pruned.in_use);
    }
    print(&text)
}

async fn verify(store: Option<Store>, place: &Place, output: &JsonArgs) -> Result<(), AppError> {
    let Some(store) = store else {
        return nothing(place, *output);
    };
    let verified = store.verify().await?;
    if output.json {
        print(&format!("{}\n", verified_json(&verified)))?;
    } else {
        print(&format!(
            "read {}, {}: {} altered, {} unreadable\n",
            verified.blobs,
            ByteSize(verified.bytes),
            verified.altered.len(),
            verified.unreadable.len()
        ))?;
    }
    match verified.altered.len() {
        0 => Ok(()),
        altered => Err(AppError::Altered(altered)),
    }
}

fn nothing(place: &Place, output: JsonArgs) -> Result<(), AppError> {
    if output.json {
        let path = place.path.display().to_string();
        return print(&format!("{}\n", json!({ "path": path, "exists": false })));
    }
    print(&format!("there is no store at {}\n", place.path.display()))
}

fn print(text: &str) -> Result<(), AppError> {
    write!(std::io::stdout().lock(), "{text}").map_err(AppError::Output)
}

fn contents_text(place: &Place, contents: &Contents) -> String {
    let mut text = format!(
        "{}: {} blobs and manifests, {} of at most {}",
        place.path.display(),
        contents.blobs,
        ByteSize(contents.bytes),
        ByteSize(place.limit)
    );
    match contents.oldest {
        Some(oldest) => _ = writeln!(text, "; the oldest was used {}", ago(oldest)),
        None => text.push('\n'),
    }
    for image in &contents.images {
        let name = image.name.as_deref().unwrap_or("no name");
        let size = ByteSize(image.bytes).to_string();
        let _ = writeln!(text, "  {} {size:>11}  {name}", Short(&image.root.digest));
    }
    text
}

fn contents_json(place: &Place, contents: &Contents) -> Value {
    let images = contents.images.iter().map(|it| {
        json!({
            "name": it.name,
            "digest": it.root.digest.to_string(),
            "media_type": it.root.media_type,
            "bytes": it.bytes,
        })
    });
    json!({
        "path": place.path.display().to_string(),
        "exists": true,
        "blobs": contents.blobs,
        "bytes": contents.bytes,
        "limit": place.limit,
        "oldest": contents.oldest.map(seconds),
        "images": images.collect::<Value>(),
    })
}

fn pruned_json(pruned: &Pruned) -> Value {
    json!({
        "removed": pruned.removed,
        "freed_bytes": pruned.freed,
        "left": pruned.left,
        "left_bytes": pruned.left_bytes,
        "in_use": pruned.in_use,
    })
}

fn verified_json(verified: &Verified) -> Value {
    let texts = |digests: &[oci::Digest]| -> Value {
        digests
            .iter()
            .map(|it| Value::from(it.to_string()))
            .collect()
    };
    json!({
        "blobs": verified.blobs,
        "bytes": verified.bytes,
        "altered": texts(&verified.altered),
        "unreadable": texts(&verified.unreadable),
    })
}
