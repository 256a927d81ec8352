//! What embedded registries got wrong, one published fault a test.
//!
//! Each has its number; none of them may be found here.

use longshore_server::Server;
use oci::Digest;

use crate::{
    access::{ANN, BOB, both, both_with, essence},
    client::with_digest,
};

/// [CVE-2024-39897](https://nvd.nist.gov/vuln/detail/CVE-2024-39897): a blob of a repository
/// that may not be read was had by mounting it. The answer is that for a source that is not
/// there, byte for byte, whatever the digest and whether the source is named or not.
#[tokio::test]
async fn cve_2024_39897_a_mount_from_a_forbidden_source_is_one_from_an_absent_source() {
    for it in both().await {
        let secret = it.push("team/app", b"secret").await;
        let unknown = Digest::of(b"nowhere");
        let mount = async |digest: &Digest, from: &str| {
            let target = format!("/v2/bob/app/blobs/uploads/?mount={digest}{from}");
            it.ask(BOB, "POST", &target).await
        };
        let absent = mount(&unknown, "&from=bob/absent").await;
        assert_eq!(absent.status, 202);
        for (digest, from) in [
            (&secret, "&from=team/app"),
            (&unknown, "&from=team/app"),
            (&secret, "&from=team/absent"),
            (&secret, "&from=bob/absent"),
            (&secret, "&from=Not/A/Name"),
            (&secret, ""),
        ] {
            let reply = mount(digest, from).await;
            assert_eq!(essence(&reply), essence(&absent), "{digest} {from}");
        }
        let got = format!("/v2/bob/app/blobs/{secret}");
        assert_eq!(it.ask(BOB, "GET", &got).await.status, 404);
        // The session is good: the client goes on by sending.
        let location = mount(&secret, "&from=team/app")
            .await
            .header("location")
            .to_owned();
        let put = with_digest(&location, &secret);
        assert_eq!(it.send(BOB, "PUT", &put, b"secret").await.status, 201);
        // And what may be read is mounted.
        it.push("team/shared", b"shared").await;
        let shared = Digest::of(b"shared");
        assert_eq!(mount(&shared, "&from=team/shared").await.status, 201);
    }
}

/// A source that may be read is found without being named; one that may not is not.
#[tokio::test]
async fn cve_2024_39897_a_mount_without_a_source_finds_only_what_may_be_read() {
    let [basic, _] = both().await;
    let secret = basic.push("team/app", b"secret").await;
    let shared = basic.push("team/shared", b"shared").await;
    let mount = async |digest: &Digest| {
        let target = format!("/v2/bob/app/blobs/uploads/?mount={digest}");
        basic.ask(BOB, "POST", &target).await.status
    };
    assert_eq!(mount(&secret).await, 202);
    assert_eq!(mount(&shared).await, 201);
}

/// [CVE-2026-35172](https://nvd.nist.gov/vuln/detail/CVE-2026-35172): what a repository held
/// before was still served from a cache of digests. Whether a repository holds a blob is
/// asked of the repository, each time.
#[tokio::test]
async fn cve_2026_35172_a_blob_that_is_deleted_here_is_gone_here_though_others_hold_it() {
    for it in both().await {
        let digest = it.push("team/app", b"content").await;
        it.push("team/shared", b"content").await;
        let blob = |name: &str| format!("/v2/{name}/blobs/{digest}");
        assert_eq!(it.ask(ANN, "GET", &blob("team/app")).await.status, 200);
        assert_eq!(it.ask(ANN, "DELETE", &blob("team/app")).await.status, 202);
        assert_eq!(it.ask(ANN, "HEAD", &blob("team/app")).await.status, 404);
        assert_eq!(it.ask(ANN, "GET", &blob("team/app")).await.status, 404);
        let mount = format!("/v2/team/new/blobs/uploads/?mount={digest}&from=team/app");
        assert_eq!(it.ask(ANN, "POST", &mount).await.status, 202);
        assert_eq!(it.ask(ANN, "GET", &blob("team/shared")).await.status, 200);
        // Having read it somewhere opens it nowhere else.
        assert_eq!(it.ask(BOB, "GET", &blob("team/shared")).await.status, 200);
        assert_eq!(it.ask(BOB, "GET", &blob("bob/app")).await.status, 404);
    }
}

