//! Tags: several in one request where the registry takes that, and tags that must be new.

use oci::{Digest, Document, NewTag, Presence, PushTarget, Tag, TagOrDigest, TargetErrorKind};
use server::{Action, Answer, Endpoint, Rule, Server, Validation};

use crate::fixture::{Double, client, manifest, repository, start};

fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|it| it.parse().unwrap()).collect()
}

async fn accepting() -> Double {
    start(Server::builder().memory().validation(Validation::AcceptAll)).await
}

fn other(note: &str) -> Document {
    let text = format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"a":"{note}"}}}}"#);
    Document::new(text.into(), None).unwrap()
}

#[tokio::test]
async fn p5_several_tags_are_one_request_where_each_is_confirmed() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let document = manifest(&[]);
    let digest = document.digest();
    assert_eq!(target.tags_at_once(), 10);
    let wanted = tags(&["1", "1.2", "latest"]);
    let receipt = target.put_manifest_as(&document, &wanted).await.unwrap();
    assert_eq!(receipt.tags, wanted);
    assert!(receipt.manifest.verified);
    let line = format!("PUT /v2/app/manifests/{digest}?tag=1&tag=1.2&tag=latest → 201");
    assert_eq!(server.log().lines(), [line]);
    for tag in wanted {
        let held = target.has_manifest(&tag.into()).await.unwrap();
        assert_eq!(held, Presence::Held(digest.clone()));
    }
    assert_eq!(target.tags_at_once(), 10);
}

#[tokio::test]
async fn p5_tags_are_read_from_one_header_and_from_several_and_no_other_is_believed() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let document = manifest(&[]);
    let named = Action::SetHeader("oci-tag".to_owned(), " a , c,x".to_owned());
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(named));
    let wanted = tags(&["a", "b", "c"]);
    let receipt = target.put_manifest_as(&document, &wanted).await.unwrap();
    assert_eq!(
        receipt.tags,
        tags(&["a", "c"]),
        "b was not confirmed, x not asked for"
    );
}

#[tokio::test]
async fn p5_a_registry_that_ignores_tags_is_remembered() {
    let server = accepting().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(Action::IgnoreTagParameters));
    let wanted = tags(&["a", "b"]);
    let receipt = target
        .put_manifest_as(&manifest(&[]), &wanted)
        .await
        .unwrap();
    assert_eq!(receipt.tags, []);
    assert_eq!(target.tags_at_once(), 1);
    let elsewhere = client.push_target(&repository(&server, "other"));
    assert_eq!(elsewhere.tags_at_once(), 1, "it is the registry's way");
}

/// Statuses with which registries that do not know the parameter may answer it.
#[tokio::test]
async fn p5_a_registry_that_refuses_the_parameter_makes_no_tag_and_is_remembered() {
    for status in [400, 404, 405, 501] {
        let server = accepting().await;
        let target = client().push_target(&repository(&server, "app"));
        let answer = Action::Answer(Answer::error(status, "UNSUPPORTED", "what tag?"));
        server.faults().add(
            Rule::on(Endpoint::ManifestPut)
                .query_contains("tag=")
                .act(answer),
        );
        let wanted = tags(&["a", "b"]);
        let receipt = target
            .put_manifest_as(&manifest(&[]), &wanted)
            .await
            .unwrap();
        assert_eq!(
            (receipt.tags, target.tags_at_once()),
            (vec![], 1),
            "{status}"
        );
        assert_eq!(server.log().requests(), 1, "{status}");
    }
}

#[tokio::test]
async fn p5_tags_that_are_too_many_for_one_request_are_halved() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let document = manifest(&[]);
    let too_long = Action::Answer(Answer::error(414, "TAG_INVALID", "too long"));
    server.faults().add(
        Rule::on(Endpoint::ManifestPut)
            .query_contains("tag=a&tag=b&tag=c")
            .act(too_long),
    );
    let wanted = tags(&["a", "b", "c", "d", "e"]);
    let receipt = target.put_manifest_as(&document, &wanted).await.unwrap();
    assert_eq!(receipt.tags, wanted);
    let digest = document.digest();
    assert_eq!(
        server.log().lines(),
        [
            format!("PUT /v2/app/manifests/{digest}?tag=a&tag=b&tag=c&tag=d&tag=e → 414"),
            format!("PUT /v2/app/manifests/{digest}?tag=a&tag=b → 201"),
            format!("PUT /v2/app/manifests/{digest}?tag=c&tag=d&tag=e → 201"),
        ]
    );
}

/// What is missing is for the caller to push; it says nothing of tags.
#[tokio::test]
async fn p5_a_manifest_that_is_refused_for_its_content_is_an_error() {
    let server = start(Server::builder().memory()).await;
    let target = client().push_target(&repository(&server, "app"));
    let error = target
        .put_manifest_as(&manifest(&[]), &tags(&["a", "b"]))
        .await
        .unwrap_err();
    assert_eq!(error.answer().mentioned_digests(), [Digest::of(b"{}")]);
    assert_eq!(target.tags_at_once(), 10);
}

#[tokio::test]
async fn v3_a_new_tag_is_put_on_the_condition_that_it_is_new() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let (ours, theirs) = (manifest(&[]), other("theirs"));
    let tag = &tags(&["1"])[0];
    let put = target.put_new_tag(&ours, tag).await.unwrap();
    assert!(matches!(put, NewTag::Put(it) if it.verified));
    // The same again: the condition fails, and it is our own.
    let put = target.put_new_tag(&ours, tag).await.unwrap();
    assert!(matches!(put, NewTag::Put(it) if it.verified));
    let taken = target.put_new_tag(&theirs, tag).await.unwrap();
    assert_eq!(taken, NewTag::Taken(ours.digest().clone()));
    assert_eq!(
        server.log().lines(),
        [
            "PUT /v2/app/manifests/1 → 201",
            "PUT /v2/app/manifests/1 → 412",
            "HEAD /v2/app/manifests/1 → 200",
            "PUT /v2/app/manifests/1 → 412",
            "HEAD /v2/app/manifests/1 → 200",
        ]
    );
    let at = TagOrDigest::Tag(tag.clone());
    let held = target.has_manifest(&at).await.unwrap();
    assert_eq!(held, Presence::Held(ours.digest().clone()));
}

/// An answer that was lost is asked for again, and the condition then fails by our own doing.
#[tokio::test]
async fn v3_a_put_whose_answer_was_lost_is_not_taken_for_somebody_elses() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let lost = Rule::on(Endpoint::ManifestPut).first(1);
    server.faults().add(lost.act(Action::ResetBeforeAnswer));
    let ours = manifest(&[]);
    let put = target.put_new_tag(&ours, &tags(&["1"])[0]).await.unwrap();
    assert!(matches!(put, NewTag::Put(_)));
    assert_eq!(server.log().by_method()["PUT"], 2);
}

#[tokio::test]
async fn v3_a_condition_that_fails_for_no_visible_reason_is_a_refusal() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let answer = Action::Answer(Answer::error(412, "DENIED", "this tag is immutable"));
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(answer));
    let error = target
        .put_new_tag(&manifest(&[]), &tags(&["1"])[0])
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Refused);
    assert_eq!(error.status(), Some(412));
}
