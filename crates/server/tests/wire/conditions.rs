//! Conditional requests, and what a path takes: the parts of HTTP that clients rely on.

use longshore_server::Server;
use oci::{Algorithm, Digest};

use crate::client::{MANIFEST, TestReg, manifest};

fn quoted(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// What there is to read: a blob, and a manifest by tag and by digest.
async fn readable(reg: &TestReg) -> Vec<(String, Digest, Vec<u8>)> {
    let blob = reg.push("app", b"0123456789").await;
    let image = reg.push_image("app", "v1").await;
    let digest = Digest::of(&image);
    vec![
        (
            format!("/v2/app/blobs/{blob}"),
            blob,
            b"0123456789".to_vec(),
        ),
        ("/v2/app/manifests/v1".into(), digest.clone(), image.clone()),
        (format!("/v2/app/manifests/{digest}"), digest, image),
    ]
}

#[tokio::test]
async fn a_reader_gets_only_what_its_conditions_leave() {
    for reg in TestReg::each().await {
        let other = quoted(&Digest::of(b"other"));
        for (path, digest, content) in readable(&reg).await {
            let tag = quoted(&digest);
            for (name, value, status) in [
                ("if-none-match", tag.clone(), 304),
                ("if-none-match", "*".into(), 304),
                ("if-none-match", format!("W/{tag}"), 304),
                ("if-none-match", format!("{other}, {tag}"), 304),
                ("if-none-match", other.clone(), 200),
                ("if-none-match", "\"of something else\"".into(), 200),
                ("if-match", tag.clone(), 200),
                ("if-match", "*".into(), 200),
                ("if-match", format!("{other},{tag}"), 200),
                ("if-match", other.clone(), 412),
                ("if-match", format!("W/{tag}"), 412),
            ] {
                for method in ["GET", "HEAD"] {
                    let ask = reg.ask(method, &path).header(name, &value);
                    let reply = ask.send().await;
                    assert_eq!(reply.status, status, "{method} {path} {name}: {value}");
                    if status != 412 {
                        assert_eq!(reply.header("etag"), tag);
                        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
                    }
                    match (method, status) {
                        ("GET", 200) => assert_eq!(reply.body, content),
                        ("GET", 412) => assert_eq!(reply.codes(), ["DENIED"]),
                        _ => assert_eq!(reply.body, b""),
                    }
                }
            }
            // Two lines of one header are one list.
            let ask = reg.ask("GET", &path).header("if-none-match", &other);
            let reply = ask.header("if-none-match", &tag).send().await;
            assert_eq!(reply.status, 304);
        }
    }
}

#[tokio::test]
async fn a_part_is_given_only_of_the_content_that_the_other_parts_are_of() {
    let reg = TestReg::new().await;
    let digest = reg.push("app", b"0123456789").await;
    let read = async |condition: &str| {
        let ask = reg.ask("GET", format!("/v2/app/blobs/{digest}"));
        let ask = ask
            .header("range", "bytes=8-")
            .header("if-range", condition);
        let reply = ask.send().await;
        (reply.status, reply.body)
    };
    assert_eq!(read(&quoted(&digest)).await, (206, b"89".to_vec()));
    let whole = (200, b"0123456789".to_vec());
    assert_eq!(read(&quoted(&Digest::of(b"other"))).await, whole);
    assert_eq!(read(&format!("W/{}", quoted(&digest))).await, whole);
    assert_eq!(read("Sat, 01 Jan 2022 00:00:00 GMT").await, whole);
}

#[tokio::test]
async fn v3_a_tag_is_written_only_if_its_condition_holds() {
    for reg in TestReg::each().await {
        let old = reg.push_image("app", "v1").await;
        let config = reg.push("app", b"{}").await;
        let new = manifest(&config, 2, &[]);
        let put = async |target: &str, name: &str, value: &str| {
            let ask = reg.ask("PUT", target).header(name, value);
            let ask = ask.header("content-type", MANIFEST).body(&new);
            ask.send().await.status
        };
        let (is_old, is_new) = (quoted(&Digest::of(&old)), quoted(&Digest::of(&new)));
        let tagged = "/v2/app/manifests/v1";
        assert_eq!(put(tagged, "if-none-match", "*").await, 412);
        assert_eq!(put(tagged, "if-none-match", &is_old).await, 412);
        assert_eq!(put(tagged, "if-match", &is_new).await, 412);
        assert_eq!(put("/v2/app/manifests/v2", "if-match", "*").await, 412);
        // Several tags by one request: the condition is about each of them.
        let digest = Digest::of(&new);
        let both = format!("/v2/app/manifests/{digest}?tag=v0&tag=v1");
        assert_eq!(put(&both, "if-none-match", "*").await, 412);
        // Nothing that was refused has left anything.
        assert_eq!(reg.get(tagged).await.body, old);
        for absent in ["v0", "v2", &digest.to_string()] {
            let head = reg.head(format!("/v2/app/manifests/{absent}")).await;
            assert_eq!(head.status, 404, "{absent}");
        }

        assert_eq!(put("/v2/app/manifests/v2", "if-none-match", "*").await, 201);
        assert_eq!(put(tagged, "if-match", &is_old).await, 201);
        assert_eq!(reg.get(tagged).await.body, new);
        assert_eq!(put(&both, "if-match", "*").await, 412);
        assert_eq!(put(&both, "if-match", &is_new).await, 412);
        let one = format!("/v2/app/manifests/{digest}");
        assert_eq!(put(&one, "if-none-match", "*").await, 412);
        assert_eq!(put(&one, "if-match", "*").await, 201);
    }
}

#[tokio::test]
async fn a_condition_that_fails_makes_no_repository() {
    for reg in
        TestReg::each_with(Server::builder().validation(longshore_server::Validation::AcceptAll))
            .await
    {
        let body = manifest(&Digest::of(b"{}"), 2, &[]);
        let ask = reg
            .ask("PUT", "/v2/new/manifests/v1")
            .header("if-match", "*");
        let reply = ask
            .header("content-type", MANIFEST)
            .body(&body)
            .send()
            .await;
        assert_eq!(reply.status, 412);
        assert_eq!(reg.get("/v2/new/tags/list").await.status, 404);
    }
}

#[tokio::test]
async fn a_path_says_which_methods_it_takes() {
    let reg = TestReg::new().await;
    let digest = reg.push("app", b"content").await;
    let location = reg.open("app").await;
    for (target, allowed) in [
        ("/v2/".to_owned(), "GET, HEAD"),
        ("/healthz".to_owned(), "GET, HEAD"),
        ("/metrics".to_owned(), "GET, HEAD"),
        ("/v2/_catalog".to_owned(), "GET, HEAD"),
        ("/v2/app/tags/list".to_owned(), "GET, HEAD"),
        (format!("/v2/app/referrers/{digest}"), "GET, HEAD"),
        (format!("/v2/app/blobs/{digest}"), "GET, HEAD, DELETE"),
        ("/v2/app/blobs/uploads/".to_owned(), "POST"),
        (location, "GET, HEAD, PATCH, PUT, DELETE"),
        ("/v2/app/manifests/v1".to_owned(), "GET, HEAD, PUT, DELETE"),
    ] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
        ] {
            if allowed.split(", ").any(|it| it == method) {
                continue;
            }
            let reply = reg.ask(method, &target).send().await;
            assert_eq!(reply.status, 405, "{method} {target}");
            assert_eq!(reply.header("allow"), allowed, "{method} {target}");
            if method == "HEAD" {
                assert_eq!(reply.body, b"");
            } else {
                assert_eq!(reply.codes(), ["UNSUPPORTED"]);
            }
        }
    }
    assert_eq!(
        reg.head(format!("/v2/app/blobs/{digest}")).await.status,
        200
    );
}

