//! Ranges as registries and clients write them.

use proptest::prelude::*;

use super::{ByteRange, ChunkRange, ContentRange, UploadedRange};

#[test]
fn what_an_upload_holds_is_read_in_every_form() {
    for (text, expected) in [
        ("0-499", UploadedRange::Prefix(500)),
        ("bytes=0-499", UploadedRange::Prefix(500)),
        ("bytes 0-499/1000", UploadedRange::Prefix(500)),
        ("bytes 0-499/*", UploadedRange::Prefix(500)),
        ("Bytes=0-499", UploadedRange::Prefix(500)),
        (" 0-499 ", UploadedRange::Prefix(500)),
        ("0-0", UploadedRange::NothingOrOneByte),
        ("0-1", UploadedRange::Prefix(2)),
        ("bytes=0-0", UploadedRange::NothingOrOneByte),
        ("0--1", UploadedRange::Nothing),
        ("bytes=0--1", UploadedRange::Nothing),
        ("0-00", UploadedRange::NothingOrOneByte),
        ("0-18446744073709551614", UploadedRange::Prefix(u64::MAX)),
    ] {
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "0",
        "-",
        "0-",
        "-0",
        "1-499",
        "00-499",
        "0--2",
        "0-+1",
        "0-1-2",
        "bytes",
        "bytes=",
        "bytes==0-1",
        "bits=0-1",
        "0-18446744073709551615",
        "0-99999999999999999999",
        "0-0x1",
        "0-1, 2-3",
        "<html>",
        "0-\u{663}",
        "byteß0-1",
    ] {
        assert!(text.parse::<UploadedRange>().is_err(), "{text}");
    }
}

#[test]
fn one_byte_is_believed_only_where_one_is_due() {
    let ambiguous = UploadedRange::NothingOrOneByte;
    assert_eq!(ambiguous.bytes(0), 0);
    assert_eq!(ambiguous.bytes(1), 1);
    assert_eq!(ambiguous.bytes(2), 0, "a session that lost its bytes");
    assert_eq!(UploadedRange::Nothing.bytes(1), 0);
    assert_eq!(UploadedRange::Prefix(7).bytes(3), 7);
    assert_eq!(UploadedRange::of(0).to_string(), "0-0");
    assert_eq!(UploadedRange::of(1).to_string(), "0-0");
    assert_eq!(UploadedRange::of(2).to_string(), "0-1");
    assert_eq!(UploadedRange::Prefix(0).to_string(), "0--1");
}

#[test]
fn a_chunk_has_two_inclusive_ends() {
    assert_eq!("0-0".parse(), Ok(ChunkRange { first: 0, last: 0 }));
    for text in [
        "5-9",
        "bytes=5-9",
        "bytes 5-9/100",
        "bytes 5-9/*",
        "BYTES 5-9/7",
    ] {
        assert_eq!(text.parse(), Ok(ChunkRange { first: 5, last: 9 }), "{text}");
    }
    for text in [
        "",
        "-",
        "5-",
        "-5",
        "9-5",
        "5",
        "a-b",
        "5-9-10",
        "+5-9",
        "0-18446744073709551615",
        "*",
        "0-99999999999999999999",
    ] {
        assert!(text.parse::<ChunkRange>().is_err(), "{text}");
    }
    assert_eq!(ChunkRange::new(7, 0), None);
    assert_eq!(ChunkRange::new(u64::MAX, 1), None);
    assert_eq!(
        ChunkRange::new(0, u64::MAX).map(ChunkRange::length),
        Some(u64::MAX)
    );
    assert_eq!(ChunkRange { first: 2, last: 1 }.length(), 0);
    assert_eq!(
        ChunkRange {
            first: 0,
            last: u64::MAX
        }
        .length(),
        u64::MAX
    );
}

