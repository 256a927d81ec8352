//! `build`: images out of a Dockerfile that runs nothing, for Windows on any host.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use clap::{ArgGroup, Args, ValueEnum};
use oci::{Platform, Repository};
use registry::WithElsewhere;
use wcow::{AssembleOptions, Assembler, Built, Copier, Events, Release, dockerfile::Dockerfile};

use crate::{
    command::{
        json::JsonArgs,
        transfer::{ForeignPolicy, MustMountArg, TransferArgs},
    },
    env::Environment,
    error::AppError,
    render::progress::Progress,
    settings::{ConnectionArgs, at_least_one},
    state::{StateArgs, UnfinishedArgs},
};

mod bases;
mod chosen;
mod downloads;
mod layers;
mod named;
mod output;
mod pushed;
mod several;
mod tell;

use bases::FoundBases;
use chosen::SaidVersion;
use layers::LayerBases;
use named::Named;
use tell::Tell;

/// Assemble images out of a Dockerfile, and push them
///
/// Nothing is run, so RUN is not possible, and Windows images are assembled on any host: COPY, ADD,
/// ENV, ENTRYPOINT and the other instructions that only say what an image has in it. Of a base its
/// manifest and config are read; its layers go to the destination by existence, by mounting, or
/// from registry to registry, and only those that are not there yet.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = RELEASES,
    group = ArgGroup::new("where").args(["push", "output", "plan"]).required(true),
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub(crate) struct BuildArgs {
    /// The directory that files are copied from
    #[arg(value_name = "CONTEXT")]
    context: PathBuf,

    /// The Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// What the image is called: registry/repository[:tag]; may be given several times, for several
    /// tags and several repositories
    #[arg(long = "tag", short, value_name = "REFERENCE")]
    tags: Vec<String>,

    /// Push the image to the registry of --tag
    #[arg(long, requires = "tags")]
    push: bool,

    /// Write the image into an OCI layout: a directory, or an archive if the path ends in .tar. Layers
    /// of its base are fetched for that
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Print what pushing it would do and stop: nothing is uploaded, mounted or tagged
    #[arg(long, visible_alias = "dry-run", requires = "tags")]
    plan: bool,

    #[command(flatten)]
    what: WhatArgs,

    /// A repository of the same registry that may hold some of the blobs already; may be given
    /// several times
    #[arg(long, value_name = "REPOSITORY")]
    mount_from: Vec<Repository>,

    /// Send no blob, or not the one with this digest: it is there already or is mounted, or nothing
    /// is sent
    #[arg(
        long,
        value_name = "DIGEST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_parser = MustMountArg::parse,
    )]
    must_mount: Vec<MustMountArg>,

    /// What becomes of foreign layers, which say where else they are to be had
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = ForeignPolicy::Keep, hide_short_help = true)]
    foreign: ForeignPolicy,

    /// Fetch included or embedded foreign layers from their urls where they are not beside the base:
    /// over TLS, from public addresses, without credentials
    #[arg(long, hide_short_help = true)]
    allow_foreign_fetch: bool,

    /// Fetch layers of images to copy files out of them: of the image that COPY --from names, and of the
    /// base of a stage that files are copied from. Without, images on this machine are copied from
    #[arg(long)]
    allow_base_download: bool,

    /// A host of your own that foreign layers may be fetched from without TLS and at a private
    /// address; may be given several times
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        requires = "allow_foreign_fetch",
        hide_short_help = true
    )]
    foreign_host: Vec<String>,

    /// Stop before the first write if one of the tags names another image already
    #[arg(long)]
    no_overwrite: bool,

    /// Stop before the first write if more than this many bytes would be uploaded
    #[arg(long, value_name = "BYTES")]
    max_upload_bytes: Option<u64>,

    /// A host of your own that ADD may download from at a private address; may be given several
    /// times
    #[arg(
        long = "download-host",
        value_name = "HOST[:PORT]",
        hide_short_help = true
    )]
    download_hosts: Vec<String>,

    /// Write what happens to this file as it happens, a JSON object a line
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    events: Option<PathBuf>,

    #[command(flatten)]
    json: JsonArgs,

    /// Show nothing while it runs
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    windows: WindowsArgs,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    state: StateArgs,

    #[command(flatten)]
    unfinished: UnfinishedArgs,
}

