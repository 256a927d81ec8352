//! Plans and reports, for people and as JSON.

use std::fmt::Write as _;

use push::{ByteSize, Done, MountStatus, Plan, Report};
use registry::Traffic;
use serde_json::{Value, json};

use crate::{error::AppError, exit::Cause, warning::with_causes};

use super::{Short, progress::word};

/// What a push did, for a person; without the blobs if they were told of already, and without the
/// requests if they are not this push's alone.
pub(crate) fn report(report: &Report, traffic: Option<&Traffic>, told: bool) -> String {
    let mut text = String::new();
    if !told {
        let _ = write_blobs(&mut text, report);
    }
    let _ = write_report(&mut text, report, traffic);
    text
}

/// The same as one JSON object, with the requests it took.
pub(crate) fn report_json(report: &Report, traffic: &Traffic) -> Value {
    let mut value = serde_json::to_value(report).unwrap_or_else(|_| json!({}));
    value["requests"] = requests_json(traffic);
    let partly = report.refused_tags().next().is_some();
    value["cause"] = json!(if partly { Cause::Partly } else { Cause::Done });
    value
}

/// A plan as one JSON object; `error` is why it could not be carried out.
pub(crate) fn plan_json(plan: &Plan, error: Option<&AppError>) -> Value {
    let mut value = serde_json::to_value(plan).unwrap_or_else(|_| json!({}));
    if let Some(error) = error {
        value["error"] = error.as_json();
    }
    value
}

/// The same object, with what of it is elsewhere than it was named.
pub(crate) fn routed(mut value: Value, routed: Option<&Value>) -> Value {
    if let Some(routed) = routed {
        value["routed"] = routed.clone();
    }
    value
}

fn write_blobs(text: &mut String, report: &Report) -> Result<(), std::fmt::Error> {
    for outcome in report.blobs.iter().filter(|it| it.done != Done::Present) {
        let from = match &outcome.mount {
            MountStatus::Mounted { from: Some(from) } => format!(" from {}", from.path()),
            MountStatus::Mounted { from: None } => " from elsewhere on the registry".to_owned(),
            _ => String::new(),
        };
        writeln!(
            text,
            "  {} {:>11}  {}{from}",
            Short(&outcome.blob.digest),
            ByteSize(outcome.blob.size),
            word(outcome.done)
        )?;
    }
    Ok(())
}

fn write_report(
    text: &mut String,
    report: &Report,
    traffic: Option<&Traffic>,
) -> Result<(), std::fmt::Error> {
    let bytes = &report.bytes;
    writeln!(
        text,
        "{} uploaded, {} mounted, {} there already",
        ByteSize(bytes.uploaded),
        ByteSize(bytes.mounted),
        ByteSize(bytes.present)
    )?;
    if bytes.foreign > 0 {
        writeln!(text, "{} foreign, kept out", ByteSize(bytes.foreign))?;
    }
    if let Some(foreign) = &report.foreign {
        text.push_str(&foreign.explain());
    }
    if bytes.resumed > 0 {
        writeln!(
            text,
            "{} were sent by a push that was interrupted",
            ByteSize(bytes.resumed)
        )?;
    }
    if bytes.resent > 0 {
        writeln!(text, "{} sent again", ByteSize(bytes.resent))?;
    }
    if let Some(traffic) = traffic {
        writeln!(text, "{}", requests_text(traffic))?;
    }
    for (tag, error) in report.refused_tags() {
        writeln!(text, "tag {tag} was refused: {}", with_causes(error))?;
    }
    if !report.verified {
        writeln!(text, "the registry did not confirm the digest")?;
    }
    match &report.tags[..] {
        [] => writeln!(text, "{}@{}", report.repository, report.digest),
        tags => tags
            .iter()
            .try_for_each(|tag| writeln!(text, "{}:{tag}@{}", report.repository, report.digest)),
    }
}

/// `7 requests: HEAD 1, POST 3, PUT 3`, and one for tokens where there were any.
pub(crate) fn requests_text(traffic: &Traffic) -> String {
    let total = &traffic.total;
    let by_method: Vec<String> = total
        .requests
        .iter()
        .map(|(method, count)| format!("{method} {count}"))
        .collect();
    let count = traffic.requests();
    let noun = if count == 1 { "request" } else { "requests" };
    let mut text = format!("{count} {noun}: {}", by_method.join(", "));
    if total.token_requests > 0 {
        let _ = write!(text, "; {} for tokens", total.token_requests);
    }
    if total.retries > 0 {
        let _ = write!(text, "; {} were made again", total.retries);
    }
    text
}

fn requests_json(traffic: &Traffic) -> Value {
    let total = &traffic.total;
    let mut requests = json!(total.requests);
    requests["total"] = json!(traffic.requests());
    requests["tokens"] = json!(total.token_requests);
    requests["retries"] = json!(total.retries);
    requests
}
