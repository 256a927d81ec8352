//! `lint-windows-layer`: what Windows would not take of a layer.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read, Write as _},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use wcow::{Finding, LintOptions, LintReport, NameRules};

use crate::{command::json::JsonArgs, error::AppError};

/// Say what Windows would not take of a layer
///
/// Reads a layer of a Windows image, plain, gzip or zstd, whoever made it, and holds it against the
/// rules of the importer, which runs on Windows only. An error is what the importer refuses, or takes
/// and makes something else of; a warning is what leaves something to chance. With an error the
/// command ends with exit code 5.
#[derive(Args, Clone, Debug)]
pub(crate) struct LintWindowsLayerArgs {
    /// The layer; - for standard input
    #[arg(value_name = "FILE")]
    layer: PathBuf,

    /// What to make of names that the importer takes and ordinary programs cannot open: those of
    /// devices (CON, nul.txt), and those that end in a dot or a space
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    windows_names: WindowsNames,

    /// No time of any entry may be later than this, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    epoch: Option<u64>,

    #[command(flatten)]
    output: JsonArgs,
}

/// What a doubtful name is.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum WindowsNames {
    /// An error
    #[default]
    Error,
    /// A warning
    Warn,
}

pub(crate) fn lint_windows_layer(args: &LintWindowsLayerArgs) -> Result<(), AppError> {
    let (name, layer) = open(args)?;
    let mut options = LintOptions::default().with_names(match args.windows_names {
        WindowsNames::Error => NameRules::Strict,
        WindowsNames::Warn => NameRules::Warn,
    });
    if let Some(epoch) = args.epoch {
        options = options.with_latest(epoch);
    }
    let report = wcow::lint_windows_layer(layer, options).map_err(|error| AppError::Lint {
        name: name.clone(),
        error,
    })?;
    let text = if args.output.json {
        format!("{}\n", as_json(&name, &report))
    } else {
        as_text(&name, &report)
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(AppError::Output)?;
    if report.is_accepted() {
        return Ok(());
    }
    Err(AppError::NotForWindows(name))
}

/// The layer and what it is called.
fn open(args: &LintWindowsLayerArgs) -> Result<(String, Box<dyn Read>), AppError> {
    if args.layer.as_os_str() == "-" {
        return Ok(("standard input".into(), Box::new(io::stdin().lock())));
    }
    let name = args.layer.display().to_string();
    let file = File::open(&args.layer).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AppError::NoFile(args.layer.clone()),
        _ => AppError::Lint {
            name: name.clone(),
            error: wcow::LintError::Read { bytes: 0, error },
        },
    })?;
    Ok((name, Box::new(file)))
}

fn as_text(name: &str, report: &LintReport) -> String {
    let mut text = String::new();
    for (kind, findings) in [("error", report.errors()), ("warning", report.warnings())] {
        for it in findings {
            let _ = writeln!(text, "{kind}: {it}");
        }
    }
    if report.omitted() > 0 {
        let _ = writeln!(text, "and {} more", report.omitted());
    }
    let verdict = if report.is_accepted() {
        "Windows takes it"
    } else {
        "Windows does not take it"
    };
    let (entries, bytes) = (report.entries(), report.tar_size());
    let _ = writeln!(text, "{name}: {verdict} ({entries} entries, {bytes} bytes)");
    text
}

fn as_json(name: &str, report: &LintReport) -> Value {
    let findings = |them: &[Finding]| them.iter().map(finding).collect::<Vec<_>>();
    json!({
        "layer": name,
        "accepted": report.is_accepted(),
        "entries": report.entries(),
        "tar_size": report.tar_size(),
        "errors": findings(report.errors()),
        "warnings": findings(report.warnings()),
        "omitted": report.omitted(),
    })
}

fn finding(it: &Finding) -> Value {
    let about = (it.entry > 0).then_some((it.entry, &it.name));
    json!({
        "entry": about.map(|it| it.0),
        "name": about.map(|it| it.1),
        "code": it.fault.code(),
        "message": it.fault.to_string(),
    })
}
