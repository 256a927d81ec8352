//! Images to push, sources that go wrong, and short names.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use longshore_push::{
    AskFirst, Destination, Engine, Event, Observer, Options, PushError, Report,
    compose::{ManifestBuilder, MemorySource},
    recording::{Call, Operation, RecordingTarget},
};
use oci::{
    BlobStream, Descriptor, Digest, Document, MediaType, Repository, Source, SourceError, Tag,
    TagOrDigest, TargetError, TargetErrorKind,
};

pub(crate) fn repository(path: &str) -> Repository {
    format!("registry.test/{path}").parse().unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

pub(crate) fn at_tag(text: &str) -> TagOrDigest {
    tag(text).into()
}

pub(crate) fn tagged(tags: &[&str]) -> Destination {
    Destination::tagged(tags.iter().map(|it| tag(it)))
}

pub(crate) fn target() -> RecordingTarget {
    RecordingTarget::new(repository("app")).validating()
}

pub(crate) fn one_at_a_time() -> Engine {
    with_concurrency(1)
}

/// One that asks for its manifests first, whatever it has seen.
pub(crate) fn asking_first() -> Engine {
    Engine::new(Options {
        concurrency: NonZeroUsize::MIN,
        ask_first: AskFirst::Always,
        ..Options::default()
    })
}

pub(crate) fn with_concurrency(concurrency: usize) -> Engine {
    Engine::new(Options {
        concurrency: NonZeroUsize::new(concurrency).unwrap(),
        ..Options::default()
    })
}

/// An image of layers, the first the largest, and a config smaller than any of them.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) source: MemorySource,
    pub(crate) root: Document,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// A layer's content: `size` bytes that no other name has.
pub(crate) fn content(name: &str, size: usize) -> Bytes {
    name.bytes().cycle().take(size).collect::<Vec<u8>>().into()
}

/// An image whose layers are named and 1,000 bytes and less.
pub(crate) fn image(names: &[&str]) -> Image {
    image_sized(names, 1000)
}

pub(crate) fn image_sized(names: &[&str], largest: usize) -> Image {
    let mut source = MemorySource::new();
    let mut layers = Vec::new();
    for (position, name) in names.iter().enumerate() {
        let (next, layer) =
            source.with_blob(MediaType::OCI_LAYER_GZIP, content(name, largest - position));
        source = next;
        layers.push(layer);
    }
    let text = format!("{{\"layers\":{names:?}}}");
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, text);
    let builder = ManifestBuilder::new(config.clone());
    let builder = layers.iter().cloned().fold(builder, ManifestBuilder::layer);
    let root = builder.build().unwrap();
    Image {
        source: source.with_root(root.clone()),
        root,
        config,
        layers,
    }
}

impl Image {
    /// Every blob, in the order one worker sends them: the largest first.
    pub(crate) fn blobs(&self) -> Vec<Descriptor> {
        let mut blobs = self.layers.clone();
        blobs.push(self.config.clone());
        blobs.sort_by_key(|it| std::cmp::Reverse(it.size));
        blobs
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.blobs().iter().map(|it| it.size).sum()
    }
}

pub(crate) async fn push(
    engine: &Engine,
    image: &Image,
    target: &RecordingTarget,
    tags: &[&str],
) -> Result<Report, PushError> {
    engine.push(&image.source, target, &tagged(tags), &()).await
}

/// An error of this kind, as a registry would give it.
pub(crate) fn refusal(kind: TargetErrorKind, status: u16) -> TargetError {
    TargetError::new(kind, "do it").with_status(status)
}

pub(crate) fn is_put(call: &Call) -> bool {
    call.operation == Operation::PutManifest
}

pub(crate) fn is_upload(call: &Call) -> bool {
    matches!(call.operation, Operation::Upload { .. })
}

pub(crate) fn is_about(call: &Call, digest: &Digest) -> bool {
    call.subject == Some(TagOrDigest::Digest(digest.clone()))
}

/// What went over, by kind, for assertions on what must not happen.
pub(crate) fn count(target: &RecordingTarget, which: impl Fn(&Call) -> bool) -> usize {
    target.calls().iter().filter(|it| which(it)).count()
}

/// What is wrong with one blob of a [`Damaged`] source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// Not there, and preflight sees it.
    Missing,
    /// Shorter by a byte, and preflight sees it.
    Short,
    /// Shorter by a byte since preflight.
    Cut,
    /// Longer by a byte since preflight.
    Grown,
    /// This byte is another one since preflight.
    Flipped(usize),
    /// Reading fails after this many bytes.
    Unreadable(usize),
}

/// A source of which one blob is not as it should be.
#[derive(Debug)]
pub(crate) struct Damaged {
    pub(crate) inner: MemorySource,
    pub(crate) blob: Digest,
    pub(crate) damage: Damage,
}

impl Damaged {
    async fn content(&self, blob: &Descriptor) -> Result<Vec<u8>, SourceError> {
        let mut pieces = self.inner.open(blob, 0).await?;
        let mut content = Vec::new();
        while let Some(piece) = pieces.next().await {
            content.extend_from_slice(&piece?);
        }
        Ok(content)
    }

    fn io() -> SourceError {
        SourceError::unreadable("disk", std::io::Error::other("the disk is broken"))
    }
}

#[async_trait]
impl Source for Damaged {
    async fn root(&self) -> Result<Document, SourceError> {
        self.inner.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.inner.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        if blob.digest != self.blob {
            return self.inner.open(blob, offset).await;
        }
        let mut content = self.content(blob).await?;
        let mut last = None;
        match self.damage {
            Damage::Missing => {
                return Err(SourceError::Missing {
                    digest: blob.digest.clone(),
                    place: "disk".to_owned(),
                });
            }
            Damage::Short | Damage::Cut => content.truncate(content.len() - 1),
            Damage::Grown => content.push(0),
            Damage::Flipped(at) => content[at] ^= 1,
            Damage::Unreadable(after) => {
                content.truncate(after);
                last = Some(Err(Self::io()));
            }
        }
        let start = usize::try_from(offset).unwrap().min(content.len());
        let pieces: Vec<_> = content[start..]
            .chunks(100)
            .map(|it| Ok(Bytes::copy_from_slice(it)))
            .chain(last)
            .collect();
        Ok(stream::iter(pieces).boxed())
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        if blob.digest != self.blob {
            return self.inner.check_blob(blob).await;
        }
        match self.damage {
            Damage::Missing => Err(SourceError::Missing {
                digest: blob.digest.clone(),
                place: "disk/layer".to_owned(),
            }),
            Damage::Short => Err(SourceError::WrongSize {
                digest: blob.digest.clone(),
                place: "disk/layer".to_owned(),
                expected: blob.size,
                actual: blob.size - 1,
            }),
            _ => Ok(()),
        }
    }

    fn place(&self, _blob: &Descriptor) -> String {
        "disk/layer".to_owned()
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.inner.referrers(subject).await
    }
}

/// Remembers every event.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Vec<Event>>);

impl Heard {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Observer for Heard {
    fn event(&self, event: &Event) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event.clone());
    }
}
