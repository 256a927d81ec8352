//! Manifests: verbatim bytes, and what is refused.

use longshore_server::{Action, Endpoint, Rule, Server, Validation};
use oci::{Algorithm, Digest};
use serde_json::json;

use crate::client::{INDEX, MANIFEST, TestReg, manifest};

#[tokio::test]
async fn k11_rejects_a_manifest_with_missing_children_naming_each() {
    let reg = TestReg::new().await;
    let there = reg.push("app", b"there").await;
    let (config, layer) = (Digest::of(b"config"), Digest::of(b"layer"));
    let body = manifest(&config, 6, &[(&there, 5), (&layer, 5), (&layer, 5)]);
    let reply = reg
        .put_manifest("/v2/app/manifests/v1", MANIFEST, &body)
        .await;
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.codes(),
        ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"]
    );
    let errors = reply.json();
    assert_eq!(errors["errors"][0]["detail"], config.to_string());
    assert_eq!(errors["errors"][1]["detail"], layer.to_string());
    assert_eq!(reg.head("/v2/app/manifests/v1").await.status, 404);
    let by_digest = format!("/v2/app/manifests/{}", Digest::of(&body));
    assert_eq!(reg.head(by_digest).await.status, 404);
}

#[tokio::test]
async fn k11_rejects_an_index_with_missing_children_naming_each() {
    let reg = TestReg::new().await;
    let image = reg.push_image("app", "v1").await;
    // A blob of the right digest is not a manifest.
    let blob = reg.push("app", b"{\"as\":\"a blob\"}").await;
    let absent = Digest::of(b"absent");
    let child =
        |digest: &Digest| json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": 1});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        child(&Digest::of(&image)), child(&blob), child(&absent),
    ]});
    let target = "/v2/app/manifests/multi";
    let reply = reg
        .put_manifest(target, INDEX, index.to_string().as_bytes())
        .await;
    assert_eq!(reply.status, 400);
    let errors = reply.json();
    let details: Vec<_> = errors["errors"].as_array().unwrap().iter().collect();
    assert_eq!(details.len(), 2);
    assert_eq!(details[0]["detail"], blob.to_string());
    assert_eq!(details[1]["detail"], absent.to_string());
}

#[tokio::test]
async fn other_ways_to_refuse_a_sparse_manifest() {
    let missing = [Digest::of(b"config"), Digest::of(b"layer")];
    let body = manifest(&missing[0], 6, &[(&missing[1], 5)]);
    let answer = async |rule: Validation| {
        let reg = TestReg::with(Server::builder().validation(rule)).await;
        reg.put_manifest("/v2/app/manifests/v1", MANIFEST, &body)
            .await
    };
    let first = answer(Validation::First).await;
    assert_eq!(first.codes(), ["MANIFEST_BLOB_UNKNOWN"]);
    assert_eq!(first.json()["errors"][0]["detail"], missing[0].to_string());
    let none = answer(Validation::None).await;
    assert_eq!(none.codes(), ["MANIFEST_BLOB_UNKNOWN"]);
    assert!(none.json()["errors"][0].get("detail").is_none());
    assert_eq!(answer(Validation::AcceptAll).await.status, 201);
}

#[tokio::test]
async fn one_sparse_manifest_is_taken_where_a_fault_says_so() {
    let reg = TestReg::new().await;
    let body = manifest(&Digest::of(b"config"), 6, &[]);
    let rule = Rule::on(Endpoint::ManifestPut).nth(1);
    reg.server.faults().add(rule.act(Action::AcceptSparse));
    let put = async || {
        reg.put_manifest("/v2/app/manifests/v1", MANIFEST, &body)
            .await
    };
    assert_eq!(put().await.status, 201);
    assert_eq!(put().await.status, 400);
}

#[tokio::test]
async fn foreign_layers_and_subjects_need_not_be_there() {
    let reg = TestReg::new().await;
    let config = reg.push("app", b"{}").await;
    let body = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2},
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": Digest::of(b"base").to_string(), "size": 4, "urls": ["https://example.com/base"],
        }],
        "subject": {"mediaType": MANIFEST, "digest": Digest::of(b"subject").to_string(), "size": 7},
    })
    .to_string();
    let reply = reg
        .put_manifest("/v2/app/manifests/v1", MANIFEST, body.as_bytes())
        .await;
    assert_eq!(reply.status, 201);
    let subject = Digest::of(b"subject").to_string();
    assert_eq!(reply.header("oci-subject"), subject);
}

