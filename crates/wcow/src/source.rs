//! A built image as a source to push from.
//!
//! Config and manifest are at hand; each layer is read from where the build said
//! its bytes are. Layers of the base are read through the base's own source, so
//! that this crate needs to know no registry.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use oci::{BlobStream, Descriptor, Document, Source, SourceError};

use crate::{BuiltImage, EmittedLayer, LayerSource};

mod file;

/// The most bytes given at once.
const PIECE: usize = 512 * 1024;

/// A [`BuiltImage`] that can be pushed.
///
/// A layer that is [`LayerSource::None`] is missing when it is asked for. A push
/// that keeps foreign layers does not ask for them.
///
/// ```
/// # fn of(image: longshore_wcow::BuiltImage, base: std::sync::Arc<dyn oci::Source>) {
/// let source = image.into_source().with_base(base);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BuiltSource {
    image: BuiltImage,
    base: Option<Arc<dyn Source>>,
}

/// Where the bytes of a blob are.
enum Place<'a> {
    Memory(&'a Bytes),
    Layer(&'a EmittedLayer),
    Nowhere,
}

impl BuiltImage {
    /// The image as a source to push from.
    pub fn into_source(self) -> BuiltSource {
        BuiltSource {
            image: self,
            base: None,
        }
    }
}

impl BuiltSource {
    /// The same with the source that layers of a registry are read through. Without
    /// one they are missing.
    #[must_use]
    pub fn with_base(mut self, base: Arc<dyn Source>) -> Self {
        self.base = Some(base);
        self
    }

    /// The image.
    pub fn image(&self) -> &BuiltImage {
        &self.image
    }

    /// Where `blob` is. A digest that is listed several times is read where it has bytes.
    fn find(&self, blob: &Descriptor) -> Place<'_> {
        if blob.digest == self.image.config_descriptor().digest {
            return Place::Memory(self.image.config());
        }
        let listed = |it: &&EmittedLayer| it.digest == blob.digest;
        let mut layers = self.image.layers().iter().filter(listed);
        let with_bytes = layers
            .clone()
            .find(|it| it.source != LayerSource::None)
            .or_else(|| layers.next());
        match with_bytes {
            Some(layer) => match &layer.source {
                LayerSource::Bytes(bytes) => Place::Memory(bytes),
                _ => Place::Layer(layer),
            },
            None => Place::Nowhere,
        }
    }

    fn missing(&self, blob: &Descriptor) -> SourceError {
        SourceError::Missing {
            digest: blob.digest.clone(),
            place: self.place(blob),
        }
    }

    fn check_size(&self, blob: &Descriptor, actual: u64) -> Result<(), SourceError> {
        if blob.size == actual {
            return Ok(());
        }
        Err(SourceError::WrongSize {
            digest: blob.digest.clone(),
            place: self.place(blob),
            expected: blob.size,
            actual,
        })
    }
}

#[async_trait]
impl Source for BuiltSource {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.image.manifest().clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        if descriptor.digest == *self.image.digest() {
            return Ok(self.image.manifest().clone());
        }
        Err(SourceError::Missing {
            digest: descriptor.digest.clone(),
            place: "the image, which has one manifest only".to_owned(),
        })
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        match (self.find(blob), &self.base) {
            (Place::Memory(bytes), _) => {
                self.check_size(blob, bytes.len() as u64)?;
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(pieces(bytes.slice(start.min(bytes.len())..)))
            }
            (Place::Layer(layer), base) => match (&layer.source, base) {
                (LayerSource::File(path), _) => file::open(path, blob, offset).await,
                (LayerSource::Registry(_) | LayerSource::Base, Some(base)) => {
                    base.open(blob, offset).await
                }
                _ => Err(self.missing(blob)),
            },
            (Place::Nowhere, _) => Err(self.missing(blob)),
        }
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        match (self.find(blob), &self.base) {
            (Place::Memory(bytes), _) => self.check_size(blob, bytes.len() as u64),
            (Place::Layer(layer), base) => match (&layer.source, base) {
                (LayerSource::File(path), _) => file::check(path, blob).await,
                (LayerSource::Registry(_) | LayerSource::Base, Some(base)) => {
                    base.check_blob(blob).await
                }
                _ => Err(self.missing(blob)),
            },
            (Place::Nowhere, _) => Err(self.missing(blob)),
        }
    }

    fn place(&self, blob: &Descriptor) -> String {
        match (self.find(blob), &self.base) {
            (Place::Memory(_), _) => LayerSource::Bytes(Bytes::new()).to_string(),
            (Place::Layer(layer), base) => match (&layer.source, base) {
                (LayerSource::Registry(_) | LayerSource::Base, Some(base)) => base.place(blob),
                (LayerSource::Registry(repository), None) => {
                    format!("{repository}, which is not open")
                }
                (source, _) => source.to_string(),
            },
            (Place::Nowhere, _) => "the image".to_owned(),
        }
    }
}

fn pieces(bytes: Bytes) -> BlobStream {
    stream::unfold(bytes, |mut rest| async {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        Some((Ok(piece), rest))
    })
    .boxed()
}

#[cfg(test)]
mod tests;
