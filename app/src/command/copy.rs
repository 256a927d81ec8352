//! `copy`: an image from wherever it is to one place or several.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use oci::{Platform, Source};
use push::{Foreign, State, index::BlobIndex, source::Subset};
use registry::Client;

use crate::{
    command::{json::JsonArgs, run::RunArgs, transfer::TransferArgs},
    env::Environment,
    error::AppError,
    interrupt::{self, CLOSING},
    open::{self, Company, course::Course, place::Place},
    render::progress::Progress,
    store::{Keeping, StoreArgs},
};

mod ending;
mod ends;
mod opening;
mod show;

use ending::Ending;
pub(crate) use ends::End;
use opening::Opening;

/// Copy an image to one place or to several
///
/// From a registry, an OCI layout, or an archive; to registries, OCI layouts or archives. What a destination
/// has is not fetched, and inside one registry every blob is linked, not moved: none of its bytes
/// is read. A whole multi-platform image is copied as it is, digest and all, unless --platform says
/// otherwise.
#[derive(Args, Clone, Debug)]
#[command(after_help = TEXTS)]
pub(crate) struct CopyArgs {
    /// The image: a registry reference, an OCI layout directory, an OCI or docker-save archive
    #[arg(value_name = "SRC")]
    pub(crate) source: String,

    /// Where it goes: a registry reference, an OCI layout, an OCI archive; each gets it, whatever becomes of the
    /// others
    #[arg(value_name = "DST", required = true)]
    pub(crate) destinations: Vec<String>,

    /// Which image, where the source is a layout or archive of several: its name, tag or digest
    #[arg(long, value_name = "NAME")]
    pub(crate) image: Option<String>,

    /// Only the images for this platform, with the attestations about them:
    /// os/architecture[/variant][:os.version]; may be given several times
    #[arg(long = "platform", value_name = "PLATFORM")]
    pub(crate) platforms: Vec<Platform>,

    /// What becomes of the index of an image some of whose platforms are copied
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        requires = "platforms"
    )]
    pub(crate) subset: SubsetArg,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

impl CopyArgs {
    /// Whether no manifest is made or altered on the way.
    fn is_verbatim(&self) -> bool {
        let rewritten = !self.platforms.is_empty() && self.subset == SubsetArg::Rewrite;
        !rewritten && self.transfer.foreign() != Foreign::Embed
    }
}

/// How places are written.
pub(crate) const TEXTS: &str = "\
Examples:
  longshore copy registry.example.com/team/app:1.2 mirror.example.com/team/app:1.2
  longshore copy registry.example.com/team/app:1.2 oci-archive:app.tar:1.2
  longshore copy ./image a.example.com/app:1 b.example.com/app:1 --platform linux/amd64

How SRC and DST are written:
  registry/repository[:tag][@digest], docker://…   in a registry
  oci:DIRECTORY[:TAG]                              an OCI image layout
  oci-archive:FILE[:TAG]                           one in a tar file; DST: replaced as a whole
  docker-archive:FILE[:NAME]                       what docker save writes: SRC only
  /path, ./path, ../path                           a layout; SRC: an archive too
Anything else is a reference if nothing on this machine has that name; if something has, say
which is meant: ./NAME or docker://NAME.";

/// What becomes of the index of an image some of whose platforms are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubsetArg {
    /// A new index lists just those; it has another digest
    #[default]
    Rewrite,
    /// The same index, byte for byte; what else it lists is not there
    Sparse,
    /// No index: the one image for the one platform, by its own digest; of several that match, the
    /// first
    Image,
}

/// What makes a copy a promotion: it is within one registry; with a digest, the source's tag has to
/// name that.
pub(crate) type Promotion = Option<oci::Digest>;

/// Everything a copy needs.
pub(crate) struct Job {
    pub(crate) client: Client,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) ends: Vec<End>,
    pub(crate) subset: Option<Subset>,
    /// What is kept of what is fetched.
    pub(crate) keeping: Option<Keeping>,
    /// What was built, as JSON, if it was built just now.
    pub(crate) built: Option<serde_json::Value>,
    /// What it was built on.
    pub(crate) bases: Vec<oci::Reference>,
    pub(crate) deadline: Option<tokio::time::Instant>,
}

pub(crate) async fn copy(args: &CopyArgs, environment: &Environment) -> Result<(), AppError> {
    copy_with(args, environment, None).await
}

/// The same; as a promotion, if it is one.
pub(crate) async fn copy_with(
    args: &CopyArgs,
    environment: &Environment,
    promotion: Option<Promotion>,
) -> Result<(), AppError> {
    let from = Place::source(&args.source)?;
    let to = args.destinations.iter().map(|it| Place::destination(it));
    let to = to.collect::<Result<Vec<_>, _>>()?;
    check(args, &to)?;
    let state = args.run.open_state(environment).await?;
    let progress = Arc::new(args.run.progress());
    let prepared = prepare(
        args,
        (&from, &to, promotion.as_ref()),
        environment,
        state,
        &progress,
    )
    .await;
    let job = prepared.inspect_err(|_| progress.finish())?;
    if args.run.dry_run {
        return plan(&job, args.run.output).await;
    }
    carry_out(&job, &progress, args.run.output).await
}

/// Shows what it would do.
pub(crate) async fn plan(job: &Job, output: JsonArgs) -> Result<(), AppError> {
    show::plans(job, output).await
}

