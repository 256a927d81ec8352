//! What is transferred with an image and how, whatever command does it.

use clap::{Args, ValueEnum};
use oci::{Repository, Tag};
use push::{Foreign, MustMount, Options};

use crate::settings::Settings;

/// What goes along, and what must not
#[derive(Args, Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub(crate) struct TransferArgs {
    /// Another tag for it; may be given several times
    #[arg(long = "tag", short, value_name = "TAG")]
    pub(crate) tags: Vec<Tag>,

    /// A repository of the same registry that may hold some of the blobs already; may be given
    /// several times
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) mount_from: Vec<Repository>,

    /// Send no blob: each is there already or is mounted, or the push stops with nothing tagged
    #[arg(long)]
    pub(crate) must_mount: bool,

    /// What becomes of foreign layers, which say where else they are to be had
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = ForeignPolicy::Keep)]
    pub(crate) foreign: ForeignPolicy,

    /// The same as --foreign=include
    #[arg(long, hide = true)]
    pub(crate) push_foreign: bool,

    /// Push what the source holds about the image as well: signatures, attestations
    #[arg(long, short)]
    pub(crate) referrers: bool,

    /// Stop before the first write if one of the tags names another image already
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// Stop before the first write if more than this many bytes would be uploaded
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_upload_bytes: Option<u64>,
}

/// What becomes of foreign layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForeignPolicy {
    /// They stay where they are
    #[default]
    Keep,
    /// They are pushed like any other layer
    Include,
}

impl TransferArgs {
    /// How the engine pushes then.
    pub(crate) fn options(&self, settings: &Settings) -> Options {
        let include = self.push_foreign || self.foreign == ForeignPolicy::Include;
        Options {
            concurrency: settings.concurrency,
            foreign: if include {
                Foreign::Include
            } else {
                Foreign::Keep
            },
            referrers: self.referrers,
            no_overwrite: self.no_overwrite,
            max_upload_bytes: self.max_upload_bytes,
            must_mount: if self.must_mount {
                MustMount::Everything
            } else {
                MustMount::Nothing
            },
            ..Options::default()
        }
    }
}
