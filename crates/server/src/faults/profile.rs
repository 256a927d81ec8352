//! Registries imitated: what is documented of how they depart from the specification.
//!
//! An imitation is a list of rules and no more than that: it shows a client the
//! answers named here, not the registry. Each has a source; where none says how a registry
//! behaves, nothing is changed.

use std::fmt;

use axum::http::header;
use serde::{Deserialize, Serialize};

use super::{Action, Answer, MissingStyle, RangeFault, Rule};
use crate::{endpoint::Endpoint, options::Validation};

/// A registry whose documented answers are imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Profile {
    /// `registry:2`, as version 2.8.2 was seen to answer: a session's `Location` has a state
    /// that must be the newest, `Content-Range` is ignored, a mount needs `from`, a
    /// blob in a `POST` is not taken, `?tag=` is ignored, conditions on a manifest mean nothing, a
    /// repeated commit is a 404, no referrers.
    /// [Source](https://github.com/distribution/distribution/tree/v2.8.2).
    #[serde(rename = "distribution-2.8")]
    Distribution2,
    /// `registry:3`: a mount needs `from`, a blob in a `POST` is not taken, `?tag=` is ignored, a repeated
    /// commit is a 404, no referrers. [Source](https://github.com/distribution/distribution),
    /// [referrers](https://github.com/distribution/distribution/pull/4828).
    #[serde(rename = "distribution-3")]
    Distribution3,
    /// Amazon ECR without its opt-in mounts: PATCH answers 201
    /// ([report](https://github.com/aws/containers-roadmap/issues/2831) has the stuck `Range` as well), chunks of
    /// at least 5 MB, missing blobs named in one message with code `BLOB_UPLOAD_UNKNOWN`.
    /// [Mounts](https://github.com/aws/containers-roadmap/issues/2860),
    /// [PATCH](https://github.com/cirruslabs/tart/issues/273).
    Ecr,
    /// Quay: a session's status has no `Location` and one byte too many, `bytes=` stands
    /// before ranges, a mount needs `from`, the first missing blob alone is named with `MANIFEST_INVALID`.
    /// [Source](https://github.com/quay/quay/blob/master/endpoints/v2/blob.py).
    Quay,
    /// GHCR: a chunk over 4 MiB is a 416 ([report](https://github.com/wasmCloud/wash/issues/268)), no `Content-Range`
    /// on a PUT ([report](https://github.com/cirruslabs/tart/pull/179)), no referrers
    /// ([report](https://github.com/artifacthub/hub/issues/4785)).
    Ghcr,
    /// zot: a session whose body breaks off is gone, missing blobs are a `MANIFEST_INVALID` that names none,
    /// conditions on a manifest mean nothing.
    /// [Source](https://github.com/project-zot/zot).
    Zot,
    /// Harbor, in front of distribution 2.8: a mount from a project that is not there is a 401
    /// ([report](https://github.com/goharbor/harbor/issues/17097)).
    Harbor,
    /// Google Artifact Registry: mounts that are never done, missing blobs in one message with code
    /// `BLOB_UNKNOWN` ([report](https://github.com/cloudfoundry/korifi/issues/2381)).
    Gar,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 8] = [
        Self::Distribution2,
        Self::Distribution3,
        Self::Ecr,
        Self::Quay,
        Self::Ghcr,
        Self::Zot,
        Self::Harbor,
        Self::Gar,
    ];

    /// The rules that imitate it.
    pub fn rules(self) -> Vec<Rule> {
        match self {
            Self::Distribution2 => {
                let mut rules = distribution();
                let ranges = uploads().act(Action::IgnoreContentRange);
                rules.extend([state(), ranges, no_conditions()]);
                rules
            }
            Self::Distribution3 => distribution(),
            Self::Ecr => ecr(),
            Self::Quay => quay(),
            Self::Ghcr => ghcr(),
            Self::Zot => vec![
                no_conditions(),
                uploads().act(Action::LoseBrokenSession),
                missing(
                    "MANIFEST_INVALID",
                    "manifest invalid",
                    Validation::None,
                    false,
                ),
            ],
            Self::Harbor => {
                let absent = Answer::error(401, "UNAUTHORIZED", "project not found");
                vec![
                    state(),
                    Rule::on(Endpoint::Mount).act(Action::AnswerFailedMount(absent)),
                ]
            }
            Self::Gar => vec![
                Rule::on(Endpoint::Mount).act(Action::RefuseMount),
                missing(
                    "BLOB_UNKNOWN",
                    "Manifest references unknown blob(s): ",
                    Validation::All,
                    true,
                ),
            ],
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Distribution2 => "distribution-2.8",
            Self::Distribution3 => "distribution-3",
            Self::Ecr => "ecr",
            Self::Quay => "quay",
            Self::Ghcr => "ghcr",
            Self::Zot => "zot",
            Self::Harbor => "harbor",
            Self::Gar => "gar",
        })
    }
}

