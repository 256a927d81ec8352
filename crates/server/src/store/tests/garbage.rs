//! What goes, what stays, and what happens to who comes in between; with a clock that is driven.

#[cfg(test)]
mod race;

use std::{fs, ops::ControlFlow, sync::Mutex, time::SystemTime};

use super::*;
use crate::store::children::Kind;

const HOUR: Duration = Duration::from_hours(1);
const KEEP_UNTAGGED: Rules = Rules {
    untagged: false,
    dry_run: false,
    idle: HOUR,
};

/// A store with a grace period of 24 hours, and its clock.
struct Kept {
    store: Arc<dyn Store>,
    now: Arc<Mutex<SystemTime>>,
    dir: Option<TempDir>,
}

impl Kept {
    fn new(in_a_directory: bool) -> Self {
        let now = Arc::new(Mutex::new(SystemTime::now()));
        let told = Arc::clone(&now);
        let clock = Clock::driven(move || *told.lock().unwrap());
        let grace = Grace::new(24 * HOUR, clock);
        let dir = in_a_directory.then(|| TempDir::new().unwrap());
        let store: Arc<dyn Store> = match &dir {
            Some(dir) => Arc::new(Directory::open(dir.path(), grace).unwrap()),
            None => Arc::new(Memory::new(1 << 20, grace)),
        };
        Self { store, now, dir }
    }

    fn both() -> [Self; 2] {
        [Self::new(false), Self::new(true)]
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn collect(&self, rules: &Rules) -> Collected {
        self.collect_beside(rules, &mut || ControlFlow::Continue(()))
            .unwrap()
    }

    fn collect_beside(
        &self,
        rules: &Rules,
        beside: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> io::Result<Collected> {
        let mut collected = Collected::default();
        let garbage = self.store.garbage().unwrap();
        collect(garbage, rules, &mut collected, beside)?;
        Ok(collected)
    }

    fn holds(&self, repository: &str, content: &[u8]) -> bool {
        // What is listed, as asking would begin the grace anew.
        let garbage = self.store.garbage().unwrap();
        let held = garbage.held(&name(repository), collection::Held::Blob);
        held.unwrap().contains(&Digest::of(content))
    }

    fn has(&self, manifest: &NewManifest) -> bool {
        let app = name("app");
        self.store.has_manifest(&app, &manifest.digest).unwrap()
    }

    fn put(&self, manifest: &NewManifest) -> Put {
        self.store.put_manifest(&name("app"), manifest).unwrap()
    }
}

/// An image of blobs.
fn image(layers: &[&[u8]], tags: &[&str], subject: Option<&NewManifest>) -> NewManifest {
    let descriptor = |kind: &str, it: &Digest, size: usize| serde_json::json!({"mediaType": kind, "digest": it.to_string(), "size": size});
    let layers: Vec<_> = layers
        .iter()
        .map(|it| descriptor("application/octet-stream", &Digest::of(it), it.len()))
        .collect();
    let mut manifest =
        serde_json::json!({"schemaVersion": 2, "config": layers[0], "layers": layers});
    if let Some(it) = subject {
        let kind = MediaType::OCI_MANIFEST.to_string();
        manifest["subject"] = descriptor(&kind, &it.digest, it.bytes.len());
    }
    document(&manifest.to_string(), MediaType::OCI_MANIFEST, tags)
}

fn index(manifests: &[&NewManifest], tags: &[&str]) -> NewManifest {
    let manifests: Vec<_> = manifests
        .iter()
        .map(|it| {
            serde_json::json!({"mediaType": it.media_type.to_string(),
                "digest": it.digest.to_string(), "size": it.bytes.len()})
        })
        .collect();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests});
    document(&index.to_string(), MediaType::OCI_INDEX, tags)
}

fn document(text: &str, media_type: MediaType, tags: &[&str]) -> NewManifest {
    let bytes = Bytes::from(text.to_owned());
    let document = oci::Document::new(bytes.clone(), Some(&media_type)).unwrap();
    NewManifest {
        digest: Digest::of(&bytes),
        media_type,
        bytes,
        subject: document.subject().map(|it| it.digest.clone()),
        children: children::of(&document),
        ..new_manifest("", tags)
    }
}

