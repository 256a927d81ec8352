//! Endpoints: what a request asks of the registry, by name.

use serde::{Deserialize, Serialize};

/// What a request asks of the registry: the unit faults are matched by and metrics count in,
/// by its name in kebab case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /v2/`.
    Ping,
    /// `HEAD …/blobs/<digest>`.
    BlobHead,
    /// `GET …/blobs/<digest>`.
    BlobGet,
    /// `DELETE …/blobs/<digest>`.
    BlobDelete,
    /// `POST …/blobs/uploads/`, neither a mount nor with a body of its own.
    UploadPost,
    /// `POST …/blobs/uploads/?digest=…`: the blob in one request.
    UploadSingle,
    /// `POST …/blobs/uploads/?mount=…`.
    Mount,
    /// `GET <upload session>`.
    UploadStatus,
    /// `PATCH <upload session>`.
    UploadPatch,
    /// `PUT <upload session>?digest=…`.
    UploadPut,
    /// `DELETE <upload session>`.
    UploadCancel,
    /// `HEAD …/manifests/<tag or digest>`.
    ManifestHead,
    /// `GET …/manifests/<tag or digest>`.
    ManifestGet,
    /// `PUT …/manifests/<tag or digest>`.
    ManifestPut,
    /// `DELETE …/manifests/<tag or digest>`.
    ManifestDelete,
    /// `GET …/tags/list`.
    TagList,
    /// `GET …/referrers/<digest>`.
    Referrers,
    /// `GET /v2/_catalog`.
    Catalog,
    /// The token service, `/token`.
    Token,
    /// `GET /healthz`.
    Health,
    /// `GET /metrics`.
    Metrics,
    /// `GET /`, and the other pages for people with a browser.
    Page,
    /// Anything else.
    Other,
}

impl Endpoint {
    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::BlobHead => "blob-head",
            Self::BlobGet => "blob-get",
            Self::BlobDelete => "blob-delete",
            Self::UploadPost => "upload-post",
            Self::UploadSingle => "upload-single",
            Self::Mount => "mount",
            Self::UploadStatus => "upload-status",
            Self::UploadPatch => "upload-patch",
            Self::UploadPut => "upload-put",
            Self::UploadCancel => "upload-cancel",
            Self::ManifestHead => "manifest-head",
            Self::ManifestGet => "manifest-get",
            Self::ManifestPut => "manifest-put",
            Self::ManifestDelete => "manifest-delete",
            Self::TagList => "tag-list",
            Self::Referrers => "referrers",
            Self::Catalog => "catalog",
            Self::Token => "token",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Page => "page",
            Self::Other => "other",
        }
    }
}
