//! One side alone: order, failure, and a thread that dies.

use super::*;
use crate::sessions::progress::batch::{Gathering, Room};

/// Notes each batch; fails or dies at one that says so.
#[derive(Default)]
struct Noting(Vec<Vec<u8>>);

impl Work for Noting {
    fn take(&mut self, batch: &Batch) -> io::Result<()> {
        match batch.bytes() {
            b"fail" => return Err(io::ErrorKind::StorageFull.into()),
            b"die" => std::panic::resume_unwind(Box::new("asked to")),
            bytes => self.0.push(bytes.to_vec()),
        }
        Ok(())
    }
}

async fn batch(gathering: &mut Gathering, bytes: &[u8]) -> Arc<Batch> {
    gathering.push(bytes);
    Arc::new(gathering.batch().await)
}

#[tokio::test]
async fn batches_are_taken_in_order_and_all_of_them() {
    let room = Room::default();
    let mut gathering = Gathering::new(&room);
    let mut side = Side::new(Noting::default());
    let given: Vec<_> = (0..1000_u32).map(|it| it.to_be_bytes().to_vec()).collect();
    for (at, bytes) in given.iter().enumerate() {
        side.push(batch(&mut gathering, bytes).await).await.unwrap();
        if at % 100 == 0 {
            side.rest().await.unwrap();
        }
    }
    side.rest().await.unwrap();
    assert_eq!(side.into_work().unwrap().0, given);
}

#[tokio::test]
async fn nothing_is_taken_after_a_failure_and_it_is_told_once() {
    let room = Room::default();
    let mut gathering = Gathering::new(&room);
    let mut side = Side::new(Noting::default());
    let mut told = Vec::new();
    for bytes in [&b"good"[..], b"fail", b"late", b"later"] {
        if let Err(error) = side.push(batch(&mut gathering, bytes).await).await {
            told.push(error.kind());
            break;
        }
    }
    if let Err(error) = side.rest().await {
        told.push(error.kind());
    }
    assert_eq!(told, [io::ErrorKind::StorageFull]);
    assert_eq!(side.into_work().unwrap().0, [b"good"]);
}

#[tokio::test]
async fn a_thread_that_dies_is_an_error_and_leaves_the_room_free() {
    let room = Room::default();
    let mut gathering = Gathering::new(&room);
    let mut side = Side::new(Noting::default());
    side.push(batch(&mut gathering, b"die").await)
        .await
        .unwrap();
    // More than one body has places for: this ends only if they come free.
    let mut refused = false;
    for _ in 0..100 {
        refused |= side.push(batch(&mut gathering, b"x").await).await.is_err();
    }
    assert!(refused);
    assert!(side.into_work().is_none());
}
