//! `translate-packages`: a Dockerfile whose package managers are choco, for a builder on Windows.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, ErrorKind, Read, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};
use wcow::{
    dockerfile::MAX_FILE_BYTES,
    packages::{self, MAX_MAP_BYTES, PackageMap, TranslateOptions, Translation},
};

use crate::{command::json::JsonArgs, error::AppError, exit::Cause};

/// Translate a Dockerfile's package managers to choco
///
/// For a Dockerfile that a builder on Windows is to have. What apt, apk, yum and dnf install is
/// installed by choco, what they update and clean is left out, and so are compilers for Linux.
/// Everything else stays byte for byte, other commands of the same RUN included; notes on standard
/// error say which of them to look at. Nothing is run and nothing is fetched. A package
/// whose name on Windows is not known, or a line that cannot be translated safely, is an error, and
/// then nothing is written.
#[derive(Args, Clone, Debug)]
#[command(after_help = MAP)]
pub(crate) struct TranslatePackagesArgs {
    /// The Dockerfile; - for standard input
    #[arg(long, short, value_name = "FILE", default_value = "Dockerfile")]
    file: PathBuf,

    /// What packages are called on Windows, before what longshore knows itself: a TOML file
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,

    /// Write the translation to this file, in the place of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Set an ARG that a FROM needs; may be given several times
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    build_args: Vec<String>,

    /// Tell no notes
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    json: JsonArgs,
}

const MAP: &str = "\
A map has the package's name on the left and choco's on the right:
  [packages]                     # whichever distribution names it so
  postgresql-client = \"postgresql\"
  libpq5 = false                 # not installed at all
  nodejs = { id = \"nodejs\", version = \"22.11.0\" }
  [apt]                          # Debian alone; [apk] is Alpine's, [rpm] that of yum and dnf
  fd-find = \"fd\"";

pub(crate) fn translate_packages(args: &TranslatePackagesArgs) -> Result<(), AppError> {
    let mut options = TranslateOptions::default();
    if let Some(path) = &args.map {
        options.map = map(path)?;
    }
    for text in &args.build_args {
        let Some((name, value)) = text.split_once('=').filter(|it| !it.0.is_empty()) else {
            return Err(AppError::Usage(format!(
                "--build-arg {text:?} sets nothing: write NAME=VALUE"
            )));
        };
        options.arguments.set(name, value);
    }
    let (name, bytes) = dockerfile(&args.file)?;
    let translation = packages::translate(&bytes, &name, &options)?;
    if let Some(path) = &args.output {
        write(path, translation.text.as_bytes())?;
    }
    let mut stdout = io::stdout().lock();
    if args.json.json {
        let value = as_json(args, &name, &translation);
        return writeln!(stdout, "{value}").map_err(AppError::Output);
    }
    if args.output.is_none() {
        let written = stdout.write_all(translation.text.as_bytes());
        written.map_err(AppError::Output)?;
    }
    if !args.quiet {
        // Whoever does not read them misses nothing else.
        let _ = io::stderr().write_all(notes(args, &name, &translation).as_bytes());
    }
    Ok(())
}

/// The Dockerfile, and what it is called.
fn dockerfile(path: &Path) -> Result<(String, Vec<u8>), AppError> {
    if path.as_os_str() == "-" {
        let name = "standard input".to_owned();
        let bytes = read(io::stdin().lock(), MAX_FILE_BYTES);
        let failed = |error| AppError::Dockerfile {
            name: name.clone(),
            error,
        };
        return Ok((name.clone(), bytes.map_err(failed)?));
    }
    let name = path.display().to_string();
    let bytes = File::open(path).and_then(|it| read(it, MAX_FILE_BYTES));
    let bytes = bytes.map_err(|error| match error.kind() {
        ErrorKind::NotFound => not_found(path),
        _ => AppError::Dockerfile {
            name: name.clone(),
            error,
        },
    })?;
    Ok((name, bytes))
}

fn map(path: &Path) -> Result<PackageMap, AppError> {
    let name = path.display().to_string();
    let text = File::open(path)
        .and_then(|it| read(it, MAX_MAP_BYTES))
        .and_then(|it| {
            let wrong = |_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text");
            String::from_utf8(it).map_err(wrong)
        });
    let text = text.map_err(|error| match error.kind() {
        ErrorKind::NotFound => not_found(path),
        _ => AppError::ReadMap {
            name: name.clone(),
            error,
        },
    })?;
    Ok(PackageMap::parse(&text, &name)?)
}

fn not_found(path: &Path) -> AppError {
    AppError::NoFile(path.to_owned())
}

/// All there is, and one byte more than there may be at most: who is given it says that it is too
/// much.
fn read(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file whole or not at all, the Dockerfile itself too.
fn write(path: &Path, bytes: &[u8]) -> Result<(), AppError> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    let write = || {
        let mut beside = tempfile::Builder::new();
        #[cfg(unix)]
        {
            // As any new file has them: the umask takes its part.
            use std::os::unix::fs::PermissionsExt as _;
            beside.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = beside.prefix(".longshore-").tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|it| it.error)
    };
    write().map(drop).map_err(|error| AppError::Io {
        attempted: format!("write {}", path.display()),
        error,
    })
}

fn notes(args: &TranslatePackagesArgs, name: &str, translation: &Translation) -> String {
    let mut text = String::new();
    for note in &translation.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let changed = match translation.changed {
        0 => "no instruction installs packages: nothing has changed".to_owned(),
        1 => "1 instruction has changed".to_owned(),
        changed => format!("{changed} instructions have changed"),
    };
    let _ = match &args.output {
        Some(path) => writeln!(
            text,
            "{name}: {changed}; the result is in {}",
            path.display()
        ),
        None => writeln!(text, "{name}: {changed}"),
    };
    text
}

fn as_json(args: &TranslatePackagesArgs, name: &str, translation: &Translation) -> Value {
    let notes = translation.notes.iter().map(|it| {
        json!({
            "line": it.line,
            "code": it.kind.code(),
            "message": it.kind.to_string(),
        })
    });
    let mut value = json!({
        "file": name,
        "changed": translation.changed,
        "notes": notes.collect::<Vec<_>>(),
        "cause": Cause::Done,
    });
    match &args.output {
        Some(path) => value["output"] = json!(path.display().to_string()),
        None => value["dockerfile"] = json!(translation.text),
    }
    value
}
