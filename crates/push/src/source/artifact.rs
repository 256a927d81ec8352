//! Generic artifacts: files, and the manifest that is made for them.
//!
//! ```text
//!   ArtifactBuilder ── build: each file hashed once ──▶ Artifact: Source
//!     type · config · files in order · annotations · subject
//! ```
//!
//! The manifest is what the image-spec's
//! [guidelines for artifacts](https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage)
//! ask for, and depends on nothing but what the builder was given: no clock, no host, no path. A
//! file's name in it is its last component only. Files are read where they lie, when they are
//! sent; one that was altered since it was hashed fails the push, as any source's blob does.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Descriptor, Digest, Document, MediaType};

mod error;
mod files;
mod names;
mod reading;

pub use error::ArtifactError;
pub(crate) use names::fault_of as fault_of_title;
pub use reading::Artifact;

use crate::compose::{EMPTY, ManifestBuilder};

/// The annotation that has a file's name
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/annotations.md)).
pub const TITLE: &str = "org.opencontainers.image.title";
/// The annotation that has the time an artifact was made, as RFC 3339 has it.
pub const CREATED: &str = "org.opencontainers.image.created";
/// The type of a file that was given none: the same as other tools for artifacts take.
pub const FILE_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// The type of a WebAssembly module or component
/// ([Wasm OCI artifact layout](https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/)).
pub const WASM: &str = "application/wasm";
/// The type of the config that goes with one.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// How many files an artifact has at most: what is over it would not fit a manifest.
const MAX_FILES: usize = 16_384;
/// How many files are hashed at once.
const HASHED_AT_ONCE: usize = 4;

/// A file to be.
///
/// Its type is [`FILE_TYPE`] and its name the path's last component, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFile {
    path: PathBuf,
    media_type: MediaType,
    annotations: BTreeMap<String, String>,
}

/// An artifact to be: a type, a config, files in order, annotations, and what it is about.
///
/// ```no_run
/// # async fn example() -> Result<(), longshore_push::source::artifact::ArtifactError> {
/// use longshore_push::source::artifact::{ArtifactBuilder, ArtifactFile};
/// let artifact = ArtifactBuilder::new("application/vnd.example.report.v1")
///     .file(ArtifactFile::new("out/report.json").media_type("application/json"))
///     .annotation("org.example.run", "7")
///     .build()
///     .await?;
/// println!("{}", artifact.manifest().digest());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ArtifactBuilder {
    artifact_type: Option<String>,
    config: Option<ArtifactFile>,
    files: Vec<ArtifactFile>,
    subject: Option<Descriptor>,
    annotations: BTreeMap<String, String>,
}

// === impl ArtifactFile ===

impl ArtifactFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            media_type: MediaType::new(FILE_TYPE),
            annotations: BTreeMap::new(),
        }
    }

    /// The same as content of this type.
    #[must_use]
    pub fn media_type(mut self, media_type: impl Into<MediaType>) -> Self {
        self.media_type = media_type.into();
        self
    }

    /// The same with an annotation on its descriptor; [`TITLE`] gives it another name.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

// === impl ArtifactBuilder ===

impl ArtifactBuilder {
    /// An artifact of this type with neither config nor files: both are then the image-spec's
    /// empty ones.
    pub fn new(artifact_type: impl Into<String>) -> Self {
        Self {
            artifact_type: Some(artifact_type.into()),
            ..Self::default()
        }
    }

    /// An artifact whose config says by its type what it is; it is not listed among the files and
    /// has no title.
    pub fn with_config(config: ArtifactFile) -> Self {
        Self::default().config(config)
    }

    /// A WebAssembly module or component and its config, as
    /// [the convention](https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/)
    /// has it. `artifact_type` is not part of it: registries then show [`WASM_CONFIG`].
    pub fn wasm(
        config: impl Into<PathBuf>,
        module: impl Into<PathBuf>,
        artifact_type: Option<&str>,
    ) -> Self {
        Self {
            artifact_type: artifact_type.map(Into::into),
            ..Self::with_config(ArtifactFile::new(config).media_type(WASM_CONFIG))
        }
        .file(ArtifactFile::new(module).media_type(WASM))
    }

