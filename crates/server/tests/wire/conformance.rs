//! Every category of the specification's conformance suite, asked of each store.
//!
//! The suite is a program of its own and cannot be had everywhere; these tests can.
//! [`blobs`] does what it does with blobs, in each digest algorithm; [`manifests`] what
//! it does with manifests, for each kind of them; here is what needs no content.
//! `docs/conformance.md` says which category is held by which test.

mod blobs;
mod manifests;

use oci::{Algorithm, Digest};
use serde_json::json;

use crate::client::{INDEX, TestReg};

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

#[tokio::test]
async fn the_interface_says_that_it_is_there() {
    for reg in TestReg::each().await {
        for path in ["/v2/", "/v2"] {
            assert_eq!(reg.get(path).await.status, 200);
            let head = reg.head(path).await;
            assert_eq!((head.status, head.body.len()), (200, 0));
        }
    }
}

#[tokio::test]
async fn an_absent_repository_has_no_tags_and_an_empty_list_of_referrers() {
    for reg in TestReg::each().await {
        let tags = reg.get("/v2/no/where/tags/list").await;
        assert_eq!(
            (tags.status, tags.codes()),
            (404, vec!["NAME_UNKNOWN".into()])
        );
        for algorithm in ALGORITHMS {
            let subject = Digest::of_with(algorithm, b"nothing");
            let reply = reg.get(format!("/v2/no/where/referrers/{subject}")).await;
            assert_eq!((reply.status, reply.header("content-type")), (200, INDEX));
            let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
            assert_eq!(reply.json(), list);
        }
        // Asking has not made it a repository.
        let catalog = reg.get("/v2/_catalog").await.json();
        assert_eq!(catalog["repositories"], json!([]));
    }
}

#[tokio::test]
async fn a_digest_that_is_none_is_refused_wherever_it_stands() {
    for reg in TestReg::each().await {
        let location = reg.open("app").await;
        for bad in ["sha256:baddigeststring", "sha256:", "sha3:00", "sha512:abc"] {
            for (method, target) in [
                ("GET", format!("/v2/app/blobs/{bad}")),
                ("GET", format!("/v2/app/manifests/{bad}")),
                ("PUT", format!("/v2/app/manifests/{bad}")),
                ("GET", format!("/v2/app/referrers/{bad}")),
                ("PUT", format!("{location}?digest={bad}")),
                ("POST", format!("/v2/app/blobs/uploads/?digest={bad}")),
                ("POST", format!("/v2/app/blobs/uploads/?mount={bad}&from=x")),
            ] {
                let reply = reg.ask(method, &target).send().await;
                assert_eq!(reply.status, 400, "{method} {target}");
                assert_eq!(reply.codes(), ["DIGEST_INVALID"], "{method} {target}");
            }
        }
        // The session that was asked to end so is still there.
        assert_eq!(reg.get(&location).await.status, 204);
    }
}
