//! What files bring along: rights, attributes, times, owners.

use super::*;
use crate::{
    Timestamps,
    context::{Context, ContextOptions, SymlinkPolicy},
    copy::{CopyOptions, Copying, Place},
    dockerfile::Dockerfile,
    layer_tar,
    pax::key,
};

const SECURITY: &[u8] = b"AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA==";

/// An entry that was written: its name, its records, the rest.
type Written = (String, Vec<(String, Vec<u8>)>, entries::Raw);

/// A source's tar, and what a `COPY` line makes of it.
fn copied(os: TargetOs, tar: Tar, line: &str) -> Vec<Written> {
    let file = Dockerfile::parse(format!("FROM x\n{line}\n").as_bytes(), "Dockerfile").unwrap();
    let step = file.stages()[0].steps[0].clone();
    let crate::dockerfile::Instruction::Copy(copy) = &step.instruction else {
        panic!("{line} is no COPY");
    };
    let sources: Vec<&str> = copy
        .sources
        .iter()
        .map(|it| match it {
            crate::dockerfile::SourcePath::Path(path) => path.as_str(),
            crate::dockerfile::SourcePath::Heredoc(_) => panic!("{line} has a here-document"),
        })
        .collect();
    let mut image = Image::of(os, &[tar]);
    let files = image.look(&sources).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let context = Context::open(directory.path(), &ContextOptions::default()).unwrap();
    let copying = Copying::new(context, CopyOptions::new(SymlinkPolicy::Preserve));
    let mut tree = match os {
        Windows => LayerTree::windows(),
        Linux => LayerTree::linux(),
    };
    let mut place = Place::new(os, 2);
    place.image = Some(&files);
    copying
        .carry_out(&step.instruction, &place, &mut tree)
        .unwrap();
    let mut bytes = Vec::new();
    layer_tar::write(&tree, Timestamps::default(), &mut bytes).unwrap();
    let mut all = Vec::new();
    let mut entries = entries::Entries::new(&bytes[..]);
    while let Some(raw) = entries.next().unwrap() {
        let name = String::from_utf8(raw.name.clone()).unwrap();
        all.push((name, raw.records.clone(), raw));
    }
    all
}

fn record<'a>(records: &'a [(String, Vec<u8>)], key: &str) -> Option<&'a [u8]> {
    records.iter().find(|it| it.0 == key).map(|it| &it.1[..])
}

fn dll() -> Tar {
    Tar::new().dirs(&["Files", "Files/d", "Hives"]).entry(
        "Files/d/netapi32.dll",
        b'0',
        b"MZ",
        "",
        &[
            (key::SECURITY, SECURITY),
            (key::ATTRIBUTES, b"33"),
            (key::CREATION_TIME, b"1500000000.1234567"),
            (key::ATIME, b"1500000001"),
            (key::CTIME, b"1500000002"),
            (key::MTIME, b"1500000003.5"),
            ("MSWINDOWS.xattr.$KERNEL.PURGE", b"AAAA"),
        ],
    )
}

#[test]
fn a_file_of_windows_keeps_its_rights_attributes_and_times() {
    let all = copied(Windows, dll(), r"COPY --from=x /d/netapi32.dll C:\app/");
    let (_, records, raw) = all
        .iter()
        .find(|it| it.0 == "Files/app/netapi32.dll")
        .unwrap();
    for (name, value) in [
        (key::SECURITY, SECURITY),
        (key::ATTRIBUTES, b"33"),
        (key::CREATION_TIME, b"1500000000.1234567"),
        (key::ATIME, b"1500000001"),
        (key::CTIME, b"1500000002"),
        (key::MTIME, b"1500000003.5"),
        ("MSWINDOWS.xattr.$KERNEL.PURGE", b"AAAA"),
    ] {
        assert_eq!(record(records, name), Some(value), "{name}");
    }
    assert_eq!(raw.header_mtime, 1_600_000_000, "as its header has it");
    // The directory it goes to is the build's own.
    let (_, records, _) = all.iter().find(|it| it.0 == "Files/app").unwrap();
    assert_eq!(record(records, key::CREATION_TIME), Some(&b"0"[..]));
}

#[test]
fn who_is_given_a_file_is_given_the_rights_to_it() {
    let all = copied(
        Windows,
        dll(),
        r"COPY --from=x --chown=ContainerUser /d C:\app",
    );
    let (_, records, _) = all
        .iter()
        .find(|it| it.0 == "Files/app/netapi32.dll")
        .unwrap();
    assert_ne!(record(records, key::SECURITY), Some(SECURITY));
    assert_eq!(record(records, key::ATTRIBUTES), Some(&b"33"[..]));
}

#[test]
fn a_file_of_linux_keeps_mode_owner_time_and_capabilities() {
    const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\n\0\0\0\0\0\xff\0\0\0\0\0\0\0";
    let tar = || {
        let records = [
            ("SCHILY.xattr.security.capability", CAPABILITY),
            (key::ATIME, b"5"),
        ];
        Tar::new()
            .dirs(&["bin"])
            .entry("bin/ping", b'0', b"ELF", "", &records)
    };
    let all = copied(Linux, tar(), "COPY --from=x /bin/ping /tools/");
    let (_, records, raw) = &all[0];
    assert_eq!(all[0].0, "tools/ping");
    assert_eq!(
        (raw.mode, raw.uid, raw.gid, raw.header_mtime),
        (0o640, 7, 8, 1_600_000_000)
    );
    assert_eq!(records.len(), 1, "one time is enough: {records:?}");
    assert_eq!(
        record(records, "SCHILY.xattr.security.capability"),
        Some(CAPABILITY)
    );
    let all = copied(
        Linux,
        tar(),
        "COPY --from=x --chown=1:2 --chmod=755 /bin/ping /tools/",
    );
    let (_, _, raw) = &all[0];
    assert_eq!((raw.mode, raw.uid, raw.gid), (0o755, 1, 2));
}

#[test]
fn excludes_and_parents_are_those_of_every_copy() {
    let tar = || {
        Tar::new()
            .dirs(&["a", "a/b"])
            .files(&["a/b/x.txt", "a/b/y.log", "a/z.txt"])
    };
    let names = |line: &str| -> Vec<String> {
        copied(Linux, tar(), line)
            .into_iter()
            .map(|it| it.0)
            .collect()
    };
    assert_eq!(
        names("COPY --from=x --exclude=**/*.log /a /out"),
        ["out/", "out/b/", "out/b/x.txt", "out/z.txt"]
    );
    assert_eq!(
        names("COPY --from=x --parents /a/./b/*.txt /out/"),
        ["out/b/x.txt"]
    );
    assert_eq!(
        names("COPY --from=x --parents /a/**/*.txt /out/"),
        ["out/a/b/x.txt", "out/a/z.txt"]
    );
}
