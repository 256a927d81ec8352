//! The double itself: what it records, and that it fails when told.

use longshore_push::{
    PushError,
    recording::{Call, CredentialKind, Operation, RecordingTarget},
};
use oci::{MediaType, TagOrDigest, TargetErrorKind};

use crate::fixture::{asking_first, at_tag, image, one_at_a_time, push, refusal, repository};

#[tokio::test(start_paused = true)]
async fn z2_the_double_records_operation_subject_length_type_and_credential_in_order() {
    let image = image(&["base"]);
    let target = RecordingTarget::new(repository("app")).with_credential(CredentialKind::Bearer);
    push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap();

    let octets = || Some(MediaType::new("application/octet-stream"));
    let blob = |n: usize| TagOrDigest::Digest(image.blobs()[n].digest.clone());
    let mount = || Operation::Mount {
        from: repository("app"),
    };
    let upload = |n: u8| Operation::Upload {
        session: Some(format!("session-{n}")),
    };
    let recorded: Vec<_> = target
        .calls()
        .into_iter()
        .map(|it| {
            (
                it.operation,
                it.subject.unwrap(),
                it.bytes,
                it.content_type,
                it.credential,
            )
        })
        .collect();
    let length = image.root.bytes().len() as u64;
    let bearer = CredentialKind::Bearer;
    assert_eq!(
        recorded,
        [
            (mount(), blob(0), 0, None, bearer),
            (upload(1), blob(0), image.layers[0].size, octets(), bearer),
            (mount(), blob(1), 0, None, bearer),
            (upload(2), blob(1), image.config.size, octets(), bearer),
            (
                Operation::PutManifest,
                at_tag("1"),
                length,
                Some(MediaType::OCI_MANIFEST),
                bearer
            ),
        ],
    );
}

/// Whichever call fails, and whatever with: the error arrives typed, and nothing is put
/// after it.
#[tokio::test(start_paused = true)]
async fn z2_any_call_can_be_made_to_fail_with_any_error() {
    let image = image(&["base"]);
    for nth in 1..=7 {
        let target = RecordingTarget::new(repository("app"))
            .failing(nth, refusal(TargetErrorKind::Unauthorized, 401));
        let error = push(&asking_first(), &image, &target, &["1"])
            .await
            .unwrap_err();
        assert_eq!(
            error.target_error().unwrap().kind(),
            &TargetErrorKind::Unauthorized
        );
        assert_eq!(error.status(), Some(401));
        let expected = matches!(
            (nth, &error),
            (1 | 2, PushError::Question { .. })
                | (3..=6, PushError::BlobUploadFailed { .. })
                | (7, PushError::ManifestPutFailed { .. })
        );
        assert!(expected, "call {nth}: {error:?}");
        let failing_call = target.calls().into_iter().nth(nth - 1).unwrap();
        let after: Vec<Call> = target.calls().split_off(nth);
        assert!(
            after.iter().all(|it| matches!(
                it.operation,
                Operation::Cancel { .. } | Operation::Abandon { .. }
            )),
            "after {failing_call}: {after:?}"
        );
        assert_eq!(target.manifest(&at_tag("1")), None);
    }
}

#[tokio::test(start_paused = true)]
async fn z2_faults_can_be_aimed_and_end() {
    let image = image(&["base"]);
    let target = RecordingTarget::new(repository("app")).failing_when(
        1,
        |call| call.operation == Operation::PutManifest,
        || refusal(TargetErrorKind::Server, 503),
    );
    let engine = one_at_a_time();
    let error = push(&engine, &image, &target, &["1"]).await.unwrap_err();
    assert!(error.retryable());
    push(&engine, &image, &target, &["1"]).await.unwrap();
    assert_eq!(target.manifest(&at_tag("1")).unwrap(), image.root.bytes());
}