#[test]
fn a_blob_that_nothing_refers_to_goes_when_its_grace_is_over() {
    for kept in Kept::both() {
        commit(&kept.store, "app", b"content");
        kept.pass(23 * HOUR);
        assert_eq!(kept.collect(&KEEP_UNTAGGED), Collected::default());
        assert!(kept.holds("app", b"content"));
        kept.pass(3 * HOUR);
        let collected = kept.collect(&KEEP_UNTAGGED);
        assert_eq!(collected.blobs, 1);
        assert_eq!(collected.contents, Tally { count: 1, bytes: 7 });
        assert!(!kept.holds("app", b"content"));
        let app = name("app");
        assert_eq!(
            kept.store.blob(&app, &Digest::of(b"content")).unwrap(),
            None
        );
        assert_eq!(kept.collect(&KEEP_UNTAGGED), Collected::default());
        // It can come again.
        commit(&kept.store, "app", b"content");
        assert!(kept.holds("app", b"content"));
    }
}

#[test]
fn who_asks_for_a_blob_begins_its_grace_anew() {
    type Use = fn(&Kept, &Digest);
    let uses: [Use; 5] = [
        |it, digest| assert!(it.store.blob(&name("app"), digest).unwrap().is_some()),
        |it, digest| drop(it.store.open(&name("app"), digest).unwrap().unwrap()),
        |it, digest| assert!(it.store.mount(&name("app"), &name("b"), digest).unwrap()),
        |it, _| drop(commit(&it.store, "app", b"content")),
        |it, digest| {
            // A mount into the repository of what it has.
            commit(&it.store, "other", b"content");
            assert!(
                it.store
                    .mount(&name("other"), &name("app"), digest)
                    .unwrap()
            );
        },
    ];
    for used in uses {
        for kept in Kept::both() {
            let digest = commit(&kept.store, "app", b"content");
            kept.pass(23 * HOUR);
            used(&kept, &digest);
            kept.pass(23 * HOUR);
            kept.collect(&KEEP_UNTAGGED);
            assert!(kept.holds("app", b"content"));
            kept.pass(3 * HOUR);
            kept.collect(&KEEP_UNTAGGED);
            assert!(!kept.holds("app", b"content"));
        }
    }
}

#[test]
fn what_a_manifest_refers_to_stays_as_long_as_the_manifest() {
    for kept in Kept::both() {
        commit(&kept.store, "app", b"layer");
        commit(&kept.store, "other", b"layer");
        // Nothing tags it, and it stays unless somebody asks for its removal.
        let image = image(&[b"layer"], &[], None);
        assert_eq!(kept.put(&image), Put::Stored);
        kept.pass(1000 * HOUR);
        let collected = kept.collect(&KEEP_UNTAGGED);
        assert_eq!((collected.blobs, collected.contents.count), (1, 0));
        assert!(kept.holds("app", b"layer") && !kept.holds("other", b"layer"));
        assert!(kept.has(&image));
        kept.store
            .remove_manifest(&name("app"), &image.digest)
            .unwrap();
        assert_eq!(kept.collect(&KEEP_UNTAGGED).blobs, 1);
        assert!(!kept.holds("app", b"layer"));
    }
}

