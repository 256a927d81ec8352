//! What appears of layers, what never does, and what is refused.

use super::*;
use crate::{
    context::{Files as _, Node, NodeKind},
    dockerfile::TargetOs::{self, Linux, Windows},
};
use tars::{Tar, gzip, zstd};

mod hostile;
mod kept;
mod tars;

/// An image whose layers, lowest first, are given out as they are asked for.
struct Image {
    files: ImageFiles,
    blobs: Vec<Vec<u8>>,
    /// The layers that were asked for.
    fetched: Vec<usize>,
    _spool: tempfile::TempDir,
}

impl Image {
    fn of(os: TargetOs, tars: &[Tar]) -> Self {
        Self::packed(os, tars, <[u8]>::to_vec)
    }

    fn packed(os: TargetOs, tars: &[Tar], pack: fn(&[u8]) -> Vec<u8>) -> Self {
        let tars = tars.iter().map(Tar::bytes);
        let layers = tars.map(|it| (Digest::of(&it), pack(&it)));
        Self::with(os, layers.collect())
    }

    /// By diff IDs and blobs.
    fn with(os: TargetOs, layers: Vec<(Digest, Vec<u8>)>) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let view = View {
            os,
            keeps_times: true,
        };
        let digests = layers.iter().map(|it| (Digest::of(&it.1), it.0.clone()));
        let files = ImageFiles::new("r.test/image:1", view, digests, spool.path()).unwrap();
        Self {
            files,
            blobs: layers.into_iter().map(|it| it.1).collect(),
            fetched: Vec::new(),
            _spool: spool,
        }
    }

    fn look(&mut self, sources: &[&str]) -> Result<ImageTree, ImageFilesError> {
        self.look_below(sources, None)
    }

    fn look_below(
        &mut self,
        sources: &[&str],
        above: Option<&LayerTree>,
    ) -> Result<ImageTree, ImageFilesError> {
        let names = |it: &&str| crate::copy::source_names(self.files.view.os, it).unwrap();
        let sources: Vec<Vec<String>> = sources.iter().map(names).collect();
        loop {
            match self.files.look(&sources, above)? {
                Look::Found(tree) => return Ok(tree),
                Look::Needs(number) => {
                    assert!(!self.fetched.contains(&number), "{number} is there");
                    self.fetched.push(number);
                    let blob = bytes::Bytes::from(self.blobs[number].clone());
                    self.files.give(number, blob.into());
                }
            }
        }
    }

    /// All below a source, `path=content`, a directory with a slash, a link with an arrow.
    fn list(&mut self, source: &str) -> Vec<String> {
        let tree = self.look(&[source]).unwrap();
        listed(&tree, source)
    }

    #[track_caller]
    fn fault(&mut self, source: &str) -> String {
        self.look(&[source]).unwrap_err().to_string()
    }
}

fn listed(tree: &ImageTree, source: &str) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(node) = tree.find(source.trim_matches('/')).unwrap() {
        list(tree, &node, &mut all);
    }
    all
}

fn list(tree: &ImageTree, node: &Node, all: &mut Vec<String>) {
    let path = &node.path;
    match &node.kind {
        NodeKind::File(body) => all.push(format!("{path}={}", content(body))),
        NodeKind::Symlink { target, .. } => all.push(format!("{path}->{target}")),
        NodeKind::Directory { .. } => {
            all.push(format!("{path}/"));
            for child in tree.children(node).unwrap() {
                list(tree, &child.unwrap().1, all);
            }
        }
    }
}

