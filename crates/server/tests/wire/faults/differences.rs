//! Registries that differ: what the specification leaves open, or what some do all the same.

use longshore_server::{Action, Answer, Endpoint, MissingStyle, Outcome, Rule, Server, Validation};
use oci::Digest;
use serde_json::Value;

use super::with;
use crate::client::{MANIFEST, TestReg, manifest, with_digest};

/// Of `POST ?digest=` with its body.
async fn single(reg: &TestReg, content: &[u8]) -> crate::client::Reply {
    let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(content));
    reg.ask("POST", target).body(content).send().await
}

#[tokio::test]
async fn a_blob_in_a_post_opens_a_session_instead() {
    let rule = Rule::on(Endpoint::UploadSingle).nth(1);
    let (reg, _) = with(rule, Action::RefuseSinglePost).await;
    let refused = single(&reg, b"content").await;
    assert_eq!(refused.status, 202);
    let status = reg.get(refused.header("location")).await;
    assert_eq!((status.status, status.header("range")), (204, "0-0"));
    assert_eq!(single(&reg, b"content").await.status, 201);
}

#[tokio::test]
async fn a_mount_that_fails_is_answered_with_an_error_and_one_that_does_not_is_done() {
    let absent = Answer::error(401, "UNAUTHORIZED", "project not found");
    let rule = Rule::on(Endpoint::Mount);
    let (reg, _) = with(rule, Action::AnswerFailedMount(absent)).await;
    let digest = reg.push("base", b"layer").await;
    let mount = async |from: &str| {
        let target = format!("/v2/app/blobs/uploads/?mount={digest}&from={from}");
        reg.ask("POST", target).send().await
    };
    let refused = mount("elsewhere").await;
    assert_eq!(
        (refused.status, refused.codes()),
        (401, vec!["UNAUTHORIZED".to_owned()])
    );
    assert_eq!(reg.server.open_sessions(), 0);
    assert_eq!(mount("base").await.status, 201);
}

#[tokio::test]
async fn patches_are_refused() {
    for status in [405, 416] {
        let answer = Answer::error(status, "UNSUPPORTED", "one PUT, please");
        let rule = Rule::on(Endpoint::UploadPatch);
        let (reg, _) = with(rule, Action::Answer(answer)).await;
        let location = reg.open("app").await;
        let patch = reg.ask("PATCH", &location).body(b"x").send().await;
        assert_eq!(
            (patch.status, patch.codes()[0].as_str()),
            (status, "UNSUPPORTED")
        );
        let digest = Digest::of(b"x");
        assert_eq!(reg.put_blob(&location, &digest, b"x").await.status, 201);
    }
}

#[tokio::test]
async fn a_repeated_commit_is_forgotten() {
    let rule = Rule::on(Endpoint::UploadPut).numbers(2..=2);
    let (reg, _) = with(rule, Action::ForgetCommitted).await;
    let location = reg.open("app").await;
    let digest = Digest::of(b"x");
    let commit = async || reg.put_blob(&location, &digest, b"x").await.status;
    assert_eq!(
        [commit().await, commit().await, commit().await],
        [201, 404, 201]
    );
    assert_eq!(
        reg.head(format!("/v2/app/blobs/{digest}")).await.status,
        200
    );
}

#[tokio::test]
async fn content_ranges_are_not_looked_at() {
    let (reg, _) = with(Rule::any(), Action::IgnoreContentRange).await;
    let location = reg.open("app").await;
    let patch = reg
        .ask("PATCH", &location)
        .header("content-range", "500-502");
    assert_eq!(patch.body(b"abc").send().await.header("range"), "0-2");
}

#[tokio::test]
async fn only_the_newest_location_is_taken() {
    let (reg, _) = with(Rule::any(), Action::RequireState).await;
    let first = reg.open("app").await;
    assert!(first.ends_with("?_state=0"), "{first}");
    let patched = reg.ask("PATCH", &first).body(b"abc").send().await;
    let second = patched.header("location");
    assert!(second.ends_with("?_state=3"), "{second}");
    let stale = reg.get(&first).await;
    assert_eq!(
        (stale.status, stale.codes()),
        (404, vec!["BLOB_UPLOAD_INVALID".to_owned()])
    );
    let bare = second.split('?').next().unwrap();
    assert_eq!(reg.get(bare).await.status, 404);
    assert_eq!(reg.get(second).await.status, 204);
    let digest = Digest::of(b"abc");
    assert_eq!(reg.put_blob(second, &digest, b"").await.status, 201);
}

