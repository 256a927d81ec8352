//! A registry, a gate before it, an image, and a client's home: what a push that is killed needs.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use longshore::push::source::sample::{self, SampleOptions};
use oci::{Descriptor, Digest, Document, layout};
use tempfile::TempDir;

use crate::{
    client::Client,
    gate::{Gate, Request},
    http::Http,
    served::Served,
};

pub(crate) const MIB: u64 = 1 << 20;

/// All of it. The registry is the real one, in a process of its own.
pub(crate) struct Stage {
    directory: TempDir,
    served: Served,
    pub(crate) gate: Gate,
    image: PathBuf,
    document: Document,
    flags: Vec<String>,
}

/// What a push comes to on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Bytes of blobs that the client has sent.
    pub(crate) bytes: u64,
    /// Requests, all of them.
    pub(crate) requests: u64,
    /// Requests about the layer.
    pub(crate) layer: u64,
}

impl Stage {
    /// A stage with an image of one layer of so many MiB, pushed with these flags.
    pub(crate) fn new(mib: u64, flags: &[&str]) -> Self {
        let options = SampleOptions {
            layers: 1,
            layer_bytes: mib * MIB,
            ..SampleOptions::default()
        };
        // Each push sends its image, whatever repositories of the registry hold it already.
        let flags: Vec<&str> = flags.iter().copied().chain(["--no-index"]).collect();
        Self::of(&options, &flags)
    }

    /// A stage with this image, pushed with these flags.
    pub(crate) fn of(options: &SampleOptions, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(&directory.path().join("store"), false);
        let image = directory.path().join("image");
        let root = sample::write_layout(&image, options).unwrap();
        let bytes = std::fs::read(image.join(layout::blob_path(&root.digest))).unwrap();
        Self {
            gate: Gate::before(&served.address),
            document: Document::new(bytes.into(), Some(&root.media_type)).unwrap(),
            flags: flags.iter().map(|it| (*it).to_owned()).collect(),
            directory,
            served,
            image,
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.directory.path()
    }

    /// The image's one layer.
    pub(crate) fn layer(&self) -> &Descriptor {
        self.document.children().max_by_key(|it| it.size).unwrap()
    }

    /// The image's config.
    pub(crate) fn config(&self) -> &Descriptor {
        self.document.children().min_by_key(|it| it.size).unwrap()
    }

    /// The digest of its manifest.
    pub(crate) fn digest(&self) -> &Digest {
        self.document.digest()
    }

    /// Starts a push to `team/<name>:1`.
    pub(crate) fn push(&self, name: &str) -> Client {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let reference = format!("{}/team/{name}:1", self.gate.address);
        Client::push(self.home(), &self.image, &reference, &flags)
    }

    /// What a push costs that nothing stops.
    pub(crate) fn undisturbed(&self, name: &str) -> Cost {
        self.cost(&self.undisturbed_log(name))
    }

    /// What a push asks for that nothing stops.
    pub(crate) fn undisturbed_log(&self, name: &str) -> Vec<Request> {
        let mut client = self.push(name);
        assert_eq!(self.gate.stopped(&mut client), None);
        self.gate.cut();
        self.is_whole(name);
        self.gate.take_log()
    }

    /// What requests come to.
    pub(crate) fn cost(&self, log: &[Request]) -> Cost {
        let config = &self.config().digest;
        let blobs = log.iter().filter(|it| it.target.contains("/blobs/"));
        let about = blobs
            .clone()
            .filter(|it| !it.target.contains(config.encoded()));
        Cost {
            bytes: blobs.map(|it| it.sent).sum(),
            requests: log.len() as u64,
            layer: about.count() as u64,
        }
    }

    /// Whether the tag is there. If it is, so is everything it leads to, byte for byte.
    pub(crate) fn is_tagged(&self, name: &str) -> bool {
        let mut http = Http::new(&self.served.address);
        let base = format!("/v2/team/{name}");
        let accept = format!("accept: {}\r\n", self.document.media_type());
        let manifest = http
            .send("GET", &format!("{base}/manifests/1"), &accept, b"")
            .unwrap();
        if manifest.status == 404 {
            return false;
        }
        assert_eq!(manifest.status, 200);
        assert_eq!(&Digest::of(&manifest.body), self.document.digest());
        let blobs: BTreeSet<&Digest> = self.document.children().map(|it| &it.digest).collect();
        for digest in blobs {
            let blob = http.get(&format!("{base}/blobs/{digest}")).unwrap();
            assert_eq!(blob.status, 200, "{digest}");
            assert_eq!(&Digest::of(&blob.body), digest);
        }
        true
    }

    pub(crate) fn is_whole(&self, name: &str) {
        assert!(self.is_tagged(name), "{name} is not there");
    }
}
