//! `artifact pull`: an artifact's files into a directory.

use std::{fmt::Write as _, io::Write as _, path::PathBuf, sync::Arc};

use clap::Args;
use oci::SourceError;
use push::{
    ByteSize,
    download::{Download, DownloadError, Downloaded},
};
use serde_json::{Value, json};

use crate::{
    command::json::JsonArgs,
    env::Environment,
    error::AppError,
    interrupt::{self, CLOSING},
    open::{self, Company, course::Course},
    render::progress::Progress,
    settings::ConnectionArgs,
    state::StateArgs,
};

/// Write an artifact's files into a directory
///
/// Under the names the artifact has for them, each verified before it has its name. No name and no
/// link leads out of the directory.
#[derive(Args, Clone, Debug)]
pub(crate) struct ArtifactPullArgs {
    /// The artifact: registry/repository[:tag][@digest]
    #[arg(value_name = "REFERENCE")]
    reference: String,

    /// The directory; it is made if need be
    #[arg(long, short, value_name = "DIRECTORY", default_value = ".")]
    output: PathBuf,

    /// Replace files that are there already
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    form: JsonArgs,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    state: StateArgs,
}

pub(crate) async fn pull(
    args: &ArtifactPullArgs,
    environment: &Environment,
) -> Result<(), AppError> {
    let named = open::reference(&args.reference)?;
    let course = Course::chart(&[], Some(&named), &args.connection, environment).await?;
    let company = Company {
        state: args.state.open(environment).await?,
        observer: Arc::new(Progress::plain()),
    };
    let (client, settings) = course.client(&args.connection, environment, company)?;
    let source = client.source(course.source().unwrap_or(&named), None);
    let download = Download::into(&args.output).overwriting(args.overwrite);
    let work = async {
        let done = download.of(&source).await;
        done.map_err(|error| match error {
            DownloadError::Source(error) => of_source(args, error),
            other => AppError::Download(other),
        })
    };
    let deadline = interrupt::deadline(settings.timeout);
    let result = Box::pin(interrupt::until_interrupted(deadline, work)).await;
    let result = open::unless_paused(result, &client);
    client.close(CLOSING).await;
    let done = result?;
    let text = if args.form.json {
        format!("{}\n", json_of(&done))
    } else {
        text_of(&done)
    };
    write!(std::io::stdout(), "{text}").map_err(AppError::Output)
}

fn of_source(args: &ArtifactPullArgs, error: SourceError) -> AppError {
    AppError::Source {
        place: args.reference.clone(),
        error,
    }
}

fn text_of(done: &Downloaded) -> String {
    let mut text = String::new();
    for (path, blob) in &done.files {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:>11}  {}",
            ByteSize(blob.size).to_string(),
            path.display()
        );
    }
    if done.unnamed > 0 {
        let _ = writeln!(text, "{} without a name, not written", done.unnamed);
    }
    let _ = writeln!(text, "{}", done.manifest.digest);
    text
}

fn json_of(done: &Downloaded) -> Value {
    let files = done.files.iter().map(|(path, blob)| {
        json!({
            "path": path.display().to_string(),
            "media_type": blob.media_type,
            "digest": blob.digest,
            "size": blob.size,
        })
    });
    json!({
        "digest": done.manifest.digest,
        "files": files.collect::<Vec<_>>(),
        "unnamed": done.unnamed,
        "cause": crate::exit::Cause::Done,
    })
}
