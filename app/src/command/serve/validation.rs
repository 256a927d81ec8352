//! Flags of `serve` about what is accepted: manifests, uploads, deletions.
//!
//! The defaults are the registry's own. The rest turns it into one that somebody
//! has to live with: a registry that mounts nothing, takes no sparse manifest, or
//! wants chunks of a size.

use clap::{Args, ValueEnum};
use server::{ServerBuilder, UploadOptions, Validation};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "What is accepted")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags that have nothing to do with one another"
)]
pub(crate) struct ValidationArgs {
    /// What happens to a manifest whose blobs or child manifests are not there
    #[arg(long, value_name = "RULE", value_enum, default_value_t = Rule::All, hide_short_help = true)]
    validation: Rule,

    /// Refuse deletions of manifests, tags and blobs (405)
    #[arg(long, hide_short_help = true)]
    no_delete: bool,

    /// Answer a mount with an upload session, as registries do that cannot mount
    #[arg(long, hide_short_help = true)]
    no_mount: bool,

    /// Mount only from the repository that `from` names
    #[arg(long, hide_short_help = true)]
    no_anonymous_mount: bool,

    /// Answer a POST of a whole blob with an upload session
    #[arg(long, hide_short_help = true)]
    no_single_post: bool,

    /// Announce this as OCI-Chunk-Min-Length and refuse what follows a shorter chunk
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    chunk_min_length: Option<u64>,

    /// Refuse a longer body of one PATCH, PUT or POST of a blob (413), as some proxies do
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    max_body_length: Option<u64>,

    /// Give upload locations as full URLs rather than paths
    #[arg(long, hide_short_help = true)]
    absolute_location: bool,
}

/// What happens to a manifest with missing children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rule {
    /// Refused; every missing digest is named
    All,
    /// Refused; the first missing digest is named
    First,
    /// Refused; no digest is named
    None,
    /// Accepted: a sparse manifest
    AcceptAll,
}

impl From<Rule> for Validation {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::All => Self::All,
            Rule::First => Self::First,
            Rule::None => Self::None,
            Rule::AcceptAll => Self::AcceptAll,
        }
    }
}

impl ValidationArgs {
    /// The server, told what to accept.
    pub(super) fn apply(&self, builder: ServerBuilder) -> ServerBuilder {
        let uploads = UploadOptions {
            absolute_location: self.absolute_location,
            single_post: !self.no_single_post,
            mounts: !self.no_mount,
            anonymous_mounts: !self.no_anonymous_mount,
            chunk_min_length: self.chunk_min_length,
            max_body_length: self.max_body_length,
            ..UploadOptions::default()
        };
        builder
            .validation(self.validation.into())
            .uploads(uploads)
            .deletes(!self.no_delete)
    }
}