/// Copies, and says what was done.
pub(crate) async fn carry_out(
    job: &Job,
    progress: &Progress,
    output: JsonArgs,
) -> Result<(), AppError> {
    let work = async { Ok(ends::deliver(&job.ends, &job.source, progress).await) };
    let result = interrupt::until_interrupted(job.deadline, work).await;
    let result = open::unless_paused(result, &job.client);
    progress.finish();
    job.client.close(CLOSING).await;
    ends::settle(&job.ends).await;
    if let Some(keeping) = &job.keeping {
        keeping
            .finish(result.as_ref().err(), &*job.source, progress)
            .await;
    }
    show::reports(job, result?, output, progress.told())
}

/// What of the arguments does not go together.
fn check(args: &CopyArgs, to: &[Place]) -> Result<(), AppError> {
    if args.subset == SubsetArg::Image && args.platforms.len() != 1 {
        return Err(AppError::Usage(
            "--subset image is for one --platform: of several, a rewritten index lists the images"
                .into(),
        ));
    }
    for (at, place) in to.iter().enumerate() {
        if to[..at].contains(place) {
            return Err(AppError::Usage(format!(
                "the destination {:?} is given twice",
                args.destinations[at]
            )));
        }
    }
    let layout = to.iter().position(|it| it.reference().is_none());
    if let Some(at) = layout.filter(|_| !args.transfer.must_mount.is_empty()) {
        return Err(AppError::Usage(format!(
            "nothing can be mounted into {:?}, as --must-mount wants: it is no registry's",
            args.destinations[at]
        )));
    }
    Ok(())
}

/// Reads settings, makes the client, and opens the source.
async fn prepare(
    args: &CopyArgs,
    (from, to, promotion): (&Place, &[Place], Option<&Promotion>),
    environment: &Environment,
    state: State,
    progress: &Arc<Progress>,
) -> Result<Job, AppError> {
    let sessions = args.run.unfinished.sessions(&state);
    let references: Vec<_> = to.iter().filter_map(Place::reference).cloned().collect();
    let read = from.reference();
    let course = Course::chart(&references, read, &args.run.connection, environment).await?;
    let company = Company {
        state: state.clone(),
        observer: progress.clone(),
    };
    if promotion.is_some() {
        within_one_registry(&course)?;
    }
    let (client, settings) = course.client(&args.run.connection, environment, company)?;
    let writes = !args.run.dry_run;
    let store = args.store.of(read, writes, environment, progress).await?;
    let deadline = interrupt::deadline(settings.timeout);
    let opening = Box::pin(async {
        let index: Arc<dyn BlobIndex> = Arc::new(state.clone());
        let opening = Opening {
            args,
            course: &course,
            client: &client,
            store,
            index: (!args.transfer.no_index).then_some(index),
            to: one_registry(to),
        };
        let (source, subset, keeping) = opening.open(from).await?;
        if let (Some(Some(expected)), Some(reference)) = (promotion, course.source()) {
            still_names(&client, reference, expected).await?;
        }
        let ends = Ending {
            args,
            client: &client,
            course: &course,
            settings: &settings,
            kept: (state, sessions),
        };
        let ends = ends.all(to, &*source).await?;
        Ok((source, subset, keeping, ends))
    });
    let opened = interrupt::until_interrupted(deadline, opening).await;
    let (source, subset, keeping, ends) = open::unless_paused(opened, &client)?;
    Ok(Job {
        client,
        source: source.into(),
        ends,
        subset,
        keeping,
        built: None,
        bases: Vec::new(),
        deadline,
    })
}

/// The registry that all of these are in; none if they are in several, or one is a file.
fn one_registry(to: &[Place]) -> Option<&oci::Registry> {
    let mut registries = to
        .iter()
        .map(|it| it.reference().map(|it| it.repository().registry()));
    let first = registries.next()??;
    registries.all(|it| it == Some(first)).then_some(first)
}

/// Nothing is linked from one registry to another.
fn within_one_registry(course: &Course) -> Result<(), AppError> {
    let Some(from) = course.source().map(oci::Reference::repository) else {
        return Ok(());
    };
    for to in course.destinations().map(oci::Reference::repository) {
        if to.registry() != from.registry() {
            return Err(AppError::Usage(format!(
                "{from} and {to} are on two registries, and a promotion is within one: longshore copy takes the bytes across"
            )));
        }
    }
    Ok(())
}

/// Whether a tag names the digest that it is written with.
async fn still_names(
    client: &Client,
    reference: &oci::Reference,
    expected: &oci::Digest,
) -> Result<(), AppError> {
    let Some(tag) = reference.tag() else {
        return Ok(());
    };
    let place = reference.repository().with_tag(tag.clone()).to_string();
    let asked = client.repository(reference.repository());
    let presence = asked.has_manifest(&tag.clone().into()).await;
    let unreadable = |error: oci::SourceError| AppError::Source {
        place: place.clone(),
        error,
    };
    match presence.map_err(|error| unreadable(oci::SourceError::unreadable(&place, error)))? {
        oci::Presence::Held(actual) if actual == *expected => Ok(()),
        oci::Presence::Held(actual) => Err(AppError::Moved {
            tag: place,
            expected: expected.clone(),
            actual,
        }),
        _ => Err(unreadable(oci::SourceError::NotFound {
            place: place.clone(),
        })),
    }
}
