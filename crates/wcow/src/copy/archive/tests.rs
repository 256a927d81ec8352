//! What is taken for an archive, what comes out of it, and what does not get out.

use std::io::Write;

use base64::Engine as _;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::copy::tests::{Bench, files};

/// A header whose name and target are written as they are, `..` and all.
fn header(kind: EntryType, path: &str, target: &str, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o640);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(1_700_000_000);
    header.set_cksum();
    header
}

/// Entries as they are given: a type, a name, and a target or content.
fn entries(all: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, text) in all {
        if matches!(kind, EntryType::Link | EntryType::Symlink) {
            let header = header(*kind, path, text, 0);
            builder.append(&header, io::empty()).unwrap();
        } else {
            let header = header(*kind, path, "", text.len());
            builder.append(&header, text.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

/// Files.
pub(in crate::copy) fn tar(all: &[(&str, &str)]) -> Vec<u8> {
    let entries: Vec<_> = all
        .iter()
        .map(|it| (EntryType::Regular, it.0, it.1))
        .collect();
    self::entries(&entries)
}

/// Directories, with slashes at their ends.
pub(in crate::copy) fn directories(all: &[&str]) -> Vec<u8> {
    let entries: Vec<_> = all
        .iter()
        .map(|it| (EntryType::Directory, *it, ""))
        .collect();
    self::entries(&entries)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar of `hi.txt` with `hi` in it, as `xz -6` makes it, in base64.
const XZ: &str = "\
    /Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Af/AD9dADQaQcXSTDWFxZTAxEHVd9FhwALGpUcuYfvO0XerBpifjx6x\
    d3Axk0hX0lmQ8bCjjhr/k1R+zpaiE593XOOmAAAAUIgwssBAWz4AAVuAEAAAAOTL40SxxGf7AgAAAAAEWVo=\
";

#[test]
fn b9_an_archive_is_known_by_what_is_in_it_and_goes_into_a_directory() {
    let plain = tar(&[("d/x", "1"), ("y", "2")]);
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for (name, packed) in [
        ("plain.bin", plain.clone()),
        ("a.zip", gzip(&plain)),
        ("b.tar", bzip2(&plain)),
        ("c", zstd),
    ] {
        let bench = Bench::windows().with(name, &packed);
        let line = format!("ADD {name} C:\\app");
        assert_eq!(bench.run(&line), ["app/d/x=1", "app/y=2"], "{name}");
        // COPY does not, nor ADD that is told not to.
        for line in [
            format!("COPY {name} /a/"),
            format!("ADD --unpack=false {name} /a/"),
        ] {
            let tree = bench.tree(&line);
            assert_eq!(tree.entries().last().unwrap().path().name(), Some(name));
            assert_eq!(tree.len(), 2);
        }
    }
}

#[test]
fn b9_what_is_packed_and_no_archive_is_copied() {
    for bytes in [
        gzip(b"no tar inside"),
        b"BZh no bzip2".to_vec(),
        vec![0; 2048],
        Vec::new(),
    ] {
        let bench = Bench::windows().with("x.tar.gz", &bytes);
        let tree = bench.tree("ADD x.tar.gz /a/");
        let entry = tree.get(&"a/x.tar.gz".parse().unwrap()).unwrap();
        assert!(
            matches!(entry.kind(), crate::EntryKind::File(it) if it.len() == bytes.len() as u64)
        );
    }
}

#[test]
fn b9_xz_is_unpacked() {
    let packed = base64::engine::general_purpose::STANDARD
        .decode(XZ)
        .unwrap();
    let bench = Bench::windows().with("x", &packed);
    assert_eq!(bench.run("ADD x /a"), ["a/hi.txt=hi"]);
}

/// An entry, and what is said of it.
const REFUSED: &[(EntryType, &str, &str, &str)] = &[
    (
        EntryType::Regular,
        "../evil",
        "x",
        "its name leads out of the destination",
    ),
    (
        EntryType::Regular,
        "a/../../evil",
        "x",
        "its name leads out of the destination",
    ),
    (
        EntryType::Regular,
        "/etc/evil",
        "x",
        "its name leads out of the destination",
    ),
    (
        EntryType::Regular,
        "C:/evil",
        "x",
        "its name leads out of the destination",
    ),
    (
        EntryType::Regular,
        "\\evil",
        "x",
        "its name leads out of the destination",
    ),
    (
        EntryType::Symlink,
        "l",
        "../evil",
        "it is a link to \"../evil\", which is out of the destination",
    ),
    (
        EntryType::Symlink,
        "l",
        "/evil",
        "it is a link to \"/evil\", which is out of the destination",
    ),
    (
        EntryType::Symlink,
        "l",
        "a\\..\\..\\b",
        "it is a link to \"a\\\\..\\\\..\\\\b\", which is out of the destination",
    ),
    (
        EntryType::Link,
        "l",
        "../evil",
        "it is a link to \"../evil\", which is out of the destination",
    ),
    (
        EntryType::Link,
        "l",
        "/evil",
        "it is a link to \"/evil\", which is out of the destination",
    ),
    (
        EntryType::Link,
        "l",
        "none",
        "it is a hard link to \"none\", which is no file before it in the archive",
    ),
    (
        EntryType::Fifo,
        "p",
        "",
        "it is a pipe, a device or of a kind that is not known",
    ),
    (
        EntryType::Char,
        "c",
        "",
        "it is a pipe, a device or of a kind that is not known",
    ),
];

#[test]
fn b9_entries_that_leave_the_destination_are_refused() {
    for (kind, path, text, expected) in REFUSED {
        for policy in [SymlinkPolicy::Follow, SymlinkPolicy::Preserve] {
            let archive = entries(&[(EntryType::Regular, "first", "1"), (*kind, path, text)]);
            let mut bench = Bench::windows().with("x.tar", &archive);
            bench.options.symlinks = policy;
            let error = bench.error("ADD x.tar /a").to_string();
            assert_eq!(
                error,
                format!("archive \"x.tar\", entry {path:?}: {expected}")
            );
        }
    }
}

#[test]
fn b9_nothing_is_written_through_a_link_of_the_archive() {
    use EntryType::{Directory, Regular, Symlink};
    let archive = entries(&[
        (Directory, "d/", ""),
        (Symlink, "l", "d"),
        (Regular, "l/x", "1"),
    ]);
    let mut bench = Bench::new(TargetOs::Linux).with("x.tar", &archive);
    bench.options.symlinks = SymlinkPolicy::Preserve;
    assert!(matches!(bench.error("ADD x.tar /a"), CopyError::Tree(_)));
}

#[test]
fn b9_links_become_copies_or_stay_links() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let archive = entries(&[
        (Symlink, "d/two", "one"),
        (Directory, "d/", ""),
        (Regular, "./d/x", "1"),
        (Link, "hard", "d/x"),
        (Symlink, "d/one", "../hard"),
    ]);
    let mut bench = Bench::windows().with("x.tar", &archive);
    let all = ["a/d/one=1", "a/d/two=1", "a/d/x=1", "a/hard=1"];
    assert_eq!(bench.run("ADD x.tar /a"), all);
    bench.options.symlinks = SymlinkPolicy::PreserveRelative;
    let kept = ["a/d/one->../hard", "a/d/two->one", "a/d/x=1", "a/hard=1"];
    assert_eq!(bench.run("ADD x.tar /a"), kept);
    bench.options.symlinks = SymlinkPolicy::Refuse;
    let refused = bench.error("ADD x.tar /a").to_string();
    assert!(
        refused.contains("it is a symbolic link: follow or preserve"),
        "{refused}"
    );
    // Round in a circle, or to a directory, there is nothing to copy.
    for (path, target) in [("d", "e"), ("d", ".")] {
        let archive = entries(&[(Symlink, path, target), (Symlink, "e", "d")]);
        let bench = Bench::windows().with("x.tar", &archive);
        assert!(
            bench
                .error("ADD x.tar /a")
                .to_string()
                .contains("which is no file")
        );
    }
}

#[test]
fn long_names_modes_owners_and_times_are_kept() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(150));
    let mut builder = Builder::new(Vec::new());
    let mut header = header(EntryType::Regular, "", "", 1);
    builder
        .append_data(&mut header, &long, b"1".as_slice())
        .unwrap();
    let pax = [("path", "päx/ünï".as_bytes()), ("mtime", b"1600000000.5")];
    builder.append_pax_extensions(pax).unwrap();
    builder
        .append(
            &self::header(EntryType::Regular, "short", "", 1),
            b"2".as_slice(),
        )
        .unwrap();
    let archive = gzip(&builder.into_inner().unwrap());
    let bench = Bench::new(TargetOs::Linux).with("x", &archive);
    let tree = bench.tree("ADD x /");
    assert_eq!(files(&tree), [format!("{long}=1"), "päx/ünï=2".to_owned()]);
    let entry = tree.get(&"päx/ünï".parse().unwrap()).unwrap();
    let meta = entry.meta();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let owner = Owner::Ids { uid: 7, gid: 8 };
    assert_eq!(
        (meta.mode, meta.owner, meta.mtime),
        (0o640, owner, Some(time))
    );
}

#[test]
fn b9_an_archive_that_grows_out_of_all_proportion_is_refused() {
    // 160 MiB of zeroes in zeroes' own frame: a few KiB.
    let size = 160 << 20;
    let mut archive = zstd::Encoder::new(Vec::new(), 1).unwrap();
    archive
        .write_all(header(EntryType::Regular, "zeroes", "", size).as_bytes())
        .unwrap();
    io::copy(&mut io::repeat(0).take(size as u64 + 1024), &mut archive).unwrap();
    let packed = archive.finish().unwrap();
    assert!(
        (packed.len() as u64) < size as u64 / MAX_RATIO,
        "{}",
        packed.len()
    );
    let bench = Bench::windows().with("x", &packed);
    let error = bench.error("ADD x /a").to_string();
    assert_eq!(
        error,
        format!(
            "archive \"x\": it unpacks to more than {MAX_RATIO} times its size: copy it as it is with --unpack=false"
        )
    );
}

#[test]
fn damage_inside_an_archive_is_an_error_and_no_file() {
    let mut archive = tar(&[("a", "1"), ("b", "2")]);
    archive.truncate(1024 + 700);
    let bench = Bench::windows().with("x", &archive);
    let error = bench.error("ADD x /a");
    let is_it = matches!(
        &error,
        CopyError::Archive {
            fault: ArchiveFault::Damaged(_),
            ..
        }
    );
    assert!(is_it, "{error}");
    // An extended header as large as it likes to be is not read to its end.
    let mut large = header(EntryType::XHeader, "pax", "", 5 << 20)
        .as_bytes()
        .to_vec();
    large.extend(vec![b'1'; 5 << 20]);
    large.extend(tar(&[("a", "1")]));
    let error = Bench::windows().with("x", &large).error("ADD x /a");
    assert!(matches!(
        error,
        CopyError::Archive {
            fault: ArchiveFault::Damaged(_),
            ..
        }
    ));
}

#[test]
fn excludes_hold_inside_archives() {
    let archive = tar(&[("a.txt", "1"), ("d/b.txt", "2"), ("d/c", "3")]);
    let bench = Bench::windows().with("x", &archive);
    assert_eq!(bench.run("ADD --exclude=**/*.txt x /a"), ["a/d/c=3"]);
}

#[test]
fn b9_a_file_system_of_linux_keeps_its_absolute_links() {
    use EntryType::{Directory, Regular, Symlink};
    let archive = entries(&[
        (Directory, "bin/", ""),
        (Symlink, "bin/ls", "/bin/busybox"),
        (Regular, "bin/busybox", "elf"),
        (Symlink, "var/run", "../run"),
        (Symlink, "etc/mtab", "/proc/../proc/mounts"),
    ]);
    for policy in [
        SymlinkPolicy::Follow,
        SymlinkPolicy::Preserve,
        SymlinkPolicy::PreserveRelative,
    ] {
        let mut bench = Bench::new(TargetOs::Linux).with("x", &archive);
        bench.options.symlinks = policy;
        let all = [
            "bin/busybox=elf",
            "bin/ls->/bin/busybox",
            "etc/mtab->/proc/../proc/mounts",
            "var/run->../run",
        ];
        assert_eq!(bench.run("ADD x /"), all, "{policy:?}");
        // Elsewhere they lead out of it.
        let error = bench.error("ADD x /opt/").to_string();
        assert!(error.contains("out of the destination"), "{error}");
    }
    for (target, is_below) in [
        ("/opt/a/x", true),
        ("/opt/a", true),
        ("//opt/./a/../a/x", true),
        ("/opt/ab/x", false),
        ("/opt/a/../x", false),
        ("/opt", false),
        ("/../opt/a/x", false),
        ("/", false),
    ] {
        let archive = entries(&[(Symlink, "l", target)]);
        let bench = Bench::new(TargetOs::Linux).with("x", &archive);
        if is_below {
            assert_eq!(bench.run("ADD x /opt/a"), [format!("opt/a/l->{target}")]);
        } else {
            let error = bench.error("ADD x /opt/a").to_string();
            assert!(error.contains("out of the destination"), "{error}");
        }
    }
}

/// A file with a record of its length before it.
fn sized(said: &str, content: &str) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let records = [("size", said.as_bytes())];
    builder.append_pax_extensions(records).unwrap();
    let header = header(EntryType::Regular, "f", "", content.len());
    builder.append(&header, content.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_record_of_a_length_is_held_against_the_header() {
    let bench = Bench::windows().with("x", &sized("3", "abc"));
    assert_eq!(bench.run("ADD x /a"), ["a/f=abc"]);
    for (said, expected) in [
        ("4", "its length is 4 bytes in one place and 3 in another"),
        (
            "8589934592",
            "it is 8589934592 bytes long, and a file in an archive may have 8 GiB at most",
        ),
        (
            "x",
            "it is damaged: pack it again, or copy it as it is with --unpack=false",
        ),
    ] {
        let bench = Bench::windows().with("x", &sized(said, "abc"));
        let error = bench.error("ADD x /a").to_string();
        assert_eq!(error, format!("archive \"x\": {expected}"));
    }
}

/// A tar as zstd packs it whose window is this power of two.
fn zstd_with_window(power: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(power).unwrap();
    encoder.write_all(&tar(&[("f", "1")])).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn b9_what_takes_too_large_a_window_is_an_error_and_no_file() {
    let bench = Bench::windows().with("x", &zstd_with_window(27));
    assert_eq!(bench.run("ADD x /a"), ["a/f=1"]);
    // The same archive as xz packs it, its dictionary said to be 128 MiB, the header's sum mended.
    let engine = base64::engine::general_purpose::STANDARD;
    let mut xz = engine.decode(XZ).unwrap();
    assert_eq!(xz[12..20], [2, 0, 0x21, 1, 0x16, 0, 0, 0]);
    xz[16] = 30;
    let mut sum = flate2::Crc::new();
    sum.update(&xz[12..20]);
    xz.splice(20..24, sum.sum().to_le_bytes());
    for packed in [zstd_with_window(28), xz] {
        let bench = Bench::windows().with("x", &packed);
        let error = bench.error("ADD x /a");
        let is_it = matches!(
            &error,
            CopyError::Archive {
                fault: ArchiveFault::Window,
                entry: None,
                ..
            }
        );
        assert!(is_it, "{error}");
        let tree = bench.tree("ADD --unpack=false x /a/");
        assert!(tree.get(&"a/x".parse().unwrap()).is_some());
    }
}
