//! Referrers: asked of the registry, or kept under a tag where it lists none.

use std::{collections::BTreeSet, sync::Arc};

use longshore_registry::{Client, RegistryPushTarget};
use oci::{
    Attachment, Descriptor, Digest, Document, MediaType, Presence, PushTarget, Repository, Source,
    Tag, TagOrDigest, TargetErrorKind,
};
use serde_json::json;
use server::{Action, Answer, Endpoint, Latency, Rule, Server, Validation};

use crate::fixture::{Double, aside, client, manifest, quick, registry, repository, start};

const SIGNATURE: &str = "application/vnd.example.signature";

async fn with_lists() -> Double {
    start(Server::builder().memory().validation(Validation::AcceptAll)).await
}

/// A registry that lists nothing by itself, as registries before 1.1 of the specification.
async fn without_lists() -> Double {
    let builder = Server::builder().memory().validation(Validation::AcceptAll);
    start(builder.referrers(false)).await
}

fn about(subject: &Document, artifact_type: &str, note: &str) -> Document {
    let json = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": artifact_type,
        "config": Descriptor::of(MediaType::OCI_EMPTY, b"{}"), "layers": [],
        "subject": subject.descriptor(), "annotations": {"note": note},
    });
    Document::new(json.to_string().into(), None).unwrap()
}

fn digests(list: &[Descriptor]) -> BTreeSet<Digest> {
    list.iter().map(|it| it.digest.clone()).collect()
}

fn fallback(subject: &Document) -> TagOrDigest {
    let tag: Tag = subject.digest().referrers_tag().parse().unwrap();
    tag.into()
}

async fn kept(client: &Client, here: &Repository, subject: &Document) -> Vec<Descriptor> {
    let index = client.repository(here).manifest(&fallback(subject)).await;
    index
        .unwrap()
        .unwrap()
        .as_index()
        .unwrap()
        .manifests
        .clone()
}

/// An image, and two manifests about it of different types, all of them put.
async fn image_and_two_about_it(target: &RegistryPushTarget) -> [Document; 3] {
    let image = manifest(&[]);
    let (one, two) = (about(&image, SIGNATURE, "one"), about(&image, "b/c", "two"));
    let all = [image, one, two];
    for document in &all {
        target.put_manifest(document, None).await.unwrap();
    }
    all
}

#[tokio::test]
async fn r7_referrers_are_asked_of_the_registry_and_filtered_by_it() {
    let server = with_lists().await;
    let (client, here) = (client(), repository(&server, "app"));
    let target = client.push_target(&here);
    let [image, one, two] = image_and_two_about_it(&target).await;
    server.log().clear();
    let reader = client.repository(&here);
    let all = reader.referrers(image.digest(), None).await.unwrap();
    assert_eq!(
        digests(&all),
        [one.digest().clone(), two.digest().clone()].into()
    );
    assert_eq!(
        all.iter()
            .filter(|it| it.annotations.contains_key("note"))
            .count(),
        2
    );
    let some = reader.referrers(image.digest(), Some(SIGNATURE)).await;
    assert_eq!(digests(&some.unwrap()), [one.digest().clone()].into());
    let path = format!("/v2/app/referrers/{}", image.digest());
    assert_eq!(
        server.log().lines(),
        [
            format!("GET {path} → 200"),
            format!("GET {path}?artifactType={SIGNATURE} → 200"),
        ]
    );
    assert_eq!(
        server.log().entries()[0].headers.accept.as_deref(),
        Some(MediaType::OCI_INDEX.as_str())
    );
}

/// The registry says that it has not filtered: then it is done here.
#[tokio::test]
async fn r7_what_the_registry_does_not_filter_is_filtered_here() {
    let server = with_lists().await;
    let (client, here) = (client(), repository(&server, "app"));
    let target = client.push_target(&here);
    let image = manifest(&[]);
    let one = about(&image, SIGNATURE, "one");
    for document in [&image, &one, &about(&image, "b/c", "two")] {
        target.put_manifest(document, None).await.unwrap();
    }
    let reader = client.repository(&here);
    let all = reader.referrers(image.digest(), None);
    let body = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": all.await.unwrap()});
    let whole = Answer::new(200)
        .header("content-type", "application/vnd.oci.image.index.v1+json")
        .body(body.to_string());
    server
        .faults()
        .add(Rule::on(Endpoint::Referrers).act(Action::Answer(whole)));
    let some = reader.referrers(image.digest(), Some(SIGNATURE));
    assert_eq!(digests(&some.await.unwrap()), [one.digest().clone()].into());
}

