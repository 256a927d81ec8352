//! Blobs go up: one POST, one PUT, nothing else.

use std::time::Duration;

use futures_util::future::join_all;
use longshore_registry::ChunkSize;
use oci::{
    Algorithm, BlobUpload, Descriptor, Digest, MediaType, Presence, PushTarget, SessionStatus,
    SourceError, TargetErrorKind, UploadSession,
};
use server::{Action, Answer, Endpoint, Rule, Server, UploadOptions};

use crate::{
    fixture::{
        Blobs, End, MIB, PATIENCE, Seen, at_most, blob, client, manifest, quick, registry,
        repository, settled, sorted, start, upload,
    },
    scripted::{Scripted, reply},
    set_up::SET_UP,
    tls::secure,
};

#[tokio::test]
async fn a_blob_goes_up_by_one_post_and_one_put() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "team/app"));
    let (layer, content) = blob(1, 3 * MIB + 17);
    let source = Blobs::one(&layer, &content);
    let seen = Seen::default();

    let upload = upload(&layer, &source).observed(&seen);
    let receipt = target.upload_blob(upload).await.unwrap();

    assert_eq!(receipt.sent, layer.size);
    assert_eq!((seen.sent(), seen.rewound()), (layer.size, vec![]));
    assert_eq!(source.opened(), [(layer.digest.clone(), 0)]);
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            "POST /v2/team/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/team/app/blobs/uploads/<1>?digest={digest} → 201"),
        ],
    );
    let entries = server.log().entries();
    assert_eq!(entries[0].headers.content_length, Some(0));
    let put = &entries[1].headers;
    assert_eq!(put.content_length, Some(layer.size));
    assert_eq!(
        put.content_type.as_deref(),
        Some("application/octet-stream")
    );
    assert_eq!(put.content_range, None);
    assert!(put.user_agent.as_deref().unwrap().starts_with("longshore/"));
    let query = entries[1].query.as_deref().unwrap();
    assert!(
        query.ends_with(&format!("digest=sha256%3A{}", digest.encoded())),
        "{query}"
    );
    assert_eq!(server.log().connections(), SET_UP.connections());
}

#[tokio::test]
async fn a_blob_of_no_bytes_and_one_of_a_single_byte_go_up_too() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    for length in [0, 1] {
        let (layer, content) = blob(1, length);
        let source = Blobs::one(&layer, &content);
        let receipt = target.upload_blob(upload(&layer, &source)).await.unwrap();
        assert_eq!(receipt.sent, length as u64);
        assert_eq!(
            target.has_blob(&layer).await.unwrap(),
            Presence::Held(layer.digest.clone()),
        );
    }
    assert_eq!(server.log().requests(), 6);
    assert_eq!(server.log().blob_bytes(), 1);
}

#[tokio::test]
async fn another_algorithm_is_announced_when_the_session_is_opened() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let content = bytes::Bytes::from_static(b"content");
    let digest = Digest::of_with(Algorithm::Sha512, &content);
    let layer = Descriptor::new(MediaType::OCI_LAYER, digest.clone(), 7);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_eq!(
        server.log().lines(),
        [
            "POST /v2/app/blobs/uploads/?digest-algorithm=sha512 → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 201"),
        ],
    );
}

#[tokio::test]
async fn a_location_is_taken_as_it_is() {
    for absolute in [false, true] {
        let usual = UploadOptions::default;
        let mut options = usual();
        options.absolute_location = absolute;
        options.state_parameter = true;
        let server = start(Server::builder().memory().uploads(options)).await;
        let target = client().push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, 100);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        let entries = server.log().entries();
        let query = entries[1].query.as_deref().unwrap();
        assert!(query.starts_with("_state="), "{query}");
        assert_eq!(entries.len(), 2);
    }
}

#[tokio::test]
async fn a_session_that_is_open_already_is_used() {
    let server = registry().await;
    let here = repository(&server, "app");
    let target = client().push_target(&here);
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let refused = target.mount_blob(&layer, &here).await.unwrap();
    let oci::MountOutcome::Refused(Some(session)) = refused else {
        panic!("{refused:?}");
    };
    let upload = upload(&layer, &source).in_session(Some(session));
    target.upload_blob(upload).await.unwrap();
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            format!("POST /v2/app/blobs/uploads/?mount={digest}&from=app → 202"),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 201"),
        ],
    );
}

#[tokio::test]
async fn a_session_that_was_lost_is_replaced_by_a_new_one() {
    let server = registry().await;
    let here = repository(&server, "app");
    let target = client().push_target(&here);
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let lost = UploadSession::new(format!("{}/v2/app/blobs/uploads/gone", server.url()));
    let upload = upload(&layer, &source).in_session(Some(lost));
    target.upload_blob(upload).await.unwrap();
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 404"),
            format!("HEAD /v2/app/blobs/{digest} → 404"),
            "POST /v2/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<2>?digest={digest} → 201"),
        ],
    );
}

