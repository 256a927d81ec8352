//! `push`: an image into a registry.

use std::{io::Write as _, sync::Arc};

use clap::Args;
use oci::{Platform, PushTarget as _};
use push::{Engine, Report, Sessions, State, cache::Store, index::BlobIndex, source::Selection};
use registry::ClientObserver;
use tokio::time::Instant;

use crate::{
    command::{
        copy::{CopyArgs, SubsetArg, copy},
        json::JsonArgs,
        plan,
        run::RunArgs,
        transfer::TransferArgs,
    },
    env::Environment,
    error::AppError,
    interrupt::{self, CLOSING},
    open::{self, Company, course::Course},
    recorded::WithRecorded,
    render::{human, progress::Progress},
    settings::ConnectionArgs,
    store::{Keeping, StoreArgs},
    warning::warn,
};

/// Push an image to a registry
///
/// Asks the registry what it holds, sends the rest, puts the manifest last, and says what
/// was done. If a blob or a manifest fails, no tag is moved.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PushArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,

    /// Other places it goes to as well: what several need is read once, and each gets it whatever
    /// becomes of the others
    #[arg(value_name = "REFERENCE")]
    others: Vec<String>,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    store: StoreArgs,
}

/// How it is used.
const EXAMPLES: &str = "\
Examples:
  longshore push ./image registry.example.com/team/app:1.2
  longshore push image.tar registry.example.com/team/app:1.2 -t latest
  longshore push ./image a.example.com/app:1 b.example.com/app:1
  longshore push docker://from.example.com/app:1 to.example.com/app:1 --referrers";