#[tokio::test]
async fn bytes_come_back_as_they_went_in() {
    let reg = TestReg::new().await;
    let config = reg.push("app", b"{}").await;
    let odd = format!(
        "{{ \"zzz\":[1,2.50 , 1e3], \"layers\" : [],\n\t\"config\":{{\"size\":2,\"digest\":\"{config}\",\
         \"mediaType\":\"application/x\",\"urls\":[\"https://a/\\u00e4\"]}},\"schemaVersion\":2}}\n\n"
    );
    let reply = reg
        .put_manifest(
            "/v2/app/manifests/odd",
            &format!("{MANIFEST}; charset=utf-8"),
            odd.as_bytes(),
        )
        .await;
    assert_eq!(reply.status, 201);
    let digest = Digest::of(odd.as_bytes()).to_string();
    assert_eq!(reply.header("docker-content-digest"), digest);
    for which in ["odd", &digest] {
        let path = format!("/v2/app/manifests/{which}");
        let (mut got, mut head) = (reg.get(&path).await, reg.head(&path).await);
        assert_eq!(got.body, odd.as_bytes());
        assert_eq!(got.header("content-type"), MANIFEST);
        assert_eq!(got.header("docker-content-digest"), digest);
        assert_eq!(got.header("etag"), format!("\"{digest}\""));
        got.headers.remove("date");
        head.headers.remove("date");
        assert_eq!(got.headers, head.headers);
        assert_eq!(head.body, b"");
    }
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let reg = TestReg::new().await;
    let config = reg.push("app", b"{}").await;
    let good = manifest(&config, 2, &[]);
    let digest = Digest::of(b"other");
    let by_digest = format!("/v2/app/manifests/{digest}");
    for (target, kind, body, code) in [
        (
            "/v2/app/manifests/x",
            MANIFEST,
            &b"{"[..],
            "MANIFEST_INVALID",
        ),
        ("/v2/app/manifests/x", MANIFEST, b"[]", "MANIFEST_INVALID"),
        ("/v2/app/manifests/x", MANIFEST, b"{}", "MANIFEST_INVALID"),
        ("/v2/app/manifests/x", INDEX, &good, "MANIFEST_INVALID"),
        (&by_digest, MANIFEST, &good, "DIGEST_INVALID"),
    ] {
        let reply = reg.put_manifest(target, kind, body).await;
        assert_eq!(reply.status, 400, "{target} {kind}");
        assert_eq!(reply.codes(), [code], "{target} {kind}");
        assert_eq!(reg.head(target).await.status, 404);
    }
}

#[tokio::test]
async fn a_manifest_over_the_limit_is_refused_before_it_is_read() {
    let reg = TestReg::new().await;
    let big = vec![b' '; 4 * 1024 * 1024 + 1];
    let reply = reg
        .put_manifest("/v2/app/manifests/x", MANIFEST, &big)
        .await;
    assert_eq!(reply.status, 413);
    assert_eq!(reg.server.log().body_bytes(), 0);
    // Without a length it is read up to the limit.
    let ask = reg.ask("PUT", "/v2/app/manifests/x").chunked().body(&big);
    assert_eq!(ask.send().await.status, 413);
}

#[tokio::test]
async fn p5_one_request_moves_several_tags() {
    let reg = TestReg::new().await;
    let config = reg.push("app", b"{}").await;
    let body = manifest(&config, 2, &[]);
    let digest = Digest::of_with(Algorithm::Sha512, &body);
    let target = format!("/v2/app/manifests/{digest}?tag=a&tag=b&tag=a");
    let reply = reg.put_manifest(target, MANIFEST, &body).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.headers["oci-tag"], ["a", "b"]);
    for tag in ["a", "b"] {
        let got = reg.get(format!("/v2/app/manifests/{tag}")).await;
        assert_eq!(got.body, body);
        // In the algorithm it was pushed with.
        assert_eq!(got.header("docker-content-digest"), digest.to_string());
    }
    let many: Vec<String> = (0..65).map(|n| format!("tag=t{n}")).collect();
    let target = format!("/v2/app/manifests/{digest}?{}", many.join("&"));
    let reply = reg.put_manifest(target, MANIFEST, &body).await;
    assert_eq!(reply.status, 414);
}

#[tokio::test]
async fn a_reader_that_has_it_gets_nothing() {
    let reg = TestReg::new().await;
    let body = reg.push_image("app", "v1").await;
    let tag = format!("\"{}\"", Digest::of(&body));
    let ask = async |value: &str| {
        let ask = reg.ask("GET", "/v2/app/manifests/v1");
        ask.header("if-none-match", value).send().await
    };
    let same = ask(&tag).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), tag);
    assert_eq!(ask("\"sha256:other\"").await.status, 200);
}

#[tokio::test]
async fn v3_a_tag_moves_only_if_its_condition_holds() {
    let reg = TestReg::new().await;
    let old = reg.push_image("app", "v1").await;
    let config = reg.push("app", b"{}").await;
    let new = manifest(&config, 2, &[]);
    let put = async |name: &str, value: &str| {
        let ask = reg.ask("PUT", "/v2/app/manifests/v1").header(name, value);
        let ask = ask.header("content-type", MANIFEST).body(&new);
        ask.send().await.status
    };
    let tag = |body: &[u8]| format!("\"{}\"", Digest::of(body));
    assert_eq!(put("if-none-match", "*").await, 412);
    assert_eq!(put("if-match", &tag(&new)).await, 412);
    assert_eq!(put("if-none-match", &tag(&old)).await, 412);
    assert_eq!(reg.get("/v2/app/manifests/v1").await.body, old);
    assert_eq!(put("if-match", &tag(&old)).await, 201);
    assert_eq!(reg.get("/v2/app/manifests/v1").await.body, new);
}

#[tokio::test]
async fn deleting_a_manifest_takes_its_tags_along() {
    let reg = TestReg::new().await;
    let body = reg.push_image("app", "v1").await;
    let digest = Digest::of(&body);
    let again = format!("/v2/app/manifests/{digest}?tag=v2&tag=v3");
    reg.put_manifest(again, MANIFEST, &body).await;

    let delete = reg.ask("DELETE", "/v2/app/manifests/v3").send().await;
    assert_eq!(delete.status, 202);
    assert_eq!(reg.head("/v2/app/manifests/v3").await.status, 404);
    assert_eq!(reg.head("/v2/app/manifests/v2").await.status, 200);

    let path = format!("/v2/app/manifests/{digest}");
    assert_eq!(reg.ask("DELETE", &path).send().await.status, 202);
    for gone in ["/v2/app/manifests/v1", "/v2/app/manifests/v2", &path] {
        let reply = reg.get(gone).await;
        assert_eq!(reply.status, 404, "{gone}");
        assert_eq!(reply.codes(), ["MANIFEST_UNKNOWN"]);
    }
    let tags = reg.get("/v2/app/tags/list").await.json();
    assert_eq!(tags["tags"], json!([]));
}
