//! `promote`: an image from one repository of a registry to another, without moving a blob.

use clap::Args;
use oci::Tag;

use crate::{
    command::{
        copy::{CopyArgs, SubsetArg, copy_with},
        json::JsonArgs,
        run::RunArgs,
        transfer::{MustMountArg, TransferArgs},
    },
    env::Environment,
    error::AppError,
    open::place::Place,
    settings::ConnectionArgs,
    state::{StateArgs, UnfinishedArgs},
    store::StoreArgs,
};

/// Give an image of a registry a name in another of its repositories, moving nothing
///
/// Every blob is linked by the registry, or is there already: not a byte of one is read or sent. If
/// one cannot be linked, no tag is moved and the command ends with exit code 9. Where SRC has a tag
/// and a digest, the tag has to name that digest still: what was tested is what is promoted.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub(crate) struct PromoteArgs {
    /// The image: registry/repository[:tag][@digest]
    #[arg(value_name = "SRC")]
    source: String,

    /// What it will be, on the same registry: registry/repository[:tag]
    #[arg(value_name = "DST", required = true)]
    destinations: Vec<String>,

    /// Another tag for it; may be given several times
    #[arg(long = "tag", short, value_name = "TAG")]
    tags: Vec<Tag>,

    /// Promote what is about the image as well: signatures, attestations
    #[arg(long, short)]
    referrers: bool,

    /// Move no tag: one that names another image already stops it
    #[arg(long)]
    no_overwrite: bool,

    /// Print the plan and stop: nothing is mounted or tagged
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    output: JsonArgs,

    /// Show nothing while it runs
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    state: StateArgs,
}

/// How it is used.
const EXAMPLES: &str = "\
Examples:
  longshore promote registry.example.com/staging/app:rc registry.example.com/prod/app:1.2
  longshore promote registry.example.com/staging/app:rc@sha256:9f1c… registry.example.com/prod/app:1.2";

pub(crate) async fn promote(args: &PromoteArgs, environment: &Environment) -> Result<(), AppError> {
    let from = in_registry(&args.source, Place::source)?;
    for text in &args.destinations {
        in_registry(text, Place::destination)?;
    }
    let expected = from.tag().and(from.digest()).cloned();
    let copied = CopyArgs {
        source: args.source.clone(),
        destinations: args.destinations.clone(),
        image: None,
        platforms: Vec::new(),
        subset: SubsetArg::default(),
        transfer: TransferArgs {
            tags: args.tags.clone(),
            must_mount: vec![MustMountArg::All],
            referrers: args.referrers,
            no_overwrite: args.no_overwrite,
            ..TransferArgs::default()
        },
        run: RunArgs {
            dry_run: args.dry_run,
            output: args.output,
            quiet: args.quiet,
            connection: args.connection.clone(),
            state: args.state.clone(),
            unfinished: UnfinishedArgs::default(),
        },
        store: StoreArgs::none(),
    };
    copy_with(&copied, environment, Some(expected)).await
}

/// A place that has to be in a registry.
fn in_registry(
    text: &str,
    read: impl FnOnce(&str) -> Result<Place, AppError>,
) -> Result<oci::Reference, AppError> {
    match read(text)? {
        Place::Registry(reference) => Ok(reference),
        Place::Path { .. } | Place::Archive { .. } => Err(AppError::Usage(format!(
            "{text:?} is not in a registry: a promotion links blobs within one; longshore copy moves them"
        ))),
    }
}