#[tokio::test]
async fn r7_pages_are_followed_on_the_same_host_only_and_not_for_ever() {
    let server = with_lists().await;
    let (client, here) = (client(), repository(&server, "app"));
    let image = manifest(&[]);
    let (one, two) = (
        about(&image, SIGNATURE, "one"),
        about(&image, SIGNATURE, "two"),
    );
    let page = |of: &Document, next: &str| {
        let body = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [of.descriptor()]});
        let answer = Answer::new(200)
            .header("content-type", "application/vnd.oci.image.index.v1+json")
            .body(body.to_string());
        Action::Answer(if next.is_empty() {
            answer
        } else {
            answer.header("link", format!("<{next}>; rel=\"next\""))
        })
    };
    let path = format!("/v2/app/referrers/{}", image.digest());
    let rule = || Rule::on(Endpoint::Referrers);
    server.faults().add(
        rule()
            .query_lacks("after")
            .act(page(&one, &format!("{path}?after=1"))),
    );
    server
        .faults()
        .add(rule().query_contains("after").act(page(&two, "")));
    let reader = client.repository(&here);
    let all = reader.referrers(image.digest(), None).await.unwrap();
    assert_eq!(
        digests(&all),
        [one.digest().clone(), two.digest().clone()].into()
    );
    assert_eq!(
        server.log().lines(),
        [
            format!("GET {path} → 200"),
            format!("GET {path}?after=1 → 200")
        ]
    );

    let elsewhere = registry().await;
    server.faults().clear();
    server
        .faults()
        .add(rule().act(page(&one, &format!("{}{path}", elsewhere.url()))));
    let error = reader.referrers(image.digest(), None).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unsafe);
    assert_eq!(elsewhere.log().requests(), 0);

    server.faults().clear();
    server.log().clear();
    server
        .faults()
        .add(rule().act(page(&one, &format!("{path}?round"))));
    let error = reader.referrers(image.digest(), None).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol);
    assert_eq!(server.log().requests(), 1000);
}

/// What registries without the list answer: then the tag is read, and the list not asked for again.
#[tokio::test]
async fn r7_without_a_list_the_tag_in_its_place_is_read() {
    let html = || {
        Answer::new(200)
            .header("content-type", "text/html")
            .body("<html>")
    };
    let answers = [
        None,
        Some(Answer::error(400, "DIGEST_INVALID", "what is this")),
        Some(Answer::error(405, "UNSUPPORTED", "no")),
        Some(Answer::new(303).header("location", "/")),
        Some(html()),
        Some(
            Answer::new(200)
                .header("content-type", "application/json")
                .body("{}"),
        ),
    ];
    for answer in answers {
        let server = without_lists().await;
        if let Some(answer) = answer.clone() {
            server
                .faults()
                .add(Rule::on(Endpoint::Referrers).act(Action::Answer(answer)));
        }
        let here = repository(&server, "app");
        let writer = client();
        let target = writer.push_target(&here);
        let image = manifest(&[]);
        let one = about(&image, SIGNATURE, "one");
        for document in [&image, &one] {
            target.put_manifest(document, None).await.unwrap();
        }
        let listed = target
            .attach_referrers(image.digest(), std::slice::from_ref(&one))
            .await;
        assert!(matches!(listed.unwrap(), Attachment::Added(_)));
        let client = client();
        let reader = client.repository(&here);
        server.log().clear();
        for _ in 0..2 {
            let all = reader.referrers(image.digest(), None).await.unwrap();
            assert_eq!(digests(&all), [one.digest().clone()].into(), "{answer:?}");
        }
        let calls = |it| server.log().calls(it);
        assert_eq!(calls(Endpoint::Referrers), 1, "{answer:?}");
        assert_eq!(calls(Endpoint::ManifestGet), 2, "{answer:?}");
        let none = reader.referrers(image.digest(), Some("b/c")).await.unwrap();
        assert_eq!(none, []);
        assert_eq!(reader.referrers(one.digest(), None).await.unwrap(), []);
    }
}

#[tokio::test]
async fn r7_a_tag_that_is_no_list_is_not_written_over() {
    let server = without_lists().await;
    let (client, here) = (client(), repository(&server, "app"));
    let target = client.push_target(&here);
    let image = manifest(&[]);
    let one = about(&image, SIGNATURE, "one");
    let tag: Tag = image.digest().referrers_tag().parse().unwrap();
    target.put_manifest(&image, Some(&tag)).await.unwrap();
    target.put_manifest(&one, None).await.unwrap();
    let error = target
        .attach_referrers(image.digest(), &[one])
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unsupported);
    let error = client
        .repository(&here)
        .referrers(image.digest(), None)
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unsupported);
    let held = target.has_manifest(&tag.into()).await.unwrap();
    assert_eq!(held, Presence::Held(image.digest().clone()));
}