/// Bytes that turn out to be the wrong ones after most of them were sent: the registry must not
/// get the rest, and the session is given up.
#[tokio::test]
async fn n3_a_source_that_fails_aborts_the_body_and_gives_the_session_up() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 4 * MIB);
    for (end, after) in [
        (End::Altered, 3 * MIB),
        (End::Short, 3 * MIB),
        (End::Long, MIB),
    ] {
        server.log().clear();
        let source = Blobs::one(&layer, &content).ending(after as u64, end);
        let error = target
            .upload_blob(upload(&layer, &source))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Source, "{error}");
        assert!(!error.retryable());
        assert!(error.sent() <= after as u64, "{}", error.sent());
        match end {
            End::Altered => {
                assert!(matches!(
                    error.as_source_error(),
                    Some(SourceError::Altered { .. })
                ));
            }
            _ => assert!(matches!(
                error.as_source_error(),
                Some(SourceError::Invalid { .. })
            )),
        }
        let digest = &layer.digest;
        assert_eq!(
            settled(&server).await,
            [
                "POST /v2/app/blobs/uploads/ → 202".to_owned(),
                format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → gone"),
                "DELETE /v2/app/blobs/uploads/<1> → 204".to_owned(),
            ],
        );
        assert_eq!(server.open_sessions(), 0);
        assert_eq!(source.opened().len(), 1);
    }
    assert_eq!(target.has_blob(&layer).await.unwrap(), Presence::Absent);
}

#[tokio::test]
async fn a_source_that_has_nothing_costs_one_session_given_up() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, _) = blob(1, 10);
    let error = target
        .upload_blob(upload(&layer, &Blobs::default()))
        .await
        .unwrap_err();
    assert!(matches!(
        error.as_source_error(),
        Some(SourceError::Missing { .. })
    ));
    assert_eq!(
        server.log().lines(),
        [
            "POST /v2/app/blobs/uploads/ → 202",
            "DELETE /v2/app/blobs/uploads/<1> → 204",
        ],
    );
}

/// Whoever drops an upload has gone; the session is still given up, and `close` waits for that.
#[tokio::test]
async fn n5_a_dropped_upload_gives_its_session_up() {
    let server = registry().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 4 * MIB);
    let source = Blobs::one(&layer, &content).ending(2 * MIB as u64, End::Hangs);
    let half = async {
        while server.log().blob_bytes() < 2 * MIB as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        ended = target.upload_blob(upload(&layer, &source)) => panic!("{ended:?}"),
        () = half => {}
    }
    client.close(PATIENCE).await;
    assert_eq!(server.open_sessions(), 0);
    let digest = &layer.digest;
    assert_eq!(
        settled(&server).await,
        [
            "POST /v2/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → gone"),
            "DELETE /v2/app/blobs/uploads/<1> → 204".to_owned(),
        ],
    );
}

/// The registry has opened a session by the time its answer is not waited for any more.
#[tokio::test]
async fn n5_a_session_that_is_being_opened_when_its_push_is_dropped_is_given_up() {
    for endpoint in [Endpoint::Mount, Endpoint::UploadPost] {
        let server = registry().await;
        let held_up = Action::DelayAnswer(Duration::from_millis(500));
        server.faults().add(Rule::on(endpoint).act(held_up));
        let client = client();
        let here = repository(&server, "app");
        let target = client.push_target(&here);
        let (layer, content) = blob(1, 10);
        let source = Blobs::one(&layer, &content);
        let opened = async {
            while server.open_sessions() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let asking = async {
            if endpoint == Endpoint::Mount {
                target.mount_blob(&layer, &here).await.map(drop)
            } else {
                target.upload_blob(upload(&layer, &source)).await.map(drop)
            }
        };
        // Where both are so when somebody looks, the session was there first.
        tokio::select! {
            biased;
            () = opened => {}
            ended = asking => panic!("{ended:?}"),
        }
        client.close(PATIENCE).await;
        assert_eq!(server.open_sessions(), 0);
        let lines = settled(&server).await;
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert_eq!(lines[1], "DELETE /v2/app/blobs/uploads/<1> → 204");
    }
}

#[tokio::test]
async fn n5_an_abandoned_session_is_given_up_in_the_background() {
    let server = registry().await;
    let client = client();
    let here = repository(&server, "app");
    let target = client.push_target(&here);
    let (layer, _) = blob(1, 10);
    let refused = target.mount_blob(&layer, &here).await.unwrap();
    let oci::MountOutcome::Refused(Some(session)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(server.open_sessions(), 1);
    target.abandon_session(session);
    client.close(PATIENCE).await;
    assert_eq!(server.open_sessions(), 0);
    assert_eq!(server.log().requests(), 2);
}

/// A proxy says 403 to the head of a request and reads no further. Its answer counts, not the
/// connection that breaks under the rest of the body.
#[tokio::test]
async fn an_early_refusal_is_read_while_the_body_is_written() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 64 * MIB);
    let source = Blobs::one(&layer, &content);
    let quota = Answer::error(403, "DENIED", "over the quota");
    let rule = Rule::on(Endpoint::UploadPut).act(Action::Answer(quota));
    let fault = server.faults().add(rule);

    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();

    assert_eq!(*error.kind(), TargetErrorKind::Denied, "{error}");
    assert_eq!(error.status(), Some(403));
    assert_eq!(
        error.answer().errors[0].message.as_deref(),
        Some("over the quota")
    );
    assert!(error.sent() < layer.size, "{}", error.sent());
    assert_eq!(fault.hits(), 1);
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            "POST /v2/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 403"),
            "DELETE /v2/app/blobs/uploads/<1> → 204".to_owned(),
        ],
    );
}

