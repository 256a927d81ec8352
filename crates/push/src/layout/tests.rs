//! What is written, and what is not: as a target, without a registry in sight.

use std::fs;

use bytes::Bytes;
use oci::{BlobUpload, MediaType, PushTarget as _, layout};

use super::*;
use crate::{
    Destination, Engine, Options,
    compose::{ManifestBuilder, MemorySource},
    source::{self, Selection},
};

fn image(content: &'static str) -> (MemorySource, Document) {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, content);
    let (source, layer) = source.with_blob(MediaType::OCI_LAYER, format!("layer of {content}"));
    let root = ManifestBuilder::new(config).layer(layer).build().unwrap();
    (source.with_root(root.clone()), root)
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|it| it.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is pushed into it is opened as any other layout, by its name.
#[tokio::test]
async fn an_image_is_read_back_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let target = LayoutTarget::new(directory.path().join("new/layout"));
    let (source, root) = image("one");
    let engine = Engine::new(Options::default());
    let report = engine
        .push(&source, &target, &Destination::tagged([tag("1")]), &())
        .await
        .unwrap();
    assert!(report.verified);
    assert_eq!(
        names(target.directory()),
        ["blobs", "index.json", "oci-layout"]
    );
    let selection = Selection {
        name: Some("1".into()),
        platform: None,
    };
    let back = source::open(target.directory(), &selection).await.unwrap();
    assert_eq!(back.root().await.unwrap().bytes(), root.bytes());
    for blob in root.children() {
        back.check_blob(blob).await.unwrap();
    }
    // Another target over the same directory knows what is there.
    let again = LayoutTarget::new(target.directory());
    let at: TagOrDigest = tag("1").into();
    let held = Presence::Held(root.digest().clone());
    assert_eq!(again.has_manifest(&at).await.unwrap(), held);
    assert_eq!(
        again.has_manifest(&tag("2").into()).await.unwrap(),
        Presence::Absent
    );
}

/// The caller need not have verified anything: what has another digest or length gets no name.
#[tokio::test]
async fn bytes_that_are_not_the_blob_s_are_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let target = LayoutTarget::new(directory.path());
    let (source, blob) = MemorySource::new().with_blob(MediaType::OCI_LAYER, "the content");
    target
        .upload_blob(BlobUpload::new(&blob, &source))
        .await
        .unwrap();
    fs::remove_file(directory.path().join(layout::blob_path(&blob.digest))).unwrap();
    for wrong in ["The content", "the conten", "the content and more"] {
        let content = Bytes::from_static(wrong.as_bytes());
        let error = target
            .files
            .write_blob(&blob, {
                let mut pieces = Some(content).into_iter();
                move || pieces.next()
            })
            .unwrap_err();
        assert!(matches!(error, LayoutError::Altered { .. }), "{error:?}");
        assert_eq!(target.has_blob(&blob).await.unwrap(), Presence::Absent);
    }
    assert_eq!(names(directory.path()), ["blobs", "oci-layout"]);
}

/// An upload that is dropped leaves nothing behind, whole or in part.
#[tokio::test]
async fn an_upload_that_is_dropped_leaves_no_file() {
    /// Told that the first piece is on its way.
    #[derive(Default)]
    struct Begun(tokio::sync::Notify);

    impl oci::UploadObserver for Begun {
        fn sent(&self, _bytes: u64) {
            self.0.notify_one();
        }
    }

    #[derive(Debug)]
    struct Stuck;

    #[async_trait]
    impl oci::Source for Stuck {
        async fn root(&self) -> Result<Document, oci::SourceError> {
            std::future::pending().await
        }

        async fn document(&self, _: &Descriptor) -> Result<Document, oci::SourceError> {
            std::future::pending().await
        }

        async fn open(&self, _: &Descriptor, _: u64) -> Result<oci::BlobStream, oci::SourceError> {
            let first = futures_util::stream::iter([Ok(Bytes::from_static(b"a beginning"))]);
            Ok(first.chain(futures_util::stream::pending()).boxed())
        }
    }

    let directory = tempfile::tempdir().unwrap();
    let target = LayoutTarget::new(directory.path());
    let blob = Descriptor::of(MediaType::OCI_LAYER, b"a beginning and an end");
    let begun = Begun::default();
    let upload = BlobUpload::new(&blob, &Stuck).observed(&begun);
    tokio::select! {
        done = target.upload_blob(upload) => panic!("{done:?}"),
        () = begun.0.notified() => {}
    }
    target.settle().await;
    assert_eq!(names(directory.path()), ["blobs", "oci-layout"]);
    assert_eq!(target.has_blob(&blob).await.unwrap(), Presence::Absent);
}