/// Which image goes where
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ImageArgs {
    /// The image: the path of an OCI layout directory, an OCI archive or a docker-save archive (tar,
    /// plain or compressed), or `docker://REFERENCE` for one in a registry
    pub(crate) source: String,

    /// Where it goes: registry/repository[:tag][@digest]
    #[arg(value_name = "REFERENCE")]
    pub(crate) destination: String,

    /// Which image, where the source holds several: its name, tag or digest
    #[arg(long, value_name = "NAME")]
    pub(crate) image: Option<String>,

    /// Only the image for this platform, out of a multi-platform one:
    /// os/architecture[/variant][:os.version]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<Platform>,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// Everything a push or a plan needs.
pub(crate) struct Job {
    pub(crate) client: registry::Client,
    pub(crate) engine: Engine,
    pub(crate) source: Box<dyn oci::Source>,
    pub(crate) target: registry::RegistryPushTarget,
    pub(crate) destination: push::Destination,
    /// Where the source was named to be, if that is a registry.
    pub(crate) from: Option<oci::Reference>,
    /// What is kept of what is fetched.
    pub(crate) keeping: Option<Keeping>,
    /// What was built, as JSON, if it was built just now.
    pub(crate) built: Option<serde_json::Value>,
    /// What it was built on.
    pub(crate) bases: Vec<oci::Reference>,
    /// What is elsewhere than it was named, as JSON.
    pub(crate) routed: Option<serde_json::Value>,
    /// When the command has to be over.
    pub(crate) deadline: Option<Instant>,
}

pub(crate) async fn push(args: &PushArgs, environment: &Environment) -> Result<(), AppError> {
    if !args.others.is_empty() {
        return Box::pin(copy(&args.to_several(), environment)).await;
    }
    let state = args.run.open_state(environment).await?;
    let sessions = args.run.unfinished.sessions(&state);
    let progress = Arc::new(args.run.progress());
    let read = open::source_reference(&args.image.source)?;
    let store = args
        .store
        .of(read.as_ref(), !args.run.dry_run, environment, &progress);
    let preparing = async {
        prepare(
            &args.image,
            &args.run.connection,
            environment,
            (state, sessions, store.await?),
            progress.clone(),
        )
        .await
    };
    let job = preparing.await.inspect_err(|_| progress.finish())?;
    if args.run.dry_run {
        return plan::show(&job, args.run.output.json).await;
    }
    carry_out(&job, &progress, &args.run.output).await
}

impl PushArgs {
    /// The same as a copy, which has any number of destinations.
    fn to_several(&self) -> CopyArgs {
        let image = &self.image;
        let destinations = std::iter::once(&image.destination).chain(&self.others);
        CopyArgs {
            source: open::place::source_text(&image.source),
            destinations: destinations
                .map(|it| open::place::reference_text(it))
                .collect(),
            image: image.image.clone(),
            platforms: image.platform.iter().cloned().collect(),
            subset: match image.platform {
                Some(_) => SubsetArg::Image,
                None => SubsetArg::default(),
            },
            transfer: image.transfer.clone(),
            run: self.run.clone(),
            store: self.store.clone(),
        }
    }
}

/// Pushes, and says what was done.
pub(crate) async fn carry_out(
    job: &Job,
    progress: &Progress,
    output: &JsonArgs,
) -> Result<(), AppError> {
    let report = carried_out(job, progress).await?;
    let traffic = job.client.traffic();
    let mut stdout = std::io::stdout().lock();
    if output.json {
        let mut report = human::report_json(&report, &traffic);
        if let Some(keeping) = &job.keeping {
            report["store"] = keeping.json();
        }
        if let Some(built) = &job.built {
            report["build"] = built.clone();
        }
        writeln!(stdout, "{}", human::routed(report, job.routed.as_ref()))
    } else {
        let kept = job.keeping.as_ref().and_then(Keeping::text);
        write!(
            stdout,
            "{}{}",
            kept.unwrap_or_default(),
            human::report(&report, Some(&traffic), progress.told())
        )
    }
    .map_err(AppError::Output)?;
    all_tags(&report)
}

/// Pushes, and says nothing.
pub(crate) async fn carried_out(job: &Job, progress: &Progress) -> Result<Report, AppError> {
    warn_of_other_registries(
        job.target.repository().registry(),
        &job.destination.mount_from,
    );
    let work = async {
        let pushing = job
            .engine
            .push(&*job.source, &job.target, &job.destination, progress);
        Ok(pushing.await?)
    };
    let result = interrupt::until_interrupted(job.deadline, work).await;
    let result = open::unless_paused(result, &job.client);
    progress.finish();
    job.client.close(CLOSING).await;
    if let Some(keeping) = &job.keeping {
        keeping
            .finish(result.as_ref().err(), &*job.source, progress)
            .await;
    }
    result
}

/// Blobs are linked within one registry only; whoever names another may have mistyped it.
pub(crate) fn warn_of_other_registries(here: &oci::Registry, mount_from: &[oci::Repository]) {
    for repository in mount_from.iter().filter(|it| it.registry() != here) {
        warn(format_args!(
            "nothing can be mounted from {repository}: it is not on {here}"
        ));
    }
}

/// An error if the registry took some tags and refused others.
pub(crate) fn all_tags(report: &Report) -> Result<(), AppError> {
    let refused = report.refused_tags().map(|(tag, _)| tag.to_string());
    match refused.collect::<Vec<_>>() {
        tags if tags.is_empty() => Ok(()),
        tags => Err(AppError::Partly { tags }),
    }
}

/// Reads settings, makes the client, and opens the source.
///
/// Opening is work too (an archive is decompressed, a registry asked): it ends with the
/// first signal, and `--timeout` counts it.
pub(crate) async fn prepare(
    args: &ImageArgs,
    connection: &ConnectionArgs,
    environment: &Environment,
    (state, sessions, store): (State, Sessions, Option<Store>),
    observer: Arc<dyn ClientObserver>,
) -> Result<Job, AppError> {
    let to = open::reference(&args.destination)?;
    let index = (!args.transfer.no_index).then(|| Arc::new(state.clone()));
    let kept = (state, sessions);
    let mut keeping = None;
    let named = open::source_reference(&args.source)?;
    let selection = Selection {
        name: args.image.clone(),
        platform: args.platform.clone(),
    };
    let open = async |course: &Course, client: &registry::Client| {
        let source = open::source(&args.source, course.source(), &selection, client).await?;
        let source = args.transfer.with_foreign(source, client)?;
        let source: Box<dyn oci::Source> = match index {
            // What a registry has not got is nowhere: it took the image with it.
            Some(index) if named.is_none() => {
                let registry = Some(to.repository().registry());
                let recorded = (index as Arc<dyn BlobIndex>, registry);
                Box::new(WithRecorded::new(source, client, recorded))
            }
            _ => source,
        };
        let (Some(store), Some(named)) = (store, named) else {
            return Ok(source);
        };
        let (source, kept) = Keeping::before(source, store, &named, selection.platform.is_none());
        keeping = Some(kept);
        Ok(source)
    };
    let job = prepare_from(args, connection, environment, kept, observer, open).await?;
    Ok(Job { keeping, ..job })
}

/// The same for a source that `open` makes.
pub(crate) async fn prepare_from(
    args: &ImageArgs,
    connection: &ConnectionArgs,
    environment: &Environment,
    (state, sessions): (State, Sessions),
    observer: Arc<dyn ClientObserver>,
    open: impl AsyncFnOnce(&Course, &registry::Client) -> Result<Box<dyn oci::Source>, AppError>,
) -> Result<Job, AppError> {
    let named = open::reference(&args.destination)?;
    let read = open::source_reference(&args.source)?;
    let course = Course::chart(
        std::slice::from_ref(&named),
        read.as_ref(),
        connection,
        environment,
    )
    .await?;
    let company = Company {
        state: state.clone(),
        observer,
    };
    let (client, settings) = course.client(connection, environment, company)?;
    let reference = course.destination(0).unwrap_or(&named);
    let mount_from = course.siblings(0, &args.transfer.mount_from);
    let deadline = interrupt::deadline(settings.timeout);
    let engine = args.transfer.engine(&settings, (state, sessions), false);
    let opening = async {
        let source = open(&course, &client).await?;
        let pushed = (&*source, &engine);
        let destination = open::destination(reference, &args.transfer.tags, &mount_from, pushed);
        Ok((destination.await?, source))
    };
    let opened = interrupt::until_interrupted(deadline, opening).await;
    let (destination, source) = open::unless_paused(opened, &client)?;
    let target = client.push_target(reference.repository());
    Ok(Job {
        engine,
        client,
        source,
        target,
        destination,
        from: read,
        keeping: None,
        built: None,
        bases: Vec::new(),
        routed: course.json(0),
        deadline,
    })
}