/// The same from a server that closes the connection right after it has spoken, with the client
/// still writing: the reset must not eat the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_survives_the_connection_it_came_on() {
    for (line, status, kind) in [
        ("403 Forbidden", 403, TargetErrorKind::Denied),
        ("401 Unauthorized", 401, TargetErrorKind::Unauthorized),
        ("413 Content Too Large", 413, TargetErrorKind::Refused),
    ] {
        let server = Scripted::start(move |head| match head.split(' ').next() {
            Some("POST") => reply("202 Accepted\r\nLocation: /v2/app/blobs/uploads/1", ""),
            Some("PUT") => reply(line, r#"{"errors":[{"code":"DENIED"}]}"#).slam(),
            _ => reply("204 No Content", ""),
        })
        .await;
        let (layer, content) = blob(1, 16 * MIB);
        let source = Blobs::one(&layer, &content);
        let client = quick().chunk_size(ChunkSize::Whole).build().unwrap();
        let uploads = (0..100).map(|_| async {
            let target = client.push_target(&server.repository("app"));
            target
                .upload_blob(upload(&layer, &source))
                .await
                .unwrap_err()
        });
        for error in join_all(uploads).await {
            let cause = std::error::Error::source(&error);
            assert_eq!(*error.kind(), kind, "{error}: {cause:?}");
            assert_eq!(error.status(), Some(status));
            assert_eq!(error.codes().next(), Some(&oci::wire::ErrorCode::Denied));
        }
        let lines = server.lines();
        let puts = lines.iter().filter(|it| it.starts_with("PUT")).count();
        assert_eq!(puts, 100, "an answer was lost and the body sent again");
    }
}

/// Over HTTP/2 a manifest is the largest body there is: it is refused before it was read, over and
/// over on one connection, which stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_survives_the_stream_it_came_on() {
    let (server, certificate) = secure().await;
    let client = quick()
        .extra_ca(certificate.as_bytes())
        .https(server.registry())
        .build()
        .unwrap();
    let layers: Vec<_> = (0..20_000).map(|seed| blob(seed, 8).0).collect();
    let document = manifest(&layers);
    assert!(document.bytes().len() > 2 * MIB);
    let target = client.push_target(&repository(&server, "app"));
    for (status, kind) in [
        (403, TargetErrorKind::Denied),
        (401, TargetErrorKind::Unauthorized),
        (413, TargetErrorKind::Refused),
    ] {
        server.log().clear();
        let refusal = Action::Answer(Answer::error(status, "DENIED", "no"));
        let rule = Rule::on(Endpoint::ManifestPut).act(refusal);
        let fault = server.faults().add(rule);
        for _ in 0..50 {
            let error = target.put_manifest(&document, None).await.unwrap_err();
            let cause = std::error::Error::source(&error);
            assert_eq!(*error.kind(), kind, "{error}: {cause:?}");
            assert_eq!(error.status(), Some(status));
            assert_eq!(error.codes().next(), Some(&oci::wire::ErrorCode::Denied));
        }
        fault.remove();
        assert_eq!(server.log().requests(), 50, "an answer was lost");
    }
}

/// A server that refuses, reads no further and keeps the connection: it is given up with its half
/// a body, or it would never be free again. There is but one for all that follows.
#[tokio::test]
async fn a_connection_with_half_a_body_is_given_up() {
    let server = Scripted::start(|head| match head.split(' ').next() {
        Some("POST") => reply("202 Accepted\r\nLocation: /v2/app/blobs/uploads/1", ""),
        Some("PUT") => reply("403 Forbidden", "").hold(),
        _ => reply("204 No Content", ""),
    })
    .await;
    let client = quick().max_in_flight(at_most(1)).build().unwrap();
    let target = client.push_target(&server.repository("app"));
    let (layer, content) = blob(1, 32 * MIB);
    let source = Blobs::one(&layer, &content);
    let refused = target.upload_blob(upload(&layer, &source));
    let refused = tokio::time::timeout(PATIENCE, refused).await;
    let error = refused.expect("a connection is stuck").unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Denied, "{error}");
    assert_eq!(server.lines().len(), 3);
    assert!(server.lines()[2].starts_with("DELETE"));
}

