//! Bodies that may not go fast, and what does not wait for them.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use longshore_registry::{Client, Rate};
use oci::{Presence, PushTarget, TargetErrorKind, UploadReceipt};
use server::Endpoint;
use tokio::time::{Duration, Instant};

use crate::fixture::{
    Blobs, Double, MIB, at_most, blob, manifest, quick, registry, repository, upload,
};

/// Slow: half a second for each 32 KiB.
const SLOW: u64 = 64 * 1024;

fn slow() -> Rate {
    Rate::per_second(SLOW).unwrap()
}

async fn push(client: &Client, server: &Double, seed: u64, size: usize) -> UploadReceipt {
    let target = client.push_target(&repository(server, "app"));
    let (layer, content) = blob(seed, size);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap()
}

/// Least, that is: how long more it takes is the machine's business.
#[tokio::test]
async fn p12_a_body_takes_as_long_as_the_limit_says_in_both_directions() {
    let server = registry().await;
    let size = 2 * usize::try_from(SLOW).unwrap();
    // What a second and a half is worth at least: the beginning may go at once.
    let least = Duration::from_millis(1500);
    for client in [
        quick().limit_rate(slow()),
        quick().limit_rate_of(&server.registry(), slow()),
    ] {
        let client = client.build().unwrap();
        let began = Instant::now();
        let receipt = push(&client, &server, 1, size).await;
        assert_eq!(receipt.sent, size as u64);
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());

        let (layer, content) = blob(1, size);
        let reader = client.repository(&repository(&server, "app"));
        let began = Instant::now();
        let stream = reader.open_blob(&layer, 0).await.unwrap();
        let read: Vec<_> = stream.map(Result::unwrap).collect().await;
        assert_eq!(read.concat(), content);
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    }
    // Another host is not limited: a body of a minute at that rate.
    let other = "other.test:5000".parse().unwrap();
    let client = quick().limit_rate_of(&other, slow()).build().unwrap();
    let limited = Duration::from_mins(1);
    let pushing = push(&client, &server, 2, 60 * size / 2);
    tokio::time::timeout(limited, pushing).await.unwrap();
}

/// Every connection but one carries a body that will take minutes; questions and manifests are
/// answered, over connections of their own and over one with the bodies.
#[tokio::test]
async fn p12_questions_do_not_wait_for_bodies() {
    let (server, client) = (registry().await, quick());
    let client = client.max_in_flight(at_most(4)).limit_rate(slow());
    let client = client.build().unwrap();
    let bodies: Vec<_> = (0..6)
        .map(|seed| {
            let (client, server) = (client.clone(), server.registry());
            tokio::spawn(async move {
                let target = client.push_target(&server.repository("app").unwrap());
                let (layer, content) = blob(seed, 16 * MIB);
                let source = Blobs::one(&layer, &content);
                target.upload_blob(upload(&layer, &source)).await.map(drop)
            })
        })
        .collect();
    while server.log().calls(Endpoint::UploadPut) < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let target = client.push_target(&repository(&server, "app"));
    let questions = async {
        for _ in 0..20 {
            let held = target.has_blob(&blob(99, 10).0).await.unwrap();
            assert_eq!(held, Presence::Absent);
        }
        let document = manifest(&[]);
        let put = target.put_manifest(&document, None).await.unwrap_err();
        assert_eq!(
            *put.kind(),
            TargetErrorKind::Refused,
            "its config is not there"
        );
    };
    // Far less than the bodies take: they would be in the way for minutes.
    tokio::time::timeout(Duration::from_secs(30), questions)
        .await
        .unwrap();
    assert!(bodies.iter().all(|it| !it.is_finished()));
    assert_eq!(server.log().calls(Endpoint::UploadPut), 3);
    let entries = server.log().entries();
    let asked = entries
        .iter()
        .filter(|it| it.endpoint == Endpoint::BlobHead);
    let connections: BTreeSet<u64> = asked.map(|it| it.connection).collect();
    assert_eq!(connections.len(), 1, "one for all questions");
    for body in bodies {
        body.abort();
    }
}
