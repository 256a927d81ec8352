//! What is to be said of an image, read from its manifests within a budget.

use std::{collections::BTreeMap, io};

use oci::{Digest, Document, Platform, document::View};
use serde::Deserialize;

use crate::{route::Name, store::Store};

/// The longest config that is read for its platform, in bytes.
const MAX_CONFIG_BYTES: u64 = 256 * 1024;
/// The most that is shown of what an image says of itself, in characters.
const MAX_WORDS: usize = 300;

/// How much may be read for one page.
#[derive(Debug)]
pub(super) struct Budget {
    documents: usize,
    bytes: usize,
}

/// What is to be said of an image, each text bounded.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// `image`, `index`, or the type of an artifact.
    pub(super) kind: String,
    /// Its blobs and manifests together; nothing where not all of it could be read.
    pub(super) bytes: Option<u64>,
    pub(super) platforms: Vec<String>,
    /// Its title, version and description.
    pub(super) words: Option<String>,
}

/// What a config says of its platform.
#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    platform: Platform,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            documents: 400,
            bytes: 16 * 1024 * 1024,
        }
    }
}

impl Budget {
    /// Whether something more may be read.
    fn allows(&self) -> bool {
        self.documents > 0 && self.bytes > 0
    }

    fn spend(&mut self, bytes: usize) {
        self.documents = self.documents.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Image {
    pub(super) fn read(
        store: &dyn Store,
        name: &Name,
        digest: &Digest,
        budget: &mut Budget,
    ) -> io::Result<Self> {
        let Some(document) = document(store, name, digest, budget)? else {
            return Ok(Self {
                kind: "unknown".to_owned(),
                ..Self::default()
            });
        };
        let own = document.bytes().len() as u64;
        match document.view() {
            View::Manifest(it) => {
                let layers: u64 = it.layers.iter().map(|it| it.size).fold(0, sum);
                let platform = match it.artifact_type {
                    None => config_platform(store, name, &it.config.digest, budget)?,
                    Some(_) => None,
                };
                Ok(Self {
                    kind: shown(it.artifact_type.as_deref().unwrap_or("image")),
                    bytes: Some([layers, it.config.size, own].into_iter().fold(0, sum)),
                    platforms: platform.iter().map(shown).collect(),
                    words: words(&it.annotations),
                })
            }
            View::Index(it) => {
                let mut bytes = Some(own);
                for child in &it.manifests {
                    let child = manifest_bytes(store, name, &child.digest, budget)?;
                    bytes = bytes.zip(child).map(|(all, one)| sum(all, one));
                }
                let platforms = it.platforms();
                Ok(Self {
                    kind: shown(it.artifact_type.as_deref().unwrap_or("index")),
                    bytes,
                    platforms: platforms.iter().map(shown).collect(),
                    words: words(&it.annotations),
                })
            }
            _ => Ok(Self {
                kind: shown(document.media_type()),
                ..Self::default()
            }),
        }
    }
}

fn sum(a: u64, b: u64) -> u64 {
    a.saturating_add(b)
}

/// A manifest; none if it is not there, cannot be read, or the budget is spent.
fn document(
    store: &dyn Store,
    name: &Name,
    digest: &Digest,
    budget: &mut Budget,
) -> io::Result<Option<Document>> {
    if !budget.allows() {
        return Ok(None);
    }
    let Some(stored) = store.manifest(name, digest)? else {
        return Ok(None);
    };
    budget.spend(stored.bytes.len());
    Ok(Document::with_digest(stored.bytes, Some(&stored.media_type), digest).ok())
}

/// What an index's child comes to.
fn manifest_bytes(
    store: &dyn Store,
    name: &Name,
    digest: &Digest,
    budget: &mut Budget,
) -> io::Result<Option<u64>> {
    let Some(document) = document(store, name, digest, budget)? else {
        return Ok(None);
    };
    let own = document.bytes().len() as u64;
    Ok(match document.view() {
        View::Manifest(it) => {
            let layers = it.layers.iter().map(|it| it.size).fold(0, sum);
            Some([layers, it.config.size, own].into_iter().fold(0, sum))
        }
        // An index in an index: what it holds is not counted twice over.
        View::Index(_) => Some(own),
        _ => None,
    })
}

fn config_platform(
    store: &dyn Store,
    name: &Name,
    digest: &Digest,
    budget: &mut Budget,
) -> io::Result<Option<Platform>> {
    if !budget.allows()
        || store
            .blob(name, digest)?
            .is_none_or(|it| it > MAX_CONFIG_BYTES)
    {
        return Ok(None);
    }
    let Some(mut content) = store.open(name, digest)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    loop {
        let piece = content.read(usize::try_from(MAX_CONFIG_BYTES).unwrap_or(usize::MAX))?;
        if piece.is_empty() {
            break;
        }
        bytes.extend_from_slice(&piece);
    }
    budget.spend(bytes.len());
    let config = serde_json::from_slice::<Config>(&bytes).ok();
    Ok(config.map(|it| it.platform).filter(|it| !it.os.is_empty()))
}

/// What annotations say for people.
/// [image-spec, Pre-Defined Annotation Keys](https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys).
fn words(annotations: &BTreeMap<String, String>) -> Option<String> {
    let said = ["title", "version", "description"]
        .into_iter()
        .filter_map(|it| annotations.get(&format!("org.opencontainers.image.{it}")))
        .map(String::as_str)
        .filter(|it| !it.trim().is_empty())
        .collect::<Vec<_>>()
        .join(" · ");
    (!said.is_empty()).then(|| shown(&said))
}

/// As much of a text as is shown.
fn shown(text: &(impl ToString + ?Sized)) -> String {
    text.to_string().chars().take(MAX_WORDS).collect()
}
