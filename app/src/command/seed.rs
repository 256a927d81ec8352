//! `seed`: the layers of base images into a registry, once for all images that are built on them.

use std::{io::Write as _, num::NonZeroUsize, sync::Arc};

use clap::Args;
use oci::{Digest, Platform, Reference};
use push::{
    Report, Sessions, State,
    source::{
        OpenError,
        seed::{Seed, seed_tag},
    },
};
use registry::{Client, Traffic};
use serde_json::{Value, json};

use crate::{
    command::{
        json::JsonArgs,
        plan::{over_limit, planned},
        push::{ImageArgs, Job, all_tags, carried_out, prepare_from},
        run::RunArgs,
        transfer::{ForeignPolicy, TransferArgs},
    },
    env::Environment,
    error::AppError,
    exit::Cause,
    open::{self, course::Course, place},
    render::{human, progress::Progress},
};

/// Put the layers of base images into a registry, so that no push to it sends them again
///
/// Streams the layers from where the base is into one repository, without keeping them on the way,
/// and puts a manifest that lists them, so that they stay. Later pushes of images on that base, to
/// whatever repository of the registry, have them mounted from there.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SeedArgs {
    /// The base images, in registries
    #[arg(value_name = "BASE", required = true)]
    bases: Vec<String>,

    /// The repository that will hold the layers: registry/repository
    #[arg(long, value_name = "REPOSITORY")]
    to: String,

    /// Only the images for this platform, out of multi-platform bases; may be given several times:
    /// os/architecture[/variant][:os.version]
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<Platform>,

    /// What becomes of foreign layers, which say where else they are to be had
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = ForeignPolicy::Keep, hide_short_help = true)]
    foreign: ForeignPolicy,

    /// Fetch included or embedded foreign layers from their urls where the base's registry has not got them:
    /// over TLS, from public addresses, without credentials
    #[arg(long, hide_short_help = true)]
    allow_foreign_fetch: bool,

    /// A host of your own that foreign layers may be fetched from without TLS and at a private
    /// address; may be given several times
    #[arg(long, value_name = "HOST[:PORT]", requires = "allow_foreign_fetch")]
    foreign_host: Vec<String>,

    /// Stop before the first write if more than this many bytes would be uploaded for a base
    #[arg(long, value_name = "BYTES")]
    max_upload_bytes: Option<u64>,

    #[command(flatten)]
    run: RunArgs,
}

/// How it is used.
const EXAMPLES: &str = "\
Example:
  longshore seed mcr.microsoft.com/windows/servercore:ltsc2022 --to registry.example.com/bases";

/// What is known of a base when it has been read.
struct Facts {
    digest: Digest,
    images: usize,
    layers: usize,
}

impl SeedArgs {
    /// How layers are transferred.
    fn transfer(&self) -> TransferArgs {
        TransferArgs {
            foreign: self.foreign,
            allow_foreign_fetch: self.allow_foreign_fetch,
            foreign_host: self.foreign_host.clone(),
            max_upload_bytes: self.max_upload_bytes,
            ..TransferArgs::default()
        }
    }
}