fn content(body: &FileBody) -> String {
    let mut text = String::new();
    match body {
        FileBody::Bytes(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
        FileBody::Opens(file) => {
            use std::io::Read as _;
            file.open().unwrap().read_to_string(&mut text).unwrap();
        }
    }
    text
}

#[test]
fn what_a_later_layer_replaced_or_removed_never_appears() {
    let bottom = Tar::new().dirs(&["d", "d/gone", "d/was-dir", "o"]).files(&[
        "d/a",
        "d/b",
        "d/gone/x",
        "d/was-dir/x",
        "d/was-file",
        "o/old",
    ]);
    let middle = Tar::new()
        .dirs(&["d", "o"])
        .file("d/.wh.gone", "")
        .file("d/b", "newer")
        .file("d/was-dir", "a file")
        .dirs(&["d/was-file"])
        .files(&["d/was-file/x"])
        .file("o/.wh..wh..opq", "")
        .files(&["o/new"]);
    let top = Tar::new().dirs(&["d"]).file("d/.wh.a", "").file("d/c", "c");
    for pack in [<[u8]>::to_vec, gzip, zstd] {
        let tars = [bottom.clone(), middle.clone(), top.clone()];
        let mut image = Image::packed(Linux, &tars, pack);
        let expected = [
            "d/",
            "d/b=newer",
            "d/c=c",
            "d/was-dir=a file",
            "d/was-file/",
            "d/was-file/x=d/was-file/x",
        ];
        assert_eq!(image.list("/d"), expected);
        assert_eq!(image.list("/o"), ["o/", "o/new=o/new"]);
        assert_eq!(image.list("/d/a"), [""; 0]);
        assert_eq!(image.list("/d/gone/x"), [""; 0]);
    }
}

#[test]
fn a_layer_that_removes_a_name_and_has_it_anew_has_its_own() {
    let bottom = Tar::new().dirs(&["d"]).files(&["d/old"]);
    // In either order: what is removed is what is below.
    for top in [
        Tar::new().file(".wh.d", "").dirs(&["d"]).files(&["d/new"]),
        Tar::new().dirs(&["d"]).files(&["d/new"]).file(".wh.d", ""),
    ] {
        let mut image = Image::of(Linux, &[bottom.clone(), top]);
        assert_eq!(image.list("/d"), ["d/", "d/new=d/new"]);
        assert_eq!(image.fetched, [1], "the rest cannot matter");
    }
}

#[test]
fn layers_that_cannot_matter_are_not_asked_for() {
    let with = |name: &str| Tar::new().dirs(&["d"]).files(&["d/all", name]);
    let image = || Image::of(Linux, &[with("d/0"), with("d/1"), with("d/2")]);
    for (source, fetched) in [
        ("/d/all", &[2][..]),
        ("/d/2", &[2]),
        ("/d/1", &[2, 1]),
        ("/d/none", &[2, 1, 0]),
        ("/d/?", &[2, 1, 0]),
        ("/d", &[2, 1, 0]),
        // A file has nothing in it.
        ("/d/2/x", &[2]),
    ] {
        let mut image = image();
        image.look(&[source]).unwrap();
        assert_eq!(image.fetched, fetched, "{source}");
    }
    // What was fetched for one copy is there for the next.
    let mut image = image();
    image.look(&["/d/1"]).unwrap();
    assert_eq!(image.list("/d/0"), ["d/0=d/0"]);
    assert_eq!(image.fetched, [2, 1, 0]);
}

#[test]
fn patterns_find_in_all_layers_what_they_match_and_nothing_else_is_kept() {
    let bottom = Tar::new().dirs(&["lib"]).files(&["lib/a.so", "lib/b.txt"]);
    let top = Tar::new()
        .dirs(&["lib"])
        .files(&["lib/c.so"])
        .file("lib/.wh.a.so", "");
    let mut image = Image::of(Linux, &[bottom, top]);
    let tree = image.look(&["/lib/*.so"]).unwrap();
    assert_eq!(listed(&tree, "lib"), ["lib/", "lib/c.so=lib/c.so"]);
}

#[test]
fn links_are_followed_inside_the_image_into_whatever_layer() {
    let bottom = Tar::new()
        .dirs(&["usr", "usr/lib", "real"])
        .files(&["usr/lib/libx.so.1", "real/f", "etc-passwd"])
        .link("lib", "usr/lib")
        .link("usr/lib/libx.so", "libx.so.1")
        .link("away", "../../../real")
        .link("loop", "loop")
        .link("outside", "/../../etc-passwd");
    let top = Tar::new().link("short", "/lib/../lib/libx.so");
    let image = || Image::of(Linux, &[bottom.clone(), top.clone()]);
    let found = |source: &str, path: &str| {
        let mut image = image();
        let tree = image.look(&[source]).unwrap();
        listed(&tree, path)
    };
    let libx = ["usr/lib/libx.so.1=usr/lib/libx.so.1"];
    assert_eq!(found("/lib/libx.so.1", "lib/libx.so.1"), libx);
    assert_eq!(found("/lib/libx.so", "lib/libx.so"), libx);
    assert_eq!(found("/short", "short"), libx);
    assert_eq!(found("/lib/*.so", "lib/libx.so"), libx);
    // Steps up end at the image's root, and lead nowhere else.
    assert_eq!(found("/away/f", "away/f"), ["real/f=real/f"]);
    assert_eq!(found("/away", "away"), ["real/", "real/f=real/f"]);
    assert_eq!(found("/outside", "outside"), ["etc-passwd=etc-passwd"]);
    let tree = image().look(&["/loop"]).unwrap();
    let error = tree.find("loop").unwrap_err().to_string();
    assert!(error.contains("leads to itself"), "{error}");
    // In a directory they stay what they are.
    let inside = found("/usr/lib", "usr/lib");
    assert!(
        inside.contains(&"usr/lib/libx.so->libx.so.1".to_owned()),
        "{inside:?}"
    );
}

#[test]
fn hard_links_have_what_their_layer_saw_when_it_was_made() {
    let bottom = Tar::new()
        .dirs(&["a", "b"])
        .file("a/f", "old")
        .file("b/g", "g");
    let middle = Tar::new()
        .dirs(&["a", "b"])
        .hard("b/to-below", "a/f")
        .file("b/first", "here")
        .hard("b/second", "b/first")
        .hard("b/third", "b/second");
    // Replaced and removed above: what is linked stays.
    let top = Tar::new()
        .dirs(&["a", "b"])
        .file("a/f", "new")
        .file("b/.wh.first", "");
    let mut image = Image::of(Linux, &[bottom, middle, top]);
    assert_eq!(image.list("/b/to-below"), ["b/to-below=old"]);
    assert_eq!(
        image.list("/b"),
        [
            "b/",
            "b/g=g",
            "b/second=here",
            "b/third=here",
            "b/to-below=old"
        ]
    );
    assert_eq!(image.list("/a/f"), ["a/f=new"]);

    // One to what a layer in between removed has nothing.
    let removed = Tar::new().dirs(&["a"]).file("a/.wh.f", "");
    let bottom = Tar::new().dirs(&["a"]).file("a/f", "old");
    let top = Tar::new().hard("l", "a/f");
    let mut image = Image::of(Linux, &[bottom, removed, top]);
    let fault = image.fault("/l");
    assert!(
        fault.contains("hard link to \"a/f\", which is no file"),
        "{fault}"
    );
}

#[test]
fn files_of_windows_are_in_files_and_names_have_no_case() {
    let bottom = Tar::new()
        .dirs(&[
            "Files",
            "Files/Windows",
            "Files/Windows/System32",
            "Hives",
            "UtilityVM",
        ])
        .files(&[
            "Files/Windows/System32/netapi32.dll",
            "Files/Windows/System32/other.dll",
            "Files/Windows/System32/other.dll:stream",
            "Hives/System_Delta",
            "UtilityVM/netapi32.dll",
        ])
        .link("Files/junction", r"\\?\C:\Windows\System32")
        .link("Files/abroad", r"D:\x")
        .hard("Files/linked.dll", "Files/Windows/System32/netapi32.dll");
    let top = Tar::new()
        .dirs(&["Files", "Files/WINDOWS", "Files/WINDOWS/system32", "Hives"])
        .file("Files/WINDOWS/system32/NetAPI32.dll", "patched")
        .file("Files/WINDOWS/system32/.wh.OTHER.DLL", "");
    let image = || Image::of(Windows, &[bottom.clone(), top.clone()]);
    let patched = ["WINDOWS/system32/NetAPI32.dll=patched"];
    for source in [
        r"C:\Windows\System32\netapi32.dll",
        "/windows/SYSTEM32/netapi32.DLL",
        r"C:\junction\netapi32.dll",
    ] {
        let mut image = image();
        let tree = image.look(&[source]).unwrap();
        let path = source.trim_start_matches("C:").replace('\\', "/");
        assert_eq!(listed(&tree, &path), patched, "{source}");
    }
    let mut linked = image();
    let tree = linked.look(&[r"\linked.dll"]).unwrap();
    let old = "linked.dll=Files/Windows/System32/netapi32.dll";
    assert_eq!(listed(&tree, "linked.dll"), [old]);
    let mut all = image();
    let everything = all.list("/").join(" ");
    assert!(
        !everything.contains("Hives") && !everything.contains("UtilityVM"),
        "{everything}"
    );
    assert!(
        !everything.to_ascii_lowercase().contains("other.dll"),
        "{everything}"
    );
    let tree = image().look(&["/abroad"]).unwrap();
    let error = tree.find("abroad").unwrap_err().to_string();
    assert!(error.contains("another drive"), "{error}");
}

#[test]
fn what_a_stage_copied_lies_over_the_layers_of_its_base() {
    let bottom = Tar::new().dirs(&["etc"]).files(&["etc/a", "etc/b"]);
    let mut above = LayerTree::linux();
    let meta = crate::Meta::default;
    above
        .file(&"etc/a".parse().unwrap(), b"own".as_slice().into(), meta())
        .unwrap();
    let mut image = Image::of(Linux, &[bottom]);
    let tree = image.look_below(&["/etc"], Some(&above)).unwrap();
    assert_eq!(listed(&tree, "etc"), ["etc/", "etc/a=own", "etc/b=etc/b"]);
}
