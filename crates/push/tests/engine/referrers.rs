//! Referrers: what is about an image goes along, and is listed where the registry lists nothing.

use async_trait::async_trait;
use longshore_push::{
    AskFirst, Engine, Event, Options, PushError,
    compose::{ManifestBuilder, MemorySource},
    recording::{Call, Operation, RecordingTarget},
};
use oci::{
    BlobStream, Descriptor, Digest, Document, MediaType, Source, SourceError, Tag, TargetError,
    TargetErrorKind,
};

use crate::fixture::{Heard, Image, at_tag, count, image, is_upload, tagged, target};

fn with_referrers() -> Engine {
    Engine::new(Options {
        referrers: true,
        ask_first: AskFirst::Always,
        ..Options::default()
    })
}

/// A manifest of one blob of its own.
fn artifact(
    source: MemorySource,
    name: &str,
    subject: Option<&Document>,
) -> (MemorySource, Document) {
    let (source, config) = source.with_blob(MediaType::OCI_EMPTY, name.to_owned());
    let builder = ManifestBuilder::new(config).artifact_type("a/b");
    let builder = match subject {
        Some(subject) => builder.subject(subject),
        None => builder,
    };
    (source, builder.build().unwrap())
}

struct Signed {
    source: MemorySource,
    image: Image,
    /// About the image, by its subject.
    note: Document,
    /// About the image, by its tag.
    signature: Document,
    name: Tag,
}

fn signed() -> Signed {
    let image = image(&["base"]);
    let (source, note) = artifact(image.source.clone(), "note", Some(&image.root));
    let (source, signature) = artifact(source, "signature", None);
    let name = image.root.digest().digest_tags().next().unwrap();
    let source = source.with_document(note.clone()).with_digest_tag(
        image.root.digest(),
        name.clone(),
        signature.clone(),
    );
    Signed {
        source,
        image,
        note,
        signature,
        name,
    }
}

async fn push(source: &dyn Source, target: &RecordingTarget) -> longshore_push::Report {
    let engine = with_referrers();
    engine
        .push(source, target, &tagged(&["1"]), &())
        .await
        .unwrap()
}

fn puts(target: &RecordingTarget) -> Vec<String> {
    let calls = target.calls().into_iter();
    let puts = calls.filter(|it| it.operation == Operation::PutManifest);
    puts.map(|it| it.subject.unwrap().to_string()).collect()
}

fn is_attach(call: &Call) -> bool {
    matches!(call.operation, Operation::Attach { .. })
}

#[tokio::test(start_paused = true)]
async fn p7_what_is_about_an_image_by_subject_and_by_tag_goes_along() {
    let signed = signed();
    let target = target();
    let report = push(&signed.source, &target).await;
    let mut after: Vec<String> = puts(&target);
    assert_eq!(after.remove(0), signed.image.root.digest().to_string());
    assert_eq!(after.pop().unwrap(), "1", "the tag is last");
    after.sort();
    let mut expected = [signed.note.digest().to_string(), signed.name.to_string()];
    expected.sort();
    assert_eq!(after, expected);
    let stored = target.manifest(&signed.name.clone().into()).unwrap();
    assert_eq!(&stored, signed.signature.bytes());
    assert_eq!(
        report.tags,
        [crate::fixture::tag("1")],
        "those of the image itself"
    );
    assert_eq!(count(&target, is_attach), 0, "the registry lists by itself");

    target.clear();
    let report = push(&signed.source, &target).await;
    assert_eq!(puts(&target), [""; 0]);
    assert_eq!(count(&target, is_upload), 0);
    assert_eq!(report.bytes_sent(), 0);
    assert_eq!(
        target.requests().head,
        3,
        "the tag, the referrer, and its tag"
    );
    assert_eq!(target.requests().total(), 3);
}

#[tokio::test(start_paused = true)]
async fn p7_without_a_list_each_subject_is_attached_to_once_and_before_the_tag() {
    let signed = signed();
    let (source, second) = artifact(signed.source.clone(), "second", Some(&signed.image.root));
    let (source, counter) = artifact(source, "counter", Some(&signed.note));
    let source = source
        .with_document(second.clone())
        .with_document(counter.clone());
    let target = target().without_referrers();
    let report = push(&source, &target).await;
    let root = signed.image.root.digest();
    let mut attached = target.attached(root);
    attached.sort();
    let mut expected = vec![signed.note.digest().clone(), second.digest().clone()];
    expected.sort();
    assert_eq!(attached, expected);
    assert_eq!(
        target.attached(signed.note.digest()),
        [counter.digest().clone()]
    );
    assert_eq!(count(&target, is_attach), 2, "one for each subject");
    let calls = target.calls();
    assert!(is_attach(&calls[calls.len() - 2]));
    assert_eq!(calls.last().unwrap().subject, Some(at_tag("1")));
    let tags: Vec<String> = report
        .referrers_tags
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(tags.len(), 2);
    assert!(tags.contains(&root.referrers_tag()));

    // A push that ended between the two: the manifests are there and nobody lists them.
    let other = crate::fixture::target().without_referrers();
    let held = [&signed.image.root, &signed.note, &second, &counter];
    let other = held
        .iter()
        .fold(other, |it, held| it.holding_manifest(held, &[]));
    push(&source, &other).await;
    assert_eq!(other.attached(root).len(), 2);
    assert_eq!(other.attached(signed.note.digest()).len(), 1);
}