/// [CVE-2026-41888](https://nvd.nist.gov/vuln/detail/CVE-2026-41888): with deletion switched
/// off, tags could be deleted. One switch is before all of them.
#[tokio::test]
async fn cve_2026_41888_nothing_is_deleted_where_deletion_is_off() {
    for it in both_with(|| Server::builder().deletes(false)).await {
        let config = it.push("team/app", b"{}").await;
        let manifest = crate::client::manifest(&config, 2, &[]);
        let tag = "/v2/team/app/manifests/v1";
        assert_eq!(it.send(ANN, "PUT", tag, &manifest).await.status, 201);
        let by_digest = format!("/v2/team/app/manifests/{}", Digest::of(&manifest));
        let blob = format!("/v2/team/app/blobs/{config}");
        for target in [tag, &by_digest, &blob, "/v2/team/app/manifests/absent"] {
            let reply = it.ask(ANN, "DELETE", target).await;
            assert_eq!(reply.status, 405, "{target}");
            assert_eq!(reply.codes(), ["UNSUPPORTED"]);
        }
        for target in [tag, &by_digest, &blob] {
            assert_eq!(it.ask(ANN, "GET", target).await.status, 200, "{target}");
        }
    }
}

/// [CVE-2023-2253](https://nvd.nist.gov/vuln/detail/CVE-2023-2253): `n` of the catalog was
/// memory to set aside. A page has an end of its own, and what is no number is refused.
#[tokio::test]
async fn cve_2023_2253_a_page_is_bounded_whatever_is_asked_for() {
    for it in both().await {
        it.push_image("team/app").await;
        for list in ["/v2/_catalog", "/v2/team/app/tags/list"] {
            for n in ["1000000000000", "18446744073709551615"] {
                let reply = it.ask(ANN, "GET", &format!("{list}?n={n}")).await;
                assert_eq!(reply.status, 200, "{list} {n}");
            }
            for n in ["-1", "99999999999999999999999", "x", "1e9"] {
                let reply = it.ask(ANN, "GET", &format!("{list}?n={n}")).await;
                assert_eq!(reply.status, 400, "{list} {n}");
            }
        }
    }
}

/// [CVE-2026-32589](https://nvd.nist.gov/vuln/detail/CVE-2026-32589): another user's upload
/// could be read, gone on with and cancelled. A session is there for who opened it alone,
/// also among users who may all push to the repository, and also for nobody.
#[tokio::test]
async fn cve_2026_32589_an_upload_is_not_there_for_another_user() {
    for it in both().await {
        let opened = it.ask(ANN, "POST", "/v2/team/both/blobs/uploads/").await;
        let location = opened.header("location").to_owned();
        assert_eq!(it.send(ANN, "PATCH", &location, b"abc").await.status, 202);
        let (base, id) = location.rsplit_once('/').unwrap();
        let absent = format!("{base}/{}", "0".repeat(id.len()));
        let digest = Digest::of(b"abc");
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let target = |location: &str| match method {
                "PUT" => with_digest(location, &digest),
                _ => location.to_owned(),
            };
            let theirs = it.send(BOB, method, &target(&location), b"x").await;
            let none = it.send(BOB, method, &target(&absent), b"x").await;
            assert_eq!(theirs.status, 404, "{method}");
            assert_eq!(essence(&theirs), essence(&none), "{method}");
        }
        let status = it.ask(ANN, "GET", &location).await;
        assert_eq!((status.status, status.header("range")), (204, "0-2"));
        let put = with_digest(&location, &digest);
        assert_eq!(it.ask(ANN, "PUT", &put).await.status, 201);
    }
}
