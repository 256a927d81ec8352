//! One suite over every store: what the port promises, on each of them.

mod garbage;

use std::sync::Arc;

use oci::{Algorithm, Digest, MediaType};
use tempfile::TempDir;

use super::*;

/// A store, and what has to live as long.
type Fixture = (Arc<dyn Store>, Option<TempDir>);

fn grace() -> Grace {
    Grace::new(Duration::from_hours(24), Clock::system())
}

fn memory() -> Fixture {
    (Arc::new(Memory::new(1 << 20, grace())), None)
}

fn directory() -> Fixture {
    let dir = TempDir::new().unwrap();
    let store = Directory::open(dir.path(), grace()).unwrap();
    (Arc::new(store), Some(dir))
}

macro_rules! on_every_store {
    ($($test:ident)*) => {
        mod in_memory {
            $(#[test] fn $test() { super::$test(&super::memory().0); })*
        }
        mod in_a_directory {
            $(#[test] fn $test() {
                let (store, _dir) = super::directory();
                super::$test(&store);
            })*
        }
    };
}

on_every_store! {
    a_blob_is_what_was_appended
    a_blob_is_held_by_who_committed_or_mounted_it
    the_same_content_twice_is_one_blob
    what_is_discarded_never_appears
    content_is_read_from_any_offset
    a_manifest_comes_back_with_its_type
    tags_move_under_their_condition
    names_that_hold_one_another_are_two_repositories
    referrers_come_and_go_with_their_manifests
    threads_that_race_leave_what_one_of_them_wanted
    no_tag_outlives_a_manifest_that_is_removed_while_it_is_tagged
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn ticket(repository: &str) -> Ticket {
    Ticket {
        name: name(repository),
        owner: None,
        algorithm: Algorithm::Sha256,
    }
}

fn commit(store: &Arc<dyn Store>, repository: &str, content: &[u8]) -> Digest {
    let id = crate::secret::random_hex().unwrap();
    let mut staged = store.stage(&id, &ticket(repository)).unwrap();
    staged.append(content).unwrap();
    let digest = Digest::of(content);
    staged.commit(&name(repository), &digest).unwrap();
    digest
}

fn whole(mut content: Box<dyn Content>) -> Vec<u8> {
    let mut all = Vec::new();
    for turn in 0.. {
        // What is at hand is the same bytes, from where the last piece ended.
        let at_hand = match turn % 2 {
            0 => None,
            _ => content.read_at_hand(3).unwrap(),
        };
        let piece = at_hand.unwrap_or_else(|| content.read(3).unwrap());
        if piece.is_empty() {
            break;
        }
        assert!(piece.len() <= 3);
        all.extend_from_slice(&piece);
    }
    all
}

fn new_manifest(bytes: &'static str, tags: &[&str]) -> NewManifest {
    NewManifest {
        digest: Digest::of(bytes.as_bytes()),
        media_type: MediaType::OCI_MANIFEST,
        bytes: Bytes::from_static(bytes.as_bytes()),
        tags: tags.iter().map(|it| it.parse().unwrap()).collect(),
        subject: None,
        children: Vec::new(),
        is_sparse: false,
        condition: Condition::None,
    }
}

fn a_blob_is_what_was_appended(store: &Arc<dyn Store>) {
    let app = name("app");
    let mut staged = store.stage("one", &ticket("app")).unwrap();
    for bytes in [&b"012345"[..], b"", b"6789"] {
        staged.append(bytes).unwrap();
    }
    assert_eq!(staged.length(), 10);
    assert_eq!(whole(staged.read().unwrap()), b"0123456789");
    let digest = Digest::of(b"0123456789");
    assert_eq!(store.blob(&app, &digest).unwrap(), None);
    staged.commit(&app, &digest).unwrap();
    assert_eq!(store.blob(&app, &digest).unwrap(), Some(10));
    let content = store.open(&app, &digest).unwrap().unwrap();
    assert_eq!(content.length(), 10);
    assert_eq!(whole(content), b"0123456789");
}

fn a_blob_is_held_by_who_committed_or_mounted_it(store: &Arc<dyn Store>) {
    let digest = commit(store, "a", b"content");
    let (a, b) = (name("a"), name("b"));
    assert_eq!(store.blob(&b, &digest).unwrap(), None);
    assert!(store.open(&b, &digest).unwrap().is_none());
    assert!(!store.mount(&b, &a, &digest).unwrap());
    assert_eq!(store.repositories().unwrap(), [name("a")]);
    assert!(store.mount(&a, &b, &digest).unwrap());
    assert_eq!(store.blob(&b, &digest).unwrap(), Some(7));

    let all = |_: &Name| true;
    assert_eq!(store.holder(&digest, &all).unwrap(), Some(a.clone()));
    let only_b = |it: &Name| *it == name("b");
    assert_eq!(store.holder(&digest, &only_b).unwrap(), Some(b.clone()));
    assert_eq!(store.holder(&digest, &|_| false).unwrap(), None);

    assert!(store.remove_blob(&a, &digest).unwrap());
    assert!(!store.remove_blob(&a, &digest).unwrap());
    assert_eq!(store.blob(&a, &digest).unwrap(), None);
    assert_eq!(whole(store.open(&b, &digest).unwrap().unwrap()), b"content");
    assert!(store.remove_blob(&b, &digest).unwrap());
    assert_eq!(store.holder(&digest, &all).unwrap(), None);
    assert!(!store.mount(&b, &a, &digest).unwrap());
}

fn the_same_content_twice_is_one_blob(store: &Arc<dyn Store>) {
    let digest = commit(store, "a", b"content");
    let mut reading = store.open(&name("a"), &digest).unwrap().unwrap();
    assert_eq!(commit(store, "a", b"content"), digest);
    assert_eq!(commit(store, "b", b"content"), digest);
    assert_eq!(reading.read(100).unwrap(), "content");
}

fn what_is_discarded_never_appears(store: &Arc<dyn Store>) {
    let mut staged = store.stage("one", &ticket("a")).unwrap();
    staged.append(b"content").unwrap();
    staged.discard().unwrap();
    let digest = Digest::of(b"content");
    assert_eq!(store.blob(&name("a"), &digest).unwrap(), None);
    assert_eq!(store.repositories().unwrap(), []);
    // Its place is free again.
    store.stage("one", &ticket("a")).unwrap();
}

fn content_is_read_from_any_offset(store: &Arc<dyn Store>) {
    let mut staged = store.stage("one", &ticket("a")).unwrap();
    for piece in [&b"01"[..], b"2", b"34567", b"89"] {
        staged.append(piece).unwrap();
    }
    let digest = Digest::of(b"0123456789");
    staged.commit(&name("a"), &digest).unwrap();
    for offset in 0..=10 {
        let mut content = store.open(&name("a"), &digest).unwrap().unwrap();
        content.seek(offset as u64).unwrap();
        assert_eq!(whole(content), b"0123456789"[offset..]);
    }
}

fn a_manifest_comes_back_with_its_type(store: &Arc<dyn Store>) {
    let app = name("team/app");
    let new = new_manifest("{ }", &["v1", "v2"]);
    assert_eq!(store.tags(&app).unwrap(), None);
    assert_eq!(store.put_manifest(&app, &new).unwrap(), Put::Stored);
    let got = store.manifest(&app, &new.digest).unwrap().unwrap();
    assert_eq!(got.bytes, "{ }");
    assert_eq!(got.media_type, MediaType::OCI_MANIFEST);
    assert!(store.has_manifest(&app, &new.digest).unwrap());
    assert!(!store.has_manifest(&name("other"), &new.digest).unwrap());
    // It is no blob.
    assert_eq!(store.blob(&app, &new.digest).unwrap(), None);
    assert_eq!(store.tags(&app).unwrap(), Some(new.tags.clone()));

    assert!(store.remove_tag(&app, &new.tags[0]).unwrap());
    assert!(!store.remove_tag(&app, &new.tags[0]).unwrap());
    assert_eq!(store.tag(&app, &new.tags[0]).unwrap(), None);
    assert!(store.remove_manifest(&app, &new.digest).unwrap());
    assert!(!store.remove_manifest(&app, &new.digest).unwrap());
    assert_eq!(store.tag(&app, &new.tags[1]).unwrap(), None);
    assert_eq!(store.tags(&app).unwrap(), Some(Vec::new()));
}

fn tags_move_under_their_condition(store: &Arc<dyn Store>) {
    let app = name("app");
    let (old, new) = (
        new_manifest("{\"a\":1}", &["v"]),
        new_manifest("{}", &["v"]),
    );
    let put = |it: &NewManifest, condition: Condition| {
        let it = NewManifest {
            condition,
            ..it.clone()
        };
        store.put_manifest(&app, &it).unwrap()
    };
    let tag = || store.tag(&app, &old.tags[0]).unwrap();
    assert_eq!(put(&old, Condition::Exists), Put::ConditionFailed);
    assert_eq!(put(&old, Condition::Absent), Put::Stored);
    assert_eq!(put(&new, Condition::Absent), Put::ConditionFailed);
    let other = vec![new.digest.clone()];
    assert_eq!(
        put(&new, Condition::Matches(other.clone())),
        Put::ConditionFailed
    );
    let same = vec![old.digest.clone()];
    assert_eq!(
        put(&new, Condition::Differs(same.clone())),
        Put::ConditionFailed
    );
    assert_eq!(tag(), Some(old.digest.clone()));
    assert_eq!(put(&new, Condition::Matches(same)), Put::Stored);
    assert_eq!(tag(), Some(new.digest.clone()));
}

fn names_that_hold_one_another_are_two_repositories(store: &Arc<dyn Store>) {
    let inner = commit(store, "a/b", b"inner");
    assert_eq!(store.repositories().unwrap(), [name("a/b")]);
    let outer = commit(store, "a", b"outer");
    assert_eq!(store.repositories().unwrap(), [name("a"), name("a/b")]);
    assert_eq!(store.blob(&name("a"), &inner).unwrap(), None);
    assert_eq!(store.blob(&name("a/b"), &outer).unwrap(), None);
}

fn referrers_come_and_go_with_their_manifests(store: &Arc<dyn Store>) {
    let app = name("app");
    let subject = Digest::of(b"subject");
    let bytes = format!(
        "{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\"a\",\"digest\":\"{subject}\",\"size\":7}},\
         \"subject\":{{\"mediaType\":\"b\",\"digest\":\"{subject}\",\"size\":7}}}}"
    );
    let new = NewManifest {
        digest: Digest::of(bytes.as_bytes()),
        bytes: bytes.into(),
        subject: Some(subject.clone()),
        ..new_manifest("", &[])
    };
    assert_eq!(store.referrers(&app, &subject).unwrap(), []);
    store.put_manifest(&app, &new).unwrap();
    let listed = store.referrers(&app, &subject).unwrap();
    assert_eq!(listed, std::slice::from_ref(&new.digest));
    assert_eq!(store.referrers(&name("other"), &subject).unwrap(), []);
    store.remove_manifest(&app, &new.digest).unwrap();
    assert_eq!(store.referrers(&app, &subject).unwrap(), []);
}

/// Commits and removals of the same content at once: afterwards who holds it can read it.
fn threads_that_race_leave_what_one_of_them_wanted(store: &Arc<dyn Store>) {
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                let repository = format!("app{}", n % 2);
                for _ in 0..25 {
                    let digest = commit(store, &repository, b"content");
                    if n < 2 {
                        store.remove_blob(&name(&repository), &digest).unwrap();
                    }
                }
            });
        }
    });
    let digest = Digest::of(b"content");
    for repository in ["app0", "app1"] {
        let app = name(repository);
        if store.blob(&app, &digest).unwrap().is_some() {
            let content = store.open(&app, &digest).unwrap().unwrap();
            assert_eq!(whole(content), b"content");
        }
    }
    let digest = commit(store, "app0", b"content");
    assert_eq!(store.blob(&name("app0"), &digest).unwrap(), Some(7));
}

fn no_tag_outlives_a_manifest_that_is_removed_while_it_is_tagged(store: &Arc<dyn Store>) {
    let app = name("app");
    let others: Vec<String> = (0..300).map(|it| format!("other{it}")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let other = new_manifest("{\"other\":1}", &others);
    store.put_manifest(&app, &other).unwrap();
    let digest = new_manifest("{}", &[]).digest;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..60 {
                let tag = format!("t{round}");
                store
                    .put_manifest(&app, &new_manifest("{}", &[&tag]))
                    .unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..60 {
                store.remove_manifest(&app, &digest).unwrap();
            }
        });
    });
    let there = store.has_manifest(&app, &digest).unwrap();
    let tags = store.tags(&app).unwrap().unwrap();
    let led = |it: &&Tag| store.tag(&app, it).unwrap().as_ref() == Some(&digest);
    assert_eq!(tags.iter().any(|it| led(&it)), there);
    store.remove_manifest(&app, &digest).unwrap();
    let tags = store.tags(&app).unwrap().unwrap();
    let mut kept = other.tags.clone();
    kept.sort();
    assert_eq!(tags, kept);
}
