//! What is wrong with a tar before anybody asks what is in it.

use super::*;

fn raw(bytes: &[u8]) -> LintReport {
    lint_with(bytes, LintOptions::default())
}

fn plain() -> Vec<u8> {
    tar(&[d("Files"), f("Files/a"), d("Hives")])
}

#[test]
fn every_cut_is_seen() {
    let whole = plain();
    for end in 0..whole.len() {
        let report = raw(&whole[..end]);
        // At its end two blocks are zero; one, or none, is a warning.
        if [2048, 2560].contains(&end) {
            assert!(report.is_accepted() && warnings(&report).contains(&"unterminated"));
        } else {
            assert!(!report.is_accepted(), "cut to {end}");
        }
    }
    assert!(raw(&whole).is_accepted());
}

#[test]
fn what_is_no_tar_is_said_to_be_none() {
    for bytes in [b"".as_slice(), b"x", &[7; 2000], &[0; 100]] {
        let report = raw(bytes);
        assert!(!report.is_accepted());
        assert!(["not-a-tar", "truncated"].contains(&errors(&report)[0].1));
    }
    let empty = raw(&[0; 1024]);
    assert_eq!(errors(&empty), [(0, "no-files"), (0, "no-hives")]);
    let mut gap = tar(&[d("Files")]);
    gap.truncate(1024);
    gap.extend(plain());
    assert_eq!(errors(&raw(&gap)), [(0, "not-a-tar")]);
    let mut damaged = plain();
    damaged[520] ^= 1;
    let report = raw(&damaged);
    assert_eq!(
        report.errors()[0].to_string(),
        "is no tar, or a damaged one: the checksum of a header is wrong"
    );
}

#[test]
fn what_follows_the_end_is_a_warning() {
    let mut long = plain();
    long.resize(10_240, 0);
    assert!(
        !warnings(&raw(&long)).contains(&"after-end"),
        "padding is usual"
    );
    long.push(1);
    let report = raw(&long);
    assert!(report.is_accepted() && warnings(&report).contains(&"after-end"));
}

#[test]
fn only_files_directories_and_links_are_in_a_layer() {
    for flag in [b'3', b'4', b'6', b'7', b'S', b'D'] {
        let report = lint(&[d("Files"), entry(flag, "Files/x"), d("Hives")]);
        assert_eq!(errors(&report), [(2, "entry-type")], "{}", char::from(flag));
    }
    let global = entry(b'g', "pax_global_header").body(b"12 comment=x");
    let report = lint(&[d("Files"), global, d("Hives")]);
    assert_eq!(errors(&report), [(2, "entry-type")]);
    assert_eq!(report.entries(), 2);
    let long = entry(b'L', "././@LongLink").body(&[b'x'; 600]);
    let report = lint(&[d("Files"), long, f("Files/x"), d("Hives")]);
    assert_eq!(errors(&report), [(2, "gnu-long-name")]);
    let sparse = f("Files/x").with("GNU.sparse.major", "1");
    assert_eq!(
        errors(&lint(&[d("Files"), sparse, d("Hives")])),
        [(2, "entry-type")]
    );
    // Before POSIX a file was of no type.
    assert_eq!(
        errors(&lint(&[d("Files"), entry(0, "Files/x"), d("Hives")])),
        []
    );
}

#[test]
fn what_has_no_content_has_none() {
    let mut long = d("Files/d");
    long.size = Some(5);
    let report = lint(&[d("Files"), long, d("Hives")]);
    assert_eq!(
        errors(&report),
        [(2, "content")],
        "and the next entry is the next block"
    );
}

#[test]
fn records_are_bounded_and_right() {
    let records = |body: &[u8]| {
        let before = entry(b'x', "r").body(body);
        errors(&lint(&[d("Files"), before, f("Files/a"), d("Hives")]))
    };
    assert_eq!(records(b""), []);
    assert_eq!(records(b"nothing"), [(2, "record")]);
    assert_eq!(records(b"18 path=Files/a:b\n"), [(2, "invalid-character")]);
    assert_eq!(records(b"10 size=x\n"), [(0, "record")]);
    let mut large = entry(b'x', "r");
    large.size = Some(1024 * 1024 + 1);
    let report = lint(&[d("Files"), large, d("Hives")]);
    assert_eq!(errors(&report), [(0, "records-too-long")]);
    let twice = [
        d("Files"),
        entry(b'x', "r").body(b"x"),
        entry(b'x', "r"),
        d("Hives"),
    ];
    assert_eq!(errors(&lint(&twice)), [(0, "record")]);
    let last = [d("Files"), d("Hives"), entry(b'x', "r").body(b"6 a=b\n")];
    assert!(!lint(&last).is_accepted(), "records of no entry");
}

