//! Once more: what is tried again, how often, and what is not.

use std::time::{Duration, Instant};

use longshore_registry::RetryPolicy;
use oci::{Presence, PushTarget, TargetErrorKind};
use server::{Action, Answer, Endpoint, Rule};

use crate::fixture::{
    Blobs, MIB, Seen, blob, client, manifest, quick, registry, repository, upload,
};

#[tokio::test]
async fn r8_a_blobs_body_is_sent_again_until_it_is_taken() {
    let server = registry().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 300_000);
    let source = Blobs::one(&layer, &content);
    let seen = Seen::default();
    let busy = || Answer::new(503);
    let rule = Rule::on(Endpoint::UploadPut).first(3);
    let fault = server
        .faults()
        .add(rule.act(Action::AnswerAtByte(300_000, busy())));
    // The registry keeps nothing of what it has refused.
    server
        .faults()
        .add(Rule::on(Endpoint::UploadStatus).act(Action::LoseSession));

    let receipt = target
        .upload_blob(upload(&layer, &source).observed(&seen))
        .await;

    assert_eq!(receipt.unwrap().sent, 4 * layer.size);
    assert_eq!(
        (seen.sent(), seen.rewound()),
        (4 * layer.size, vec![0, 0, 0])
    );
    assert_eq!(fault.hits(), 3);
    assert_eq!(source.opened(), vec![(layer.digest.clone(), 0); 4]);
    let digest = &layer.digest;
    let mut expected = Vec::new();
    for n in 1..=3 {
        expected.push("POST /v2/app/blobs/uploads/ → 202".to_owned());
        expected.push(format!(
            "PUT /v2/app/blobs/uploads/<{n}>?digest={digest} → 503"
        ));
        expected.push(format!("HEAD /v2/app/blobs/{digest} → 404"));
        expected.push(format!("GET /v2/app/blobs/uploads/<{n}> → 404"));
    }
    expected.push("POST /v2/app/blobs/uploads/ → 202".to_owned());
    expected.push(format!(
        "PUT /v2/app/blobs/uploads/<4>?digest={digest} → 201"
    ));
    assert_eq!(server.log().lines(), expected);
    assert_eq!(client.traffic().total.retries, 3);
}

#[tokio::test]
async fn r8_attempts_end_with_the_last_answer() {
    let server = registry().await;
    let client = quick()
        .retry(
            RetryPolicy::default()
                .with_attempts(3)
                .with_backoff(Duration::ZERO, Duration::ZERO),
        )
        .build()
        .unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let failed = Answer::error(500, "UNKNOWN", "disk on fire");
    server
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::Answer(failed)));
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&TargetErrorKind::Server, Some(500))
    );
    assert!(error.retryable());
    assert_eq!(
        error.answer().errors[0].message.as_deref(),
        Some("disk on fire")
    );
    assert_eq!(server.log().by_method()["PUT"], 3);
    assert_eq!(server.log().by_method()["POST"], 1);
    assert_eq!(server.log().by_method()["DELETE"], 1);
    assert_eq!(server.log().by_method()["HEAD"], 3);
}

/// The registry has taken the blob and says 503: the bytes need not go again.
#[tokio::test]
async fn r8_a_blob_that_was_committed_after_all_is_not_sent_again() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let actions = [
        Action::AnswerAfter(Answer::new(503)),
        Action::ResetBeforeAnswer,
        Action::AnswerAfter(Answer::new(404)),
    ];
    for (seed, action) in (7..).zip(actions) {
        server.log().clear();
        let (layer, content) = blob(seed, 1000);
        let layer = &layer;
        let source = Blobs::one(layer, &content);
        let shown = format!("{action:?}");
        let rule = server
            .faults()
            .add(Rule::on(Endpoint::UploadPut).act(action));
        let receipt = target.upload_blob(upload(layer, &source)).await.unwrap();
        rule.remove();
        assert_eq!(receipt.sent, layer.size, "{shown}");
        let methods: Vec<_> = server
            .log()
            .entries()
            .iter()
            .map(|it| it.method.to_string())
            .collect();
        assert_eq!(methods, ["POST", "PUT", "HEAD"], "{shown}");
        assert_eq!(
            target.has_blob(layer).await.unwrap(),
            Presence::Held(layer.digest.clone()),
        );
    }
}

