//! `plan`: shows what a push would do, and sends nothing.

use std::{io::Write as _, sync::Arc};

use clap::Args;
use push::{Engine, Plan, PushError, Sessions};

mod seeding;

use seeding::savings;
pub(crate) use seeding::{Saving, savings_of_several};

use crate::{
    command::{
        json::JsonArgs,
        push::{ImageArgs, Job, prepare},
    },
    env::Environment,
    error::AppError,
    interrupt::{self, CLOSING},
    open,
    render::{human, progress::Progress},
    settings::ConnectionArgs,
    state::StateArgs,
    store::StoreArgs,
};

/// Show what pushing an image would do, and why
///
/// Reads the image and asks the registry what it holds. Nothing is uploaded, mounted or
/// tagged.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    image: ImageArgs,

    #[command(flatten)]
    output: JsonArgs,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    state: StateArgs,

    #[command(flatten)]
    store: StoreArgs,
}

/// How it is used.
const EXAMPLES: &str = "\
Examples:
  longshore plan ./image registry.example.com/team/app:1.2
  longshore plan image.tar registry.example.com/team/app:1.2 --max-upload-bytes 50000000";

pub(crate) async fn plan(args: &PlanArgs, environment: &Environment) -> Result<(), AppError> {
    let state = args.state.look(environment).await?;
    let progress = Arc::new(Progress::plain());
    let read = open::source_reference(&args.image.source)?;
    let store = args.store.of(read.as_ref(), false, environment, &progress);
    let kept = (state, Sessions::Keep, store.await?);
    let job = prepare(&args.image, &args.connection, environment, kept, progress).await?;
    show(&job, args.output.json).await
}

/// Makes the plan and prints it.
pub(crate) async fn show(job: &Job, as_json: bool) -> Result<(), AppError> {
    let plan = planned(job).await?;
    let savings = savings(job, &plan).await;
    let over = over_limit(&job.engine, &plan);
    let mut stdout = std::io::stdout().lock();
    if as_json {
        let mut plan = human::plan_json(&plan, over.as_ref());
        if !savings.is_empty() {
            plan["bases"] = savings.iter().map(Saving::json).collect();
        }
        if let Some(built) = &job.built {
            plan["build"] = built.clone();
        }
        writeln!(stdout, "{}", human::routed(plan, job.routed.as_ref()))
    } else {
        let savings: String = savings.iter().map(|it| it.text() + "\n").collect();
        write!(stdout, "{plan}{savings}")
    }
    .map_err(AppError::Output)?;
    over.map_or(Ok(()), Err)
}

/// Makes the plan.
pub(crate) async fn planned(job: &Job) -> Result<Plan, AppError> {
    let work = async {
        let planning = job.engine.plan(&*job.source, &job.target, &job.destination);
        Ok(planning.await?)
    };
    let result = interrupt::until_interrupted(job.deadline, work).await;
    let result = open::unless_paused(result, &job.client);
    job.client.close(CLOSING).await;
    result
}

/// A plan over the limit is shown, and ends as the push would.
pub(crate) fn over_limit(engine: &Engine, plan: &Plan) -> Option<AppError> {
    let planned = plan.totals().bytes.uploaded;
    match engine.options().max_upload_bytes {
        Some(limit) if planned > limit => {
            Some(AppError::OverLimit(PushError::Gate { planned, limit }))
        }
        _ => None,
    }
}
