//! What holds for every implementation of the index; then what only a file has.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Instant,
};

use oci::{MediaType, Registry, Repository};

use super::*;
use crate::{
    compose::MemorySource,
    index::{
        BlobIndex, Evidence, Location, MOST_LOCATIONS, PAGE, Selection, Sight, Sighting,
        Substitution, VerifiedPair, candidates,
    },
    journal::Journal,
};

/// Both, one after the other.
async fn over_both<F: Future<Output = ()>>(contract: impl Fn(World) -> F) {
    contract(World::memory()).await;
    contract(World::sqlite()).await;
}

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn registry(name: &str) -> Registry {
    name.parse().unwrap()
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Seen so many seconds after the start.
fn at(seconds: u64, name: &str, sight: Sight) -> Sighting {
    Sighting {
        repository: repository(name),
        sight,
        at: time(START + seconds * 1000),
    }
}

fn present(blob: &str, by: Evidence) -> Sight {
    Sight::Present {
        digest: digest(blob),
        size: 7,
        by,
    }
}

fn pushed(blob: &str) -> Sight {
    present(blob, Evidence::Pushed)
}

fn gone(blob: &str) -> Sight {
    Sight::Gone {
        digest: digest(blob),
    }
}

async fn here(index: &State, blob: &str) -> Vec<Location> {
    let located = index.locate(&registry("r.test"), &[digest(blob)]).await;
    located.unwrap().remove(0).here
}

/// Places and how many seconds after the start, those that are gone with a `!`.
async fn places(index: &State, blob: &str) -> Vec<String> {
    let since = |it: SystemTime| (millis(it) - START) / 1000;
    let found = here(index, blob).await.into_iter();
    found
        .map(|it| {
            let gone = if it.held.is_none() { "!" } else { "" };
            format!("{gone}{} {}", it.repository, since(it.at))
        })
        .collect()
}

#[tokio::test]
async fn i1_what_is_recorded_is_found_and_recording_again_refreshes_the_time() {
    over_both(|world| async move {
        world.passes(1_000_000);
        let (a, b) = (&world.a, &world.b);
        let news = a
            .record(vec![at(1, "r.test/a", pushed("x"))])
            .await
            .unwrap();
        assert_eq!(news, 1);
        let found = here(b, "x").await;
        let expected = Location {
            digest: digest("x"),
            repository: repository("r.test/a"),
            held: Some((7, Evidence::Pushed)),
            at: time(START + 1000),
            denied: None,
        };
        assert_eq!(found, [expected]);
        assert_eq!(here(b, "y").await, []);
        b.record(vec![at(5, "r.test/a", pushed("x"))])
            .await
            .unwrap();
        assert_eq!(places(a, "x").await, ["r.test/a 5"]);
        let older = a.record(vec![at(2, "r.test/a", gone("x"))]).await.unwrap();
        assert_eq!(
            (older, places(a, "x").await),
            (0, vec!["r.test/a 5".to_owned()])
        );
        a.record_soon(vec![at(6, "r.test/a", gone("x"))]);
        a.settled().await;
        assert_eq!(places(b, "x").await, ["!r.test/a 6"]);
        // Nothing was seen later than now.
        let ahead = at(900_000_000, "r.test/a", pushed("x"));
        a.record(vec![ahead]).await.unwrap();
        assert_eq!(places(b, "x").await, ["r.test/a 1000"]);
    })
    .await;
}

#[tokio::test]
async fn i3_what_is_there_comes_before_what_is_gone_then_the_newest_and_no_more_than_enough() {
    over_both(|world| async move {
        world.passes(1_000_000);
        let index = &world.a;
        let mut sightings = vec![
            at(1, "r.test/b", pushed("x")),
            at(2, "r.test/a", pushed("x")),
            at(2, "r.test/c", pushed("x")),
            at(9, "r.test/d", gone("x")),
            at(9, "other.test/d", pushed("x")),
        ];
        index.record(sightings.clone()).await.unwrap();
        let expected = ["r.test/a 2", "r.test/c 2", "r.test/b 1", "!r.test/d 9"];
        assert_eq!(places(index, "x").await, expected);
        let asked = [digest("y"), digest("x")];
        let located = index.locate(&registry("r.test"), &asked).await.unwrap();
        assert_eq!(located[0], crate::index::Located::default());
        assert_eq!(
            located[1].elsewhere[0].repository,
            repository("other.test/d")
        );
        let many = (0..40).map(|it| at(10 + it, &format!("r.test/n{it}"), pushed("x")));
        sightings = many.collect();
        index.record(sightings).await.unwrap();
        let places = places(index, "x").await;
        assert_eq!(
            (places.len(), &*places[0]),
            (MOST_LOCATIONS, "r.test/n39 49")
        );
        // More than go into one statement.
        let blobs: Vec<String> = (0..150).map(|it| format!("blob-{it}")).collect();
        let all = blobs.iter().map(|it| at(1, "r.test/a", pushed(it)));
        index.record(all.collect()).await.unwrap();
        let digests: Vec<Digest> = blobs.iter().map(|it| digest(it)).collect();
        let located = index.locate(&registry("r.test"), &digests).await.unwrap();
        let found = located.iter().map(|it| &it.here[0].digest);
        assert!(found.eq(digests.iter()));
    })
    .await;
}

#[tokio::test]
async fn i3_what_was_denied_is_on_hold_until_something_is_read() {
    over_both(|world| async move {
        world.passes(1_000_000);
        let index = &world.a;
        let denied = |seconds| at(seconds, "r.test/a", Sight::Denied);
        index
            .record(vec![at(1, "r.test/a", pushed("x")), denied(2)])
            .await
            .unwrap();
        assert_eq!(here(index, "x").await[0].denied, Some(time(START + 2000)));
        assert_eq!(index.record(vec![denied(1)]).await.unwrap(), 0, "older");
        // What was seen before it is no sign of anything, nor is what is gone.
        let missing = at(3, "r.test/a", gone("y"));
        let earlier = at(1, "r.test/a", pushed("z"));
        index.record(vec![missing, earlier]).await.unwrap();
        assert!(here(index, "y").await[0].denied.is_some());
        index
            .record(vec![at(4, "r.test/a", pushed("z"))])
            .await
            .unwrap();
        assert!(here(index, "x").await[0].denied.is_none());
    })
    .await;
}

#[tokio::test]
async fn i3_lists_are_ordered_and_paged_and_what_is_meant_can_be_forgotten() {
    over_both(|world| async move {
        world.passes(1_000_000);
        let index = &world.a;
        let many: Vec<Sighting> = (0..PAGE as u64 + 10)
            .map(|it| {
                at(
                    it % 7,
                    &format!("r.test/n{it}"),
                    pushed(&format!("{}", it % 50)),
                )
            })
            .collect();
        index.record(many.clone()).await.unwrap();
        let special = [
            at(1, "other.test/a", Sight::Denied),
            at(1, "r.test/n1", Sight::Denied),
            at(1, "other.test/a", gone("1")),
        ];
        index.record(special.to_vec()).await.unwrap();
        let first = index.page(&Selection::all(), None).await.unwrap();
        assert_eq!(first.len(), PAGE);
        let rest = index.page(&Selection::all(), first.last()).await.unwrap();
        let all: Vec<Sighting> = [first, rest].concat();
        assert_eq!(all.len(), PAGE + 13);
        assert!(all.is_sorted_by_key(Sighting::order));
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert!(lines.is_sorted(), "also as text");
        for (selection, count) in [
            (Selection::repository(repository("R.test/n1")), 2),
            (Selection::digest(digest("1")), 21),
            (Selection::registry(registry("other.test:443")), 1),
            (Selection::registry(registry("third.test")), 0),
        ] {
            let listed = index.page(&selection, None).await.unwrap();
            assert_eq!(listed.len(), count, "{selection:?}");
            assert!(listed.iter().all(|it| selection.contains(it)));
            assert_eq!(index.forget(&selection).await.unwrap(), count);
            assert_eq!(index.page(&selection, None).await.unwrap(), []);
        }
    })
    .await;
}

#[tokio::test]
async fn i3_what_was_seen_before_a_time_can_be_pruned_and_is_not_kept_for_ever() {
    over_both(|world| async move {
        world.passes(1_000_000);
        let index = &world.a;
        let seen = ["a", "b", "c"].into_iter().zip(1..);
        let seen = seen.map(|(it, seconds)| at(seconds, &format!("r.test/{it}"), pushed("x")));
        index.record(seen.collect()).await.unwrap();
        index
            .record(vec![at(1, "r.test/d", Sight::Denied)])
            .await
            .unwrap();
        assert_eq!(index.prune(time(START + 2000)).await.unwrap(), 2);
        assert_eq!(places(index, "x").await, ["r.test/c 3", "r.test/b 2"]);
        world.passes(90 * 24 * 60 * 60 * 1000 + 2500 - 1_000_000);
        let purge = |table: &mut dyn Table, now: &Now<'_>| table.purge(now);
        world.b.run(Access::Write, purge).await.unwrap();
        assert_eq!(places(index, "x").await, ["r.test/c 3"]);
    })
    .await;
}

/// What was noted under a clock that was ahead is in nobody's way when it is put right.
#[tokio::test]
async fn i1_a_clock_that_is_set_back_leaves_nothing_that_cannot_be_replaced() {
    const YEAR: u64 = 365 * 24 * 3_600_000;
    over_both(|world| async move {
        world.passes(YEAR);
        let index = &world.a;
        let ahead = YEAR / 1000;
        let sights = [
            at(ahead, "r.test/a", pushed("x")),
            at(ahead, "r.test/b", gone("x")),
            at(ahead, "r.test/c", pushed("x")),
            at(ahead, "r.test/c", Sight::Denied),
            at(ahead, "r.test/d", Sight::Denied),
        ];
        assert_eq!(index.record(sights.to_vec()).await.unwrap(), 5);
        world.clock.store(START + 1_000_000, Ordering::Relaxed);
        let now = [
            at(10, "r.test/a", gone("x")),
            at(11, "r.test/b", present("x", Evidence::Answered)),
            at(12, "r.test/c", present("x", Evidence::Answered)),
            at(13, "r.test/d", Sight::Denied),
        ];
        assert_eq!(index.record(now.to_vec()).await.unwrap(), 4);
        let expected = ["r.test/c 12", "r.test/b 11", "!r.test/a 10"];
        assert_eq!(places(index, "x").await, expected);
        assert!(here(index, "x").await.iter().all(|it| it.denied.is_none()));
        let kept = index.page(&Selection::all(), None).await.unwrap();
        let denied = kept.iter().filter(|it| it.sight == Sight::Denied);
        assert!(denied.eq(&[at(13, "r.test/d", Sight::Denied)]));
        // From now on it is as ever.
        assert_eq!(index.record(now.to_vec()).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn i7_registries_are_compared_by_what_they_mean() {
    over_both(|world| async move {
        world.passes(1_000_000);
        let index = &world.a;
        for (kept, asked, repository) in [
            ("R.Test:443/team/app", "r.test", "r.test/team/app"),
            (
                "registry-1.docker.io/library/alpine",
                "docker.io",
                "docker.io/library/alpine",
            ),
            ("localhost:80/a", "LOCALHOST", "localhost/a"),
            ("localhost/b", "localhost:80", "localhost/b"),
        ] {
            let blob = format!("of {kept}");
            index
                .record(vec![at(1, kept, pushed(&blob))])
                .await
                .unwrap();
            let located = index.locate(&registry(asked), &[digest(&blob)]).await;
            let located = located.unwrap().remove(0);
            assert_eq!(located.elsewhere, [], "{kept}");
            assert_eq!(located.here[0].repository.to_string(), repository);
        }
        let other = (registry("localhost:5000"), [digest("of localhost/b")]);
        let other = index.locate(&other.0, &other.1).await.unwrap();
        assert_eq!((&other[0].here[..], other[0].elsewhere.len()), (&[][..], 1));
    })
    .await;
}

/// Has one blob under every name.
#[derive(Debug)]
struct Misnamed(MemorySource, oci::Descriptor);

#[async_trait::async_trait]
impl oci::Source for Misnamed {
    async fn root(&self) -> Result<oci::Document, oci::SourceError> {
        self.0.root().await
    }

    async fn document(&self, it: &oci::Descriptor) -> Result<oci::Document, oci::SourceError> {
        self.0.document(it).await
    }

    async fn open(
        &self,
        _blob: &oci::Descriptor,
        offset: u64,
    ) -> Result<oci::BlobStream, oci::SourceError> {
        self.0.open(&self.1, offset).await
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn i6_one_blob_stands_for_another_only_where_both_were_read_and_the_caller_allows_it() {
    over_both(|world| async move {
        world.passes(1_000_000);
        let index = &world.a;
        let content = b"a layer ".repeat(1000);
        let (source, gzip) =
            MemorySource::new().with_blob(MediaType::OCI_LAYER_GZIP, gzip(&content));
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        let (source, zstd) = source.with_blob(MediaType::OCI_LAYER_ZSTD, zstd);
        let (source, tar) = source.with_blob(MediaType::OCI_LAYER, content);
        assert_eq!(VerifiedPair::verify(&tar, &source).await.unwrap(), None);
        let mut held = Vec::new();
        for blob in [&gzip, &zstd] {
            let pair = VerifiedPair::verify(blob, &source).await.unwrap().unwrap();
            assert_eq!((pair.blob(), pair.content()), (&blob.digest, &tar.digest));
            index.record_pair(&pair).await.unwrap();
            let sight = Sight::Present {
                digest: blob.digest.clone(),
                size: blob.size,
                by: Evidence::Pushed,
            };
            held.push(at(1, "r.test/a", sight));
        }
        index.record(held.clone()).await.unwrap();
        let ask = |digest: Digest, how: Substitution| async move {
            let found = candidates(index, &registry("r.test"), &digest, how, 4)
                .await
                .unwrap();
            found.into_iter().map(|it| it.digest).collect::<Vec<_>>()
        };
        let (one, other) = (gzip.digest.clone(), zstd.digest.clone());
        assert_eq!(
            ask(one.clone(), Substitution::Never).await,
            vec![one.clone()]
        );
        let both = [one.clone(), other.clone()];
        assert_eq!(ask(one.clone(), Substitution::SameContent).await, both);
        let of_tar = ask(tar.digest.clone(), Substitution::SameContent).await;
        assert_eq!(of_tar.len(), 2);
        assert_eq!(ask(tar.digest.clone(), Substitution::Never).await, []);
        // A blob that is not what its name says makes no pair.
        let altered = oci::Descriptor::new(MediaType::OCI_LAYER_GZIP, digest("other"), gzip.size);
        let source = Misnamed(source, gzip.clone());
        assert!(VerifiedPair::verify(&altered, &source).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn i4_a_file_of_the_format_before_gets_the_index_and_loses_nothing() {
    let (_directory, path) = in_directory();
    let claim = {
        let state = opened(&path);
        let claim = state.claim(blob("x"), SIZE);
        state.store(&claim, &session(3)).await.unwrap();
        state
            .put_host_fact("one.test", "chunks", "no")
            .await
            .unwrap();
        claim
    };
    sqlite::tests::execute(
        &path,
        "DROP TABLE location; DROP TABLE hold; DROP TABLE content; PRAGMA user_version = 1",
    );
    let state = opened(&path);
    state
        .record(vec![at(1, "r.test/a", pushed("x"))])
        .await
        .unwrap();
    assert_eq!(here(&state, "x").await.len(), 1);
    let kept = state.host_fact("one.test", "chunks").await.unwrap();
    assert!(kept.is_some_and(|it| it.value == "no"));
    let listed = state.list().await.unwrap();
    assert_eq!(listed[0].blob, claim.blob);
}

/// A process that has the file and does not let go is waited for once, not at every write of a push;
/// what is read is read meanwhile.
#[tokio::test]
async fn i4_a_writer_that_does_not_let_go_is_waited_for_once() {
    let (_directory, path) = in_directory();
    let fact = || vec![at(1, "r.test/a", pushed("x"))];
    drop(opened(&path));
    let held = sqlite::tests::execute(&path, "BEGIN IMMEDIATE");
    let state = opened(&path);
    let begun = Instant::now();
    assert!(here(&state, "x").await.is_empty());
    let read = begun.elapsed();
    state.record(fact()).await.unwrap_err();
    let once = begun.elapsed();
    for _ in 0..5 {
        state.record(fact()).await.unwrap_err();
    }
    let often = begun.elapsed();
    assert!(
        read < once / 2,
        "{read:?} {once:?}: nothing was to be written"
    );
    assert!(often < 2 * once, "{once:?} {often:?}");
    drop(held);
    assert_eq!(state.record(fact()).await.unwrap(), 1);
}

const HOLDER: &str = "LONGSHORE_TEST_HOLDS_THE_LOCK_OF";

/// Not a test of its own: the process that is killed in the test below.
#[test]
fn holds_a_lock_where_another_test_says_so() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test speaks to its own child so"
    )]
    let Ok(path) = std::env::var(HOLDER) else {
        return;
    };
    let begin = "BEGIN IMMEDIATE; INSERT INTO pause VALUES ('never.test', 1)";
    let _open = sqlite::tests::execute(Path::new(&path), begin);
    println!("holding");
    std::thread::sleep(Duration::from_mins(10));
}

#[tokio::test]
async fn i4_a_writer_that_is_killed_blocks_others_for_no_more_than_a_second() {
    // Where processors or disks are busy it takes longer now and then; who waits by itself for
    // longer does so every time.
    let mut tooks = Vec::new();
    while tooks.last().is_none_or(|it| *it > Duration::from_secs(1)) {
        assert!(tooks.len() < 5, "{tooks:?}");
        tooks.push(written_after_a_killed_writer().await);
    }
}

/// How long after the end of the writer.
async fn written_after_a_killed_writer() -> Duration {
    let (_directory, path) = in_directory();
    let state = opened(&path);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "state::tests::index::holds_a_lock_where_another_test_says_so",
        ])
        .env(HOLDER, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|it| it.unwrap().contains("holding")));
    let mut writing = Box::pin(state.record(vec![at(1, "r.test/a", pushed("x"))]));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut writing).await;
    assert!(early.is_err(), "it does hold the lock");
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    assert_eq!(writing.await.unwrap(), 1);
    let took = killed.elapsed();
    assert_eq!(state.pause_until("never.test").await.unwrap(), None);
    took
}
