//! How much at once.

use std::time::Duration;

use futures_util::future::join_all;
use oci::{Presence, PushTarget};
use server::{Action, Endpoint, Rule};

use crate::{
    fixture::{Blobs, Double, PATIENCE, at_most, blob, quick, registry, repository, upload},
    set_up::SET_UP,
};

async fn push(server: &Double, in_flight: usize, blobs: usize) {
    let client = quick().max_in_flight(at_most(in_flight)).build().unwrap();
    let target = client.push_target(&repository(server, "app"));
    // Knows what the registry wants from here on: the first request of all goes alone.
    target.has_blob(&blob(0, 1).0).await.unwrap();
    server.log().clear();
    // The first to be asked for stay until all of them are there, also on a machine that is busy.
    let at_once = in_flight.min(blobs) as u64;
    for endpoint in [Endpoint::UploadPost, Endpoint::UploadPut] {
        let stay = Action::DelayAnswer(Duration::from_secs(1));
        let first = Rule::on(endpoint).first(at_once);
        server.faults().add(first.act(stay));
    }
    let slow = Rule::any().act(Action::DelayAnswer(Duration::from_millis(40)));
    server.faults().add(slow);
    let blobs: Vec<_> = (1..=blobs as u64).map(|seed| blob(seed, 20_000)).collect();
    let source = Blobs::of(blobs.clone());
    let uploads = blobs
        .iter()
        .map(|(layer, _)| target.upload_blob(upload(layer, &source)));
    for receipt in join_all(uploads).await {
        receipt.unwrap();
    }
    server.faults().clear();
}

#[tokio::test]
async fn v4_no_more_than_so_many_requests_are_in_flight_and_as_many_are() {
    for (in_flight, blobs, expected) in [(1, 3, 1), (4, 16, 4), (8, 3, 3), (32, 40, 32)] {
        let server = registry().await;
        push(&server, in_flight, blobs).await;
        let log = server.log();
        assert_eq!(log.peak_in_flight(), expected, "{in_flight} for {blobs}");
        assert_eq!(log.requests(), 2 * blobs as u64);
        assert!(
            log.connections() < expected + SET_UP.connections(),
            "{} connections",
            log.connections()
        );
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = registry().await;
    let client = quick().max_in_flight(at_most(4)).build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    for _ in 0..50 {
        let blobs: Vec<_> = (0..8).map(|seed| blob(seed, 10).0).collect();
        let asked = blobs.iter().map(|it| target.has_blob(it));
        for presence in join_all(asked).await {
            assert_eq!(presence.unwrap(), Presence::Absent);
        }
    }
    assert_eq!(server.log().requests(), 400);
    assert!(
        server.log().connections() <= 4,
        "{}",
        server.log().connections()
    );
    // One may have been opened for nothing, while another got free: no request is seen on it.
    let opened = client.traffic().total.connections;
    assert!((server.log().connections() as u64..=8).contains(&opened));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_after_another_needs_one_connection_for_its_kind() {
    let server = registry().await;
    let client = quick().build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    for seed in 0..50 {
        let (layer, content) = blob(seed, 100_000);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
    }
    assert_eq!(server.log().requests(), 100);
    // One that takes long to come back, because its thread is not run, is not waited for. What
    // holds where there is one thread is said by
    // `uploads::connections_are_counted_as_the_registry_counts_them`.
    let used = server.log().connections();
    let needed = SET_UP.connections();
    assert!((needed..=needed + 2).contains(&used), "{used}");
}

/// What is read from a host may be on its way back to it: with every permit taken by
/// downloads, each would wait for an upload that waits for a permit.
#[tokio::test]
async fn a_copy_within_one_registry_does_not_wait_for_itself() {
    let server = registry().await;
    let client = quick().max_in_flight(at_most(2)).build().unwrap();
    let blobs: Vec<_> = (1..=6).map(|seed| blob(seed, 2_000_000)).collect();
    let memory = Blobs::of(blobs.clone());
    let from = client.push_target(&repository(&server, "from"));
    for (layer, _) in &blobs {
        from.upload_blob(upload(layer, &memory)).await.unwrap();
    }
    let source = client.source(
        &repository(&server, "from").with_tag(oci::Tag::latest()),
        None,
    );
    let target = client.push_target(&repository(&server, "to"));
    let uploads = blobs
        .iter()
        .map(|(layer, _)| target.upload_blob(upload(layer, &source)));
    let copied = tokio::time::timeout(PATIENCE, join_all(uploads)).await;
    for receipt in copied.expect("they wait for each other") {
        assert_eq!(receipt.unwrap().sent, 2_000_000);
    }
    assert!(server.log().peak_in_flight() <= 2);
}
