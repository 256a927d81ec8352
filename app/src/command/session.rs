//! `session`: the unfinished uploads that a later push goes on with.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use push::{
    ByteSize, Journal as _,
    journal::{Listed, Removed, StateError},
};
use serde_json::{Value, json};

use crate::{
    command::json::JsonArgs,
    env::Environment,
    error::AppError,
    render::{
        Short,
        age::{ago, seconds},
    },
    state::StateArgs,
};

/// Show or drop unfinished uploads
///
/// A push that is interrupted leaves the uploads of its large blobs open, and the next push of
/// the same image goes on with them. They are kept for six days.
#[derive(Args, Clone, Debug)]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,

    /// The file they are kept in [default: longshore/state.db in the user's state directory]
    #[arg(long, value_name = "FILE", global = true)]
    state: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum SessionCommand {
    /// Show the uploads that are kept, and how far each got
    List(JsonArgs),
    /// Forget uploads, so that the next push starts these blobs anew
    ///
    /// Nothing is sent: the registry forgets them in its own time. Those that a running push
    /// is using stay.
    Drop {
        /// Which: digests, or the first digits of one as the list shows them
        #[arg(value_name = "DIGEST", required_unless_present = "all")]
        digests: Vec<String>,

        /// All of them
        #[arg(long, conflicts_with = "digests")]
        all: bool,
    },
}

pub(crate) async fn session(args: &SessionArgs, environment: &Environment) -> Result<(), AppError> {
    let state = StateArgs::at(args.state.clone()).look(environment).await?;
    let listed = state.list().await.map_err(AppError::State)?;
    let text = match &args.command {
        SessionCommand::List(JsonArgs { json: true }) => format!("{}\n", json_of(&listed)),
        SessionCommand::List(JsonArgs { json: false }) => text_of(&listed),
        SessionCommand::Drop { digests, .. } => drop_some(&state, chosen(&listed, digests)?)
            .await
            .map_err(AppError::State)?,
    };
    write!(std::io::stdout().lock(), "{text}").map_err(AppError::Output)
}

/// The uploads that are meant; all of them where none is named.
fn chosen<'a>(listed: &'a [Listed], digests: &[String]) -> Result<Vec<&'a Listed>, AppError> {
    if digests.is_empty() {
        return Ok(listed.iter().collect());
    }
    let mut chosen = Vec::new();
    for text in digests {
        let is_meant = |it: &&Listed| {
            let digest = &it.blob.digest;
            digest.to_string() == *text || (text.len() >= 6 && digest.encoded().starts_with(text))
        };
        let before = chosen.len();
        chosen.extend(listed.iter().filter(is_meant));
        if chosen.len() == before {
            return Err(AppError::Usage(format!(
                "no upload of {text:?} is kept: see longshore session list"
            )));
        }
    }
    Ok(chosen)
}

async fn drop_some(state: &push::State, chosen: Vec<&Listed>) -> Result<String, StateError> {
    let (mut dropped, mut in_use) = (0, 0);
    for it in chosen {
        match state.remove(&it.blob).await? {
            Removed::Session(_) => dropped += 1,
            Removed::InUse => in_use += 1,
            Removed::Nothing => {}
        }
    }
    let rest = match in_use {
        0 => String::new(),
        count => format!("; {count} in use by a running push stay"),
    };
    Ok(format!("dropped {dropped}{rest}\n"))
}

fn text_of(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no unfinished uploads\n".into();
    }
    let line = |it: &Listed| {
        let in_use = if it.in_use { ", in use" } else { "" };
        format!(
            "{} {:>10} of {:>10}  {}  {}{in_use}\n",
            Short(&it.blob.digest),
            ByteSize(it.acknowledged).to_string(),
            ByteSize(it.size).to_string(),
            it.blob.repository,
            ago(it.touched),
        )
    };
    listed.iter().map(line).collect()
}

fn json_of(listed: &[Listed]) -> Value {
    let one = |it: &Listed| {
        json!({
            "repository": it.blob.repository.to_string(),
            "digest": it.blob.digest.to_string(),
            "size": it.size,
            "acknowledged": it.acknowledged,
            "opened": seconds(it.opened),
            "touched": seconds(it.touched),
            "in_use": it.in_use,
        })
    };
    listed.iter().map(one).collect()
}
