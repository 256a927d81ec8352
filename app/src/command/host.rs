//! `host`: how a registry would be reached, and which files decided that.

use std::{fmt::Write as _, io::Write as _};

use clap::{Args, Subcommand};
use oci::Reference;

use crate::{
    command::json::JsonArgs,
    env::Environment,
    error::AppError,
    open,
    routes::{Purpose, Route, Routes},
    settings::ConnectionArgs,
};

mod facts;

use facts::{Facts, Said};

/// Show how a registry would be reached
#[derive(Args, Clone, Debug)]
pub(crate) struct HostArgs {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum HostCommand {
    /// Show how a registry would be reached, and which files decided that
    ///
    /// Where requests go, with TLS or without, what the registry is trusted by, who this machine is
    /// to it, and through which proxy. Nothing is sent, no credential helper is run, and no secret
    /// shown.
    Show(Box<ShowArgs>),
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The registry, or a repository of it: host[:port][/repository]
    #[arg(value_name = "HOST[/REPO]")]
    name: String,

    /// As a source (docker://…), and not as a destination
    #[arg(long)]
    read: bool,

    #[command(flatten)]
    output: JsonArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn host(args: &HostArgs, environment: &Environment) -> Result<(), AppError> {
    let HostCommand::Show(args) = &args.command;
    let routes = Routes::read(environment)?;
    let purpose = if args.read {
        Purpose::Read
    } else {
        Purpose::Push
    };
    let (name, route) = route(&args.name, &routes, purpose)?;
    let warnings = routes.warnings().iter().chain(&route.warnings);
    open::warn(warnings);
    let ways = route.ways.iter();
    let ways = ways.map(|way| Facts::of(way, &args.connection, environment));
    let ways: Vec<Facts> = ways.collect::<Result<_, _>>()?;
    let text = if args.output.json {
        format!("{}\n", json_of(&name, &route, &ways))
    } else {
        text_of(&name, &route, &ways)
    };
    write!(std::io::stdout().lock(), "{text}").map_err(AppError::Output)
}

/// The name as it is meant, and where it leads.
fn route(text: &str, routes: &Routes, purpose: Purpose) -> Result<(String, Route), AppError> {
    let without_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    if without_scheme.trim_end_matches('/').contains('/') {
        let reference: Reference = open::reference(text)?;
        let route = routes.of_reference(&reference, purpose)?;
        return Ok((reference.repository().to_string(), route));
    }
    let (registry, scheme) = super::login::host(text)?;
    let route = routes.of_registry(&registry, purpose)?;
    let route = match scheme {
        Some(scheme) => route.with_scheme(&registry, scheme),
        None => route,
    };
    Ok((registry.to_string(), route))
}

fn json_of(name: &str, route: &Route, ways: &[Facts]) -> serde_json::Value {
    let decided = route.decided.as_ref();
    serde_json::json!({
        "name": name,
        "decided_by": decided.map(|it| it.path.display().to_string()),
        "rule": decided.map(|it| it.rule.clone()),
        "ways": ways,
        "left_out": route.notes,
    })
}

fn text_of(name: &str, route: &Route, ways: &[Facts]) -> String {
    let mut text = format!("{name}\n");
    if let Some(decided) = &route.decided {
        let _ = writeln!(
            text,
            "  decided by     {}, {}",
            decided.path.display(),
            decided.rule
        );
    }
    if ways.len() > 1 {
        let _ = writeln!(text, "  of these the first that answers is taken:");
    }
    for facts in ways {
        write_facts(&mut text, facts);
    }
    for note in &route.notes {
        let _ = writeln!(text, "  left out       {note}");
    }
    text
}

fn write_facts(text: &mut String, facts: &Facts) {
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<15}{value}");
    };
    let told = |said: &Said| format!("{} ({})", said.value, said.because);
    line("endpoint", &told(&facts.endpoint));
    if let Some(repository) = &facts.repository {
        line("repository", repository);
    }
    if facts.tls {
        let checked = if facts.checked {
            "the system's certificates"
        } else {
            "any certificate"
        };
        line("trusted by", checked);
    }
    for authority in &facts.authorities {
        line("  and by", &told(authority));
    }
    for why in &facts.unchecked {
        line("unchecked", why);
    }
    for certificate in &facts.certificates {
        line("shown to it", &told(certificate));
    }
    line("proxy", &facts.proxy.as_ref().map_or("none".into(), told));
    line(
        "credentials",
        &facts.credentials.as_ref().map_or("none".into(), told),
    );
    for header in &facts.headers {
        line("header", header);
    }
}
