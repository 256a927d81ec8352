//! Lists: tags, repositories, referrers.

use oci::Digest;
use serde_json::{Value, json};

use crate::client::{INDEX, MANIFEST, TestReg};

async fn tagged(tags: &[&str]) -> TestReg {
    let reg = TestReg::new().await;
    for tag in tags {
        reg.push_image("app", tag).await;
    }
    reg
}

#[tokio::test]
async fn tags_come_in_order_and_in_pages() {
    let reg = tagged(&["b", "a", "d", "c"]).await;
    let all = reg.get("/v2/app/tags/list").await;
    assert_eq!(
        all.json(),
        json!({"name": "app", "tags": ["a", "b", "c", "d"]})
    );
    assert_eq!(all.find("link"), None);

    let first = reg.get("/v2/app/tags/list?n=3").await;
    assert_eq!(first.json()["tags"], json!(["a", "b", "c"]));
    let link = "</v2/app/tags/list?n=3&last=c>; rel=\"next\"";
    assert_eq!(first.header("link"), link);
    let second = reg.get("/v2/app/tags/list?n=3&last=c").await;
    assert_eq!(second.json()["tags"], json!(["d"]));
    assert_eq!(second.find("link"), None);

    let none = reg.get("/v2/app/tags/list?n=0").await;
    assert_eq!(
        (none.json()["tags"].clone(), none.find("link")),
        (json!([]), None)
    );
    assert_eq!(reg.get("/v2/app/tags/list?n=x").await.status, 400);
}

#[tokio::test]
async fn an_unknown_repository_has_no_tags() {
    let reg = TestReg::new().await;
    let reply = reg.get("/v2/app/tags/list").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.codes(), ["NAME_UNKNOWN"]);
}

#[tokio::test]
async fn repositories_are_listed() {
    let reg = TestReg::new().await;
    for name in ["b", "a/deep/one", "a"] {
        reg.push(name, b"x").await;
    }
    let all = reg.get("/v2/_catalog").await.json();
    assert_eq!(all["repositories"], json!(["a", "a/deep/one", "b"]));
    let page = reg.get("/v2/_catalog?n=1&last=a").await;
    assert_eq!(page.json()["repositories"], json!(["a/deep/one"]));
    assert!(page.header("link").contains("last=a%2Fdeep%2Fone"));
}

async fn refer(reg: &TestReg, subject: &Digest, artifact: Option<&str>, note: &str) -> Digest {
    let config = reg.push("app", b"{}").await;
    let mut it = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.example.config", "digest": config.to_string(), "size": 2},
        "layers": [],
        "annotations": {"note": note},
        "subject": {"mediaType": MANIFEST, "digest": subject.to_string(), "size": 1},
    });
    if let Some(artifact) = artifact {
        it["artifactType"] = artifact.into();
    }
    let body = it.to_string();
    let digest = Digest::of(body.as_bytes());
    let target = format!("/v2/app/manifests/{digest}");
    let reply = reg.put_manifest(target, MANIFEST, body.as_bytes()).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("oci-subject"), subject.to_string());
    digest
}

fn digests(list: &Value) -> Vec<String> {
    let all = list["manifests"].as_array().unwrap();
    all.iter()
        .map(|it| it["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn referrers_are_listed_with_their_types_and_annotations() {
    let reg = TestReg::new().await;
    let subject = Digest::of(b"subject");
    let signature = refer(&reg, &subject, Some("application/vnd.example+sig"), "one").await;
    let plain = refer(&reg, &subject, None, "two").await;

    let path = format!("/v2/app/referrers/{subject}");
    let reply = reg.get(&path).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), INDEX);
    assert_eq!(reply.find("oci-filters-applied"), None);
    let mut expected = vec![signature.to_string(), plain.to_string()];
    expected.sort();
    assert_eq!(digests(&reply.json()), expected);

    // A `+` is a `+`, escaped or not.
    for kind in [
        "application/vnd.example+sig",
        "application%2Fvnd.example%2Bsig",
    ] {
        let reply = reg.get(format!("{path}?artifactType={kind}")).await;
        assert_eq!(reply.header("oci-filters-applied"), "artifactType");
        let list = reply.json();
        assert_eq!(digests(&list), [signature.to_string()]);
        assert_eq!(list["manifests"][0]["annotations"]["note"], "one");
        assert_eq!(
            list["manifests"][0]["artifactType"],
            "application/vnd.example+sig"
        );
    }
    let by_config = format!("{path}?artifactType=application/vnd.example.config");
    assert_eq!(
        digests(&reg.get(by_config).await.json()),
        [plain.to_string()]
    );

    let gone = format!("/v2/app/manifests/{signature}");
    assert_eq!(reg.ask("DELETE", gone).send().await.status, 202);
    assert_eq!(digests(&reg.get(&path).await.json()), [plain.to_string()]);
}

#[tokio::test]
async fn what_nobody_refers_to_has_an_empty_list() {
    let reg = TestReg::new().await;
    let subject = Digest::of(b"subject");
    let reply = reg.get(format!("/v2/nowhere/referrers/{subject}")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), INDEX);
    assert_eq!(reply.json()["manifests"], json!([]));
    let reply = reg.get("/v2/nowhere/referrers/sha256:x").await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn what_the_fallback_tag_lists_is_listed_too() {
    let reg = TestReg::new().await;
    let subject = Digest::of(b"subject");
    let image = reg.push_image("app", "v1").await;
    let listed = Digest::of(&image);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": listed.to_string(), "size": image.len()},
    ]})
    .to_string();
    let target = format!("/v2/app/manifests/sha256-{}", subject.encoded());
    let put = reg.put_manifest(target, INDEX, index.as_bytes()).await;
    assert_eq!(put.status, 201);
    let reply = reg.get(format!("/v2/app/referrers/{subject}")).await;
    assert_eq!(digests(&reply.json()), [listed.to_string()]);
}
