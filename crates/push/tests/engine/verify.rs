//! Bytes that are not what they should be do not reach a registry as a blob.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use futures_util::StreamExt;
use longshore_push::{
    Engine, Options, Phase, PushError,
    recording::{Call, Operation, RecordingTarget},
};
use oci::{
    BlobUpload, Descriptor, Document, ManifestReceipt, PushTarget, Repository, SourceError, Tag,
    TargetError, TargetErrorKind, UploadReceipt,
};

use crate::fixture::{
    Damage, Damaged, Image, count, image, image_sized, is_put, repository, tagged, target,
};

fn engine() -> Engine {
    Engine::new(Options {
        concurrency: NonZeroUsize::MIN,
        ..Options::default()
    })
}

fn damaged(image: &Image, blob: &Descriptor, damage: Damage) -> Damaged {
    Damaged {
        inner: image.source.clone(),
        blob: blob.digest.clone(),
        damage,
    }
}

fn is_cancel(call: &Call) -> bool {
    matches!(call.operation, Operation::Cancel { .. })
}

async fn fault(source: &Damaged, target: &RecordingTarget) -> (SourceError, String) {
    let pushed = engine().push(source, target, &tagged(&["1"]), &()).await;
    match pushed.unwrap_err() {
        PushError::LocalBlob {
            digest,
            place,
            phase,
            cause,
            ..
        } => {
            assert_eq!(digest, source.blob);
            assert_eq!(phase, Phase::Upload);
            (*cause, place)
        }
        other => panic!("{other:?}"),
    }
}

/// The first byte, the last, one in the middle; a small blob and one that is hashed elsewhere.
#[tokio::test(start_paused = true)]
async fn n3_a_byte_flipped_after_preflight_is_caught_before_the_commit() {
    for size in [1000, 700_000] {
        for at in [0, size / 2, size - 1] {
            let image = image_sized(&["base"], size);
            let blob = &image.layers[0];
            let target = target();
            let (cause, place) = fault(&damaged(&image, blob, Damage::Flipped(at)), &target).await;
            assert!(
                matches!(cause, SourceError::Altered { expected, .. } if expected == blob.digest)
            );
            assert_eq!(place, "disk/layer");
            assert!(!target.holds_blob(&blob.digest));
            assert!(
                target.blob_bytes() < blob.size,
                "the last piece was never handed over"
            );
            assert_eq!(count(&target, is_cancel), 1, "its session is cancelled");
            assert_eq!(count(&target, is_put), 0);
            assert_eq!(target.open_sessions(), [""; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn n3_a_blob_that_changes_its_length_while_it_is_read_is_caught() {
    let image = image(&["base"]);
    let blob = &image.layers[0];
    for (damage, found) in [(Damage::Cut, 999), (Damage::Grown, 1001)] {
        let target = target();
        let (cause, _) = fault(&damaged(&image, blob, damage), &target).await;
        match cause {
            SourceError::WrongSize {
                expected, actual, ..
            } => {
                assert_eq!((expected, actual), (1000, found));
            }
            other => panic!("{other:?}"),
        }
        assert!(target.blob_bytes() < blob.size);
        assert_eq!(count(&target, is_put), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn n3_a_disk_that_fails_is_a_fault_of_the_source() {
    let image = image(&["base"]);
    let target = target();
    let source = damaged(&image, &image.layers[0], Damage::Unreadable(500));
    let (cause, _) = fault(&source, &target).await;
    let SourceError::Unreadable { error, .. } = cause else {
        panic!("{cause:?}");
    };
    assert!(
        error.downcast_ref::<std::io::Error>().is_some(),
        "the cause itself, not its text"
    );
    assert_eq!(count(&target, is_put), 0);
}

/// A target that reads from the middle, and hides what went wrong.
#[derive(Debug)]
struct FromTheMiddle(Repository);

#[async_trait]
impl PushTarget for FromTheMiddle {
    fn repository(&self) -> &Repository {
        &self.0
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let failed = || TargetError::new(TargetErrorKind::Network, "send the body");
        for offset in [upload.blob.size / 2, upload.blob.size, 0] {
            let mut body = upload
                .source
                .open(upload.blob, offset)
                .await
                .map_err(|_| failed())?;
            let mut seen = 0;
            while let Some(piece) = body.next().await {
                seen += piece.map_err(|_| failed())?.len() as u64;
            }
            assert_eq!(seen, upload.blob.size - offset);
        }
        Ok(UploadReceipt::new(upload.blob.size))
    }

    async fn put_manifest(
        &self,
        _document: &Document,
        _tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        Ok(ManifestReceipt::default())
    }
}

/// From whatever offset a target reads, all of the blob is checked; and whatever it makes of
/// the error, the caller hears the cause.
#[tokio::test(start_paused = true)]
async fn n3_reading_from_an_offset_is_checked_from_the_start() {
    let image = image_sized(&["base"], 300_000);
    let target = FromTheMiddle(repository("app"));
    engine()
        .push(&image.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();

    let source = damaged(&image, &image.layers[0], Damage::Flipped(3));
    let error = engine()
        .push(&source, &target, &tagged(&["1"]), &())
        .await
        .unwrap_err();
    assert!(
        matches!(error.source_error(), Some(SourceError::Altered { .. })),
        "{error:?}"
    );
    assert!(error.target_error().is_none());
}
