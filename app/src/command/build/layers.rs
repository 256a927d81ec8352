//! Layers of bases and of other images, to copy files out of them.
//!
//! They come from where the image is. A foreign one that is not there comes from its `urls`, by the
//! rules for such, if both that and copying out of layers were allowed.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use oci::{BlobStream, Descriptor, Document, Source, SourceError};
use registry::{Elsewhere, WithElsewhere};
use wcow::Bases;

use super::{BuildArgs, FoundBases, downloads};
use crate::{env::Environment, error::AppError, render::progress::Progress};

/// Bases, and where else their foreign layers may be.
pub(super) struct LayerBases<'a> {
    pub(super) bases: &'a FoundBases<'a>,
    pub(super) elsewhere: Option<&'a WithElsewhere>,
}

/// Where foreign layers are fetched from, if they may be. Who fetches them is logged in nowhere.
pub(super) async fn elsewhere(
    args: &BuildArgs,
    environment: &Environment,
    progress: &Arc<Progress>,
    spool: &Path,
) -> Result<Option<WithElsewhere>, AppError> {
    if !(args.allow_base_download && args.allow_foreign_fetch) {
        return Ok(None);
    }
    let (client, _) = downloads::stranger(args, environment, progress).await?;
    let hosts = args.foreign_host.iter();
    let elsewhere = hosts.fold(Elsewhere::new(), |all, host| all.trust(host.as_str()));
    let elsewhere = elsewhere.directory(spool);
    let nothing = Box::new(Nothing);
    Ok(Some(WithElsewhere::new(nothing, &client, elsewhere)))
}

#[async_trait]
impl Bases for LayerBases<'_> {
    async fn open(&self, reference: &str) -> Result<Arc<dyn Source>, SourceError> {
        self.bases.open(reference).await
    }

    async fn open_layer(
        &self,
        source: &Arc<dyn Source>,
        layer: &Descriptor,
    ) -> Result<BlobStream, SourceError> {
        match (source.open(layer, 0).await, self.elsewhere) {
            (Err(SourceError::Missing { .. }), Some(elsewhere)) if layer.is_foreign() => {
                elsewhere.open(layer, 0).await
            }
            (opened, _) => opened,
        }
    }
}

/// A source that has nothing: what is asked of it is elsewhere.
#[derive(Debug)]
struct Nothing;

impl Nothing {
    fn has_not(of: &Descriptor) -> SourceError {
        SourceError::Missing {
            digest: of.digest.clone(),
            place: "the image it is a layer of".to_owned(),
        }
    }
}

#[async_trait]
impl Source for Nothing {
    async fn root(&self) -> Result<Document, SourceError> {
        Err(SourceError::invalid("nothing", "it has no image"))
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        Err(Self::has_not(descriptor))
    }

    async fn open(&self, blob: &Descriptor, _: u64) -> Result<BlobStream, SourceError> {
        Err(Self::has_not(blob))
    }
}
