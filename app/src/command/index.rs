//! `index`: what is known of which repositories hold which blobs; shown, carried, forgotten.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use oci::{Registry, Repository};
use push::{
    ByteSize, State,
    index::{BlobIndex as _, MOST_FACTS, PAGE, Selection, Sight, Sighting, text},
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
    settings::duration,
    state::StateArgs,
};

mod import;

use import::Imported;

/// What is printed of lines that are no facts, at most.
const TOLD: usize = 20;

/// Show or carry what is known of which repositories hold which blobs
///
/// A push keeps where it saw blobs, so that the next push to another repository of the same
/// registry has them mounted from there in place of sending them. None of it is trusted: where a
/// fact is wrong, the blob is sent.
#[derive(Args, Clone, Debug)]
pub(crate) struct IndexArgs {
    #[command(subcommand)]
    command: IndexCommand,

    /// The file it is kept in [default: longshore/state.db in the user's state directory]
    #[arg(long, value_name = "FILE", global = true)]
    state: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum IndexCommand {
    /// Show what is known, of everything or of one blob, repository or registry
    Show {
        /// A digest, registry/repository, or a registry
        #[arg(value_name = "WHAT")]
        what: Option<String>,

        #[command(flatten)]
        output: JsonArgs,
    },
    /// Write what is known as text, a fact a line, for another machine to import
    Export {
        /// Only what is about it: a digest, registry/repository, or a registry
        #[arg(long, value_name = "WHAT")]
        only: Option<String>,

        /// The file to write; - for standard output
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },
    /// Add what was exported elsewhere; of what is known already the newest stays
    Import {
        /// The file to read; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,

        #[command(flatten)]
        output: JsonArgs,
    },
    /// Forget facts, so that pushes find them out anew
    Forget {
        /// A digest, registry/repository, or a registry
        #[arg(value_name = "WHAT", required_unless_present = "all")]
        what: Option<String>,

        /// Everything
        #[arg(long, conflicts_with = "what")]
        all: bool,
    },
    /// Forget what was seen long ago
    Prune {
        /// How long ago, for instance 30d or 12h; what is older than 90 days is forgotten in any case
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30d")]
        older_than: Duration,
    },
}

pub(crate) async fn index(args: &IndexArgs, environment: &Environment) -> Result<(), AppError> {
    let at = StateArgs::at(args.state.clone());
    let text = match &args.command {
        IndexCommand::Show { what, output } => {
            let state = at.inspect(environment, false).await?;
            return show(&state, what.as_deref(), *output).await;
        }
        IndexCommand::Export { only, file } => {
            let state = at.inspect(environment, false).await?;
            return export(&state, only.as_deref(), file).await;
        }
        IndexCommand::Import { file, output } => {
            let lines = opened(file)?;
            let state = at.inspect(environment, true).await?;
            if !state.lasts() {
                return Err(AppError::NothingKept);
            }
            let imported = Imported::read(&state, lines, &named(file)).await?;
            told(&imported, *output)?;
            return imported.into_result(&named(file));
        }
        IndexCommand::Forget { what, .. } => {
            let state = at.inspect(environment, false).await?;
            let selection = what.as_deref().map(selection).transpose()?;
            let forgot = state.forget(&selection.unwrap_or_default()).await;
            format!("forgot {}\n", facts(forgot.map_err(AppError::Index)?))
        }
        IndexCommand::Prune { older_than } => {
            let state = at.inspect(environment, false).await?;
            let before = SystemTime::now().checked_sub(*older_than);
            let forgot = state.prune(before.unwrap_or(SystemTime::UNIX_EPOCH)).await;
            format!("forgot {}\n", facts(forgot.map_err(AppError::Index)?))
        }
    };
    write!(io::stdout().lock(), "{text}").map_err(AppError::Output)
}

/// What a word on the command line means.
fn selection(what: &str) -> Result<Selection, AppError> {
    let wrong = || {
        AppError::Usage(format!(
            "{what:?} is neither a digest, nor registry/repository, nor a registry: see longshore index show"
        ))
    };
    if what.starts_with("sha256:") || what.starts_with("sha512:") {
        return what.parse().map(Selection::digest).map_err(|_| wrong());
    }
    if what.contains('/') {
        let repository: Repository = what.parse().map_err(|_| wrong())?;
        return Ok(Selection::repository(repository));
    }
    let registry: Registry = what.parse().map_err(|_| wrong())?;
    Ok(Selection::registry(registry))
}

/// Does something with each fact, in order.
async fn each(
    state: &State,
    selection: &Selection,
    mut with: impl FnMut(&Sighting) -> Result<(), AppError>,
) -> Result<usize, AppError> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = state.page(selection, after.as_ref()).await;
        let mut page = page.map_err(AppError::Index)?;
        count += page.len();
        page.iter().try_for_each(&mut with)?;
        if page.len() < PAGE {
            return Ok(count);
        }
        after = page.pop();
    }
}