/// What is built
#[derive(Args, Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub(crate) struct WhatArgs {
    /// What it is for: windows/amd64, linux/arm64, windows/amd64:10.0.20348; may be given several
    /// times
    #[arg(
        long = "platform",
        value_name = "PLATFORM",
        default_value = "windows/amd64"
    )]
    platforms: Vec<Platform>,

    /// A release of Windows, as the base's tags have it: ltsc2022; may be given several times, for
    /// an image of each and their index
    #[arg(long = "base-version", value_name = "VERSION")]
    base_versions: Vec<String>,

    /// The stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// Set an ARG; may be given several times
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    build_args: Vec<String>,

    /// Which times files and the image have: seconds since 1970, or `source` for the files' own
    /// [default: `SOURCE_DATE_EPOCH`, else 0]
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,

    /// Use OCI's media types, whatever the base's are
    #[arg(long, hide_short_help = true)]
    oci: bool,

    /// Make one layer of all that is new
    #[arg(long, hide_short_help = true)]
    squash_new: bool,

    /// How new layers are compressed
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    compression: Layers,

    /// How many threads compress; it changes no byte [default: one for each processor; at most 8 for gzip, 4 for zstd]
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one, hide_short_help = true)]
    compression_threads: Option<NonZeroUsize>,

    /// Take another base for what FROM names, like node=r.example/windows/node:{tag}-{version}; may
    /// be given several times
    #[arg(
        long = "map-from",
        value_name = "REPOSITORY=REFERENCE",
        hide_short_help = true
    )]
    map_from: Vec<String>,

    /// Copy nothing where a pattern finds nothing, in the place of an error
    #[arg(long, hide_short_help = true)]
    allow_empty_wildcard: bool,

    /// Make an error of what is not possible and would be left out: COPY --chmod for Windows
    #[arg(long, hide_short_help = true)]
    strict: bool,
}

/// What is peculiar to Windows
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Windows")]
pub(crate) struct WindowsArgs {
    /// What to make of names that only some programs can open: CON, nul.txt, a name with a dot at
    /// its end
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t,
        hide_short_help = true
    )]
    windows_names: Names,

    /// What becomes of symbolic links in directories that are copied; for Linux they stay as they
    /// are
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t,
        hide_short_help = true
    )]
    windows_symlinks: Symlinks,

    /// Who owns files and directories that are copied
    #[arg(long, value_name = "WHO", value_enum, default_value_t)]
    windows_owner: Owners,

    /// Have ${PATH} be what Windows has in its registry, where the base says nothing of it
    #[arg(long, hide_short_help = true)]
    windows_path_default: bool,

    /// The version of Windows that the image says it is for, whatever the base says; `none` for one
    /// that says none, for `HostProcess` containers
    #[arg(long, value_name = "VERSION")]
    os_version: Option<SaidVersion>,

    /// Take --os-version even if it is of another build than the base, or none where the base has one
    #[arg(long, requires = "os_version", hide_short_help = true)]
    force_os_version: bool,
}

/// What a doubtful name is.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Names {
    /// An error
    #[default]
    Error,
    /// A warning
    Warn,
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Layers {
    /// What everything reads
    #[default]
    Gzip,
    /// Smaller and faster; not everything reads it, least of all on Windows
    Zstd,
    /// Not at all
    None,
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Symlinks {
    /// What they lead to is copied in their place
    #[default]
    Follow,
    /// Relative ones are kept
    Preserve,
    /// They are an error
    Error,
}

/// Who owns what is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Owners {
    /// The administrators: users can read it, and make files in directories
    #[default]
    Administrators,
    /// The account that programs of a container run under by default
    ContainerUser,
    /// The account with all rights
    ContainerAdministrator,
}