#[tokio::test]
async fn p7_where_the_registry_lists_by_itself_nothing_is_put() {
    let server = with_lists().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    let image = manifest(&[]);
    let one = about(&image, SIGNATURE, "one");
    let receipt = target.put_manifest(&one, None).await.unwrap();
    assert!(receipt.subject);
    server.log().clear();
    let listed = target
        .attach_referrers(image.digest(), &[one])
        .await
        .unwrap();
    assert_eq!(listed, Attachment::Listed);
    assert_eq!(server.log().requests(), 0, "it has said so of the manifest");
}

/// The list as it is kept: read, added to, put on a condition, and seen there twice.
#[tokio::test]
async fn p7_the_list_under_the_tag_is_added_to_and_a_second_time_not_touched() {
    let server = without_lists().await;
    let (client, here) = (client(), repository(&server, "app"));
    let target = client.push_target(&here);
    let [image, one, two] = image_and_two_about_it(&target).await;
    let path = format!("/v2/app/manifests/{}", image.digest().referrers_tag());
    let subject = image.digest();
    for (document, before) in [(&one, 404), (&two, 200)] {
        server.log().clear();
        let added = target
            .attach_referrers(subject, std::slice::from_ref(document))
            .await;
        assert!(matches!(added.unwrap(), Attachment::Added(_)));
        assert_eq!(
            server.log().lines(),
            [
                format!("GET {path} → {before}"),
                format!("PUT {path} → 201"),
                format!("GET {path} → 200"),
                format!("GET {path} → 200"),
            ]
        );
    }
    let list = kept(&client, &here, &image).await;
    assert_eq!(
        digests(&list),
        [one.digest().clone(), two.digest().clone()].into()
    );
    assert_eq!(list[0].artifact_type.as_deref(), Some(SIGNATURE));
    assert_eq!(list[0].annotations["note"], "one");

    server.log().clear();
    let again = target.attach_referrers(subject, &[one, two]).await.unwrap();
    assert_eq!(again, Attachment::Listed);
    assert_eq!(server.log().lines(), [format!("GET {path} → 200")]);
}

/// Several clients at once, each with a connection and a memory of its own.
///
/// What each reads first comes late, so that all of them have read before anybody puts.
async fn attach_eight(server: &Double) -> (Document, Vec<Document>, Repository) {
    let read = Rule::on(Endpoint::ManifestGet).path_contains("/manifests/sha256-");
    let late = Action::DelayAnswer(std::time::Duration::from_millis(500));
    server.faults().add(read.first(8).act(late));
    let here = repository(server, "app");
    let image = manifest(&[]);
    let first = client().push_target(&here);
    first.put_manifest(&image, None).await.unwrap();
    let barrier = Arc::new(tokio::sync::Barrier::new(8));
    let mut attaching = tokio::task::JoinSet::new();
    let mut all = Vec::new();
    for n in 0..8_u64 {
        let document = about(&image, SIGNATURE, &n.to_string());
        all.push(document.clone());
        let policy = longshore_registry::RetryPolicy::default()
            .with_backoff(
                std::time::Duration::from_millis(200),
                std::time::Duration::from_secs(2),
            )
            .with_seed(n);
        let client = quick().retry(policy).build().unwrap();
        let (here, image, barrier) = (here.clone(), image.clone(), barrier.clone());
        attaching.spawn(async move {
            let target = client.push_target(&here);
            let receipt = target.put_manifest(&document, None).await.unwrap();
            assert!(!receipt.subject);
            barrier.wait().await;
            target
                .attach_referrers(image.digest(), &[document])
                .await
                .unwrap()
        });
    }
    while let Some(added) = attaching.join_next().await {
        assert!(matches!(added.unwrap(), Attachment::Added(_)));
    }
    (image, all, here)
}