#[test]
fn untagged_manifests_go_where_that_is_asked_for() {
    let rules = Rules {
        untagged: true,
        ..KEEP_UNTAGGED
    };
    for kept in Kept::both() {
        for layer in [b"1", b"2", b"3", b"4", b"5"] {
            commit(&kept.store, "app", layer);
        }
        let child = image(&[b"1"], &[], None);
        let tagged = index(&[&child], &["v1"]);
        let signature = image(&[b"2"], &[], Some(&tagged));
        let about_the_signature = image(&[b"3"], &[], Some(&signature));
        let old = image(&[b"4"], &[], None);
        let about_the_old = image(&[b"4", b"1"], &[], Some(&old));
        let young = image(&[b"5"], &[], None);
        let stay = [&child, &tagged, &signature, &about_the_signature, &young];
        for it in [
            &child,
            &tagged,
            &signature,
            &about_the_signature,
            &old,
            &about_the_old,
        ] {
            assert_eq!(kept.put(it), Put::Stored);
        }
        kept.pass(26 * HOUR);
        assert_eq!(kept.put(&young), Put::Stored);
        let dry = kept.collect(&Rules {
            dry_run: true,
            ..rules.clone()
        });
        assert!(kept.has(&old) && kept.holds("app", b"4"));
        let collected = kept.collect(&rules);
        assert_eq!((collected.manifests, collected.blobs), (2, 1));
        assert_eq!(dry.manifests, collected.manifests);
        for it in stay {
            assert!(kept.has(it), "{it:?}");
        }
        assert!(!kept.has(&old) && !kept.has(&about_the_old));
        assert!(kept.holds("app", b"1") && !kept.holds("app", b"4"));
        // Who pulls by digest relies on it too.
        kept.pass(23 * HOUR);
        kept.store.rely_on_manifest(&name("app"), &young.digest);
        kept.pass(2 * HOUR);
        assert_eq!(kept.collect(&rules).manifests, 0);
        assert!(kept.has(&young));
    }
}

#[test]
fn a_dry_run_says_what_a_run_does_and_removes_nothing() {
    for kept in Kept::both() {
        for repository in ["app", "b"] {
            commit(&kept.store, repository, b"content");
        }
        commit(&kept.store, "app", b"other content");
        kept.pass(26 * HOUR);
        let dry_run = Rules {
            dry_run: true,
            ..KEEP_UNTAGGED
        };
        let dry = kept.collect(&dry_run);
        assert_eq!(
            (dry.blobs, dry.contents),
            (
                3,
                Tally {
                    count: 2,
                    bytes: 20
                }
            )
        );
        assert!(kept.holds("app", b"content") && kept.holds("b", b"content"));
        assert_eq!(kept.collect(&KEEP_UNTAGGED), dry);
        assert!(!kept.holds("app", b"content"));
    }
}

