//! What came of a copy, or would: one destination as a push tells it, several in a list.

use std::io::Write as _;

use push::{Plan, source::Subset};
use serde_json::{Value, json};

use super::{
    Job,
    ends::{Deliveries, Delivery, End},
};
use crate::{
    command::{
        json::JsonArgs,
        plan::{Saving, over_limit, savings_of_several},
        push::all_tags,
    },
    error::AppError,
    exit::Cause,
    interrupt::{self, CLOSING},
    open,
    render::human,
};

/// Plans, and prints the plans.
pub(super) async fn plans(job: &Job, output: JsonArgs) -> Result<(), AppError> {
    let work = async {
        let mut plans: Vec<Plan> = Vec::with_capacity(job.ends.len());
        for end in &job.ends {
            let planning = end
                .engine
                .plan(&*job.source, &*end.target, &end.destination);
            plans.push(planning.await?);
        }
        let to = job.ends.iter().map(|it| it.target.repository().registry());
        let to: Vec<_> = to.zip(&plans).collect();
        let savings = savings_of_several(&*job.source, &job.client, &job.bases, &to).await;
        Ok(plans.into_iter().zip(savings).collect())
    };
    let result = interrupt::until_interrupted(job.deadline, work).await;
    let result = open::unless_paused(result, &job.client);
    job.client.close(CLOSING).await;
    let plans: Vec<(Plan, Vec<Saving>)> = result?;
    let mut over = None;
    let mut told = Vec::with_capacity(plans.len());
    let mut text = subset_text(job.subset.as_ref());
    for (end, (plan, savings)) in job.ends.iter().zip(&plans) {
        let error = over_limit(&end.engine, plan);
        let mut value = human::plan_json(plan, error.as_ref());
        if !savings.is_empty() {
            value["bases"] = savings.iter().map(Saving::json).collect();
        }
        let value = human::routed(value, end.routed.as_ref());
        told.push(with_subset(value, job.subset.as_ref()));
        text.push_str(&plan.to_string());
        text.extend(savings.iter().map(|it| it.text() + "\n"));
        over = over.or(error);
    }
    print(output, &with_built(several(told, None), job), &text)?;
    over.map_or(Ok(()), Err)
}

/// Prints what came of it, and says how the command ends.
pub(super) fn reports(
    job: &Job,
    deliveries: Deliveries,
    output: JsonArgs,
    told: bool,
) -> Result<(), AppError> {
    let traffic = job.client.traffic();
    // One that failed alone is told of as any command's failure is.
    let Deliveries { results, reopened } = deliveries;
    let deliveries = match <[Delivery; 1]>::try_from(results) {
        Ok([Err(error)]) => return Err(error.into()),
        Ok([one]) => vec![one],
        Err(several) => several,
    };
    let alone = deliveries.len() == 1;
    let mut values = Vec::with_capacity(deliveries.len());
    let mut text = subset_text(job.subset.as_ref());
    let mut failed = Vec::new();
    let mut refused = Ok(());
    let done = deliveries.iter().any(Result::is_ok);
    for (end, delivery) in job.ends.iter().zip(deliveries) {
        match delivery {
            Ok(report) => {
                let value = human::report_json(&report, &traffic);
                let value = human::routed(value, end.routed.as_ref());
                values.push(with_subset(value, job.subset.as_ref()));
                let own = alone.then_some(&traffic);
                text.push_str(&human::report(&report, own, told));
                refused = refused.and(all_tags(&report));
            }
            Err(error) => {
                let error = AppError::from(error);
                values.push(failure(end, &error));
                failed.push((end, error));
            }
        }
    }
    if !alone {
        text.push_str(&human::requests_text(&traffic));
        text.push('\n');
    }
    let cause = match (failed.first(), &refused, done) {
        (None, Ok(()), _) => Cause::Done,
        (Some((_, error)), _, false) => error.cause(),
        _ => Cause::Partly,
    };
    if values.len() > 1 {
        for (value, reopened) in values.iter_mut().zip(reopened) {
            value["reopened"] = json!(reopened);
        }
    }
    let mut value = with_built(several(values, Some(cause)), job);
    if let Some(keeping) = &job.keeping {
        value["store"] = keeping.json();
        text.insert_str(0, &keeping.text().unwrap_or_default());
    }
    print(output, &value, &text)?;
    if failed.is_empty() {
        return refused;
    }
    Err(some_failed(job, &failed, cause))
}

/// Tells of those that failed one by one, and then of all of them.
fn some_failed(job: &Job, failed: &[(&End, AppError)], cause: Cause) -> AppError {
    for (end, error) in failed {
        let _ = write!(std::io::stderr(), "{}: {}", end.name(), error.text());
    }
    let named = failed.iter().map(|(end, _)| end.name().to_owned());
    AppError::SomeFailed {
        cause,
        what: "destinations did not get the image",
        named: named.collect(),
        of: job.ends.len(),
    }
}

fn failure(end: &End, error: &AppError) -> Value {
    json!({
        "repository": end.target.repository(),
        "cause": error.cause(),
        "error": error.as_json(),
    })
}

/// One value as it is; several as a list, with how the command ends.
fn several(mut values: Vec<Value>, cause: Option<Cause>) -> Value {
    if values.len() == 1 {
        return values.remove(0);
    }
    let mut value = json!({ "destinations": values });
    if let Some(cause) = cause {
        value["cause"] = json!(cause);
    }
    value
}

fn with_built(mut value: Value, job: &Job) -> Value {
    if let Some(built) = &job.built {
        value["build"] = built.clone();
    }
    value
}

fn with_subset(mut value: Value, subset: Option<&Subset>) -> Value {
    if let Some(subset) = subset {
        value["subset"] = json!(subset);
    }
    value
}

fn subset_text(subset: Option<&Subset>) -> String {
    subset.map_or_else(String::new, |it| {
        let left = match it.dropped.len() {
            0 => "all it lists".to_owned(),
            count => format!("without {count} of its manifests"),
        };
        let platforms = it.platforms.join(", ");
        if it.digest == it.of {
            format!("{platforms} of {}, {left}\n", it.of)
        } else {
            format!("{platforms} of {}, {left}: now {}\n", it.of, it.digest)
        }
    })
}

fn print(output: JsonArgs, value: &Value, text: &str) -> Result<(), AppError> {
    let mut stdout = std::io::stdout().lock();
    let printed = if output.json {
        writeln!(stdout, "{value}")
    } else {
        write!(stdout, "{text}")
    };
    printed.map_err(AppError::Output)
}
