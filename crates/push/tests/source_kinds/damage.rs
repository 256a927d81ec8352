//! What is damaged, hostile or no image at all: each a typed error that says so.

use std::{
    error::Error,
    fs::{self, File},
    path::Path,
};

use longshore_push::source::{self, OpenError, Selection, Spool};
use oci::{MediaType, Source, SourceError};
use serde_json::json;

use crate::fixture::{self, Layout, Tar};

async fn refused(path: &Path) -> OpenError {
    let opened = source::open(path, &Selection::default()).await;
    opened
        .err()
        .unwrap_or_else(|| panic!("{} was opened", path.display()))
}

/// The error and all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn written(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, content).unwrap();
    (directory, path)
}

#[tokio::test]
async fn z26_what_is_no_image_is_told_by_what_it_is() {
    let layout = fixture::layout_directory();
    let inside = layout.path.parent().unwrap();
    let mut nested = tar::Builder::new(Vec::new());
    nested.append_dir_all("image", &layout.path).unwrap();
    let table: [(&str, Vec<u8>, &str); 8] = [
        ("empty", Vec::new(), "an empty file"),
        ("zeros", vec![0; 4096], "a tar archive without entries"),
        (
            "text",
            b"hello ".repeat(200),
            "a file that is no tar archive",
        ),
        ("xz", b"\xfd7zXZ\0 and so on".to_vec(), "xz data"),
        (
            "gzip of text",
            fixture::gzip(&b"hello ".repeat(200)),
            "gzip data, and not of a tar",
        ),
        (
            "some tar",
            Tar::default().file("a", b"b").finish(),
            "neither oci-layout",
        ),
        (
            "one level down",
            nested.into_inner().unwrap(),
            "everything in image/",
        ),
        (
            "ancient",
            Tar::default().file("repositories", b"{}").finish(),
            "Docker before 1.10",
        ),
    ];
    for (what, content, expected) in table {
        let (_directory, path) = written(&content);
        let error = refused(&path).await;
        assert!(
            matches!(error, OpenError::NotAnImage { .. }),
            "{what}: {error:?}"
        );
        assert!(error.to_string().contains(expected), "{what}: {error}");
        assert!(
            error.to_string().contains("expected an OCI image layout"),
            "{what}: {error}"
        );
    }
    let error = refused(inside).await;
    assert!(
        error.to_string().contains("a directory without oci-layout"),
        "{error}"
    );
    let error = refused(&inside.join("nothing")).await;
    assert!(matches!(error, OpenError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_marker_of_another_version_or_none_at_all_is_no_layout() {
    for marker in [r#"{"imageLayoutVersion":"2.0.0"}"#, "{}", "junk"] {
        let layout = Layout::new();
        fs::write(layout.path().join("oci-layout"), marker).unwrap();
        let archive = layout.path().join("image.tar");
        fs::write(&archive, fixture::tar_of_directory(layout.path())).unwrap();
        for path in [layout.path(), &archive] {
            let error = refused(path).await;
            assert!(
                matches!(error, OpenError::NotAnImage { .. }),
                "{marker}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_index_that_is_missing_empty_malformed_or_too_large_is_an_error() {
    let huge = format!(
        r#"{{"manifests":[],"x":"{}"}}"#,
        "a".repeat(4 * 1024 * 1024)
    );
    let cases: [(Option<&str>, &str); 5] = [
        (None, "without its index.json"),
        (
            Some(r#"{"schemaVersion":2,"manifests":[]}"#),
            "lists no image",
        ),
        (Some("[1"), "manifest is malformed"),
        (
            Some(r#"{"manifests":[],"layers":[]}"#),
            "both an image and an index",
        ),
        (Some(&huge), "at most 4194304 bytes (4 MiB) are accepted"),
    ];
    for (index, expected) in cases {
        let layout = Layout::new();
        let path = layout.path().join("index.json");
        match index {
            Some(index) => fs::write(path, index).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let error = refused(layout.path()).await;
        assert!(matches!(error, OpenError::Source(_)), "{error:?}");
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_manifest_over_4_mib_is_refused_before_it_is_read() {
    let mut layout = Layout::new();
    let padding = "a".repeat(4 * 1024 * 1024);
    let manifest = json!({ "manifests": [], "annotations": { "padding": padding } });
    let index = layout.blob(MediaType::OCI_INDEX, manifest.to_string().as_bytes());
    layout.list(&index, &[]);
    let error = refused(layout.path()).await;
    assert!(chain(&error).contains("(4 MiB)"), "{}", chain(&error));
}

#[tokio::test]
async fn a_manifest_that_is_altered_truncated_or_missing_is_told_with_its_place() {
    let mut layout = Layout::new();
    let image = layout.image("amd64", "one");
    layout.list(&image, &[]);
    let path = layout.blob_path(&image.digest);
    let mut content = fs::read(&path).unwrap();
    content[20] ^= 1;
    fs::write(&path, &content).unwrap();
    let error = refused(layout.path()).await;
    let OpenError::Source(SourceError::Altered {
        expected, place, ..
    }) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (expected, &**place),
        (&image.digest, path.to_str().unwrap())
    );
    fs::write(&path, &content[1..]).unwrap();
    let error = refused(layout.path()).await;
    assert!(
        matches!(error, OpenError::Source(SourceError::WrongSize { .. })),
        "{error:?}"
    );
    fs::remove_file(&path).unwrap();
    let error = refused(layout.path()).await;
    assert!(
        matches!(error, OpenError::Source(SourceError::Missing { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn z26_compressed_data_that_is_broken_or_cut_off_is_an_error() {
    for it in [
        fixture::gzipped(fixture::oci_archive()),
        fixture::zstandard(fixture::oci_archive()),
    ] {
        let whole = fs::read(&it.path).unwrap();
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle..middle + 64].fill(0xff);
        for damaged in [
            &whole[..whole.len() / 2],
            &whole[..whole.len() - 3],
            &flipped,
        ] {
            fs::write(&it.path, damaged).unwrap();
            let error = refused(&it.path).await;
            assert!(
                matches!(error, OpenError::BrokenArchive { .. }),
                "{error:?}"
            );
            assert!(error.to_string().contains("data is broken"), "{error}");
        }
    }
}

#[tokio::test]
async fn z26_a_tar_that_is_broken_or_cut_off_is_an_error() {
    let it = fixture::oci_archive();
    let whole = fs::read(&it.path).unwrap();
    fs::write(&it.path, &whole[..whole.len() / 2]).unwrap();
    let error = refused(&it.path).await;
    assert!(error.to_string().contains("it is cut off"), "{error}");
    let content = Tar::default()
        .file("a", &[b'x'; 512])
        .file("b", b"")
        .finish();
    let mut damaged = content;
    damaged[1024 + 3] ^= 0xff;
    fs::write(&it.path, &damaged).unwrap();
    let error = refused(&it.path).await;
    assert!(
        error.to_string().contains("its tar structure is broken"),
        "{error}"
    );
}

#[tokio::test]
async fn z26_an_entry_that_leads_out_of_the_archive_is_refused() {
    for name in [
        "../evil",
        "blobs/../../evil",
        "/etc/passwd",
        "blobs/sha256/../x",
    ] {
        let (_directory, path) = Tar::default()
            .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
            .file(name, b"evil")
            .write();
        let error = refused(&path).await;
        assert!(
            matches!(error, OpenError::BrokenArchive { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn two_different_entries_of_one_name_are_refused() {
    let mut tar = Tar::default();
    tar.file("a", b"same").file("./a", b"same");
    let (_directory, path) = tar.write();
    assert!(matches!(refused(&path).await, OpenError::NotAnImage { .. }));
    for other in [&b"else"[..], b"longer"] {
        let mut tar = Tar::default();
        let (_directory, path) = tar.file("a", b"same").file("./a", other).write();
        let error = refused(&path).await;
        assert!(
            error.to_string().contains("two different entries"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn z26_a_link_where_a_blob_should_be_is_not_followed_in_an_oci_archive() {
    let mut layout = Layout::new();
    let image = layout.image("amd64", "one");
    layout.list(&image, &[]);
    let name = oci::layout::blob_path(&image.digest);
    let manifest = fs::read(layout.blob_path(&image.digest)).unwrap();
    for (kind, target) in [
        (tar::EntryType::Symlink, "../../elsewhere"),
        (tar::EntryType::Symlink, "/etc/passwd"),
        (tar::EntryType::Link, "elsewhere"),
        (tar::EntryType::Directory, ""),
        (tar::EntryType::Fifo, ""),
    ] {
        let mut tar = Tar::default();
        for file in ["oci-layout", "index.json"] {
            tar.file(file, &fs::read(layout.path().join(file)).unwrap());
        }
        tar.file("elsewhere", &manifest)
            .entry(&name, kind, target, b"");
        let (_directory, path) = tar.write();
        let error = refused(&path).await;
        assert!(
            matches!(error, OpenError::Source(SourceError::Invalid { .. })),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("where a file should be"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn links_of_a_saved_image_are_followed_within_the_archive_and_no_further() {
    let (config, layers) = fixture::saved_image("amd64");
    for (target, expected) in [
        ("../../etc/passwd", "a link that leads out of the archive"),
        ("/etc/passwd", "a link that leads out of the archive"),
        ("layer.tar", "a link to a link, too many times"),
        ("nowhere", "is missing"),
    ] {
        let mut tar = Tar::default();
        tar.file("c.json", &config)
            .link("a/layer.tar", target)
            .file("b.tar", &layers[1]);
        let manifest = json!([{ "Config": "c.json", "Layers": ["a/layer.tar", "b.tar"] }]);
        tar.file("manifest.json", manifest.to_string().as_bytes());
        let (_directory, path) = tar.write();
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::Source(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{target}: {error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_of_a_directory_are_followed_within_it_and_no_further() {
    let mut layout = Layout::new();
    let image = layout.image("amd64", "one");
    layout.list(&image, &[]);
    let source = source::open(layout.path(), &Selection::default())
        .await
        .unwrap();
    let layer = source.root().await.unwrap().as_manifest().unwrap().layers[0].clone();
    let path = layout.blob_path(&layer.digest);
    let within = layout.path().join("kept");
    fs::rename(&path, &within).unwrap();
    std::os::unix::fs::symlink(&within, &path).unwrap();
    source.check_blob(&layer).await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join("layer");
    fs::rename(&within, &elsewhere).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    for error in [
        source.check_blob(&layer).await.unwrap_err(),
        source.open(&layer, 0).await.err().unwrap(),
    ] {
        assert!(matches!(error, SourceError::Unreadable { .. }), "{error:?}");
        assert!(
            chain(&error).contains("leads out of the layout"),
            "{}",
            chain(&error)
        );
    }
}

#[tokio::test]
async fn a_blob_that_is_no_file_or_too_short_is_told_with_its_path() {
    let mut layout = Layout::new();
    let image = layout.image("amd64", "one");
    layout.list(&image, &[]);
    let source = source::open(layout.path(), &Selection::default())
        .await
        .unwrap();
    let layer = source.root().await.unwrap().as_manifest().unwrap().layers[0].clone();
    let path = layout.blob_path(&layer.digest);
    assert_eq!(source.place(&layer), path.to_str().unwrap());
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1)
        .unwrap();
    let error = source.check_blob(&layer).await.unwrap_err();
    assert!(
        matches!(error, SourceError::WrongSize { actual: 1, .. }),
        "{error:?}"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = source.check_blob(&layer).await.unwrap_err();
    assert!(
        chain(&error).contains("not a regular file"),
        "{}",
        chain(&error)
    );
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
}

#[tokio::test]
async fn z26_a_saved_layer_that_is_not_what_the_config_says_is_altered() {
    let (config, layers) = fixture::saved_image("amd64");
    let mut altered = layers[1].clone();
    altered[700] ^= 1;
    let mut tar = Tar::default();
    tar.file("c.json", &config)
        .file("a.tar", &layers[0])
        .file("b.tar", &altered);
    let manifest = json!([{ "Config": "c.json", "Layers": ["a.tar", "b.tar"] }]);
    tar.file("manifest.json", manifest.to_string().as_bytes());
    let (_directory, path) = tar.write();
    let error = refused(&path).await;
    let OpenError::Source(SourceError::Altered {
        expected, place, ..
    }) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(expected, &oci::Digest::of(&layers[1]));
    assert_eq!(place, &format!("{}: b.tar", path.display()));
}

#[tokio::test]
async fn a_saved_image_whose_parts_do_not_fit_is_an_error() {
    let (config, layers) = fixture::saved_image("amd64");
    let misnamed = format!("{}.json", "0".repeat(64));
    let cases = [
        (json!("no list"), "it is malformed"),
        (json!([]), "it lists 0 images"),
        (json!([{ "Config": "d.json" }]), "no such entry"),
        (
            json!([{ "Config": "a.tar", "Layers": [] }]),
            "the config is malformed",
        ),
        (
            json!([{ "Config": "c.json", "Layers": ["a.tar"] }]),
            "1 layers and its config 2",
        ),
        (
            json!([{ "Config": misnamed, "Layers": ["a.tar", "b.tar"] }]),
            "is altered",
        ),
        (
            json!([{ "Config": "c.json", "Layers": ["a.tar", "no.tar"] }]),
            "is missing",
        ),
    ];
    for (manifest, expected) in cases {
        let mut tar = Tar::default();
        tar.file("c.json", &config).file(&misnamed, &config);
        tar.file("a.tar", &layers[0]).file("b.tar", &layers[1]);
        tar.file("manifest.json", manifest.to_string().as_bytes());
        let (_directory, path) = tar.write();
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::Source(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{manifest}: {error}");
    }
}

#[tokio::test]
async fn an_archive_that_grows_beyond_the_bounds_is_refused() {
    let zeros = Tar::default().file("zeros", &vec![0; 8 << 20]).finish();
    for content in [fixture::gzip(&zeros), fixture::zstd(&zeros)] {
        let (_directory, path) = written(&content);
        let spool = Spool {
            max_bytes: 1 << 20,
            ..Spool::default()
        };
        let opened = source::open_with(&path, &Selection::default(), &spool).await;
        let error = opened.err().unwrap();
        let OpenError::TooLarge {
            limit, compressed, ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((limit, compressed), (1 << 20, content.len() as u64));
    }
}

#[tokio::test]
async fn no_room_for_the_temporary_file_is_an_error_that_names_the_directory() {
    let it = fixture::gzipped(fixture::oci_archive());
    let directory = it.path.with_file_name("not-there");
    let spool = Spool {
        directory: Some(directory.clone()),
        ..Spool::default()
    };
    let opened = source::open_with(&it.path, &Selection::default(), &spool).await;
    let error = opened.err().unwrap();
    assert!(matches!(error, OpenError::Spool { .. }), "{error:?}");
    assert!(
        error.to_string().contains(directory.to_str().unwrap()),
        "{error}"
    );
}

#[tokio::test]
async fn the_temporary_file_has_no_name() {
    let it = fixture::gzipped(fixture::oci_archive());
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool {
        directory: Some(directory.path().to_owned()),
        ..Spool::default()
    };
    let source: Box<dyn Source> = source::open_with(&it.path, &Selection::default(), &spool)
        .await
        .unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    source.check_blob(&it.blobs[1].0).await.unwrap();
}
