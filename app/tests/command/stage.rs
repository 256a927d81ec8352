//! A test's stage: a home directory, a sample image, a registry.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longshore::push::source::sample::{self, SampleOptions};
use oci::{Descriptor, Digest, Document, layout};
use server::{RunningServer, Server};
use tempfile::TempDir;

use crate::longshore::{Run, run_beside};

/// Where nobody listens. A port that was free a moment ago may be another test's by now.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// What a test of the command needs.
pub(crate) struct Stage {
    directory: TempDir,
    pub(crate) server: RunningServer,
}

/// The sample image, as it was written.
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) document: Document,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Server::builder().memory().start().await.unwrap())
    }

    pub(crate) fn with(server: RunningServer) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            server,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.server.registry())
    }

    /// Three layers of 64 KiB, unless said otherwise.
    pub(crate) fn image(&self, options: &SampleOptions) -> Image {
        self.image_at("image", options)
    }

    pub(crate) fn image_at(&self, name: &str, options: &SampleOptions) -> Image {
        let path = self.path(name);
        let root = sample::write_layout(&path, options).unwrap();
        let bytes = fs::read(path.join(layout::blob_path(&root.digest))).unwrap();
        let document = Document::new(bytes.into(), Some(&root.media_type)).unwrap();
        Image { path, document }
    }

    /// An image of which nothing is as in the other.
    pub(crate) fn other_image(&self) -> Image {
        let options = SampleOptions {
            layer_bytes: 48 * 1024,
            ..SampleOptions::default()
        };
        self.image_at("other-image", &options)
    }

    /// Runs the command; the log then holds this run's requests only.
    pub(crate) async fn longshore(&self, args: &[&str]) -> Run {
        self.server.log().clear();
        run_beside(self.directory.path(), args.iter().copied()).await
    }

    pub(crate) fn home(&self) -> &Path {
        self.directory.path()
    }
}

impl Image {
    pub(crate) fn digest(&self) -> &Digest {
        self.document.digest()
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Config and layers, the largest first: the order they are pushed in.
    pub(crate) fn blobs(&self) -> Vec<Descriptor> {
        let mut blobs: Vec<Descriptor> = self.document.children().cloned().collect();
        blobs.sort_by_key(|it| std::cmp::Reverse(it.size));
        blobs
    }

    pub(crate) fn blob_bytes(&self) -> u64 {
        self.document.children().map(|it| it.size).sum()
    }

    /// Where a blob of the image is.
    pub(crate) fn file(&self, digest: &Digest) -> PathBuf {
        self.path.join(layout::blob_path(digest))
    }
}

/// A small image: three layers of 64 KiB.
pub(crate) fn small() -> SampleOptions {
    SampleOptions {
        layer_bytes: 64 * 1024,
        ..SampleOptions::default()
    }
}