/// An artifact that is pushed as it is has a subject too.
#[tokio::test(start_paused = true)]
async fn r7_a_root_with_a_subject_is_attached_to_it_after_it_is_there() {
    let subject = image(&["base"]);
    let (source, root) = artifact(MemorySource::new(), "note", Some(&subject.root));
    let target = RecordingTarget::new(crate::fixture::repository("app")).without_referrers();
    let engine = Engine::new(Options::default());
    let source = source.with_root(root.clone());
    engine
        .push(&source, &target, &tagged(&["note"]), &())
        .await
        .unwrap();
    assert_eq!(
        target.attached(subject.root.digest()),
        [root.digest().clone()]
    );
    assert!(is_attach(target.calls().last().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn p7_a_list_that_cannot_be_kept_is_a_failure_that_says_of_what() {
    let signed = signed();
    let target = target().without_referrers().failing_when(1, is_attach, || {
        TargetError::new(TargetErrorKind::Contended, "list it")
    });
    let error = with_referrers()
        .push(&signed.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PushError::AttachFailed { subject, .. } if subject == signed.image.root.digest())
    );
    assert!(error.retryable());
    assert_eq!(target.manifest(&at_tag("1")), None, "the tag is not moved");
}

/// `-r` under `--no-overwrite`: a digest tag is a tag.
#[tokio::test(start_paused = true)]
async fn v3_a_digest_tag_is_not_moved_either() {
    let signed = signed();
    let other = image(&["other"]);
    let target = target().holding_manifest(&other.root, std::slice::from_ref(&signed.name));
    let engine = Engine::new(Options {
        referrers: true,
        no_overwrite: true,
        ..Options::default()
    });
    let pushed = engine
        .push(&signed.source, &target, &tagged(&["1"]), &())
        .await;
    let Err(PushError::TagsTaken { taken, .. }) = pushed else {
        panic!("{pushed:?}");
    };
    assert_eq!(taken, [(signed.name, other.root.digest().clone())]);
    assert_eq!(
        count(&target, |it| it.operation != Operation::HasManifest),
        0
    );
}

/// A source whose lists are as told.
#[derive(Debug)]
struct Listing {
    inner: MemorySource,
    listed: Result<Vec<Descriptor>, TargetErrorKind>,
}

#[async_trait]
impl Source for Listing {
    async fn root(&self) -> Result<Document, SourceError> {
        self.inner.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.inner.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.inner.open(blob, offset).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        match &self.listed {
            Ok(listed) if subject == self.inner.root().await?.digest() => Ok(listed.clone()),
            Ok(_) => Ok(Vec::new()),
            Err(kind) => Err(SourceError::unreadable(
                "registry.test/from",
                TargetError::new(kind.clone(), "list it").with_status(403),
            )),
        }
    }
}

async fn warned(
    listed: Result<Vec<Descriptor>, TargetErrorKind>,
    source: MemorySource,
) -> Result<Vec<String>, PushError> {
    let source = Listing {
        inner: source,
        listed,
    };
    let heard = Heard::default();
    let target = target();
    with_referrers()
        .push(&source, &target, &tagged(&["1"]), &heard)
        .await?;
    assert!(target.manifest(&at_tag("1")).is_some());
    let warnings = heard.events().into_iter().filter_map(|it| match it {
        Event::Warning { message } => Some(message),
        _ => None,
    });
    Ok(warnings.collect())
}

#[tokio::test(start_paused = true)]
async fn p7_who_may_not_list_referrers_pushes_without_them_and_is_told() {
    for kind in [
        TargetErrorKind::Denied,
        TargetErrorKind::Unauthorized,
        TargetErrorKind::Unsupported,
    ] {
        let warnings = warned(Err(kind), image(&["base"]).source).await.unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("stays behind"), "{warnings:?}");
    }
    let error = warned(Err(TargetErrorKind::Network), image(&["base"]).source).await;
    assert!(
        matches!(error, Err(PushError::Source { .. })),
        "a network that fails is no permission"
    );
}

/// A list may be out of date, or name what is about something else.
#[tokio::test(start_paused = true)]
async fn p7_listed_referrers_that_are_gone_or_are_none_stay_behind() {
    let image = image(&["base"]);
    let (source, gone) = artifact(image.source.clone(), "gone", Some(&image.root));
    let (source, stranger) = artifact(source, "stranger", None);
    let source = source.with_document(stranger.clone());
    let listed = vec![gone.descriptor().clone(), stranger.descriptor().clone()];
    let warnings = warned(Ok(listed), source).await.unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings.iter().any(|it| it.contains("is not there")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .any(|it| it.contains("is about nothing here")),
        "{warnings:?}"
    );
}

/// Names can go round in a circle, unlike hashes.
#[tokio::test(start_paused = true)]
async fn p7_digest_tags_that_go_round_in_a_circle_come_to_an_end() {
    let image = image(&["base"]);
    let (source, one) = artifact(image.source.clone(), "one", None);
    let (source, two) = artifact(source, "two", None);
    let name = |it: &Document| it.digest().digest_tags().next().unwrap();
    let source = source
        .with_digest_tag(image.root.digest(), name(&image.root), one.clone())
        .with_digest_tag(one.digest(), name(&one), two.clone())
        .with_digest_tag(two.digest(), name(&two), one.clone());
    let target = target();
    push(&source, &target).await;
    for (tag, document) in [
        (name(&image.root), &one),
        (name(&one), &two),
        (name(&two), &one),
    ] {
        assert_eq!(&target.manifest(&tag.into()).unwrap(), document.bytes());
    }
}
