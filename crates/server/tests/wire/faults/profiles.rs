//! Registries imitated: each documented answer, as a client gets it.

use longshore_server::{Profile, Server};
use oci::Digest;

use crate::client::{MANIFEST, Reply, TestReg, manifest, with_digest};

async fn like(profile: Profile) -> TestReg {
    let server = Server::builder();
    let reg = TestReg::with(server).await;
    reg.server.faults().imitate(profile);
    reg
}

async fn post(reg: &TestReg, query: &str, body: &[u8]) -> Reply {
    let target = format!("/v2/app/blobs/uploads/?{query}");
    reg.ask("POST", target).body(body).send().await
}

/// The one error of a manifest whose config is missing.
async fn missing(reg: &TestReg) -> (u16, String, String) {
    let absent = Digest::of(b"absent");
    let body = manifest(&absent, 6, &[(&Digest::of(b"too"), 3)]);
    let reply = reg
        .put_manifest("/v2/app/manifests/v1", MANIFEST, &body)
        .await;
    let first = &reply.json()["errors"][0];
    let text = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
    (reply.status, text("code"), text("message"))
}

#[tokio::test]
async fn distribution_wants_a_source_takes_no_single_post_and_lists_no_referrers() {
    for profile in [Profile::Distribution2, Profile::Distribution3] {
        let reg = like(profile).await;
        let location = reg.open("app").await;
        let digest = Digest::of(b"x");
        assert_eq!(reg.put_blob(&location, &digest, b"x").await.status, 201);
        assert_eq!(reg.put_blob(&location, &digest, b"x").await.status, 404);
        assert_eq!(
            post(&reg, &format!("mount={digest}"), b"").await.status,
            202
        );
        assert_eq!(
            post(&reg, &format!("mount={digest}&from=app"), b"")
                .await
                .status,
            201
        );
        assert_eq!(
            post(&reg, &format!("digest={digest}"), b"x").await.status,
            202
        );
        let referrers = reg.get(format!("/v2/app/referrers/{digest}")).await;
        assert_eq!(referrers.status, 404);
        assert_eq!(missing(&reg).await.1, "MANIFEST_BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn distribution_2_keeps_a_state_and_ignores_ranges_and_3_does_neither() {
    for (profile, stale, out_of_order) in [
        (Profile::Distribution2, 404, 202),
        (Profile::Distribution3, 204, 416),
    ] {
        let reg = like(profile).await;
        let first = reg.open("app").await;
        let patched = reg.ask("PATCH", &first).body(b"abc").send().await;
        assert_eq!(reg.get(&first).await.status, stale);
        let location = patched.header("location");
        let patch = reg.ask("PATCH", location).header("content-range", "9-9");
        assert_eq!(patch.body(b"d").send().await.status, out_of_order);
    }
}

#[tokio::test]
async fn ecr_answers_patches_with_201_and_names_blobs_in_its_message() {
    let reg = like(Profile::Ecr).await;
    let opened = post(&reg, "", b"").await;
    assert_eq!(opened.header("oci-chunk-min-length"), "5000000");
    let patched = reg.ask("PATCH", opened.header("location"));
    let patched = patched.body(&vec![0; 6_000_000]).send().await;
    assert_eq!(
        (patched.status, patched.header("range")),
        (201, "0-4999999")
    );
    let digest = reg.push("app", b"x").await;
    assert_eq!(
        post(&reg, &format!("mount={digest}&from=app"), b"")
            .await
            .status,
        202
    );
    let (status, code, message) = missing(&reg).await;
    assert_eq!((status, &*code), (400, "BLOB_UPLOAD_UNKNOWN"));
    assert!(
        message.contains(&Digest::of(b"absent").to_string()),
        "{message}"
    );
    assert!(
        message.contains(&Digest::of(b"too").to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn quay_counts_one_too_many_and_gives_no_location() {
    let reg = like(Profile::Quay).await;
    let opened = post(&reg, "", b"").await;
    assert_eq!(opened.header("range"), "bytes=0--1");
    let location = opened.header("location");
    let patched = reg.ask("PATCH", location).body(&[0; 1000]).send().await;
    assert_eq!(patched.header("range"), "0-999");
    let status = reg.get(location).await;
    assert_eq!(
        (status.header("range"), status.find("location")),
        ("bytes=0-1000", None)
    );
    let (_, code, message) = missing(&reg).await;
    let expected = format!("Unknown blob {}", Digest::of(b"absent"));
    assert_eq!((&*code, message), ("MANIFEST_INVALID", expected));
}

#[tokio::test]
async fn ghcr_takes_small_chunks_and_whole_blobs_without_a_range() {
    let reg = like(Profile::Ghcr).await;
    let content = vec![0; 4 * 1024 * 1024 + 1];
    let location = reg.open("app").await;
    let range = format!("0-{}", content.len() - 1);
    let chunk = reg.ask("PATCH", &location).header("content-range", &*range);
    let refused = chunk.body(&content).send().await;
    assert_eq!(refused.status, 416);
    assert!(
        refused.json()["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("4.00MiB")
    );
    let target = with_digest(&location, &Digest::of(&content));
    let put = || reg.ask("PUT", &target).body(&content);
    assert_eq!(
        put().header("content-range", &*range).send().await.status,
        416
    );
    assert_eq!(put().send().await.status, 201);
    let referrers = reg
        .get(format!("/v2/app/referrers/{}", Digest::of(b"x")))
        .await;
    assert_eq!(referrers.status, 404);
}

#[tokio::test]
async fn zot_names_no_blob_and_forgets_what_broke_off() {
    let reg = like(Profile::Zot).await;
    let (status, code, message) = missing(&reg).await;
    assert_eq!((status, &*code), (400, "MANIFEST_INVALID"));
    assert!(!message.contains("sha256"));
    let location = reg.open("app").await;
    let broken = reg.ask("PATCH", &location).body(&[0; 100]).begin(50).await;
    drop(broken);
    while reg.server.open_sessions() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reg.get(&location).await.status, 404);
}

#[tokio::test]
async fn harbor_answers_a_mount_from_nowhere_with_401() {
    let reg = like(Profile::Harbor).await;
    let digest = Digest::of(b"x");
    let refused = post(&reg, &format!("mount={digest}&from=other/app"), b"").await;
    assert_eq!(
        (refused.status, refused.codes()),
        (401, vec!["UNAUTHORIZED".to_owned()])
    );
}

#[tokio::test]
async fn gar_mounts_nothing_and_names_blobs_in_its_message() {
    let reg = like(Profile::Gar).await;
    let digest = reg.push("app", b"x").await;
    assert_eq!(
        post(&reg, &format!("mount={digest}&from=app"), b"")
            .await
            .status,
        202
    );
    let (_, code, message) = missing(&reg).await;
    assert_eq!(code, "BLOB_UNKNOWN");
    assert!(
        message.starts_with("Manifest references unknown blob(s): sha256:"),
        "{message}"
    );
}