#[tokio::test]
async fn r8_a_connection_that_breaks_in_the_body_costs_what_did_not_arrive() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 4 * MIB);
    let source = Blobs::one(&layer, &content);
    let rule = Rule::on(Endpoint::UploadPut).first(1);
    server
        .faults()
        .add(rule.act(Action::ResetAtByte(MIB as u64)));
    let receipt = target.upload_blob(upload(&layer, &source)).await.unwrap();
    let all = (layer.size, source.opened());
    let (whole, rest) = (
        (layer.digest.clone(), 0),
        (layer.digest.clone(), MIB as u64),
    );
    assert_eq!(all, (4 * MIB as u64, vec![whole, rest]));
    assert!(receipt.sent >= layer.size, "{}", receipt.sent);
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            "POST /v2/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → reset"),
            format!("HEAD /v2/app/blobs/{digest} → 404"),
            "GET /v2/app/blobs/uploads/<1> → 204".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 201"),
        ],
    );
    assert_eq!(server.log().blob_bytes(), layer.size);
}

#[tokio::test]
async fn r8_questions_and_manifests_are_asked_again() {
    let statuses = [408, 429, 500, 502, 503, 504];
    for status in statuses {
        let server = registry().await;
        let target = client().push_target(&repository(&server, "app"));
        let document = manifest(&[]);
        let once = || Rule::any().act(Action::Answer(Answer::new(status)));
        let (layer, _) = blob(1, 10);
        server.faults().add(once().first(2));
        assert_eq!(target.has_blob(&layer).await.unwrap(), Presence::Absent);
        assert_eq!(server.log().requests(), 3, "{status}");

        server.log().clear();
        server.faults().add(once().first(1));
        let error = target.put_manifest(&document, None).await.unwrap_err();
        // It got through, and its config is not there.
        assert_eq!(error.kind(), &TargetErrorKind::Refused);
        assert_eq!(server.log().by_method()["PUT"], 2, "{status}");
        assert_eq!(server.log().requests(), 2);
    }
}

#[tokio::test]
async fn r8_a_connection_that_breaks_before_the_answer_is_made_anew() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, _) = blob(1, 10);
    for action in [
        Action::ResetBefore,
        Action::TruncateAnswer(9),
        Action::TruncateAnswer(0),
    ] {
        server.log().clear();
        server.faults().add(Rule::any().first(1).act(action));
        assert_eq!(target.has_blob(&layer).await.unwrap(), Presence::Absent);
        assert_eq!(server.log().requests(), 2);
    }
}

#[tokio::test]
async fn r8_any_other_refusal_stands_at_once() {
    for status in [400, 401, 403, 405, 409, 410, 413, 416, 422, 451] {
        let server = registry().await;
        let target = client().push_target(&repository(&server, "app"));
        let answer = Answer::error(status, "DENIED", "no");
        let fault = server.faults().add(Rule::any().act(Action::Answer(answer)));
        let error = target.put_manifest(&manifest(&[]), None).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert!(!error.retryable(), "{status}");
        assert_eq!(fault.hits(), 1, "{status}");
        assert_eq!(server.log().requests(), 1, "{status}");
    }
}

#[tokio::test]
async fn r8_retry_after_is_waited_for_by_every_request_to_the_host() {
    let (server, client) = (registry().await, client());
    let target = client.push_target(&repository(&server, "app"));
    let (absent, _) = blob(1, 10);
    target.has_blob(&absent).await.unwrap();
    let busy = Answer::new(429).header("retry-after", "1");
    server
        .faults()
        .add(Rule::any().first(1).act(Action::Answer(busy)));
    let before = Instant::now();
    let one = target.has_blob(&absent);
    let other = async {
        while client.paused().is_empty() {
            tokio::task::yield_now().await;
        }
        target.has_blob(&absent).await
    };
    let (one, other) = tokio::join!(one, other);
    assert_eq!(
        (one.unwrap(), other.unwrap()),
        (Presence::Absent, Presence::Absent)
    );
    let entries = server.log().entries();
    assert_eq!(entries.len(), 4);
    for entry in &entries[2..] {
        assert!(entry.started - before >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn r8_a_wait_over_the_cap_is_rate_limited_at_once() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, _) = blob(1, 10);
    let busy = Answer::new(429).header("retry-after", "86400");
    server.faults().add(Rule::any().act(Action::Answer(busy)));
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::RateLimited);
    assert_eq!(server.log().requests(), 1);
}