/// The manifest alone is no image; with all it refers to, it is.
#[tokio::test]
async fn a_manifest_is_held_only_with_all_that_it_is_made_of() {
    let directory = tempfile::tempdir().unwrap();
    let target = LayoutTarget::new(directory.path());
    let (source, root) = image("one");
    let at: TagOrDigest = root.digest().clone().into();
    target.put_manifest(&root, Some(&tag("1"))).await.unwrap();
    for blob in root.children() {
        assert_eq!(target.has_manifest(&at).await.unwrap(), Presence::Absent);
        target
            .upload_blob(BlobUpload::new(blob, &source))
            .await
            .unwrap();
    }
    let held = Presence::Held(root.digest().clone());
    assert_eq!(target.has_manifest(&at).await.unwrap(), held);
    assert_eq!(target.has_manifest(&tag("1").into()).await.unwrap(), held);
}

/// What is about an image is found in a layout by its being listed there.
#[tokio::test]
async fn a_signature_is_listed_without_a_name_and_found_with_the_image() {
    let directory = tempfile::tempdir().unwrap();
    let target = LayoutTarget::new(directory.path());
    let (source, root) = image("one");
    let (source, config) = source.with_blob(MediaType::OCI_EMPTY, "{}");
    let signature = ManifestBuilder::new(config)
        .artifact_type("application/x-signature")
        .subject(&root)
        .build()
        .unwrap();
    let source = source.with_document(signature.clone());
    let engine = Engine::new(Options {
        referrers: true,
        ..Options::default()
    });
    let to = Destination::tagged([tag("1")]);
    engine.push(&source, &target, &to, &()).await.unwrap();
    let back = source::open(directory.path(), &Selection::default())
        .await
        .unwrap();
    assert_eq!(back.root().await.unwrap().digest(), root.digest());
    let found = back.referrers(root.digest()).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| &it.digest).collect();
    assert_eq!(found, [signature.digest()]);
}

/// An index that is none is told of, and is as it was afterwards.
#[tokio::test]
async fn an_index_that_cannot_be_read_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (source, root) = image("one");
    let target = LayoutTarget::new(directory.path());
    target.put_manifest(&root, None).await.unwrap();
    let path = directory.path().join(layout::INDEX);
    for wrong in ["{ not json", r#"{"config":{}}"#, "[]"] {
        fs::write(&path, wrong).unwrap();
        let engine = Engine::new(Options::default());
        let to = Destination::tagged([tag("1")]);
        let error = engine.push(&source, &target, &to, &()).await.unwrap_err();
        let error = error.target_error().unwrap();
        assert_eq!(error.kind(), &TargetErrorKind::Storage);
        let cause = Error::source(error).unwrap().to_string();
        assert!(cause.contains("index.json"), "{cause}");
        assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
    }
}

/// What a killed process was writing goes, once it is old and nobody has it locked.
#[tokio::test]
async fn what_killed_processes_left_is_swept_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    let make = |name: &str, age: Option<std::time::SystemTime>| {
        let file = fs::File::create(directory.path().join(name)).unwrap();
        if let Some(age) = age {
            file.set_modified(age).unwrap();
        }
        file
    };
    let (_, root) = image("one");
    LayoutTarget::new(directory.path())
        .put_manifest(&root, None)
        .await
        .unwrap();
    drop(make(".longshore-left", Some(old)));
    drop(make(".longshore-new", None));
    drop(make("of-others", Some(old)));
    let held = make(".longshore-held", Some(old));
    held.lock().unwrap();
    LayoutTarget::new(directory.path())
        .put_manifest(&root, None)
        .await
        .unwrap();
    assert_eq!(
        names(directory.path()),
        [
            ".longshore-held",
            ".longshore-new",
            "blobs",
            "oci-layout",
            "of-others"
        ]
    );
}

