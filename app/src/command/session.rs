//! `session`: the unfinished uploads that a later push goes on with.

use std::{
    collections::BTreeMap, error::Error, io::Write as _, path::PathBuf, sync::Arc, time::Duration,
};

use clap::{Args, Subcommand};
use oci::{PushTarget as _, Registry, Repository, SessionStatus, TargetError, UploadSession};
use push::{
    ByteSize, Journal as _, State,
    journal::{Listed, Removed, StateError},
};
use registry::Client;
use serde_json::{Value, json};

use crate::{
    command::json::JsonArgs,
    env::Environment,
    error::AppError,
    open::{self, Company, course::to_registry},
    render::{
        Short,
        age::{ago, seconds},
        progress::Progress,
    },
    settings::{ConnectionArgs, Settings},
    state::StateArgs,
    warning::{warn, with_causes},
};

/// How long registries are told that uploads are given up.
const LONGEST: Duration = Duration::from_secs(30);

/// Sessions by their registries.
type Sessions = BTreeMap<Registry, Vec<(Repository, UploadSession)>>;

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
    /// Their registries are told, so that they need not keep what they got; one that cannot be
    /// told forgets it in its own time. Those that a running push is using stay.
    Drop(Box<DropArgs>),
}

#[derive(Args, Clone, Debug)]
struct DropArgs {
    /// Which: digests, or the first digits of one as the list shows them
    #[arg(value_name = "DIGEST", required_unless_present = "all")]
    digests: Vec<String>,

    /// All of them
    #[arg(long, conflicts_with = "digests")]
    all: bool,

    /// Send nothing: the registries forget the uploads in their own time
    #[arg(long)]
    local: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn session(args: &SessionArgs, environment: &Environment) -> Result<(), AppError> {
    let state = StateArgs::at(args.state.clone())
        .inspect(environment, false)
        .await?;
    let listed = state.list().await.map_err(AppError::State)?;
    let text = match &args.command {
        SessionCommand::List(JsonArgs { json: true }) => format!("{}\n", json_of(&listed)),
        SessionCommand::List(JsonArgs { json: false }) => text_of(&listed),
        SessionCommand::Drop(args) => {
            let (text, dropped) = drop_some(&state, chosen(&listed, &args.digests)?)
                .await
                .map_err(AppError::State)?;
            if !args.local {
                let all = give_up(&args.connection, environment, &state, dropped);
                // Best effort, and not for long.
                let _ = tokio::time::timeout(LONGEST, all).await;
            }
            text
        }
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

/// What to say, and the sessions that are nobody's any more.
async fn drop_some(state: &State, chosen: Vec<&Listed>) -> Result<(String, Sessions), StateError> {
    let (mut dropped, mut in_use) = (Sessions::new(), 0);
    for it in chosen {
        match state.remove(&it.blob).await? {
            Removed::Session(session) => {
                let to = it.blob.repository.clone();
                let of = dropped.entry(to.registry().clone()).or_default();
                of.push((to, session));
            }
            Removed::InUse => in_use += 1,
            Removed::Nothing => {}
        }
    }
    let rest = match in_use {
        0 => String::new(),
        count => format!("; {count} in use by a running push stay"),
    };
    let count: usize = dropped.values().map(Vec::len).sum();
    Ok((format!("dropped {count}{rest}\n"), dropped))
}

/// Tells the registries.
async fn give_up(
    connection: &ConnectionArgs,
    environment: &Environment,
    state: &State,
    dropped: Sessions,
) {
    for (registry, sessions) in dropped {
        let told = async {
            let settings = Settings::decide(connection, environment, &registry)?;
            let way = to_registry(&registry, None, environment)?;
            let company = Company {
                state: state.clone(),
                observer: Arc::new(Progress::plain()),
            };
            let client = open::client_of(&settings, &way, company)?;
            for (repository, session) in sessions {
                give_one_up(&client, repository, session).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        if let Err(error) = told.await {
            warn(format_args!(
                "{registry} was not told, and forgets the uploads in its own time: {}",
                with_causes(&*error)
            ));
        }
    }
}

/// A session is asked about first: what is given up has to be there, and a token is fetched for the
/// question that does for the farewell, too.
async fn give_one_up(
    client: &Client,
    repository: Repository,
    session: UploadSession,
) -> Result<(), TargetError> {
    let target = client.push_target(&repository);
    match target.session_status(&session).await? {
        SessionStatus::Open(session) => target.cancel_session(session).await,
        SessionStatus::Gone => Ok(()),
    }
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
