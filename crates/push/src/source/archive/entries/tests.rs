use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn range(content: &[u8]) -> FileRange {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    FileRange::whole(file, "test").unwrap()
}

/// An archive with each kind of entry and extension that writers produce.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let long = format!("{}/layer.tar", "long".repeat(40));
    for (name, content) in [
        ("oci-layout", &b"{}"[..]),
        (&long, &[7; 1500]),
        ("empty", b""),
    ] {
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        tar.append_data(&mut header, name, content).unwrap();
    }
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    tar.append_link(&mut header, "link", &long).unwrap();
    header.set_entry_type(tar::EntryType::Directory);
    tar.append_data(&mut header, "directory/", io::empty())
        .unwrap();
    tar.append_pax_extensions([("mtime", &b"1.5"[..]), ("path", b"by-pax")])
        .unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(3);
    tar.append_data(&mut header, "replaced", &b"abc"[..])
        .unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn entries_are_found_where_their_bytes_are() {
    let content = archive();
    let entries = Entries::read(&range(&content)).unwrap();
    let long = format!("{}/layer.tar", "long".repeat(40));
    let bytes = |lookup| match lookup {
        Lookup::File { start, length } => {
            let start = usize::try_from(start).unwrap();
            content[start..start + usize::try_from(length).unwrap()].to_vec()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes(entries.file("oci-layout")), b"{}");
    assert_eq!(bytes(entries.file(&long)), [7; 1500]);
    assert_eq!(bytes(entries.file("empty")), b"");
    assert_eq!(bytes(entries.file("by-pax")), b"abc");
    assert_eq!(bytes(entries.linked_file("link")), [7; 1500]);
    assert_eq!(entries.file("link"), Lookup::Other("a symbolic link"));
    assert_eq!(entries.file("directory"), Lookup::Other("a directory"));
    assert_eq!(entries.file("replaced"), Lookup::Nothing);
}

#[test]
fn an_extension_of_many_megabytes_is_not_read_into_memory() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(64 << 20);
    header.set_cksum();
    tar.append(&header, io::repeat(b'a').take(64 << 20))
        .unwrap();
    let error = Entries::read(&range(&tar.into_inner().unwrap())).unwrap_err();
    assert!(error.contains("headers are over 1048576 bytes"), "{error}");
}

#[test]
fn paths_are_resolved_within_the_archive() {
    let table = [
        ("a/b", "../c", Some("a/c")),
        ("a/b", "./c//d/", Some("a/b/c/d")),
        ("a", "../../c", None),
        ("", "..", None),
        ("a", "/c", None),
        ("", ".", Some("")),
    ];
    for (within, path, expected) in table {
        assert_eq!(
            resolved(within, path).as_deref(),
            expected,
            "{within} {path}"
        );
    }
}

proptest! {
    #[test]
    fn mutated_archives_are_read_or_refused_and_never_reach_beyond_the_end(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        fix in any::<bool>(),
    ) {
        let mut content = archive();
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
            // Half of the time the checksum is made right again, so that what is
            // behind it is reached.
            if fix {
                let header = at / 512 * 512;
                let mut fixed = tar::Header::from_byte_slice(&content[header..header + 512]).clone();
                fixed.set_cksum();
                content[header..header + 512].copy_from_slice(fixed.as_bytes());
            }
        }
        if !fix {
            content.truncate(cut.index(content.len()) + 1);
        }
        let length = content.len() as u64;
        if let Ok(entries) = Entries::read(&range(&content)) {
            for (name, entry) in &entries.by_name {
                prop_assert!(!name.starts_with('/') && !name.split('/').any(|it| it == ".."));
                if let Entry::File { start, length: size } = entry {
                    prop_assert!(start + size <= length);
                }
                entries.linked_file(name);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = Entries::read(&range(&content));
    }
}