const RELEASES: &str = "\
Examples:
  longshore build -t registry.example.com/team/app:1.2 --push .
  longshore build --platform linux/amd64 -t registry.example.com/team/app:1.2 --push .

How a release of Windows is chosen:
  If the Dockerfile has ARG BASE_VERSION before its first FROM, --base-version sets it:
    ARG BASE_VERSION=ltsc2022
    FROM mcr.microsoft.com/windows/nanoserver:${BASE_VERSION}
  If it has not, --base-version takes the place of the tag of the last stage's base.";

pub(crate) async fn build(args: &BuildArgs, environment: &Environment) -> Result<(), AppError> {
    let progress = Arc::new(if args.plan {
        Progress::plain()
    } else {
        Progress::new(args.quiet)
    });
    let quiet = args.quiet || args.plan;
    let tell = Tell::new(
        Arc::clone(&progress),
        (quiet, args.quiet),
        args.events.as_deref(),
    )?;
    let events = Events::new(tell);
    let work = Box::pin(work(args, environment, &progress, &events));
    let result = work.await;
    if let Err(error) = &result {
        progress.finish();
        events.failed(error);
    }
    result
}

impl BuildArgs {
    /// How the image is transferred, under its first tag.
    fn transfer(&self) -> TransferArgs {
        TransferArgs {
            mount_from: self.mount_from.clone(),
            must_mount: self.must_mount.clone(),
            foreign: self.foreign,
            // Where they stay where they are, it is for what is copied out of them alone.
            allow_foreign_fetch: self.allow_foreign_fetch && !self.is_for_copies(),
            foreign_host: self.foreign_host.clone(),
            no_overwrite: self.no_overwrite,
            max_upload_bytes: self.max_upload_bytes,
            ..TransferArgs::default()
        }
    }
}

impl BuildArgs {
    /// Whether foreign layers are fetched only to copy files out of them.
    fn is_for_copies(&self) -> bool {
        self.allow_base_download && matches!(self.foreign, ForeignPolicy::Keep)
    }
}

async fn work(
    args: &BuildArgs,
    environment: &Environment,
    progress: &Arc<Progress>,
    events: &Events,
) -> Result<(), AppError> {
    args.transfer().check_foreign()?;
    let spool = tempfile::tempdir().map_err(|error| AppError::Io {
        attempted: "make a directory for layers".into(),
        error,
    })?;
    let names = Named::of(&args.tags)?;
    let dockerfile = chosen::dockerfile(args)?;
    let releases = chosen::releases(&args.what);
    let mut options = chosen::options(args, environment, spool.path())?;
    options.tags = names.tags();
    let fetch = downloads::way(args, environment, &dockerfile, progress).await?;
    let building = Building {
        args,
        environment,
        progress,
        events,
        dockerfile: &dockerfile,
        copier: chosen::copier(args, spool.path(), fetch)?,
        elsewhere: layers::elsewhere(args, environment, progress, spool.path()).await?,
        options,
        releases: &releases,
    };
    match &args.output {
        Some(path) => Box::pin(output::write(&building, path, &names)).await,
        None => Box::pin(pushed::push(&building, &names)).await,
    }
}

/// Everything that images are made of.
struct Building<'a> {
    args: &'a BuildArgs,
    environment: &'a Environment,
    progress: &'a Arc<Progress>,
    events: &'a Events,
    dockerfile: &'a Dockerfile,
    copier: Arc<dyn Copier>,
    /// Where foreign layers are fetched from, to copy files out of them.
    elsewhere: Option<WithElsewhere>,
    options: AssembleOptions,
    releases: &'a [Release],
}

impl Building<'_> {
    async fn assemble(&self, bases: &FoundBases<'_>) -> Result<Built, AppError> {
        let bases = LayerBases {
            bases,
            elsewhere: self.elsewhere.as_ref(),
        };
        let assembler = Assembler::new(
            self.dockerfile,
            Arc::clone(&self.copier),
            &bases,
            self.options.clone(),
            self.events.clone(),
        );
        Ok(assembler.assemble(self.releases).await?)
    }
}