/// Written as it is read: there may be more than should be in memory at once.
async fn show(state: &State, what: Option<&str>, output: JsonArgs) -> Result<(), AppError> {
    let meant = what.map(selection).transpose()?.unwrap_or_default();
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut before = "[";
    let count = each(state, &meant, |it| {
        let written = if output.json {
            write!(stdout, "{before}{}", json_of(it))
        } else {
            writeln!(stdout, "{}", line_of(it))
        };
        before = ",";
        written.map_err(AppError::Output)
    });
    let count = count.await?;
    let written = match (output.json, count, what) {
        (true, 0, _) => writeln!(stdout, "[]"),
        (true, ..) => writeln!(stdout, "]"),
        (false, 0, Some(what)) => writeln!(stdout, "nothing is known of {what}"),
        (false, 0, None) => writeln!(stdout, "nothing is known of any repository"),
        (false, ..) => Ok(()),
    };
    written
        .and_then(|()| stdout.flush())
        .map_err(AppError::Output)
}

fn line_of(it: &Sighting) -> String {
    let age = ago(it.at);
    match &it.sight {
        Sight::Denied => format!("{:30} {}  denied ({age})", "-", it.repository),
        Sight::Gone { digest } => {
            format!(
                "{} {:>10} {}  gone ({age})",
                Short(digest),
                "",
                it.repository
            )
        }
        Sight::Present { digest, size, by } => format!(
            "{} {:>10} {}  {} ({age})",
            Short(digest),
            ByteSize(*size).to_string(),
            it.repository,
            by.name(),
        ),
    }
}

fn json_of(it: &Sighting) -> Value {
    let (what, size, by) = match &it.sight {
        Sight::Denied => ("denied", None, None),
        Sight::Gone { .. } => ("gone", None, None),
        Sight::Present { size, by, .. } => ("present", Some(size), Some(by)),
    };
    json!({
        "digest": it.digest().map(ToString::to_string),
        "repository": it.repository.to_string(),
        "state": what,
        "size": size,
        "evidence": by,
        "seen": seconds(it.at),
    })
}

/// Writes all of it, or leaves the file that was there.
async fn export(state: &State, only: Option<&str>, file: &Path) -> Result<(), AppError> {
    let meant = only.map(selection).transpose()?.unwrap_or_default();
    if file == Path::new("-") {
        let mut stdout = BufWriter::new(io::stdout().lock());
        let write = |line: &dyn std::fmt::Display, to: &mut dyn Write| {
            writeln!(to, "{line}").map_err(AppError::Output)
        };
        write(&text::HEADER, &mut stdout)?;
        each(state, &meant, |it| write(it, &mut stdout)).await?;
        return stdout.flush().map_err(AppError::Output);
    }
    let failed = |error| AppError::Io {
        attempted: format!("write {}", file.display()),
        error,
    };
    let beside = file.parent().filter(|it| !it.as_os_str().is_empty());
    let new = tempfile::NamedTempFile::new_in(beside.unwrap_or(Path::new(".")));
    let mut new = BufWriter::new(new.map_err(failed)?);
    writeln!(new, "{}", text::HEADER).map_err(failed)?;
    each(state, &meant, |it| writeln!(new, "{it}").map_err(failed)).await?;
    let new = new.into_inner().map_err(|it| failed(it.into_error()))?;
    new.persist(file).map_err(|it| failed(it.error))?;
    Ok(())
}

/// What is to be read.
fn opened(file: &Path) -> Result<Box<dyn BufRead>, AppError> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(file).map_err(|error| AppError::unread(file, error))?;
    Ok(Box::new(BufReader::new(opened)))
}

fn named(file: &Path) -> String {
    match file.display().to_string() {
        stdin if stdin == "-" => "standard input".to_owned(),
        named => named,
    }
}

fn told(imported: &Imported, output: JsonArgs) -> Result<(), AppError> {
    let mut stdout = io::stdout().lock();
    let result = if output.json {
        let rejected = imported
            .rejected
            .iter()
            .map(|it| json!({ "line": it.line, "message": it.error.to_string() }));
        let told = json!({
            "facts": imported.facts,
            "news": imported.news,
            "forgotten": imported.forgotten,
            "lines_rejected": imported.rejections,
            "rejected": rejected.collect::<Vec<_>>(),
        });
        writeln!(stdout, "{told}")
    } else {
        let over = match imported.forgotten {
            0 => String::new(),
            forgotten => {
                format!("; {forgotten} of the oldest forgotten: {MOST_FACTS} are kept, for 90 days")
            }
        };
        let read = facts(imported.facts);
        writeln!(stdout, "{read}, {} new{over}", imported.news)
    };
    result.map_err(AppError::Output)
}

/// `1 fact`, `2 facts`.
fn facts(count: usize) -> String {
    match count {
        1 => "1 fact".to_owned(),
        count => format!("{count} facts"),
    }
}
