//! Images that stand in for Microsoft's bases: their manifests and configs as they are, layers that
//! nobody can open, and a count of what was opened.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use oci::{BlobStream, Descriptor, Digest, Document, MediaType, Source, SourceError};
use serde_json::{Value, json};

use crate::Bases;

/// A source that has configs and no layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct StandIn {
    root: Option<Document>,
    documents: BTreeMap<String, Document>,
    configs: BTreeMap<String, Bytes>,
    /// The digests of the blobs that were opened.
    pub(crate) opened: Arc<Mutex<Vec<Digest>>>,
}

/// Sources by reference.
#[derive(Clone, Debug, Default)]
pub(crate) struct StandIns(pub(crate) BTreeMap<String, StandIn>);

/// What nanoserver's config is like.
pub(crate) fn nanoserver_config(version: &str) -> Value {
    json!({
        "architecture": "amd64",
        "config": {
            "Hostname": "", "Domainname": "", "User": "ContainerUser", "AttachStdin": false,
            "AttachStdout": false, "AttachStderr": false, "Tty": false, "OpenStdin": false,
            "StdinOnce": false, "Env": null, "Cmd": ["c:\\windows\\system32\\cmd.exe"],
            "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null,
            "Labels": null,
        },
        "created": "2024-07-06T05:41:17.1234567Z",
        "history": [{
            "created": "2024-07-06T05:41:17.1234567Z",
            "created_by": format!("Apply image {version}"),
        }],
        "os": "windows",
        "rootfs": {"type": "layers", "diff_ids": [diff_id(version).to_string()]},
        "os.version": version,
    })
}

/// The digest of a stand-in's layer when it is not compressed.
pub(crate) fn diff_id(version: &str) -> Digest {
    Digest::of(format!("uncompressed {version}").as_bytes())
}

/// A layer as nanoserver's manifest describes its own.
pub(crate) fn layer(version: &str) -> Value {
    json!({
        "mediaType": MediaType::DOCKER_LAYER_GZIP,
        "size": 123_997_505,
        "digest": Digest::of(format!("compressed {version}").as_bytes()),
    })
}

impl StandIn {
    /// What nanoserver is, for one version.
    pub(crate) fn nanoserver(version: &str) -> Self {
        let platform = json!({"architecture": "amd64", "os": "windows", "os.version": version});
        Self::index(&[(platform, nanoserver_config(version), vec![layer(version)])])
    }

    /// An index of images: platform, config, layers.
    pub(crate) fn index(images: &[(Value, Value, Vec<Value>)]) -> Self {
        let mut it = Self::default();
        let mut manifests = Vec::new();
        for (platform, config, layers) in images {
            let manifest = it.add(config.to_string(), layers);
            let mut descriptor = serde_json::to_value(manifest.descriptor()).unwrap();
            if !platform.is_null() {
                descriptor["platform"] = platform.clone();
            }
            manifests.push(descriptor);
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST, "manifests": manifests,
        });
        it.root = Some(Document::new(index.to_string().into(), None).unwrap());
        it
    }

    /// One image, without an index.
    pub(crate) fn image(config: &Value, layers: &[Value]) -> Self {
        Self::of_text(config.to_string(), layers)
    }

    /// The same with a config that may be anything.
    pub(crate) fn of_text(config: String, layers: &[Value]) -> Self {
        let mut it = Self::default();
        it.root = Some(it.add(config, layers));
        it
    }

    /// One image by its manifest's text.
    pub(crate) fn manifest(manifest: &Value, config: &Value) -> Self {
        let mut it = Self::default();
        it.keep(config.to_string());
        it.root = Some(Document::new(manifest.to_string().into(), None).unwrap());
        it
    }

    fn keep(&mut self, config: String) -> Descriptor {
        let descriptor = Descriptor::of(MediaType::DOCKER_CONFIG, config.as_bytes());
        self.configs
            .insert(descriptor.digest.to_string(), config.into());
        descriptor
    }

    fn add(&mut self, config: String, layers: &[Value]) -> Document {
        let config = self.keep(config);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST, "config": config,
            "layers": layers,
        });
        let document = Document::new(manifest.to_string().into(), None).unwrap();
        self.documents
            .insert(document.digest().to_string(), document.clone());
        document
    }

    /// Gives other bytes for every config.
    pub(crate) fn altered(mut self) -> Self {
        for bytes in self.configs.values_mut() {
            *bytes = Bytes::from(vec![b' '; bytes.len()]);
        }
        self
    }

    /// The same with another root.
    pub(crate) fn rooted(mut self, root: Document) -> Self {
        self.root = Some(root);
        self
    }

    /// What was opened since.
    pub(crate) fn opened(&self) -> Vec<Digest> {
        self.opened.lock().unwrap().clone()
    }

    /// The image with this place in its index, or itself.
    pub(crate) fn manifest_at(&self, at: usize) -> &Document {
        let root = self.root.as_ref().unwrap();
        match root.as_index() {
            Some(index) => &self.documents[&index.manifests[at].digest.to_string()],
            None => root,
        }
    }
}

#[async_trait]
impl Source for StandIn {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.root.clone().unwrap())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let found = &self.documents[&descriptor.digest.to_string()];
        Ok(Document::verified(found.bytes().clone(), descriptor).unwrap())
    }

    async fn open(&self, blob: &Descriptor, _offset: u64) -> Result<BlobStream, SourceError> {
        self.opened.lock().unwrap().push(blob.digest.clone());
        match self.configs.get(&blob.digest.to_string()) {
            Some(bytes) => Ok(stream::iter([Ok(bytes.clone())]).boxed()),
            None => Err(SourceError::Missing {
                digest: blob.digest.clone(),
                place: "a stand-in, which has no layers".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl Bases for StandIns {
    async fn open(&self, reference: &str) -> Result<Arc<dyn Source>, SourceError> {
        match self.0.get(reference) {
            Some(found) => Ok(Arc::new(found.clone())),
            None => Err(SourceError::NotFound {
                place: reference.to_owned(),
            }),
        }
    }
}

impl StandIns {
    pub(crate) fn one(reference: &str, base: StandIn) -> Self {
        Self([(reference.to_owned(), base)].into())
    }
}