pub(crate) async fn seed(args: &SeedArgs, environment: &Environment) -> Result<(), AppError> {
    args.transfer().check_foreign()?;
    let bases = args.bases.iter().map(|it| base(it));
    let bases: Vec<Reference> = bases.collect::<Result<_, _>>()?;
    let to = open::reference(&args.to)?;
    if to.tag().is_some() || to.digest().is_some() {
        return Err(AppError::Usage(format!(
            "--to {} names an image: give a repository, {}; each base gets a tag of its own there",
            args.to,
            to.repository()
        )));
    }
    let state = args.run.open_state(environment).await?;
    let sessions = args.run.unfinished.sessions(&state);
    let (mut told, mut failed) = (Vec::new(), Vec::new());
    for base in &bases {
        let kept = (state.clone(), sessions);
        match Box::pin(one(args, base, environment, kept)).await {
            Ok(seeded) => told.extend(seeded),
            Err(error) if bases.len() == 1 || stops_all(&error) => return Err(error),
            // What becomes of one says nothing about the next.
            Err(error) => {
                let _ = write!(std::io::stderr(), "{base}: {}", error.text());
                told.push(failure(base, &error));
                failed.push((base.to_string(), error.cause()));
            }
        }
    }
    let cause = match failed.first() {
        None => Cause::Done,
        Some((_, cause)) if failed.len() == bases.len() => *cause,
        Some(_) => Cause::Partly,
    };
    if args.run.output.json {
        let seeds = json!({ "seeds": told, "cause": cause });
        writeln!(std::io::stdout(), "{seeds}").map_err(AppError::Output)?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(AppError::SomeFailed {
        cause,
        what: "bases were not seeded",
        named: failed.into_iter().map(|it| it.0).collect(),
        of: bases.len(),
    })
}

/// Whether nobody waits for what comes next.
fn stops_all(error: &AppError) -> bool {
    matches!(error, AppError::Interrupted | AppError::Timeout)
}

fn failure(base: &Reference, error: &AppError) -> Value {
    let failure = json!({ "cause": error.cause(), "error": error.as_json() });
    about(failure, base, None)
}

/// A base is in a registry, whether it is written as a source or as a reference.
fn base(text: &str) -> Result<Reference, AppError> {
    if let Some(reference) = open::source_reference(text)? {
        return Ok(reference);
    }
    if place::is_on_this_machine(text) {
        return Err(AppError::Usage(format!(
            "{text:?} is not in a registry, and seeding streams layers from one to another: longshore copy puts an image of this machine into a registry, and pushes with --mount-from mount its layers"
        )));
    }
    open::reference(text)
}

/// Seeds one base, and says what was done: as text at once, as JSON to the caller.
async fn one(
    args: &SeedArgs,
    base: &Reference,
    environment: &Environment,
    kept: (State, Sessions),
) -> Result<Option<Value>, AppError> {
    let progress = Arc::new(args.run.progress());
    let image = ImageArgs {
        source: format!("docker://{base}"),
        destination: format!("{}:{}", args.to, seed_tag(base, &args.platforms)),
        transfer: args.transfer(),
        ..ImageArgs::default()
    };
    let mut facts = None;
    let open = async |course: &Course, client: &Client| {
        let seed = open_base(course, client, base, &args.platforms).await?;
        facts = Some(Facts {
            digest: seed.base_digest().clone(),
            images: seed.images(),
            layers: seed.layers().len(),
        });
        image.transfer.with_foreign(Box::new(seed), client)
    };
    let preparing = prepare_from(
        &image,
        &args.run.connection,
        environment,
        kept,
        progress.clone(),
        open,
    );
    let job = preparing.await.inspect_err(|_| progress.finish())?;
    if !args.run.output.json {
        headline(base, facts.as_ref())?;
    }
    if args.run.dry_run {
        return dry_run(&job, args.run.output, base, facts.as_ref()).await;
    }
    let report = carried_out(&job, &progress).await?;
    let traffic = job.client.traffic();
    all_tags(&report)?;
    if args.run.output.json {
        let told = human::report_json(&report, &traffic);
        let told = human::routed(told, job.routed.as_ref());
        return Ok(Some(about(told, base, facts.as_ref())));
    }
    tell(&report, &traffic, &progress)?;
    Ok(None)
}

/// Reads the base's manifests.
async fn open_base(
    course: &Course,
    client: &Client,
    named: &Reference,
    platforms: &[Platform],
) -> Result<Seed, AppError> {
    let from = course.source().unwrap_or(named);
    let holder = course.destination(0).map(Reference::repository);
    if holder == Some(from.repository()) {
        return Err(AppError::Usage(format!(
            "{} is where the base {named} is: it holds the base's layers already, and pushes with --mount-from {} mount them",
            from.repository(),
            from.repository(),
        )));
    }
    let source = Box::new(client.source(from, None));
    Seed::of(source, named, platforms)
        .await
        .map_err(|error| match error {
            OpenError::Source(error) => AppError::Source {
                place: format!("{named}, the base"),
                error,
            },
            other => AppError::Open(other),
        })
}

async fn dry_run(
    job: &Job,
    output: JsonArgs,
    base: &Reference,
    facts: Option<&Facts>,
) -> Result<Option<Value>, AppError> {
    let plan = planned(job).await?;
    let over = over_limit(&job.engine, &plan);
    let mut told = None;
    if output.json {
        let plan = human::plan_json(&plan, over.as_ref());
        let plan = human::routed(plan, job.routed.as_ref());
        told = Some(about(plan, base, facts));
    } else {
        write!(std::io::stdout(), "{plan}").map_err(AppError::Output)?;
    }
    over.map_or(Ok(told), Err)
}

fn headline(base: &Reference, facts: Option<&Facts>) -> Result<(), AppError> {
    let Some(Facts { images, layers, .. }) = facts else {
        return Ok(());
    };
    let images = counted(*images, "image");
    let layers = counted(*layers, "layer");
    writeln!(std::io::stdout(), "{base}: {layers} of {images}").map_err(AppError::Output)
}

fn counted(count: usize, noun: &str) -> String {
    match NonZeroUsize::new(count) {
        Some(NonZeroUsize::MIN) => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn tell(report: &Report, traffic: &Traffic, progress: &Progress) -> Result<(), AppError> {
    let text = human::report(report, Some(traffic), progress.told());
    write!(std::io::stdout(), "{text}").map_err(AppError::Output)
}

/// The same object with what it is about.
fn about(mut told: Value, base: &Reference, facts: Option<&Facts>) -> Value {
    let facts = facts.map(|it| {
        json!({
            "name": base.to_string(),
            "digest": it.digest.to_string(),
            "images": it.images,
            "layers": it.layers,
        })
    });
    told["base"] = facts.unwrap_or_else(|| json!({ "name": base.to_string() }));
    told
}