/// What came before the break has no `Location` that anybody was given.
#[tokio::test]
async fn with_a_state_a_broken_session_cannot_be_gone_on_with() {
    let (reg, _) = with(Rule::any(), Action::RequireState).await;
    let reset = Rule::on(Endpoint::UploadPatch).act(Action::ResetAtByte(2));
    reg.server.faults().add(reset);
    let location = reg.open("app").await;
    let broken = reg.ask("PATCH", &location).body(b"abc").try_send().await;
    assert!(broken.is_err());
    assert_eq!(reg.get(&location).await.status, 404);
}

#[tokio::test]
async fn chunks_have_bounds() {
    let uploads = || Rule::on(Endpoint::UploadPost).or(Endpoint::UploadPatch);
    let (reg, _) = with(uploads(), Action::ChunkMin(3)).await;
    reg.server.faults().add(uploads().act(Action::ChunkMax(5)));
    let opened = reg.ask("POST", "/v2/app/blobs/uploads/").send().await;
    assert_eq!(opened.header("oci-chunk-min-length"), "3");
    assert_eq!(opened.header("oci-chunk-max-length"), "5");
    let location = opened.header("location");
    let patch = async |range: &str, body: &[u8]| {
        let ask = reg.ask("PATCH", location).header("content-range", range);
        ask.body(body).send().await.status
    };
    assert_eq!(patch("0-5", b"123456").await, 413);
    assert_eq!(patch("0-4", b"12345").await, 202);
    assert_eq!(patch("5-6", b"67").await, 202);
    assert_eq!(
        patch("7-9", b"890").await,
        400,
        "the one before was too short"
    );
}

#[tokio::test]
async fn a_session_whose_body_breaks_off_is_gone() {
    let reset = Rule::on(Endpoint::UploadPatch).nth(1);
    let (reg, _) = with(reset, Action::ResetAtByte(2)).await;
    let lose = reg
        .server
        .faults()
        .add(Rule::any().act(Action::LoseBrokenSession));
    let location = reg.open("app").await;
    let patch = reg.ask("PATCH", &location).body(b"abc");
    assert!(patch.try_send().await.is_err());
    assert_eq!(reg.get(&location).await.status, 404);
    assert_eq!(reg.server.open_sessions(), 0);
    let whole = reg.open("app").await;
    assert_eq!(
        reg.ask("PATCH", &whole).body(b"abc").send().await.status,
        202
    );
    assert!(lose.hits() > 3);
}

// === manifests ===

/// A manifest whose two blobs are not there, and their digests.
fn incomplete() -> (Vec<u8>, [String; 2]) {
    let (config, layer) = (Digest::of(b"config"), Digest::of(b"layer"));
    let body = manifest(&config, 6, &[(&layer, 5)]);
    (body, [config.to_string(), layer.to_string()])
}

async fn errors(action: Action) -> (u16, Vec<Value>) {
    let (reg, _) = with(Rule::on(Endpoint::ManifestPut), action).await;
    let (body, _) = incomplete();
    let reply = reg
        .put_manifest("/v2/app/manifests/v1", MANIFEST, &body)
        .await;
    let errors = match reply.status {
        201 => Vec::new(),
        _ => reply.json()["errors"].as_array().unwrap().clone(),
    };
    (reply.status, errors)
}

#[tokio::test]
async fn missing_children_are_named_all_or_the_first_or_none_or_taken() {
    let (_, digests) = incomplete();
    for (validation, named) in [
        (Validation::All, &digests[..]),
        (Validation::First, &digests[..1]),
        (Validation::None, &[]),
    ] {
        let (status, errors) = errors(Action::Validate(validation)).await;
        let details: Vec<_> = errors
            .iter()
            .filter_map(|it| it["detail"].as_str())
            .collect();
        assert_eq!(
            (status, details),
            (400, named.iter().map(String::as_str).collect())
        );
        assert!(
            errors
                .iter()
                .all(|it| it["code"] == "MANIFEST_BLOB_UNKNOWN")
        );
    }
    assert_eq!(errors(Action::Validate(Validation::AcceptAll)).await.0, 201);
    assert_eq!(errors(Action::AcceptSparse).await.0, 201);
}

