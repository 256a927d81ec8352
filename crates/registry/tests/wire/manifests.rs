//! Manifests: put as they are, believed as far as they are confirmed.

use bytes::Bytes;
use oci::{
    Algorithm, Digest, Document, MediaType, Presence, PushTarget, Tag, TagOrDigest, TargetErrorKind,
};
use server::{Action, Answer, Endpoint, Rule, Server, Validation};

use crate::{
    fixture::{Double, client, manifest, quick, registry, repository, start},
    scripted::{Scripted, reply},
};

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

async fn accepting() -> Double {
    start(Server::builder().memory().validation(Validation::AcceptAll)).await
}

/// Documents with everything a re-serialiser would lose: order, white space, unknown fields, `urls`.
fn odd_documents() -> Vec<Document> {
    let layer = format!(
        r#"{{"size":3 , "digest":"{}","urls":["https://x.test/a?b=c"],
        "mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}}"#,
        Digest::of(b"abc")
    );
    let config = format!(
        r#"{{ "mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"{}"}}"#,
        Digest::of(b"{}")
    );
    [
        format!("{{\"layers\":[{layer}],\"schemaVersion\":2,\r\n\t\"zzz\":{{\"\\u0061\":1.50}},\"config\":{config}}}\n\n"),
        format!(r#"{{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{config},"layers":[{layer}],"schemaVersion":2}}"#),
        r#"{"schemaVersion":2, "manifests":[],   "annotations":{"é":"\u00e9"}}"#.to_owned(),
        r#"{"manifests":[],"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"}"#.to_owned(),
    ]
    .into_iter()
    .map(|json| Document::new(json.into(), None).unwrap())
    .collect()
}

#[tokio::test]
async fn z5_manifest_bytes_are_sent_verbatim() {
    let server = accepting().await;
    let client = client();
    let here = repository(&server, "app");
    let target = client.push_target(&here);
    for document in odd_documents() {
        target.put_manifest(&document, None).await.unwrap();
        let at = TagOrDigest::Digest(document.digest().clone());
        let back = client
            .repository(&here)
            .manifest(&at)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(back.bytes(), document.bytes());
        assert!(document.digest().matches(back.bytes()));
    }
    assert_eq!(server.log().by_method()["PUT"], 4);
}

#[tokio::test]
async fn z6_the_content_type_is_the_documents_own() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    for document in odd_documents() {
        target
            .put_manifest(&document, Some(&tag("t")))
            .await
            .unwrap();
    }
    let types: Vec<_> = server
        .log()
        .entries()
        .into_iter()
        .map(|entry| entry.headers.content_type.unwrap())
        .collect();
    let expected = [
        MediaType::OCI_MANIFEST,
        MediaType::DOCKER_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::DOCKER_LIST,
    ];
    assert_eq!(types, expected.map(|it| it.to_string()));
}

#[tokio::test]
async fn z14_a_201_without_location_is_a_success_by_tag_and_by_digest() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let rule = Rule::on(Endpoint::ManifestPut);
    server
        .faults()
        .add(rule.act(Action::OmitHeader("location".to_owned())));
    let document = manifest(&[]);
    for tag in [None, Some(tag("1.2"))] {
        let receipt = target.put_manifest(&document, tag.as_ref()).await.unwrap();
        assert!(receipt.verified);
    }
    let digest = document.digest();
    assert_eq!(
        server.log().lines(),
        [
            format!("PUT /v2/app/manifests/{digest} → 201"),
            "PUT /v2/app/manifests/1.2 → 201".to_owned(),
        ],
    );
}

#[tokio::test]
async fn z15_another_digest_in_the_answer_is_a_mismatch() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(Action::WrongDigestHeader));
    let document = manifest(&[]);
    let error = target
        .put_manifest(&document, Some(&tag("1.2")))
        .await
        .unwrap_err();
    let TargetErrorKind::DigestMismatch { expected, actual } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(expected, document.digest());
    assert_ne!(*actual, document.digest().to_string());
    assert!(!error.retryable());
    assert_eq!(server.log().lines(), ["PUT /v2/app/manifests/1.2 → 201"]);
}

