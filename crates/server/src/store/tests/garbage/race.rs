//! Many clients at once while garbage is collected without a break and time flies: what one of
//! them was told is there stays there for as long as the grace says.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::*;

const REPOSITORIES: [&str; 3] = ["app", "other", "team/third"];
const CONTENTS: usize = 6;
const WORKERS: u64 = 4;
const GRACE: Duration = Duration::from_hours(24);
/// What a client was told, and at what time at the latest it was told.
#[derive(Default)]
struct Told {
    blobs: HashMap<(&'static str, usize), SystemTime>,
    manifests: HashMap<(&'static str, usize, usize), SystemTime>,
}

/// A client, with what it draws its next step from.
struct Client<'a> {
    kept: &'a Kept,
    /// So much time passes with each step of it.
    tick: Duration,
    random: fastrand::Rng,
    told: Told,
}

fn content(which: usize) -> Vec<u8> {
    format!("content {which}").into_bytes()
}

/// A manifest of two blobs.
fn pair(one: usize, two: usize) -> NewManifest {
    image(&[&content(one), &content(two)], &[], None)
}

impl Client<'_> {
    fn step(&mut self) {
        let repository = REPOSITORIES[self.random.usize(..REPOSITORIES.len())];
        let which = self.random.usize(..CONTENTS);
        let (store, name) = (&self.kept.store, name(repository));
        let digest = Digest::of(&content(which));
        // What is promised is promised from before the answer, so that it is no more than that.
        let asked = *self.kept.now.lock().unwrap();
        let is_told = match self.random.u8(..5) {
            0 => {
                commit(store, repository, &content(which));
                true
            }
            1 => store.blob(&name, &digest).unwrap().is_some(),
            2 => {
                let found = store.open(&name, &digest).unwrap();
                let is_there = found.is_some();
                let bytes = found.map(whole);
                assert!(bytes.is_none_or(|it| it == content(which)));
                is_there
            }
            3 => {
                let from = REPOSITORIES[self.random.usize(..REPOSITORIES.len())];
                store.mount(&super::name(from), &name, &digest).unwrap()
            }
            _ => {
                let other = self.random.usize(..CONTENTS);
                let manifest = pair(which, other);
                let put = store.put_manifest(&name, &manifest).unwrap();
                if put == Put::Stored {
                    let key = (repository, which, other);
                    self.told.manifests.insert(key, asked);
                    self.told.blobs.insert((repository, other), asked);
                }
                put == Put::Stored
            }
        };
        if is_told {
            self.told.blobs.insert((repository, which), asked);
        }
        *self.kept.now.lock().unwrap() += self.tick;
    }

    /// Looks at all it was told of, without asking for any of it. How much was held to.
    fn check(&mut self) -> usize {
        let mut checked = 0;
        let has_grace = |told: SystemTime| {
            // Looked at after the list was read: what was promised until then was in it.
            let now = *self.kept.now.lock().unwrap();
            now < told + GRACE
        };
        for (&(repository, which), &told) in &self.told.blobs {
            let is_there = self.kept.holds(repository, &content(which));
            if has_grace(told) {
                assert!(is_there, "{which} of {repository}");
                checked += 1;
            }
        }
        for (&(repository, one, two), &told) in &self.told.manifests {
            let (store, name) = (&self.kept.store, name(repository));
            let is_there = store.has_manifest(&name, &pair(one, two).digest).unwrap();
            if has_grace(told) {
                assert!(is_there, "{one} and {two} of {repository}");
                checked += 1;
            }
            // What a manifest refers to is there for as long as the manifest is: it is looked at
            // first, and again after them.
            let held = [one, two].map(|it| self.kept.holds(repository, &content(it)));
            let still = store.has_manifest(&name, &pair(one, two).digest).unwrap();
            if is_there && still && has_grace(told) {
                assert_eq!(held, [true, true], "of {one} and {two} of {repository}");
            }
        }
        checked
    }
}

fn race(kept: &Kept, tick: Duration, steps: usize) {
    let rules = Rules {
        untagged: true,
        ..KEEP_UNTAGGED
    };
    let (working, removed, checked) = (
        AtomicUsize::new(1),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while working.load(Ordering::Acquire) > 0 && !failed.load(Ordering::Acquire) {
                let collected = kept.collect(&rules);
                let gone = collected.blobs + collected.manifests;
                removed.fetch_add(usize::try_from(gone).unwrap(), Ordering::Relaxed);
            }
        });
        let clients: Vec<_> = (0..WORKERS)
            .map(|seed| {
                working.fetch_add(1, Ordering::AcqRel);
                let (working, checked, failed) = (&working, &checked, &failed);
                scope.spawn(move || {
                    let ended = Ended(working, failed);
                    let mut client = Client {
                        kept,
                        tick,
                        random: fastrand::Rng::with_seed(seed),
                        told: Told::default(),
                    };
                    for _ in 0..steps {
                        client.step();
                        checked.fetch_add(client.check(), Ordering::Relaxed);
                    }
                    drop(ended);
                })
            })
            .collect();
        for it in clients {
            it.join().unwrap();
        }
        working.fetch_sub(1, Ordering::AcqRel);
    });
    let (removed, checked) = (removed.into_inner(), checked.into_inner());
    assert!(checked > steps, "only {checked} promises were looked at");
    assert!(removed > 10, "only {removed} went");
}

/// A client that is through, also if it failed.
struct Ended<'a>(&'a AtomicUsize, &'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.1.fetch_or(thread::panicking(), Ordering::AcqRel);
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[test]
fn nothing_that_was_promised_goes_while_many_push_and_garbage_is_collected() {
    race(&Kept::new(false), Duration::from_mins(40), 300);
}

/// On a disk each step takes longer, so that more time passes with it.
#[test]
fn nothing_that_was_promised_goes_in_a_directory_either() {
    race(&Kept::new(true), Duration::from_mins(90), 60);
}

/// Asking costs no write each time, and takes nothing from what was promised.
#[test]
fn who_asks_early_has_all_of_the_grace_from_then_on() {
    for kept in Kept::both() {
        let digest = commit(&kept.store, "app", b"content");
        kept.pass(HOUR);
        assert!(kept.store.blob(&name("app"), &digest).unwrap().is_some());
        kept.pass(Duration::from_secs(24 * 60 * 60 - 1));
        kept.collect(&KEEP_UNTAGGED);
        assert!(kept.holds("app", b"content"));
    }
}
