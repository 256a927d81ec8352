//! The narrowest target there can be.

use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt;
use longshore_push::{Done, Engine, MountStatus, Options};
use oci::{
    BlobUpload, Digest, Document, ManifestReceipt, PushTarget, Repository, Tag, TargetError,
    UploadReceipt,
};

use crate::fixture::{image, repository, tagged};

/// Two methods and a name: what a third party has to write.
#[derive(Debug)]
struct TwoMethods {
    repository: Repository,
    log: Mutex<Vec<String>>,
}

#[async_trait]
impl PushTarget for TwoMethods {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let opened = upload.source.open(upload.blob, 0).await;
        let mut body = opened.map_err(|error| TargetError::from_source(error, "read the blob"))?;
        let mut content = Vec::new();
        while let Some(piece) = body.next().await {
            content.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(Digest::of(&content), upload.blob.digest);
        self.log
            .lock()
            .unwrap()
            .push(format!("upload {}", upload.blob.digest));
        Ok(UploadReceipt::new(content.len() as u64))
    }

    async fn put_manifest(
        &self,
        document: &Document,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        let line = format!("put {} {:?}", document.media_type(), tag.map(Tag::as_str));
        self.log.lock().unwrap().push(line);
        Ok(ManifestReceipt::default())
    }
}

#[tokio::test(start_paused = true)]
async fn z1_a_target_of_two_methods_takes_a_whole_push() {
    let image = image(&["base", "app", "base"]);
    let target = TwoMethods {
        repository: repository("app"),
        log: Mutex::default(),
    };
    let through: &dyn PushTarget = &target;
    let engine = Engine::new(Options::default());
    let report = engine
        .push(&image.source, through, &tagged(&["1"]), &())
        .await
        .unwrap();

    let mut log = target.log.into_inner().unwrap();
    let last = log.pop().unwrap();
    assert_eq!(
        last,
        "put application/vnd.oci.image.manifest.v1+json Some(\"1\")"
    );
    log.sort();
    let mut expected: Vec<String> = image
        .blobs()
        .iter()
        .map(|it| format!("upload {}", it.digest))
        .collect();
    expected.sort();
    assert_eq!(log, expected, "each unique blob once, and nothing else");
    assert!(report.blobs.iter().all(|it| it.done == Done::Uploaded));
    assert!(
        report
            .blobs
            .iter()
            .all(|it| it.mount == MountStatus::Skipped)
    );
    assert!(
        !report.verified,
        "a target that cannot read back verifies nothing"
    );
}

#[test]
fn z1_a_push_can_be_moved_between_threads() {
    fn sendable<T: Send>(it: T) -> T {
        it
    }
    let image = image(&["base"]);
    let target = crate::fixture::target();
    let engine = Engine::new(Options::default());
    let destination = tagged(&["1"]);
    drop(sendable(engine.push(
        &image.source,
        &target,
        &destination,
        &(),
    )));
    drop(sendable(engine.plan(&image.source, &target, &destination)));
    assert_eq!(target.calls(), [], "nothing happens before it is awaited");
}