#[tokio::test]
async fn missing_children_are_named_in_another_way() {
    let (_, digests) = incomplete();
    let style = |named, in_message| {
        Action::NameMissing(MissingStyle {
            code: "BLOB_UPLOAD_UNKNOWN".to_owned(),
            message: "layers missing: ".to_owned(),
            named,
            in_message,
        })
    };
    let (status, all) = errors(style(Validation::All, true)).await;
    assert_eq!((status, all.len()), (400, 1));
    assert_eq!(all[0]["code"], "BLOB_UPLOAD_UNKNOWN");
    let message = format!("layers missing: {}, {}", digests[0], digests[1]);
    assert_eq!(all[0]["message"], message);
    let (_, each) = errors(style(Validation::All, false)).await;
    assert_eq!(
        (each.len(), &each[1]["detail"]),
        (2, &Value::from(&*digests[1]))
    );
    let (_, none) = errors(style(Validation::None, true)).await;
    assert_eq!(none[0]["message"], "layers missing: ");
}

#[tokio::test]
async fn tag_parameters_are_ignored() {
    let rule = Rule::on(Endpoint::ManifestPut);
    let (reg, fault) = with(rule, Action::IgnoreTagParameters).await;
    let body = reg.push_image("app", "v1").await;
    let target = format!("/v2/app/manifests/{}?tag=a&tag=b", Digest::of(&body));
    let reply = reg.put_manifest(&target, MANIFEST, &body).await;
    assert_eq!((reply.status, reply.find("oci-tag")), (201, None));
    assert_eq!(reg.get("/v2/app/manifests/a").await.status, 404);
    fault.remove();
    let reply = reg.put_manifest(&target, MANIFEST, &body).await;
    assert_eq!(reply.headers["oci-tag"], ["a", "b"]);
}

#[tokio::test]
async fn conditions_are_ignored_where_a_manifest_is_put() {
    let rule = Rule::on(Endpoint::ManifestPut);
    let (reg, fault) = with(rule, Action::IgnoreConditions).await;
    let body = reg.push_image("app", "v1").await;
    let put = || {
        reg.ask("PUT", "/v2/app/manifests/v1")
            .header("content-type", MANIFEST)
            .header("if-none-match", "*")
            .body(&body)
    };
    assert_eq!(put().send().await.status, 201);
    fault.remove();
    assert_eq!(put().send().await.status, 412);
}

/// What a registry says of a manifest about `subject`, and of the list of such.
async fn about_a_subject(reg: &TestReg) -> (Option<String>, u16) {
    let image = reg.push_image("app", "v1").await;
    let subject = Digest::of(&image);
    let mut body: Value = serde_json::from_slice(&image).unwrap();
    body["subject"] = serde_json::json!({
        "mediaType": MANIFEST, "digest": subject.to_string(), "size": image.len(),
    });
    let body = body.to_string().into_bytes();
    let target = format!("/v2/app/manifests/{}", Digest::of(&body));
    let put = reg.put_manifest(target, MANIFEST, &body).await;
    assert_eq!(put.status, 201);
    let list = reg.get(format!("/v2/app/referrers/{subject}")).await;
    (put.find("oci-subject").map(str::to_owned), list.status)
}

#[tokio::test]
async fn without_referrers_clients_are_left_to_the_fallback_tag() {
    let (reg, _) = with(Rule::any(), Action::NoReferrers).await;
    assert_eq!(about_a_subject(&reg).await, (None, 404));
    let off = TestReg::with(Server::builder().referrers(false)).await;
    assert_eq!(about_a_subject(&off).await, (None, 404));
    let (usual, status) = about_a_subject(&TestReg::new().await).await;
    assert!(usual.is_some() && status == 200);
}

// === chance ===

#[tokio::test]
async fn faults_by_chance_hit_the_same_requests_again() {
    let conversation = async || {
        let rule = Rule::on(Endpoint::Ping).with_probability(0.3, 11);
        let (reg, fault) = with(rule, Action::Answer(Answer::new(503))).await;
        let mut outcomes = Vec::new();
        for _ in 0..40 {
            reg.get("/v2/").await;
        }
        for entry in reg.server.log().entries() {
            outcomes.push(entry.outcome == Outcome::Answered(503));
        }
        (outcomes, fault.hits())
    };
    let (first, hits) = conversation().await;
    assert_eq!(conversation().await, (first.clone(), hits));
    assert_eq!(first.iter().filter(|it| **it).count() as u64, hits);
    assert!(hits > 0 && hits < 40, "{hits}");
}

#[tokio::test]
async fn a_wrong_success_is_still_what_was_done() {
    let rule = Rule::on(Endpoint::UploadPut);
    let (reg, _) = with(rule, Action::Status(200)).await;
    let location = reg.open("app").await;
    let digest = Digest::of(b"content");
    let put = reg
        .ask("PUT", with_digest(&location, &digest))
        .body(b"content");
    assert_eq!(put.send().await.status, 200);
    assert_eq!(
        reg.head(format!("/v2/app/blobs/{digest}")).await.status,
        200
    );
}