/// A 2xx that is not the one the specification names is believed only if the blob is there.
#[tokio::test]
async fn a_success_of_another_kind_is_checked() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let odd = Rule::on(Endpoint::UploadPut).first(1);
    server
        .faults()
        .add(odd.act(Action::AnswerAfter(Answer::new(204))));
    target.upload_blob(upload(&layer, &source)).await.unwrap();

    let (missing, content) = blob(2, 1000);
    let source = Blobs::one(&missing, &content);
    let lie = Rule::on(Endpoint::UploadPut).first(1);
    server
        .faults()
        .add(lie.act(Action::Answer(Answer::new(200))));
    let error = target
        .upload_blob(upload(&missing, &source))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol);

    let (there, gone) = (&layer.digest, &missing.digest);
    assert_eq!(
        server.log().lines(),
        [
            "POST /v2/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={there} → 204"),
            format!("HEAD /v2/app/blobs/{there} → 200"),
            "POST /v2/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<2>?digest={gone} → 200"),
            format!("HEAD /v2/app/blobs/{gone} → 404"),
        ],
    );
}

#[tokio::test]
async fn a_registry_that_commits_another_digest_is_an_error() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    server
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::WrongDigestHeader));
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), TargetErrorKind::DigestMismatch { .. }),
        "{error}"
    );
    assert_eq!(server.log().requests(), 2);
}

#[tokio::test]
async fn a_sessions_state_is_asked_for_and_a_lost_one_is_gone() {
    let server = registry().await;
    let here = repository(&server, "app");
    let target = client().push_target(&here);
    let (layer, _) = blob(1, 10);
    let refused = target.mount_blob(&layer, &here).await.unwrap();
    let oci::MountOutcome::Refused(Some(session)) = refused else {
        panic!("{refused:?}");
    };
    let status = target.session_status(&session).await.unwrap();
    assert!(matches!(status, SessionStatus::Open(open) if open.acknowledged() == 0));
    target.cancel_session(session.clone()).await.unwrap();
    assert_eq!(
        target.session_status(&session).await.unwrap(),
        SessionStatus::Gone
    );
    // Giving up what is given up already is no error.
    target.cancel_session(session).await.unwrap();
    assert_eq!(
        server.log().lines()[1..],
        [
            "GET /v2/app/blobs/uploads/<1> → 204",
            "DELETE /v2/app/blobs/uploads/<1> → 204",
            "GET /v2/app/blobs/uploads/<1> → 404",
            "DELETE /v2/app/blobs/uploads/<1> → 404",
        ],
    );
}

#[tokio::test]
async fn what_was_sent_is_counted_as_the_registry_counts_it() {
    let server = registry().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    let blobs: Vec<_> = (0..8).map(|seed| blob(seed, 100_000)).collect();
    let source = Blobs::of(blobs.clone());
    let uploads = blobs
        .iter()
        .map(|(layer, _)| target.upload_blob(BlobUpload::new(layer, &source)));
    for receipt in join_all(uploads).await {
        receipt.unwrap();
    }
    let traffic = client.traffic();
    assert_eq!(traffic.total.requests, server.log().by_method());
    assert_eq!(traffic.total.body_bytes, server.log().blob_bytes());
    assert_eq!(traffic.requests(), server.log().requests());
    assert_eq!(traffic.total.retries, 0);
    // One that is still being opened while another gets free is opened for nothing: the registry
    // sees no request on it.
    let used = server.log().connections() as u64;
    assert!((used..=16).contains(&traffic.total.connections));
    assert_eq!(traffic.hosts.keys().collect::<Vec<_>>(), [&server.url()]);
    let posts = sorted(server.log().lines());
    assert_eq!(posts.iter().filter(|it| it.starts_with("POST")).count(), 8);
}

#[tokio::test]
async fn connections_are_counted_as_the_registry_counts_them() {
    let server = registry().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    for seed in 0..3 {
        let (layer, body) = blob(seed, 1000);
        let source = Blobs::of([(layer.clone(), body)]);
        let upload = BlobUpload::new(&layer, &source);
        target.upload_blob(upload).await.unwrap();
    }
    assert_eq!(server.log().connections(), SET_UP.connections());
    let opened = client.traffic().total.connections;
    assert_eq!(opened, SET_UP.connections() as u64);
}
