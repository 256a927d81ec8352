//! Readers of one blob that share a hash.

use oci::Digest;

use super::{Check, Integrity};

const CONTENT: &[u8] = b"four and four and last";

fn digest() -> Digest {
    Digest::of(CONTENT)
}

fn reader(integrity: &Integrity) -> Check {
    let check = integrity.check(&digest()).expect("a check");
    check.of(CONTENT.len() as u64)
}

fn hashed(check: &Check) -> u64 {
    check.shared.state.lock().unwrap().hasher.bytes()
}

#[test]
fn who_is_ahead_hashes_and_who_is_behind_does_not() {
    let integrity = Integrity::default();
    let (mut ahead, mut behind) = (reader(&integrity), reader(&integrity));
    assert!(!behind.is_ahead(4), "nobody has hashed yet");

    integrity.pass(&mut ahead, &CONTENT[..12]).unwrap();
    assert_eq!(hashed(&behind), 12);
    for piece in CONTENT[..12].chunks(5) {
        assert!(behind.is_ahead(piece.len()));
        integrity.pass(&mut behind, piece).unwrap();
        assert_eq!(hashed(&behind), 12);
    }
    // Now it overtakes the other, with a piece of which nothing is hashed, and ends.
    integrity.pass(&mut behind, &CONTENT[12..15]).unwrap();
    assert_eq!(hashed(&ahead), 15);
    integrity.pass(&mut behind, &CONTENT[15..]).unwrap();
    assert!(integrity.check(&digest()).is_none(), "it was right");

    // A piece that is hashed in part, and the end, that is hashed: both pass.
    integrity.pass(&mut ahead, &CONTENT[12..18]).unwrap();
    integrity.pass(&mut ahead, &CONTENT[18..]).unwrap();
    assert_eq!(hashed(&ahead), CONTENT.len() as u64);
}

#[test]
fn the_last_piece_of_damaged_content_is_refused_to_every_reader() {
    let integrity = Integrity::default();
    let mut damaged = CONTENT.to_vec();
    damaged[2] ^= 1;
    let (mut first, mut second) = (reader(&integrity), reader(&integrity));
    for check in [&mut first, &mut second] {
        integrity.pass(check, &damaged[..20]).unwrap();
        let error = integrity.pass(check, &damaged[20..]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
    assert!(integrity.is_damaged(&digest()));
}

#[test]
fn what_is_found_of_a_file_says_nothing_of_the_one_in_its_place() {
    let integrity = Integrity::default();
    let mut old = reader(&integrity);
    integrity.pass(&mut old, &CONTENT[..4]).unwrap();
    integrity.forget(&digest());

    let mut new = reader(&integrity);
    assert_eq!(hashed(&new), 0, "another file has a hash of its own");
    let damaged = vec![0; CONTENT.len() - 4];
    integrity.pass(&mut old, &damaged).unwrap_err();
    assert!(!integrity.is_damaged(&digest()));
    integrity.pass(&mut new, CONTENT).unwrap();
    assert!(integrity.check(&digest()).is_none());
}

#[test]
fn a_reader_who_leaves_takes_nothing_along() {
    let integrity = Integrity::default();
    let mut leaves = reader(&integrity);
    integrity.pass(&mut leaves, &CONTENT[..20]).unwrap();
    drop(leaves);

    let mut stays = reader(&integrity);
    assert_eq!(hashed(&stays), 0);
    integrity.pass(&mut stays, &CONTENT[..20]).unwrap();
    let mut joins = reader(&integrity);
    drop(stays);
    assert_eq!(hashed(&joins), 20, "what was hashed stays with who is left");
    integrity.pass(&mut joins, CONTENT).unwrap();
    assert!(integrity.check(&digest()).is_none());
}