fn assert_all(list: &[Descriptor], all: &[Document]) {
    let expected = all.iter().map(|it| it.digest().clone()).collect();
    assert_eq!(digests(list), expected);
    assert_eq!(list.len(), all.len(), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_eight_clients_that_attach_at_once_lose_no_entry_by_conditions() {
    let server = without_lists().await;
    let (image, all, here) = attach_eight(&server).await;
    assert_all(&kept(&client(), &here, &image).await, &all);
    let lines = server.log().lines();
    let refused = lines.iter().filter(|it| it.ends_with("→ 412")).count();
    assert!(refused > 0, "somebody was faster: {lines:#?}");
}

/// Most registries without the list look at no condition, and name no entity tag or one in vain.
/// What is put takes its time here, so that what was read is out of date when it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn p7_eight_clients_that_attach_at_once_lose_no_entry_without_conditions() {
    let server = without_lists().await;
    let faults = server.faults();
    let put = || Rule::on(Endpoint::ManifestPut).path_contains("/manifests/sha256-");
    faults.add(put().act(Action::IgnoreConditions));
    let wait = Latency {
        from: std::time::Duration::ZERO,
        to: std::time::Duration::from_millis(30),
        seed: 7,
    };
    faults.add(put().act(Action::DelayWithin(wait)));
    let (image, all, here) = attach_eight(&server).await;
    assert_all(&kept(&client(), &here, &image).await, &all);
    let lines = server.log().lines();
    assert!(!lines.iter().any(|it| it.ends_with("→ 412")), "{lines:#?}");
    let puts = lines
        .iter()
        .filter(|it| it.starts_with("PUT") && it.contains("manifests/sha256-"));
    assert!(
        puts.count() > 8,
        "somebody's entry was lost and put again: {lines:#?}"
    );
}

/// An entry whose manifest is gone stands in the way of every put of the list, where the registry
/// looks at what an index lists.
#[tokio::test]
async fn p7_entries_whose_manifests_are_gone_are_taken_out() {
    let server = start(Server::builder().memory().referrers(false)).await;
    let (client, here) = (client(), repository(&server, "app"));
    let target = client.push_target(&here);
    let index = |note: &str, subject: Option<&Document>| {
        let mut json = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [], "annotations": {"n": note}});
        if let Some(subject) = subject {
            json["subject"] = json!(subject.descriptor());
        }
        Document::new(json.to_string().into(), None).unwrap()
    };
    let image = index("image", None);
    let (one, two) = (index("one", Some(&image)), index("two", Some(&image)));
    for document in [&image, &one, &two] {
        target.put_manifest(document, None).await.unwrap();
    }
    target
        .attach_referrers(image.digest(), std::slice::from_ref(&one))
        .await
        .unwrap();
    let gone = format!("/v2/app/manifests/{}", one.digest());
    delete(&server, &gone).await;
    target
        .attach_referrers(image.digest(), std::slice::from_ref(&two))
        .await
        .unwrap();
    assert_eq!(
        digests(&kept(&client, &here, &image).await),
        [two.digest().clone()].into()
    );
}

async fn delete(server: &Double, path: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = aside(server);
    let head = format!("DELETE {path} HTTP/1.1\r\nhost: r\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[tokio::test]
async fn p7_who_may_not_ask_is_told_that_nobody_knows() {
    let server = with_lists().await;
    let answer = Action::Answer(Answer::error(403, "DENIED", "not you"));
    server
        .faults()
        .add(Rule::on(Endpoint::Referrers).act(answer));
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    let image = manifest(&[]);
    let one = about(&image, SIGNATURE, "one");
    let listed = target
        .attach_referrers(image.digest(), &[one])
        .await
        .unwrap();
    assert_eq!(listed, Attachment::Unknown);
    assert_eq!(server.log().by_method().get("PUT"), None);
}

/// A request for each name of a few subjects; for more of them the tags are listed once.
#[tokio::test]
async fn p7_digest_tags_are_asked_for_by_name_and_of_many_subjects_by_the_list() {
    let server = with_lists().await;
    let (client, here) = (client(), repository(&server, "app"));
    let target = client.push_target(&here);
    let image = manifest(&[]);
    let signature = about(&image, SIGNATURE, "by tag");
    let name: Tag = image.digest().digest_tags().next().unwrap();
    target
        .put_manifest(&image, Some(&Tag::latest()))
        .await
        .unwrap();
    target.put_manifest(&signature, Some(&name)).await.unwrap();
    server.log().clear();
    let source = client.source(&here.with_tag(Tag::latest()), None);
    let found = source.digest_tags(&[image.digest().clone()]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].tag, &found[0].subject), (&name, image.digest()));
    assert_eq!(found[0].document.bytes(), signature.bytes());
    let hash = image.digest().referrers_tag();
    let mut lines = server.log().lines();
    lines.sort();
    assert_eq!(
        lines,
        [
            format!("GET /v2/app/manifests/{hash}.att → 404"),
            format!("GET /v2/app/manifests/{hash}.sbom → 404"),
            format!("GET /v2/app/manifests/{hash}.sig → 200"),
        ]
    );

    server.log().clear();
    let mut many: Vec<Digest> = (0..20_u8).map(|it| Digest::of(&[it])).collect();
    many.push(image.digest().clone());
    let found = source.digest_tags(&many).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(source.digest_tags(&many[..9]).await.unwrap().len(), 0);
    assert_eq!(
        server.log().lines(),
        [
            "GET /v2/app/tags/list?n=1000 → 200".to_owned(),
            format!("GET /v2/app/manifests/{hash}.sig → 200"),
        ]
    );
}
