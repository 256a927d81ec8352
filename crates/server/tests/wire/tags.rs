//! Lists: tags, repositories, referrers.

use std::collections::BTreeSet;

use oci::{Algorithm, Digest};
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
async fn r7_referrers_are_listed_with_their_types_and_annotations() {
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

/// Registries without this list leave it to clients, in a tag; it must not be lost with them.
#[tokio::test]
async fn r7_what_the_fallback_tag_lists_is_listed_too() {
    for reg in TestReg::each().await {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let subject = Digest::of_with(algorithm, b"subject");
            let image = reg.push_image("app", "v1").await;
            let (listed, absent) = (Digest::of(&image), Digest::of(b"absent"));
            let said_so = refer(&reg, &subject, Some("application/x"), "said so").await;
            let entry = |digest: &Digest| json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": image.len()});
            let index = |digests: &[&Digest]| {
                let entries: Vec<_> = digests.iter().map(|it| entry(it)).collect();
                json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string()
            };
            // At most 64 characters of the digest are in the tag.
            let tag = format!("{algorithm}-{}", &subject.encoded()[..64]);
            let target = format!("/v2/app/manifests/{tag}");
            let path = format!("/v2/app/referrers/{subject}");

            // An entry that is not there is refused, or, if it went later, left out.
            let sparse = index(&[&absent]);
            let put = reg.put_manifest(&target, INDEX, sparse.as_bytes()).await;
            assert_eq!(put.status, 400);
            let both = index(&[&said_so, &listed]);
            let put = reg.put_manifest(&target, INDEX, both.as_bytes()).await;
            assert_eq!(put.status, 201);
            let mut all = vec![listed.to_string(), said_so.to_string()];
            all.sort();
            assert_eq!(digests(&reg.get(&path).await.json()), all);
            let typed = reg.get(format!("{path}?artifactType=application/x")).await;
            assert_eq!(digests(&typed.json()), [said_so.to_string()]);
            let deleted = reg.delete(format!("/v2/app/manifests/{listed}")).await;
            assert_eq!(deleted.status, 202);
            assert_eq!(digests(&reg.get(&path).await.json()), [said_so.to_string()]);

            // A tag of that name that is no index is nobody's list.
            reg.push_image("app", &tag).await;
            assert_eq!(digests(&reg.get(&path).await.json()), [said_so.to_string()]);
        }
    }
}

/// A client reads at most 4 MiB at once.
#[tokio::test]
async fn r7_a_long_list_of_referrers_comes_in_pages_that_link_on() {
    let reg = TestReg::new().await;
    let subject = Digest::of(b"subject");
    let note = "x".repeat(1_200_000);
    let mut of_kind = Vec::new();
    for n in 0..7 {
        let kind = if n < 5 {
            "application/a+b"
        } else {
            "application/c"
        };
        let digest = refer(&reg, &subject, Some(kind), &format!("{n}{note}")).await;
        of_kind.push((kind, digest.to_string()));
    }
    of_kind.sort_by(|(_, a), (_, b)| a.cmp(b));
    let path = format!("/v2/app/referrers/{subject}");
    for (filter, lengths) in [
        (None, &[2, 2, 2, 1][..]),
        (Some("application/a+b"), &[2, 2, 1]),
    ] {
        let mut expected: Vec<&str> = Vec::new();
        for (kind, digest) in &of_kind {
            if filter.is_none_or(|it| it == *kind) {
                expected.push(digest);
            }
        }
        let query = filter.map_or_else(String::new, |it| format!("?artifactType={it}"));
        let mut next = Some(format!("{path}{query}"));
        let (mut all, mut pages) = (Vec::new(), Vec::new());
        while let Some(target) = next {
            let reply = reg.get(target).await;
            assert_eq!((reply.status, reply.header("content-type")), (200, INDEX));
            assert!(reply.body.len() < 4 * 1024 * 1024);
            let applied = filter.map(|_| "artifactType");
            assert_eq!(reply.find("oci-filters-applied"), applied);
            let page = digests(&reply.json());
            pages.push(page.len());
            all.extend(page);
            next = reply.find("link").map(target_of);
        }
        assert_eq!(
            (all, pages),
            (
                expected.iter().map(ToString::to_string).collect(),
                lengths.to_vec()
            )
        );
    }
}

/// As many as one page never has: each is listed once, and no page is longer than the bound.
#[tokio::test(flavor = "multi_thread")]
async fn r7_ten_thousand_referrers_of_one_subject_come_in_bounded_pages() {
    const COUNT: usize = 10_000;
    let reg = TestReg::new().await;
    reg.push("app", b"{}").await;
    let subject = Digest::of(b"subject");
    let about = |number: usize| {
        let it = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": if number == 7 { "application/rare" } else { "application/signature" },
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").to_string(), "size": 2},
            "layers": [],
            "annotations": {"number": format!("{number:0700}")},
            "subject": {"mediaType": MANIFEST, "digest": subject.to_string(), "size": 1},
        });
        it.to_string().into_bytes()
    };
    let mut expected = BTreeSet::new();
    let numbers: Vec<usize> = (0..COUNT).collect();
    for some in numbers.chunks(32) {
        let puts = some.iter().map(|number| {
            let body = about(*number);
            let digest = Digest::of(&body);
            assert!(expected.insert(digest.to_string()));
            let target = format!("/v2/app/manifests/{digest}");
            let reg = &reg;
            async move { reg.put_manifest(target, MANIFEST, &body).await.status }
        });
        let puts: Vec<_> = puts.collect();
        let statuses = futures_util::future::join_all(puts).await;
        assert!(statuses.iter().all(|it| *it == 201), "{statuses:?}");
    }
    let path = format!("/v2/app/referrers/{subject}");
    let (mut next, mut listed, mut pages) = (Some(path.clone()), Vec::new(), 0);
    while let Some(target) = next {
        let reply = reg.get(target).await;
        assert_eq!(reply.status, 200);
        assert!(
            reply.body.len() <= 3 * 1024 * 1024 + 1024,
            "{}",
            reply.body.len()
        );
        listed.extend(digests(&reply.json()));
        pages += 1;
        next = reply.find("link").map(target_of);
    }
    assert!(pages >= 3, "{pages}");
    // Each once, in order.
    assert_eq!(listed, expected.into_iter().collect::<Vec<_>>());
    // One among so many: the pages before it are read, not sent.
    let rare = reg
        .get(format!("{path}?artifactType=application/rare"))
        .await;
    let one = Digest::of(&about(7)).to_string();
    assert_eq!(
        (digests(&rare.json()), rare.find("link")),
        (vec![one], None)
    );
}

/// Where a `Link` to the next page leads.
fn target_of(link: &str) -> String {
    let target = link.strip_prefix('<').unwrap();
    target.strip_suffix(">; rel=\"next\"").unwrap().to_owned()
}