/// A 201 that names no digest, and nothing is there: that is no success, however often it is said.
/// What is only seen a moment later is one.
#[tokio::test]
async fn z15_a_manifest_that_is_said_to_be_taken_and_is_never_there_is_an_error() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let omit = Action::OmitHeader("docker-content-digest".to_owned());
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(omit));
    let absent = || Action::Answer(Answer::error(404, "MANIFEST_UNKNOWN", "not yet"));
    let document = manifest(&[]);
    let later = Rule::on(Endpoint::ManifestHead).first(2).act(absent());
    let later = server.faults().add(later);
    let receipt = target.put_manifest(&document, Some(&tag("a"))).await;
    assert!(receipt.unwrap().verified);
    assert_eq!(
        server.log().lines(),
        [
            "PUT /v2/app/manifests/a → 201",
            "HEAD /v2/app/manifests/a → 404",
            "HEAD /v2/app/manifests/a → 404",
            "HEAD /v2/app/manifests/a → 200",
        ],
    );
    later.remove();
    server.log().clear();
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestHead).act(absent()));
    for tag in [Some(tag("a")), None] {
        let error = target.put_manifest(&document, tag.as_ref()).await;
        let error = error.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{error}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("it is not there"), "{cause}");
    }
    assert_eq!(server.log().calls(Endpoint::ManifestPut), 2);
}

/// A registry has a tag name the SHA-256 digest of a manifest's bytes, by whatever digest the manifest
/// goes elsewhere. That is no other manifest; another SHA-256 digest is.
#[tokio::test]
async fn z15_a_digest_of_another_algorithm_is_checked_against_the_bytes() {
    let bytes = manifest(&[]).bytes().clone();
    let sha512 = Digest::of_with(Algorithm::Sha512, &bytes);
    let document = Document::with_digest(bytes.clone(), None, &sha512).unwrap();
    for (said, right) in [(Digest::of(&bytes), true), (Digest::of(b"other"), false)] {
        for in_the_put in [true, false] {
            let named = format!("\r\nDocker-Content-Digest: {said}");
            let server = Scripted::start(move |head| match head.split(' ').next() {
                Some("PUT") if in_the_put => reply(&format!("201 Created{named}"), ""),
                Some("PUT") => reply("201 Created", ""),
                _ => reply(&format!("200 OK{named}"), ""),
            })
            .await;
            let target = client().push_target(&server.repository("app"));
            let put = target.put_manifest(&document, Some(&tag("a"))).await;
            match put {
                Ok(receipt) => assert!(receipt.verified && right, "{said}"),
                Err(error) => {
                    let kind = error.kind();
                    let mismatch = matches!(kind, TargetErrorKind::DigestMismatch { .. });
                    assert!(mismatch && !right, "{error}");
                }
            }
            // What the answer itself has proven is not asked.
            let questions = usize::from(!(right && in_the_put));
            assert_eq!(server.lines().len(), 1 + questions, "{:?}", server.lines());
        }
    }
}

/// An answer that names no digest proves nothing: one question reads it back.
#[tokio::test]
async fn z15_a_digest_that_is_not_named_is_asked_for() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let omit = || Action::OmitHeader("docker-content-digest".to_owned());
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(omit()));
    let document = manifest(&[]);
    let receipt = target
        .put_manifest(&document, Some(&tag("a")))
        .await
        .unwrap();
    assert!(receipt.verified);
    assert_eq!(
        server.log().lines(),
        [
            "PUT /v2/app/manifests/a → 201",
            "HEAD /v2/app/manifests/a → 200"
        ],
    );

    // Somebody else moved the tag meanwhile.
    server.log().clear();
    let wrong = Rule::on(Endpoint::ManifestHead).act(Action::WrongDigestHeader);
    let wrong = server.faults().add(wrong);
    let error = target
        .put_manifest(&document, Some(&tag("a")))
        .await
        .unwrap_err();
    assert!(matches!(
        error.kind(),
        TargetErrorKind::DigestMismatch { .. }
    ));
    wrong.remove();

    // Nor does HEAD name it: then the manifest itself does.
    server.log().clear();
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestHead).act(omit()));
    let receipt = target
        .put_manifest(&document, Some(&tag("a")))
        .await
        .unwrap();
    assert!(receipt.verified);
    assert_eq!(
        server.log().lines(),
        [
            "PUT /v2/app/manifests/a → 201",
            "HEAD /v2/app/manifests/a → 200",
            "GET /v2/app/manifests/a → 200",
        ],
    );
}

#[tokio::test]
async fn a_manifest_is_asked_for_with_every_type_there_is() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let document = manifest(&[]);
    let at = |text: &str| TagOrDigest::Tag(tag(text));
    assert_eq!(
        target.has_manifest(&at("1")).await.unwrap(),
        Presence::Absent
    );
    target
        .put_manifest(&document, Some(&tag("1")))
        .await
        .unwrap();
    let held = Presence::Held(document.digest().clone());
    assert_eq!(target.has_manifest(&at("1")).await.unwrap(), held);
    let by_digest = TagOrDigest::Digest(document.digest().clone());
    assert_eq!(target.has_manifest(&by_digest).await.unwrap(), held);
    let entries = server.log().entries();
    let accept = entries[0].headers.accept.as_deref().unwrap();
    assert_eq!(
        accept,
        MediaType::MANIFESTS.map(|it| it.to_string()).join(", ")
    );
    assert_eq!(server.log().by_method()["HEAD"], 3);
    assert_eq!(server.log().requests(), 4);
}

