//! Ranges: of uploads, of chunks, of what is asked for and of what is answered.
//!
//! No arithmetic goes over, what is printed reads back as it was, and a range that is
//! resolved lies inside what there is.

use oci::wire::{ByteRange, ChunkRange, ContentRange, UploadedRange};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // The length that a range is held against is the last number of the text.
    let (text, length) = match text.rsplit_once('\n') {
        Some((text, length)) => (text, length.trim().parse().unwrap_or(u64::MAX)),
        None => (text, 1000),
    };
    uploaded(text, length);
    chunk(text);
    asked(text, length);
    answered(text);
}

fn uploaded(text: &str, expected: u64) {
    if let Ok(range) = text.parse::<UploadedRange>() {
        assert_eq!(range.to_string().parse(), Ok(range));
        let bytes = range.bytes(expected);
        // Only where one byte and none are written alike does it depend on what was expected.
        assert!(bytes == range.bytes(expected.wrapping_add(2)) || bytes <= 1);
    }
    let range = UploadedRange::of(expected.min(u64::MAX - 1));
    assert_eq!(range.to_string().parse(), Ok(range));
    assert_eq!(range.bytes(expected), expected.min(u64::MAX - 1));
}

fn chunk(text: &str) {
    if let Ok(range) = text.parse::<ChunkRange>() {
        assert!(range.first <= range.last);
        assert_eq!(range.to_string().parse(), Ok(range));
        assert_eq!(ChunkRange::new(range.first, range.length()), Some(range));
    }
}

fn asked(text: &str, length: u64) {
    if let Ok(range) = text.parse::<ByteRange>() {
        assert_eq!(range.to_string().parse(), Ok(range));
        if let Some((offset, count)) = range.resolve(length) {
            assert!(count > 0 && offset.checked_add(count).is_some_and(|end| end <= length));
        }
        assert_eq!(range.resolve(0), None);
    }
}

fn answered(text: &str) {
    if let Ok(range) = text.parse::<ContentRange>() {
        assert_eq!(range.to_string().parse(), Ok(range));
        assert!(range.range.is_some() || range.total.is_some());
        if let (Some(range), Some(total)) = (range.range, range.total) {
            assert!(range.first <= range.last && range.last < total);
            assert_eq!(range.length(), range.last - range.first + 1);
        }
    }
}