// === rules that several have ===

/// Every request of an upload session.
fn uploads() -> Rule {
    Rule::on(Endpoint::UploadPost)
        .or(Endpoint::UploadSingle)
        .or(Endpoint::Mount)
        .or(Endpoint::UploadPatch)
        .or(Endpoint::UploadPut)
        .or(Endpoint::UploadStatus)
}

fn state() -> Rule {
    uploads()
        .or(Endpoint::UploadCancel)
        .act(Action::RequireState)
}

fn mount_needs_from() -> Rule {
    Rule::on(Endpoint::Mount)
        .query_lacks("from=")
        .act(Action::RefuseMount)
}

fn missing(code: &str, message: &str, named: Validation, in_message: bool) -> Rule {
    Rule::on(Endpoint::ManifestPut).act(Action::NameMissing(MissingStyle {
        code: code.to_owned(),
        message: message.to_owned(),
        named,
        in_message,
    }))
}

fn no_conditions() -> Rule {
    Rule::on(Endpoint::ManifestPut).act(Action::IgnoreConditions)
}

fn no_referrers() -> Rule {
    Rule::on(Endpoint::Referrers)
        .or(Endpoint::ManifestPut)
        .act(Action::NoReferrers)
}

// === registries ===

fn distribution() -> Vec<Rule> {
    vec![
        mount_needs_from(),
        Rule::on(Endpoint::UploadSingle).act(Action::RefuseSinglePost),
        Rule::on(Endpoint::UploadPut).act(Action::ForgetCommitted),
        Rule::on(Endpoint::ManifestPut).act(Action::IgnoreTagParameters),
        no_referrers(),
    ]
}

fn ecr() -> Vec<Rule> {
    const LEAST: u64 = 5_000_000;
    vec![
        Rule::on(Endpoint::Mount).act(Action::RefuseMount),
        uploads().act(Action::ChunkMin(LEAST)),
        Rule::on(Endpoint::UploadPatch).act(Action::Status(201)),
        Rule::on(Endpoint::UploadPatch).act(Action::Range(RangeFault::AtMost(LEAST))),
        missing(
            "BLOB_UPLOAD_UNKNOWN",
            "Layers required for pushing image do not exist: ",
            Validation::All,
            true,
        ),
    ]
}

fn quay() -> Vec<Rule> {
    let unit = |on| Rule::on(on).act(Action::Range(RangeFault::WithUnit));
    vec![
        mount_needs_from(),
        Rule::on(Endpoint::UploadPost).act(Action::SetHeader(
            "range".to_owned(),
            "bytes=0--1".to_owned(),
        )),
        Rule::on(Endpoint::UploadStatus).act(Action::Range(RangeFault::OneMore)),
        unit(Endpoint::UploadStatus),
        Rule::on(Endpoint::UploadStatus).act(Action::OmitHeader("location".to_owned())),
        missing("MANIFEST_INVALID", "Unknown blob ", Validation::First, true),
    ]
}

fn ghcr() -> Vec<Rule> {
    const MOST: u64 = 4 * 1024 * 1024;
    let large = Answer::error(
        416,
        "BLOB_UPLOAD_INVALID",
        "request body is too large and exceeds the maximum permissible limit of 4.00MiB",
    );
    let ranged = Answer::error(416, "BLOB_UPLOAD_INVALID", "a whole blob has no range");
    vec![
        Rule::on(Endpoint::UploadPatch)
            .with_header(header::CONTENT_RANGE)
            .act(Action::LimitBody(MOST, large)),
        Rule::on(Endpoint::UploadPut)
            .with_header(header::CONTENT_RANGE)
            .act(Action::Answer(ranged)),
        no_referrers(),
    ]
}