#[tokio::test]
async fn a_registry_without_deletion_says_what_is_left() {
    for reg in TestReg::each_with(Server::builder().deletes(false)).await {
        let blob = reg.push("app", b"content").await;
        reg.push_image("app", "v1").await;
        for (target, allowed) in [
            (format!("/v2/app/blobs/{blob}"), "GET, HEAD"),
            ("/v2/app/manifests/v1".to_owned(), "GET, HEAD, PUT"),
        ] {
            let reply = reg.delete(&target).await;
            assert_eq!((reply.status, reply.header("allow")), (405, allowed));
            assert_eq!(reg.head(&target).await.status, 200);
        }
        // Giving up an upload deletes nothing that was there.
        let location = reg.open("app").await;
        assert_eq!(reg.delete(location).await.status, 204);
    }
}

/// Not even where the same GET has a body to refuse with.
#[tokio::test]
async fn an_answer_to_head_has_the_fields_of_get_and_no_body() {
    for reg in TestReg::each().await {
        let digest = reg.push("app", b"content").await;
        let absent = Digest::of_with(Algorithm::Sha512, b"absent");
        reg.push_image("app", "v1").await;
        for target in [
            "/v2/".to_owned(),
            "/v2/_catalog".to_owned(),
            "/v2/app/tags/list".to_owned(),
            "/v2/absent/tags/list".to_owned(),
            "/v2/app/tags/list?n=x".to_owned(),
            format!("/v2/app/referrers/{digest}"),
            format!("/v2/app/blobs/{digest}"),
            format!("/v2/app/blobs/{absent}"),
            "/v2/app/manifests/v1".to_owned(),
            "/v2/app/manifests/absent".to_owned(),
            "/v2/app/manifests/-".to_owned(),
            "/elsewhere".to_owned(),
        ] {
            let (mut head, mut got) = (reg.head(&target).await, reg.get(&target).await);
            assert_eq!(head.status, got.status, "{target}");
            head.headers.remove("date");
            got.headers.remove("date");
            assert_eq!(head.headers, got.headers, "{target}");
            assert_eq!(head.body, b"", "{target}");
            assert!(!got.body.is_empty(), "{target}");
        }
    }
}

/// A proxy's parameter on reads; this registry stands for itself alone.
#[tokio::test]
async fn the_namespace_of_a_proxy_is_ignored() {
    for reg in TestReg::each().await {
        for (path, _, content) in readable(&reg).await {
            let reply = reg.get(format!("{path}?ns=registry.example.com")).await;
            assert_eq!((reply.status, reply.body), (200, content));
            assert_eq!(reply.headers.get("oci-namespace"), None);
        }
        let tags = reg.get("/v2/app/tags/list?ns=registry.example.com").await;
        assert_eq!(tags.json()["tags"], serde_json::json!(["v1"]));
    }
}