    /// The same with a config of its own in the place of the empty one.
    #[must_use]
    pub fn config(mut self, config: ArtifactFile) -> Self {
        self.config = Some(config);
        self
    }

    /// The same with one more file after the others.
    #[must_use]
    pub fn file(mut self, file: ArtifactFile) -> Self {
        self.files.push(file);
        self
    }

    /// The same, being about a manifest: its signature, its bill of materials.
    #[must_use]
    pub fn subject(mut self, subject: &Document) -> Self {
        let it = subject.descriptor();
        let plain = Descriptor::new(it.media_type.clone(), it.digest.clone(), it.size);
        self.subject = Some(plain);
        self
    }

    /// The same with an annotation on its manifest.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Hashes the files and makes the manifest. Needs a tokio runtime.
    ///
    /// Fails if a type is none, if there is neither a type nor a config, if two files have one
    /// name, if a name leads out of a directory it is written to, or if a file cannot be read.
    pub async fn build(self) -> Result<Artifact, ArtifactError> {
        let titles = self.checked()?;
        let named = self.files.iter().zip(titles);
        let layers: Vec<ArtifactFile> = named
            .map(|(file, title)| file.clone().annotation(TITLE, title))
            .collect();
        let all: Vec<_> = self.config.iter().chain(&layers).cloned().collect();
        let hashing = all.into_iter().map(files::describe);
        let hashing: Vec<_> = hashing.collect();
        let described: Vec<(Descriptor, PathBuf)> = stream::iter(hashing)
            .buffered(HASHED_AT_ONCE)
            .try_collect()
            .await?;
        let manifest = self.manifest(described.iter().map(|(it, _)| it.clone()))?;
        let mut files: HashMap<Digest, PathBuf> = HashMap::new();
        for (descriptor, path) in described {
            files.entry(descriptor.digest).or_insert(path);
        }
        Ok(Artifact::new(manifest, files))
    }

    /// The names of the files, in order, if all is well as far as can be said without reading.
    fn checked(&self) -> Result<Vec<String>, ArtifactError> {
        match &self.artifact_type {
            Some(text) => names::check_type("artifact type", text)?,
            // https://github.com/opencontainers/image-spec/blob/main/manifest.md: a manifest
            // whose config is the empty one must have a type.
            None if self.config.is_none() => return Err(ArtifactError::NoType),
            None => {}
        }
        if let Some(config) = &self.config {
            names::check_type("type of the config", config.media_type.as_str())?;
        }
        if self.files.len() > MAX_FILES {
            return Err(ArtifactError::TooManyFiles {
                files: self.files.len(),
                limit: MAX_FILES,
            });
        }
        let mut titles: HashMap<String, &Path> = HashMap::new();
        let mut in_order = Vec::new();
        for file in &self.files {
            names::check_type("type of a file", file.media_type.as_str())?;
            let title = names::title(&file.path, file.annotations.get(TITLE))?;
            if let Some(first) = titles.insert(title.clone(), &file.path) {
                return Err(ArtifactError::SameTitle {
                    title,
                    first: first.to_owned(),
                    second: file.path.clone(),
                });
            }
            in_order.push(title);
        }
        Ok(in_order)
    }

    /// The manifest, of descriptors of the config, if there is one, and of the files.
    fn manifest(
        &self,
        mut described: impl Iterator<Item = Descriptor>,
    ) -> Result<Document, ArtifactError> {
        let empty = || Descriptor::of(MediaType::OCI_EMPTY, EMPTY);
        let config = match self.config {
            Some(_) => described.next().unwrap_or_else(empty),
            None => empty(),
        };
        let mut builder = ManifestBuilder::new(config);
        if let Some(artifact_type) = &self.artifact_type {
            builder = builder.artifact_type(artifact_type);
        }
        if self.files.is_empty() {
            // Registries and clients that know images only want a layer.
            builder = builder.layer(empty());
        }
        for layer in described {
            builder = builder.layer(layer);
        }
        if let Some(subject) = &self.subject {
            builder = builder.about(subject.clone());
        }
        for (key, value) in &self.annotations {
            builder = builder.annotation(key, value);
        }
        let manifest = builder.with_empty_content().build();
        manifest.map_err(ArtifactError::Manifest)
    }
}

#[cfg(test)]
mod tests;