#[tokio::test]
async fn a_refused_manifest_names_what_is_missing() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let document = manifest(&[]);
    let error = target.put_manifest(&document, None).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Refused);
    assert_eq!(error.answer().mentioned_digests(), [Digest::of(b"{}")]);
}

#[tokio::test]
async fn the_subject_is_acknowledged_only_by_its_own_digest() {
    let server = accepting().await;
    let target = client().push_target(&repository(&server, "app"));
    let about = manifest(&[]);
    let json = String::from_utf8(about.bytes().to_vec()).unwrap();
    let subject = serde_json::to_string(about.descriptor()).unwrap();
    let json = json.replacen('{', &format!(r#"{{"subject":{subject},"#), 1);
    let document = Document::new(Bytes::from(json), None).unwrap();
    assert!(target.put_manifest(&document, None).await.unwrap().subject);
    assert!(!target.put_manifest(&about, None).await.unwrap().subject);
    let other = Action::SetHeader("oci-subject".to_owned(), Digest::of(b"x").to_string());
    server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(other));
    assert!(!target.put_manifest(&document, None).await.unwrap().subject);
}

#[tokio::test]
async fn tags_are_listed_page_by_page_on_the_same_host() {
    let server = accepting().await;
    let client = client();
    let here = repository(&server, "app");
    let target = client.push_target(&here);
    for name in ["a", "b", "c"] {
        target
            .put_manifest(&manifest(&[]), Some(&tag(name)))
            .await
            .unwrap();
    }
    server.log().clear();
    let page = |tags: &str, next: &str| {
        let link = format!("<{next}>; rel=\"next\"");
        let body = format!(r#"{{"name":"app","tags":[{tags}]}}"#);
        let answer = Answer::new(200)
            .header("content-type", "application/json")
            .body(body);
        Action::Answer(if next.is_empty() {
            answer
        } else {
            answer.header("link", link)
        })
    };
    let first = page(r#""a","b","not a tag!""#, "/v2/app/tags/list?n=2&last=b");
    server
        .faults()
        .add(Rule::on(Endpoint::TagList).nth(1).act(first));
    let tags = client.repository(&here).tags().await.unwrap();
    assert_eq!(tags, [tag("a"), tag("b"), tag("c")]);
    assert_eq!(
        server.log().lines(),
        [
            "GET /v2/app/tags/list?n=1000 → 200",
            "GET /v2/app/tags/list?n=2&last=b → 200",
        ],
    );

    let elsewhere = registry().await;
    let next = format!("{}/v2/app/tags/list", elsewhere.url());
    server.faults().clear();
    server
        .faults()
        .add(Rule::on(Endpoint::TagList).act(page(r#""a""#, &next)));
    let error = client.repository(&here).tags().await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unsafe);
    assert_eq!(elsewhere.log().requests(), 0);

    server.faults().clear();
    server.log().clear();
    let round = page(r#""a""#, "/v2/app/tags/list?round");
    server.faults().add(Rule::on(Endpoint::TagList).act(round));
    let error = client.repository(&here).tags().await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol);
    assert_eq!(server.log().requests(), 1000);
}

#[tokio::test]
async fn r8_a_manifest_that_breaks_off_is_read_again_within_the_budget() {
    let server = registry().await;
    let client = quick().build().unwrap();
    let here = repository(&server, "app");
    let document = Document::new(r#"{"schemaVersion":2,"manifests":[]}"#.into(), None).unwrap();
    let target = client.push_target(&here);
    target
        .put_manifest(&document, Some(&tag("v1")))
        .await
        .unwrap();
    server.log().clear();
    let cut = Rule::on(Endpoint::ManifestGet).first(2);
    server.faults().add(cut.act(Action::TruncateAnswer(20)));
    let at = TagOrDigest::Tag(tag("v1"));
    let read = client.repository(&here).manifest(&at).await.unwrap();
    assert_eq!(read.as_ref().map(Document::bytes), Some(document.bytes()));
    assert_eq!(server.log().lines(), ["GET /v2/app/manifests/v1 → 200"; 3]);

    let cut = Rule::on(Endpoint::ManifestGet).act(Action::TruncateAnswer(20));
    server.faults().add(cut);
    server.log().clear();
    let error = client.repository(&here).manifest(&at).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network, "{error}");
    assert_eq!(server.log().requests(), 5);
}
