//! What is transferred with an image and how, whatever command does it.

use std::{collections::BTreeSet, sync::Arc};

use clap::{Args, ValueEnum};
use oci::{Digest, Repository, Source, Tag};
use push::{AskFirst, Engine, Foreign, LayerRepos, MustMount, Options, Sessions, State};

use registry::{Client, Elsewhere, WithElsewhere};

use crate::{error::AppError, settings::Settings};

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

    /// Ask the registry for blobs that no repository is known to hold without saying where from:
    /// some registries link them from wherever they are
    #[arg(long, hide_short_help = true)]
    pub(crate) mount_from_anywhere: bool,

    /// Send no blob, or not the one with this digest: it is there already or is mounted, or the
    /// push stops with nothing sent and nothing tagged; with a digest, may be given several times
    #[arg(
        long,
        value_name = "DIGEST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ALL,
        value_parser = MustMountArg::parse,
    )]
    pub(crate) must_mount: Vec<MustMountArg>,

    /// Neither use nor keep what is known of which repositories hold which blobs
    #[arg(long, hide_short_help = true)]
    pub(crate) no_index: bool,

    /// What becomes of foreign layers, which say where else they are to be had
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = ForeignPolicy::Keep, hide_short_help = true)]
    pub(crate) foreign: ForeignPolicy,

    /// The same as --foreign=include
    #[arg(long, hide = true, conflicts_with = "foreign")]
    pub(crate) push_foreign: bool,

    /// Fetch included or embedded foreign layers from their urls where the source has not got
    /// them: over TLS, from public addresses, without credentials
    #[arg(long, hide_short_help = true)]
    pub(crate) allow_foreign_fetch: bool,

    /// A host of your own that foreign layers may be fetched from without TLS and at a private
    /// address; may be given several times
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        requires = "allow_foreign_fetch",
        hide_short_help = true
    )]
    pub(crate) foreign_host: Vec<String>,

    /// Push what the source holds about the image as well: signatures, attestations
    #[arg(long, short)]
    pub(crate) referrers: bool,

    /// Stop before the first write if one of the tags names another image already
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// When to ask for the image before anything is sent
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = AskFirstArg::Auto, hide_short_help = true)]
    pub(crate) ask_first: AskFirstArg,

    /// Stop before the first write if more than this many bytes would be uploaded
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_upload_bytes: Option<u64>,
}

/// What `--must-mount` says without a digest.
const ALL: &str = "all";

/// A blob that must not be sent, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MustMountArg {
    All,
    Blob(Digest),
}

impl MustMountArg {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            ALL => Ok(Self::All),
            digest => digest.parse().map(Self::Blob).map_err(|error| {
                format!("{error}; longshore plan shows the digests that the image has")
            }),
        }
    }
}

/// What becomes of foreign layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForeignPolicy {
    /// They stay where they are
    #[default]
    Keep,
    /// They are pushed like any other layer, and the manifest still says where else they are
    Include,
    /// They are pushed as ordinary layers, without urls: the image gets another digest, and
    /// signatures of the old one stay behind
    Embed,
}

/// When the image is asked for before anything is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AskFirstArg {
    /// Where it was seen before; and by its digest, where more than 1 MiB that may be there
    /// already could be sent again otherwise: blobs that were seen nowhere on the registry, unless it
    /// is known to say by a mount that a blob is there
    #[default]
    Auto,
    /// By tag and by digest
    Always,
    /// Only where it was seen before
    Never,
}

impl From<AskFirstArg> for AskFirst {
    fn from(it: AskFirstArg) -> Self {
        match it {
            AskFirstArg::Auto => Self::Auto,
            AskFirstArg::Always => Self::Always,
            AskFirstArg::Never => Self::Never,
        }
    }
}

impl TransferArgs {
    /// How the engine pushes then.
    pub(crate) fn options(&self, settings: &Settings) -> Options {
        Options {
            concurrency: settings.concurrency,
            foreign: self.foreign(),
            referrers: self.referrers,
            no_overwrite: self.no_overwrite,
            max_upload_bytes: self.max_upload_bytes,
            must_mount: self.required(),
            ask_first: self.ask_first.into(),
            mount_from_anywhere: self.mount_from_anywhere,
            ..Options::default()
        }
    }

    /// The source, with foreign layers from their urls if that is allowed.
    pub(crate) fn with_foreign(
        &self,
        source: Box<dyn Source>,
        client: &Client,
    ) -> Result<Box<dyn Source>, AppError> {
        if !self.allow_foreign_fetch {
            return Ok(source);
        }
        self.check_foreign()?;
        let hosts = self.foreign_host.iter();
        let elsewhere = hosts.fold(Elsewhere::new(), |all, host| all.trust(host.as_str()));
        Ok(Box::new(WithElsewhere::new(source, client, elsewhere)))
    }

    /// Whether what is allowed can come to anything: layers that stay where they are need no fetching.
    pub(crate) fn check_foreign(&self) -> Result<(), AppError> {
        if self.allow_foreign_fetch && self.foreign() == Foreign::Keep {
            return Err(AppError::Usage(
                "--allow-foreign-fetch fetches layers to push them, and foreign layers stay where they are: say --foreign=include or --foreign=embed".into(),
            ));
        }
        Ok(())
    }

    /// What becomes of foreign layers.
    pub(crate) fn foreign(&self) -> Foreign {
        match self.foreign {
            ForeignPolicy::Keep if self.push_foreign => Foreign::Include,
            ForeignPolicy::Keep => Foreign::Keep,
            ForeignPolicy::Include => Foreign::Include,
            ForeignPolicy::Embed => Foreign::Embed,
        }
    }

    fn required(&self) -> MustMount {
        if self.must_mount.contains(&MustMountArg::All) {
            return MustMount::Everything;
        }
        let digests = self.must_mount.iter().filter_map(|it| match it {
            MustMountArg::All => None,
            MustMountArg::Blob(digest) => Some(digest.clone()),
        });
        match digests.collect::<BTreeSet<_>>() {
            none if none.is_empty() => MustMount::Nothing,
            these => MustMount::These(these),
        }
    }

    /// An engine that pushes so, with what earlier runs have kept; `verbatim` as in [`Options`].
    pub(crate) fn engine(
        &self,
        settings: &Settings,
        (state, sessions): (State, Sessions),
        verbatim: bool,
    ) -> Engine {
        let layers = LayerRepos::builder();
        let layers = if self.no_index {
            layers
        } else {
            layers.index(Arc::new(state.clone()))
        };
        let options = Options {
            sessions,
            verbatim,
            ..self.options(settings)
        };
        Engine::builder()
            .options(options)
            .layers(Arc::new(layers.build()))
            .sightings(&state)
            .journal(Arc::new(state))
            .build()
    }
}
