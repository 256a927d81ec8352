use std::{io::Write as _, time::Duration};

use futures_util::TryStreamExt as _;
use oci::BlobStream;

use super::*;

fn range(content: &[u8]) -> FileRange {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    FileRange::whole(file, "test").unwrap()
}

fn content(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

#[tokio::test]
async fn a_part_is_read_within_its_bounds() {
    let content = content(3 * PIECE as usize + 17);
    let whole = range(&content);
    let length = content.len() as u64;
    let part = whole.part(5, length - 9, "part").unwrap();
    let read: Vec<Bytes> = part.stream(3).unwrap().try_collect().await.unwrap();
    assert!(read.concat() == content[8..content.len() - 4]);
    assert!(whole.part(5, length - 5, "part").is_some());
    assert!(whole.part(5, length - 4, "part").is_none());
    assert!(whole.part(u64::MAX, 2, "part").is_none());
}

#[tokio::test]
async fn a_piece_stays_as_it_is_while_the_stream_goes_on() {
    let content = content(20 * PIECE as usize);
    let mut pieces = range(&content).stream(0).unwrap();
    let first = pieces.try_next().await.unwrap().unwrap();
    let rest: Vec<Bytes> = pieces.try_collect().await.unwrap();
    assert!(first == content[..first.len()]);
    assert!(rest.concat() == content[first.len()..]);
}

/// Other tests open streams too, so nothing is said about the first few.
#[tokio::test]
async fn where_many_streams_are_open_pieces_are_small() {
    let whole = range(&content(20 * PIECE as usize));
    let mut streams: Vec<BlobStream> = (0..17).map(|_| whole.clone().stream(0).unwrap()).collect();
    let small = streams[16].try_next().await.unwrap().unwrap();
    assert_eq!(small.len(), 64 * 1024);
}

/// Those that were being read ahead when the others were opened are as long as they were.
#[tokio::test]
async fn a_stream_reads_less_at_once_when_others_are_opened_and_never_more_again() {
    let whole = range(&content(20 * PIECE as usize));
    let mut pieces = whole.clone().stream(0).unwrap();
    pieces.try_next().await.unwrap().unwrap();
    let others: Vec<BlobStream> = (0..17).map(|_| whole.clone().stream(0).unwrap()).collect();
    for _ in 0..READS_AHEAD {
        pieces.try_next().await.unwrap().unwrap();
    }
    assert_eq!(
        pieces.try_next().await.unwrap().unwrap().len(),
        SHORTEST as usize
    );
    drop(others);
    let rest: Vec<Bytes> = pieces.try_collect().await.unwrap();
    assert!(rest.iter().all(|it| it.len() <= SHORTEST as usize));
}

#[test]
fn a_buffer_that_is_longer_than_pieces_are_now_is_let_go() {
    let spare = Spare::default();
    spare.give_back(vec![1; 1024]);
    assert_eq!(spare.take(64, 256), vec![0; 64]);
    spare.give_back(vec![1; 256]);
    assert_eq!(spare.take(64, 256), vec![1; 256]);
}

#[tokio::test]
async fn a_stream_that_is_dropped_lets_go_of_the_file() {
    let whole = range(&content(20 * PIECE as usize));
    let mut pieces = whole.clone().stream(0).unwrap();
    pieces.try_next().await.unwrap().unwrap();
    assert!(Arc::strong_count(&whole.file) > 1);
    drop(pieces);
    while Arc::strong_count(&whole.file) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn what_is_over_the_limit_is_not_read() {
    let whole = range(&content(11));
    assert_eq!(whole.read_all(11).unwrap(), content(11));
    let error = whole.read_all(10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it is 11 bytes long, at most 10 are read"
    );
}

#[test]
fn a_file_that_was_cut_is_noticed() {
    let whole = range(&content(100));
    whole.file.set_len(50).unwrap();
    let error = whole.read_all(100).unwrap_err();
    assert_eq!(error.to_string(), "it changed while it was read");
}
