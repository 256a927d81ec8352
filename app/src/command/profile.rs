//! `profile`: what was learned of registries, shown and forgotten.

use std::{
    collections::BTreeMap, fmt::Write as _, io::Write as _, path::PathBuf, time::SystemTime,
};

use clap::{Args, Subcommand};
use oci::Registry;
use push::{State, journal::StateError};
use registry::{KeptFact, Profile};
use serde_json::{Value, json};

use crate::{
    command::json::JsonArgs,
    env::Environment,
    error::AppError,
    render::{
        Foreign,
        age::{ago, seconds},
    },
    state::StateArgs,
};

/// Show or forget what was learned of registries
///
/// A push keeps what a registry shows of itself, so that the next push sends fewer requests: how
/// it wants to be authenticated to, how large a body it takes, how much it bears at once. It is
/// believed for some days. No credential is among it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    command: ProfileCommand,

    /// The file it is kept in [default: longshore/state.db in the user's state directory]
    #[arg(long, value_name = "FILE", global = true)]
    state: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum ProfileCommand {
    /// Show what is known, of one registry or of all
    Show {
        /// The registry, as a reference names it
        #[arg(value_name = "HOST")]
        host: Option<String>,

        #[command(flatten)]
        output: JsonArgs,
    },
    /// Forget what is known, so that the next push finds it out anew
    Forget {
        /// The registry, as a reference names it
        #[arg(value_name = "HOST", required_unless_present = "all")]
        host: Option<String>,

        /// All of them
        #[arg(long, conflicts_with = "host")]
        all: bool,
    },
}

/// What is known, by the names hosts are kept under.
type Known = BTreeMap<String, Profile>;

pub(crate) async fn profile(args: &ProfileArgs, environment: &Environment) -> Result<(), AppError> {
    let state = StateArgs::at(args.state.clone())
        .inspect(environment, false)
        .await?;
    let text = match &args.command {
        ProfileCommand::Show { host, output } => {
            let names = host.as_deref().map(names).transpose()?;
            let known = known(&state).await.map_err(AppError::Profiles)?;
            let chosen: Known = known
                .into_iter()
                .filter(|(host, _)| names.as_ref().is_none_or(|names| names.contains(host)))
                .collect();
            if output.json {
                format!("{}\n", json_of(&chosen))
            } else {
                text_of(&chosen, host.as_deref())
            }
        }
        ProfileCommand::Forget { host, .. } => forget(&state, host.as_deref()).await?,
    };
    write!(std::io::stdout().lock(), "{text}").map_err(AppError::Output)
}

/// The names a registry is kept under: it may be spoken to with TLS and without.
fn names(host: &str) -> Result<[String; 2], AppError> {
    let bare = ["https://", "http://"]
        .iter()
        .find_map(|scheme| host.strip_prefix(scheme))
        .unwrap_or(host);
    let registry: Registry = bare.parse().map_err(|_| {
        AppError::Usage(format!(
            "{host:?} is not a registry: expected HOST or HOST:PORT, as longshore profile show has it"
        ))
    })?;
    Ok([registry.to_string(), format!("http://{registry}")])
}

async fn known(state: &State) -> Result<Known, StateError> {
    let mut hosts: BTreeMap<String, Vec<KeptFact>> = BTreeMap::new();
    for fact in state.host_facts().await? {
        let kept = KeptFact {
            key: fact.key,
            value: fact.value,
            seen: fact.seen,
        };
        hosts.entry(fact.host).or_default().push(kept);
    }
    let profiles = hosts.into_iter();
    Ok(profiles
        .map(|(host, kept)| (host, Profile::read(&kept)))
        .collect())
}

async fn forget(state: &State, host: Option<&str>) -> Result<String, AppError> {
    let (names, of) = if let Some(host) = host {
        (names(host)?.to_vec(), format!(" of {}", Foreign(host)))
    } else {
        let known = known(state).await.map_err(AppError::Profiles)?;
        (known.into_keys().collect(), String::new())
    };
    let mut count = 0;
    for name in names {
        count += state.forget_host(&name).await.map_err(AppError::Profiles)?;
    }
    Ok(match count {
        0 => format!("nothing was known{of}\n"),
        1 => format!("forgot 1 fact{of}\n"),
        count => format!("forgot {count} facts{of}\n"),
    })
}

fn text_of(known: &Known, host: Option<&str>) -> String {
    if known.is_empty() {
        return match host {
            Some(host) => format!("nothing is known of {}\n", Foreign(host)),
            None => "nothing is known of any registry\n".into(),
        };
    }
    let now = SystemTime::now();
    let mut text = String::new();
    for (host, profile) in known {
        let _ = writeln!(text, "{}", Foreign(host));
        for it in profile.facts() {
            let age = ago(it.at);
            let old = if it.is_current(now) {
                ""
            } else {
                ", not believed any more"
            };
            let fact = it.fact.to_string();
            let _ = writeln!(text, "  {} ({age}{old})", Foreign(&fact));
        }
        if profile.facts().next().is_none() {
            text.push_str("  nothing that this version can read\n");
        }
    }
    text
}

fn json_of(known: &Known) -> Value {
    let now = SystemTime::now();
    let one = |(host, profile): (&String, &Profile)| {
        let facts = profile.facts().map(|it| {
            json!({
                "fact": it.fact.key(),
                "value": it.fact,
                "seen": seconds(it.at),
                "believed": it.is_current(now),
            })
        });
        json!({ "host": host, "facts": facts.collect::<Vec<_>>() })
    };
    known.iter().map(one).collect()
}
