//! Faults after the last byte of a blob: it is looked for and committed again, never sent again.

use std::time::Duration;

use longshore_registry::{CredentialStore, Credentials, Timeouts};
use oci::PushTarget;
use server::{Action, Answer, Auth, Bearer, Endpoint, Rule, Server};

use crate::fixture::{Blobs, PATIENCE, blob, quick, registry, repository, start, upload};

const SIZE: usize = 300_000;

/// The registry has got all bytes and fails before it commits.
fn after_the_last_byte() -> Vec<Action> {
    let answered = |status| Action::AnswerAtByte(SIZE as u64, Answer::new(status));
    vec![
        Action::StallAtByte(SIZE as u64),
        Action::ResetAtByte(SIZE as u64),
        answered(408),
        answered(500),
        answered(502),
        answered(504),
    ]
}

/// It fails after it has committed.
fn after_the_commit() -> Vec<Action> {
    let answered = |status, code| Action::AnswerAfter(Answer::error(status, code, "?"));
    vec![
        Action::StallAnswer,
        Action::ResetBeforeAnswer,
        Action::TruncateAnswer(5),
        answered(500, "UNKNOWN"),
        answered(502, "UNKNOWN"),
        answered(504, "UNKNOWN"),
        answered(404, "BLOB_UPLOAD_UNKNOWN"),
        answered(400, "BLOB_UPLOAD_UNKNOWN"),
    ]
}

async fn commits(action: Action) -> (Vec<String>, u64, u64) {
    let server = registry().await;
    // What stands still is found out by waiting; for the others no limit is to be passed.
    let stands_still = matches!(action, Action::StallAtByte(_) | Action::StallAnswer);
    let commit = if stands_still {
        Duration::from_secs(2)
    } else {
        PATIENCE
    };
    let limits = Timeouts::default().with_idle(PATIENCE).with_commit(commit);
    let client = quick().timeouts(limits).build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, SIZE);
    let source = Blobs::one(&layer, &content);
    let fault = server
        .faults()
        .add(Rule::on(Endpoint::UploadPut).first(1).act(action));
    let receipt = target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_eq!(fault.hits(), 1);
    let methods = server.log().entries();
    let methods = methods.iter().map(|it| it.method.to_string()).collect();
    (methods, server.log().blob_bytes(), receipt.sent)
}

#[tokio::test]
async fn p10_a_blob_that_is_all_there_is_committed_without_its_bytes() {
    for action in after_the_last_byte() {
        let shown = format!("{action:?}");
        let (methods, received, sent) = commits(action).await;
        assert_eq!(methods, ["POST", "PUT", "HEAD", "GET", "PUT"], "{shown}");
        assert_eq!((received, sent), (SIZE as u64, SIZE as u64), "{shown}");
    }
}

#[tokio::test]
async fn p10_a_commit_that_did_succeed_is_found() {
    for action in after_the_commit() {
        let shown = format!("{action:?}");
        let (methods, received, sent) = commits(action).await;
        assert_eq!(methods, ["POST", "PUT", "HEAD"], "{shown}");
        assert_eq!((received, sent), (SIZE as u64, SIZE as u64), "{shown}");
    }
}

/// A token that ends while the body is on its way, as a registry tells when all of it has come, and
/// as one tells that has stored it all the same.
#[tokio::test]
async fn p10_a_token_that_ends_with_the_last_byte_is_renewed_and_no_byte_goes_again() {
    let expired = || Answer::error(401, "UNAUTHORIZED", "expired");
    let before = Action::AnswerAtByte(SIZE as u64, expired());
    for (action, committed) in [(before, false), (Action::AnswerAfter(expired()), true)] {
        let auth = Auth::Bearer(Bearer::new().user("alice", "canary"));
        let server = start(Server::builder().memory().auth(auth)).await;
        let alice = Credentials::password("alice", "canary");
        let credentials = CredentialStore::new().with(server.registry(), alice);
        let client = quick().credentials(credentials).build().unwrap();
        let target = client.push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, SIZE);
        let source = Blobs::one(&layer, &content);
        let fault = Rule::on(Endpoint::UploadPut).nth(1).act(action);
        let fault = server.faults().add(fault);
        let receipt = target.upload_blob(upload(&layer, &source)).await.unwrap();
        assert_eq!(fault.hits(), 1);
        assert_eq!(server.log().blob_bytes(), SIZE as u64);
        assert_eq!(receipt.sent, SIZE as u64);
        let entries = server.log().entries();
        let refused = entries
            .iter()
            .position(|it| it.endpoint == Endpoint::UploadPut);
        let after = entries[refused.unwrap() + 1..].iter();
        let after: Vec<_> = after.map(|it| it.endpoint).collect();
        let mut expected = vec![Endpoint::Token, Endpoint::BlobHead];
        if !committed {
            expected.extend([Endpoint::UploadStatus, Endpoint::UploadPut]);
        }
        assert_eq!(after, expected, "{:#?}", server.log().lines());
    }
}

/// GHCR answers 404 and has the blob some seconds later.
#[tokio::test]
async fn p10_a_commit_that_is_finished_in_the_background_is_waited_for() {
    let server = registry().await;
    let client = quick().build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 5 * 1024 * 1024);
    let source = Blobs::one(&layer, &content);
    let unknown = Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "?");
    server
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::AnswerAfter(unknown)));
    let not_yet = Rule::on(Endpoint::BlobHead).first(3);
    server
        .faults()
        .add(not_yet.act(Action::Answer(Answer::new(404))));
    let receipt = target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_eq!(receipt.sent, layer.size);
    let methods = server.log().by_method();
    assert_eq!((methods["PUT"], methods["HEAD"]), (1, 4));
    assert_eq!(server.log().blob_bytes(), layer.size);
}
