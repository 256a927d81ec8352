//! What is written, and what is not.

use oci::Document;

use super::*;
use crate::compose::{ManifestBuilder, MemorySource};

/// An artifact of files: a name, if it has one, and a content.
fn artifact(files: &[(Option<&str>, &str)]) -> MemorySource {
    let (mut source, config) = MemorySource::new().with_blob(MediaType::OCI_EMPTY, "{}");
    let mut manifest = ManifestBuilder::new(config).artifact_type("a/b");
    for (title, content) in files {
        let (with, mut layer) = source.with_blob("text/plain", (*content).to_owned());
        source = with;
        let title = title.map(|it| (TITLE.to_owned(), it.to_owned()));
        layer.annotations.extend(title);
        manifest = manifest.layer(layer);
    }
    source.with_root(manifest.build().unwrap())
}

fn content(directory: &Path, name: &str) -> Option<String> {
    fs::read_to_string(directory.join(name)).ok()
}

/// Everything below a directory, by name.
fn listed(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_are_written_under_their_names_and_what_has_none_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("new/out");
    let source = artifact(&[
        (Some("a.txt"), "hello"),
        (Some("below/b.txt"), ""),
        (None, "nameless"),
        (Some("a.txt"), "hello"),
    ]);
    let done = Download::into(&into).of(&source).await.unwrap();
    assert_eq!(content(&into, "a.txt").unwrap(), "hello");
    assert_eq!(content(&into, "below/b.txt").unwrap(), "");
    assert_eq!(listed(&into), ["a.txt", "below"]);
    let paths: Vec<&PathBuf> = done.files.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [&into.join("a.txt"), &into.join("below/b.txt")]);
    assert_eq!(done.unnamed, 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let fresh = fs::File::create(into.join("fresh"))
            .unwrap()
            .metadata()
            .unwrap();
        let written = fs::metadata(into.join("a.txt")).unwrap();
        assert_eq!(written.permissions().mode(), fresh.permissions().mode());
    }
}

#[tokio::test]
async fn what_is_there_is_replaced_only_if_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let source = artifact(&[(Some("new.txt"), "new"), (Some("old.txt"), "new")]);
    fs::write(directory.path().join("old.txt"), "old").unwrap();
    let download = Download::into(directory.path());
    let error = download.of(&source).await.unwrap_err();
    assert!(matches!(error, DownloadError::Exists(_)), "{error}");
    assert_eq!(listed(directory.path()), ["old.txt"]);
    download.overwriting(true).of(&source).await.unwrap();
    assert_eq!(content(directory.path(), "old.txt").unwrap(), "new");
    assert_eq!(listed(directory.path()), ["new.txt", "old.txt"]);
}

/// Whatever is there already, and may be replaced or not: no file of an artifact takes another's place.
#[tokio::test]
async fn two_files_for_one_place_are_found_before_anything_is_written() {
    for names in [
        ["a/b", "a//b"],
        ["a", "a/b"],
        ["a/b/c", "a"],
        ["a/b", "a/./b"],
    ] {
        for overwrite in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let [one, other] = names;
            let source = artifact(&[
                (Some(one), "one"),
                (Some("a-b"), ""),
                (Some(other), "other"),
            ]);
            let download = Download::into(directory.path()).overwriting(overwrite);
            let error = download.of(&source).await.unwrap_err();
            assert!(
                matches!(
                    error,
                    DownloadError::SameTitle(_) | DownloadError::Below { .. }
                ),
                "{names:?}: {error}"
            );
            assert!(listed(directory.path()).is_empty(), "{names:?}");
        }
    }
}

#[tokio::test]
async fn no_name_leads_out_of_the_directory() {
    let outer = tempfile::tempdir().unwrap();
    let into = outer.path().join("in");
    for title in [
        "../up",
        "/tmp/abs",
        "a/../../up",
        "",
        "..",
        "C:x",
        "a\\..\\..\\up",
    ] {
        let source = artifact(&[(Some("good"), "x"), (Some(title), "y")]);
        let error = Download::into(&into).of(&source).await.unwrap_err();
        assert!(
            matches!(error, DownloadError::Title { .. }),
            "{title}: {error}"
        );
    }
    let twice = artifact(&[(Some("a"), "x"), (Some("a"), "y")]);
    let error = Download::into(&into).of(&twice).await.unwrap_err();
    assert!(matches!(error, DownloadError::SameTitle(_)), "{error}");
    assert_eq!(listed(outer.path()), [""; 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn no_link_that_is_there_leads_out_of_the_directory() {
    let outer = tempfile::tempdir().unwrap();
    let (into, far) = (outer.path().join("in"), outer.path().join("far"));
    fs::create_dir(&into).unwrap();
    fs::create_dir(&far).unwrap();
    fs::write(far.join("kept"), "kept").unwrap();
    std::os::unix::fs::symlink(&far, into.join("link")).unwrap();
    std::os::unix::fs::symlink(far.join("kept"), into.join("file")).unwrap();
    let download = Download::into(&into).overwriting(true);
    let error = download
        .of(&artifact(&[(Some("link/a"), "x")]))
        .await
        .unwrap_err();
    assert!(matches!(error, DownloadError::Write { .. }), "{error}");
    // A link in the place of a file is replaced, and not written through.
    download
        .of(&artifact(&[(Some("file"), "new")]))
        .await
        .unwrap();
    assert_eq!(content(&far, "kept").unwrap(), "kept");
    assert_eq!(content(&into, "file").unwrap(), "new");
    assert_eq!(listed(&far), ["kept"]);
}

/// One that has other bytes than its manifest says.
#[tokio::test]
async fn a_file_that_is_altered_is_not_there_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let source = artifact(&[(Some("a.txt"), "hello")]);
    let root = source.root().await.unwrap();
    let text = std::str::from_utf8(root.bytes()).unwrap();
    let (right, wrong) = (Digest::of(b"hello"), Digest::of(b"jello"));
    let text = text.replace(&right.to_string(), &wrong.to_string());
    let source = Swapped(
        source.with_root(Document::new(text.into(), None).unwrap()),
        right,
    );
    let error = Download::into(directory.path())
        .of(&source)
        .await
        .unwrap_err();
    assert!(
        matches!(error, DownloadError::Source(SourceError::Altered { .. })),
        "{error:?}"
    );
    assert_eq!(listed(directory.path()), [""; 0]);
}

/// Gives one content for every blob.
#[derive(Debug)]
struct Swapped(MemorySource, Digest);

#[async_trait::async_trait]
impl Source for Swapped {
    async fn root(&self) -> Result<Document, SourceError> {
        self.0.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.0.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, at: u64) -> Result<oci::BlobStream, SourceError> {
        let other = Descriptor::new(blob.media_type.clone(), self.1.clone(), blob.size);
        self.0.open(&other, at).await
    }
}