#[test]
fn a_name_that_is_not_utf8_is_an_error() {
    let name = [b"Files/".as_slice(), &[0xff, 0xfe]].concat();
    let report = lint(&[d("Files"), entry(b'0', name), d("Hives")]);
    assert_eq!(errors(&report), [(2, "not-utf8")]);
    assert_eq!(report.errors()[0].name, "Files/\u{fffd}\u{fffd}");
}

/// A body of nine gigabytes that is never written down: the size is in a record, and the
/// linter counts what goes by.
#[test]
fn b13_more_than_eight_gigabytes_have_their_size_in_a_record() {
    let size: u64 = 9 << 30;
    let file = crate::header::Header {
        path: "Files/large",
        kind: crate::header::Kind::File,
        mode: 0o100_755,
        uid: 0,
        gid: 0,
        size,
        mtime: 0,
        link: "",
        records: crate::pax::Records::default(),
    };
    let header = file.to_bytes();
    assert!(header.windows(16).any(|it| it == b"size=9663676416\n"));
    let end = tar(&[d("Hives")]);
    let mut linter = Linter::new(LintOptions::default());
    linter.feed(&d("Files").to_bytes());
    linter.feed(&header);
    let piece = vec![0; 64 << 20];
    for _ in 0..size / piece.len() as u64 {
        linter.feed(&piece);
    }
    linter.feed(&end);
    let report = linter.finish();
    assert_eq!(errors(&report), []);
    assert_eq!(report.entries(), 3);
    assert!(report.tar_size() > size);
}

#[test]
fn a_size_beyond_all_bounds_is_no_panic() {
    for size in [u64::MAX, u64::MAX - 511, u64::MAX - 512, 1 << 63] {
        let file = f("Files/a").with("size", &size.to_string());
        assert!(!lint(&[d("Files"), file, d("Hives")]).is_accepted());
    }
}

#[test]
fn findings_are_kept_up_to_a_bound_and_counted_beyond() {
    let mut entries = vec![d("Files"), d("Hives")];
    entries.extend((0..1200).map(|it| f(&format!("Files/{it}:"))));
    let report = lint(&entries);
    assert_eq!(report.errors().len(), 1000);
    assert_eq!(report.omitted(), 200);
}

#[test]
fn a_compressed_layer_is_told_by_its_content() {
    let tar = plain();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar[..700]).unwrap();
    let first = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(first, flate2::Compression::fast());
    gzip.write_all(&tar[700..]).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&*tar, 1).unwrap();
    let options = LintOptions::default();
    let plain = lint_windows_layer(&*tar, options).unwrap();
    assert!(plain.is_accepted());
    assert_eq!(
        lint_windows_layer(&*gzip, options).unwrap(),
        plain,
        "both members"
    );
    assert_eq!(lint_windows_layer(&*zstd, options).unwrap(), plain);

    let cut = lint_windows_layer(&gzip[..gzip.len() - 9], options).unwrap_err();
    assert_eq!(
        cut.to_string(),
        format!(
            "could not read the layer after {} bytes of its tar",
            tar.len()
        )
    );
    assert!(lint_windows_layer(&zstd[..20], options).is_err());
    assert!(lint_windows_layer([0x1f, 0x8b, 1].as_slice(), options).is_err());
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let name = "(Files|Hives|files|UtilityVM|\\.)?(/([aAbB]|\\.\\.|CON|x:y|\\.wh\\.a|ä)){0,3}/?";
    let flag = prop::sample::select(b"0125xgLKS37\0".to_vec());
    let record = prop::sample::select(vec![
        ("path", "Files/é"),
        ("size", "3"),
        ("size", "99999999999999999999"),
        ("path", ""),
        ("MSWINDOWS.fileattr", "1040"),
        ("MSWINDOWS.rawsd", "AQAEgA=="),
        ("atime", "1.5"),
        ("linkpath", "Files/a"),
        ("GNU.sparse.map", "0"),
    ]);
    let records = prop::collection::vec(record, 0..3);
    (
        name,
        flag,
        "(Files/)?[aAb]?",
        prop::collection::vec(any::<u8>(), 0..600),
        records,
    )
        .prop_map(|(name, flag, link, body, records)| Entry {
            link: link.into_bytes(),
            body,
            records: records
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            ..entry(flag, name)
        })
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_report(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _ = lint_windows_layer(&*bytes, LintOptions::default());
    }

    /// Archives that are nearly right, cut and with a byte changed: a report, the same
    /// however they come.
    #[test]
    fn any_archive_ends_in_a_report(
        entries in prop::collection::vec(any_entry(), 0..8), cut in 0usize..4000, change: (u16, u8),
    ) {
        let mut bytes = tar(&entries);
        lint_with(&bytes, LintOptions::default());
        if let Some(byte) = bytes.get_mut(usize::from(change.0)) {
            *byte ^= change.1;
        }
        bytes.truncate(bytes.len().saturating_sub(cut).max(5));
        bytes[0] = b'F';
        lint_with(&bytes, LintOptions::default());
    }
}