/// What was hashed while it was written is neither read nor hashed again: the source, which has
/// nothing, is not asked.
#[cfg(unix)]
#[tokio::test]
async fn an_offered_file_becomes_the_blob_as_it_is() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let directory = tempfile::tempdir().unwrap();
    let target = LayoutTarget::new(directory.path().join("layout"));
    let (full, blob) = MemorySource::new().with_blob(MediaType::OCI_LAYER, "the content");
    let file = directory.path().join("layer-0");
    fs::write(&file, "the content").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    target.offer(&blob.digest, &file);
    let nothing = MemorySource::new();
    let upload = target.upload_blob(BlobUpload::new(&blob, &nothing)).await;
    assert_eq!(upload.unwrap().sent, blob.size);
    let path = target.directory().join(layout::blob_path(&blob.digest));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&path), inode(&file));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let marker = target.directory().join("oci-layout");
    assert_eq!(
        mode(&path),
        mode(&marker),
        "whoever may read one may read all"
    );
    assert_eq!(names(target.directory()), ["blobs", "oci-layout"]);

    // One that is no more what was offered is not taken: what the source has is.
    let other = LayoutTarget::new(directory.path().join("other"));
    fs::write(&file, "the content, and more").unwrap();
    other.offer(&blob.digest, &file);
    let missing = other.upload_blob(BlobUpload::new(&blob, &nothing)).await;
    assert!(missing.is_err());
    let upload = other.upload_blob(BlobUpload::new(&blob, &full)).await;
    upload.unwrap();
    let path = other.directory().join(layout::blob_path(&blob.digest));
    assert_eq!(fs::read(&path).unwrap(), b"the content");
    assert_ne!(inode(&path), inode(&file));
}

/// What is on another file system is copied, and verified as it is.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_offered_file_of_another_file_system_is_copied() {
    use std::os::unix::fs::MetadataExt as _;
    let here = tempfile::tempdir().unwrap();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(here.path()) == device(elsewhere.path()) {
        return;
    }
    let target = LayoutTarget::new(here.path());
    let (full, blob) = MemorySource::new().with_blob(MediaType::OCI_LAYER, "the content");
    let file = elsewhere.path().join("layer-0");
    fs::write(&file, "the content").unwrap();
    target.offer(&blob.digest, &file);
    let upload = target.upload_blob(BlobUpload::new(&blob, &full)).await;
    upload.unwrap();
    let path = target.directory().join(layout::blob_path(&blob.digest));
    assert_eq!(fs::read(path).unwrap(), b"the content");
    assert_eq!(names(target.directory()), ["blobs", "oci-layout"]);
}

/// Two that find no layout make one at once: what the first may have locked already stays.
#[cfg(unix)]
#[test]
fn a_marker_that_another_process_has_made_meanwhile_is_not_replaced() {
    use std::os::unix::fs::MetadataExt as _;
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join(layout::MARKER);
    let files = || Files::new(directory.path().to_owned());
    files().make_marker().unwrap();
    let first = fs::metadata(&marker).unwrap().ino();
    let locked = files().lock().unwrap();
    files().make_marker().unwrap();
    assert_eq!(fs::metadata(&marker).unwrap().ino(), first);
    assert_eq!(names(directory.path()), ["oci-layout"]);
    assert!(fs::File::open(&marker).unwrap().try_lock().is_err());
    drop(locked);
}

/// Another program replaced it while it was waited for.
#[cfg(unix)]
#[test]
fn a_file_that_was_replaced_before_it_was_locked_is_not_what_is_locked() {
    use std::os::unix::fs::MetadataExt as _;
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join(layout::MARKER);
    let files = Files::new(directory.path().to_owned());
    files.make_marker().unwrap();
    let held = files.lock().unwrap();
    let locked = std::thread::scope(|scope| {
        let locking = scope.spawn(|| files.lock().unwrap());
        let new = directory.path().join("new");
        fs::copy(&marker, &new).unwrap();
        fs::rename(&new, &marker).unwrap();
        drop(held);
        locking.join().unwrap()
    });
    let (locked, there) = (locked.metadata().unwrap(), fs::metadata(&marker).unwrap());
    assert_eq!(locked.ino(), there.ino());
}