#[test]
fn a_part_asked_for_is_resolved_against_the_length() {
    for (text, length, expected) in [
        ("bytes=0-499", 1000, Some((0, 500))),
        ("bytes=500-", 1000, Some((500, 500))),
        ("bytes=-200", 1000, Some((800, 200))),
        ("bytes=-2000", 1000, Some((0, 1000))),
        ("bytes=0-", 1000, Some((0, 1000))),
        ("bytes=999-999", 1000, Some((999, 1))),
        ("bytes=990-2000", 1000, Some((990, 10))),
        ("bytes=1000-", 1000, None),
        ("bytes=1000-1001", 1000, None),
        ("bytes=-0", 1000, None),
        ("bytes=0-0", 0, None),
        ("bytes=-5", 0, None),
        ("Bytes=1-2", 9, Some((1, 2))),
        ("bytes=1-99999999999999999999", 9, Some((1, 8))),
        ("bytes=99999999999999999999-", 9, None),
        ("bytes=-99999999999999999999", 9, Some((0, 9))),
    ] {
        let range: ByteRange = text.parse().expect(text);
        assert_eq!(range.resolve(length), expected, "{text} of {length}");
    }
    for text in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=500-0",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "0-1",
        "items=0-1",
        "bytes 0-1",
        "bytes=--1",
        "bytes=1--1",
        "bytes=+1-2",
        "bytes=1-2/3",
    ] {
        assert!(text.parse::<ByteRange>().is_err(), "{text}");
    }
}

#[test]
fn a_part_got_lies_within_the_whole() {
    let got = |first, last, total| ContentRange {
        range: Some(ChunkRange { first, last }),
        total,
    };
    assert_eq!("bytes 0-4/5".parse(), Ok(got(0, 4, Some(5))));
    assert_eq!("Bytes 2-2/*".parse(), Ok(got(2, 2, None)));
    let none = ContentRange {
        range: None,
        total: Some(0),
    };
    assert_eq!("bytes */0".parse(), Ok(none));
    for text in [
        "",
        "bytes",
        "bytes */*",
        "bytes 0-5/5",
        "bytes 3-2/5",
        "bytes=0-4/5",
        "0-4/5",
        "items 0-4/5",
        "bytes 0-4",
        "bytes -4/5",
        "bytes 0-/5",
        "bytes 0-4/",
        "bytes 0-4/-5",
        "bytes 0-18446744073709551615/*",
    ] {
        assert!(text.parse::<ContentRange>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn ranges_print_as_they_parse(a in any::<u64>(), b in any::<u64>(), more in any::<u64>()) {
        let uploaded = UploadedRange::of(a);
        prop_assert_eq!(uploaded.to_string().parse(), Ok(uploaded));
        prop_assert_eq!(uploaded.bytes(a), a);
        if let Some(chunk) = ChunkRange::new(a, b) {
            prop_assert_eq!(chunk.to_string().parse(), Ok(chunk));
            prop_assert_eq!((chunk.first, chunk.length()), (a, b));
            let total = chunk.last.checked_add(more).filter(|&total| total > chunk.last);
            let got = ContentRange { range: Some(chunk), total };
            prop_assert_eq!(got.to_string().parse(), Ok(got));
        }
        let (first, last) = (a.min(b), a.max(b));
        for range in [
            ByteRange::From { first, last: None },
            ByteRange::From { first, last: Some(last) },
            ByteRange::Last(a),
        ] {
            prop_assert_eq!(range.to_string().parse(), Ok(range));
            if let Some((offset, count)) = range.resolve(more) {
                prop_assert!(count > 0 && offset.checked_add(count).is_some_and(|end| end <= more));
            }
        }
    }

    #[test]
    fn any_text_is_a_range_or_an_error(
        text in "\\PC{0,30}|(bytes[= ])?[0-9]{0,21}-{0,2}[0-9]{0,21}(/[0-9*]{0,3})?",
        length in any::<u64>(),
    ) {
        if let Ok(it) = text.parse::<UploadedRange>() {
            prop_assert_eq!(it.to_string().parse(), Ok(it));
        }
        if let Ok(it) = text.parse::<ChunkRange>() {
            prop_assert!(it.length() > 0);
        }
        if let Ok(it) = text.parse::<ByteRange>() {
            let _ = it.resolve(length);
            prop_assert_eq!(it.to_string().parse(), Ok(it));
        }
        if let Ok(it) = text.parse::<ContentRange>() {
            prop_assert_eq!(it.to_string().parse(), Ok(it));
        }
    }
}