/// Whatever a client does between two steps of a run: what it was told holds after the run.
#[test]
fn who_comes_in_between_keeps_what_it_was_told() {
    type Between = fn(&Kept) -> bool;
    let betweens: [Between; 4] = [
        |it| it.put(&image(&[b"a", b"b"], &["v1"], None)) == Put::Stored,
        |it| {
            let (app, both) = (name("app"), [Digest::of(b"a"), Digest::of(b"b")]);
            both.iter()
                .all(|digest| it.store.blob(&app, digest).unwrap().is_some())
        },
        |it| {
            let (app, from) = (name("app"), name("from"));
            let both = [Digest::of(b"a"), Digest::of(b"b")];
            both.iter()
                .all(|digest| it.store.mount(&from, &app, digest).unwrap())
        },
        |it| {
            commit(&it.store, "app", b"a");
            commit(&it.store, "app", b"b");
            true
        },
    ];
    for (between, in_a_directory) in betweens.iter().flat_map(|it| [(it, false), (it, true)]) {
        let mut outcomes = [0, 0];
        for at in 0.. {
            let kept = Kept::new(in_a_directory);
            for repository in ["app", "from"] {
                commit(&kept.store, repository, b"a");
                commit(&kept.store, repository, b"b");
            }
            kept.pass(26 * HOUR);
            let (mut steps, mut told) = (0, None);
            kept.collect_beside(&KEEP_UNTAGGED, &mut || {
                if steps == at {
                    told = Some(between(&kept));
                }
                steps += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
            let Some(told) = told else { break };
            outcomes[usize::from(told)] += 1;
            let app = name("app");
            for content in [b"a", b"b"] {
                let found = kept.store.open(&app, &Digest::of(content)).unwrap();
                assert!(!told || whole(found.unwrap()) == content, "at step {at}");
            }
        }
        assert!(outcomes[1] >= 2, "{outcomes:?}");
    }
}

#[test]
fn a_run_stops_when_it_is_told_to() {
    for kept in Kept::both() {
        commit(&kept.store, "app", b"content");
        kept.pass(26 * HOUR);
        let stopped = kept.collect_beside(&KEEP_UNTAGGED, &mut || ControlFlow::Break(()));
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(kept.holds("app", b"content"));
    }
}

/// It might refer to anything.
#[test]
fn nothing_goes_from_a_repository_with_a_manifest_that_cannot_be_read() {
    let kept = Kept::new(true);
    commit(&kept.store, "app", b"layer");
    commit(&kept.store, "app", b"no layer");
    commit(&kept.store, "other", b"in another");
    let image = image(&[b"layer"], &["v1"], None);
    assert_eq!(kept.put(&image), Put::Stored);
    let root = kept.dir.as_ref().unwrap().path();
    let stored = root.join("blobs/sha256").join(image.digest.encoded());
    fs::write(&stored, "{}").unwrap();
    kept.pass(26 * HOUR);
    let collected = kept.collect(&KEEP_UNTAGGED);
    assert_eq!(collected.unreadable, ["app"]);
    assert_eq!(collected.blobs, 1);
    assert!(kept.holds("app", b"layer") && kept.holds("app", b"no layer"));
    // Putting it again heals it.
    assert_eq!(kept.put(&image), Put::Stored);
    assert_eq!(kept.collect(&KEEP_UNTAGGED).blobs, 1);
    assert!(kept.holds("app", b"layer") && !kept.holds("app", b"no layer"));
}

#[test]
fn what_crashes_left_over_goes() {
    let kept = Kept::new(true);
    let digest = commit(&kept.store, "app", b"content");
    let mut staged = kept.store.stage("in-hand", &ticket("app")).unwrap();
    staged.append(b"content").unwrap();
    drop(kept.store.stage("given-up", &ticket("app")).unwrap());
    let root = kept.dir.as_ref().unwrap().path();
    fs::write(root.join("uploads/given-up/data"), b"12345").unwrap();
    // Linked by nobody: the crash came between.
    fs::write(
        root.join("blobs/sha256").join(Digest::of(b"x").encoded()),
        b"x",
    )
    .unwrap();
    kept.pass(2 * HOUR);
    let collected = kept.collect(&KEEP_UNTAGGED);
    assert_eq!(collected.contents, Tally { count: 1, bytes: 1 });
    assert_eq!(collected.leftovers, Tally { count: 1, bytes: 5 });
    assert!(root.join("uploads/in-hand").exists());
    assert!(!root.join("uploads/given-up").exists());
    staged.commit(&name("app"), &digest).unwrap();
}

/// Where a type says nothing a child of an index may be a manifest or a blob.
#[test]
fn children_are_looked_for_as_what_they_are() {
    for kept in Kept::both() {
        commit(&kept.store, "app", b"blob");
        let child = image(&[b"blob"], &[], None);
        assert_eq!(
            kept.put(&index(&[&child], &["v1"])),
            Put::Missing(vec![child.digest.clone()])
        );
        assert_eq!(
            kept.store.tags(&name("app")).unwrap().unwrap_or_default(),
            []
        );
        let absent = Digest::of(b"absent");
        let wants = |digest: &Digest, kind| {
            let child = Child {
                digest: digest.clone(),
                kind,
            };
            let children = vec![child.clone(), child];
            kept.put(&NewManifest {
                children,
                ..new_manifest("{}", &[])
            })
        };
        let present = Digest::of(b"blob");
        assert_eq!(wants(&present, Kind::Either), Put::Stored);
        assert_eq!(
            wants(&present, Kind::Manifest),
            Put::Missing(vec![present.clone()])
        );
        assert_eq!(wants(&absent, Kind::Foreign), Put::Stored);
        assert_eq!(
            wants(&absent, Kind::Blob),
            Put::Missing(vec![absent.clone()])
        );
    }
}
