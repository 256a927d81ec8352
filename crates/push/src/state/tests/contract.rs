//! What holds for every implementation.

use super::*;
use crate::journal::{Journal, Removed, Stored};

/// Both, one after the other.
async fn over_both<F: Future<Output = ()>>(contract: impl Fn(World) -> F) {
    contract(World::memory()).await;
    contract(World::sqlite()).await;
}

#[tokio::test]
async fn what_is_stored_is_taken_by_the_next_once_it_is_let_go() {
    over_both(|world| async move {
        let claim = world.a.claim(blob("x"), SIZE);
        assert_eq!(world.a.take(&claim).await.unwrap(), None);
        for acknowledged in [0, 7, 1 << 20] {
            let stored = world.a.store(&claim, &session(acknowledged)).await.unwrap();
            assert_eq!(stored, Stored::Kept);
        }
        assert_eq!(
            world.b.look(&blob("x")).await.unwrap(),
            None,
            "it is in use"
        );
        world.a.let_go(&claim);
        world.a.settled().await;
        assert_eq!(world.b.look(&blob("x")).await.unwrap(), Some(1 << 20));
        assert_eq!(world.b.look(&blob("y")).await.unwrap(), None);
        let next = world.b.claim(blob("x"), SIZE);
        let taken = world.b.take(&next).await.unwrap();
        assert_eq!(taken, Some(session(1 << 20)), "with all it knew");
    })
    .await;
}

#[tokio::test]
async fn a_session_has_one_owner() {
    over_both(|world| async move {
        let first = world.a.claim(blob("x"), SIZE);
        world.a.store(&first, &session(3)).await.unwrap();
        for other in [&world.a, &world.b] {
            let second = other.claim(blob("x"), SIZE);
            assert_eq!(other.take(&second).await.unwrap(), None);
            let stored = other.store(&second, &session(0)).await.unwrap();
            assert_eq!(stored, Stored::Others);
            assert_eq!(other.renew(&second).await.unwrap(), Stored::Others);
            other.drop_session(&second);
            other.let_go(&second);
            assert_eq!(other.remove(&blob("x")).await.unwrap(), Removed::InUse);
        }
        assert_eq!(world.a.renew(&first).await.unwrap(), Stored::Kept);
        assert_eq!(world.a.list().await.unwrap()[0].acknowledged, 3);
    })
    .await;
}

#[tokio::test]
async fn of_many_that_want_a_session_one_gets_it() {
    over_both(|world| async move {
        let left = world.a.claim(blob("x"), SIZE);
        world.a.store(&left, &session(3)).await.unwrap();
        world.a.let_go(&left);
        world.a.settled().await;
        let claims = (0..20).map(|it| {
            let state = if it % 2 == 0 { &world.a } else { &world.b };
            (state.clone(), state.claim(blob("x"), SIZE))
        });
        let asked = claims.map(|(state, claim)| async move { state.take(&claim).await.unwrap() });
        let taken = futures_util::future::join_all(asked).await;
        assert_eq!(taken.iter().flatten().count(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_is_silent_for_a_minute_may_be_replaced_and_then_knows_it() {
    over_both(|world| async move {
        let first = world.a.claim(blob("x"), SIZE);
        world.a.store(&first, &session(3)).await.unwrap();
        world.passes(LEASE);
        assert_eq!(world.a.renew(&first).await.unwrap(), Stored::Kept);
        world.passes(LEASE);
        let second = world.b.claim(blob("x"), SIZE);
        assert_eq!(world.b.take(&second).await.unwrap(), None, "not before");
        world.passes(1);
        assert_eq!(world.b.take(&second).await.unwrap(), Some(session(3)));
        assert_eq!(world.a.renew(&first).await.unwrap(), Stored::Others);
        let stored = world.a.store(&first, &session(9)).await.unwrap();
        assert_eq!(stored, Stored::Others);
        world.a.drop_session(&first);
        world.a.settled().await;
        assert_eq!(
            world.b.store(&second, &session(4)).await.unwrap(),
            Stored::Kept
        );
        assert_eq!(world.b.list().await.unwrap()[0].acknowledged, 4);
    })
    .await;
}

#[tokio::test]
async fn a_session_is_kept_for_six_days() {
    over_both(|world| async move {
        let claim = world.a.claim(blob("x"), SIZE);
        world.a.store(&claim, &session(3)).await.unwrap();
        world.a.let_go(&claim);
        world.a.settled().await;
        world.passes(LIFE);
        assert_eq!(world.b.look(&blob("x")).await.unwrap(), Some(3));
        world.passes(1);
        assert_eq!(world.b.look(&blob("x")).await.unwrap(), None);
        assert_eq!(world.b.list().await.unwrap(), []);
        let late = world.b.claim(blob("x"), SIZE);
        assert_eq!(world.b.take(&late).await.unwrap(), None);
        assert_eq!(world.b.remove(&blob("x")).await.unwrap(), Removed::Nothing);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_of_the_blob_is_not_gone_on_with() {
    over_both(|world| async move {
        for (size, acknowledged) in [(SIZE + 1, 3), (SIZE, SIZE + 1)] {
            let claim = world.a.claim(blob("x"), size);
            world.a.store(&claim, &session(acknowledged)).await.unwrap();
            world.a.let_go(&claim);
            world.a.settled().await;
            let next = world.b.claim(blob("x"), SIZE);
            assert_eq!(world.b.take(&next).await.unwrap(), None);
            assert_eq!(world.b.list().await.unwrap(), []);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_committed_is_dropped_and_can_be_begun_again() {
    over_both(|world| async move {
        let claim = world.a.claim(blob("x"), SIZE);
        world.a.store(&claim, &session(3)).await.unwrap();
        world.a.drop_session(&claim);
        assert_eq!(world.a.list().await.unwrap(), []);
        assert_eq!(world.a.renew(&claim).await.unwrap(), Stored::Gone);
        assert_eq!(
            world.a.store(&claim, &session(0)).await.unwrap(),
            Stored::Kept
        );
        world.a.let_go(&claim);
        world.a.settled().await;
        let removed = world.b.remove(&blob("x")).await.unwrap();
        assert_eq!(removed, Removed::Session(session(0)));
        assert_eq!(world.b.remove(&blob("x")).await.unwrap(), Removed::Nothing);
    })
    .await;
}

#[tokio::test]
async fn a_list_says_all_but_the_location() {
    over_both(|world| async move {
        let claims = ["x", "y"].map(|it| world.a.claim(blob(it), SIZE));
        for claim in &claims {
            world.a.store(claim, &session(3)).await.unwrap();
        }
        world.a.let_go(&claims[0]);
        world.a.settled().await;
        world.passes(1000);
        world.a.renew(&claims[1]).await.unwrap();
        let listed = world.b.list().await.unwrap();
        let mut of_y: Vec<_> = listed.iter().filter(|it| it.blob == blob("y")).collect();
        let y = of_y.pop().unwrap();
        assert_eq!((y.size, y.acknowledged, y.in_use), (SIZE, 3, true));
        assert_eq!((y.opened, y.touched), (time(START), time(START + 1000)));
        assert_eq!(listed.len(), 2);
        assert!(listed.iter().any(|it| it.blob == blob("x") && !it.in_use));
        let text = format!("{listed:?} {claims:?} {:?}", world.a);
        assert!(!text.contains("canary"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn facts_are_shared_until_a_host_is_forgotten() {
    over_both(|world| async move {
        let (a, b) = (&world.a, &world.b);
        a.put_host_fact("one.test", "chunks", "no").await.unwrap();
        world.passes(5);
        a.put_host_fact("one.test", "chunks", "yes").await.unwrap();
        a.put_host_fact("two.test", "chunks", "no").await.unwrap();
        let fact = b.host_fact("one.test", "chunks").await.unwrap().unwrap();
        assert_eq!((fact.value.as_str(), fact.seen), ("yes", time(START + 5)));
        assert_eq!(b.host_fact("one.test", "other").await.unwrap(), None);
        assert_eq!(b.host_facts().await.unwrap().len(), 2);
        assert_eq!(b.forget_host("one.test").await.unwrap(), 1);
        assert_eq!(b.forget_host("one.test").await.unwrap(), 0);
        assert_eq!(a.host_fact("one.test", "chunks").await.unwrap(), None);
        assert_eq!(a.host_facts().await.unwrap()[0].host, "two.test");
        let several = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        b.put_host_facts("two.test", several.to_vec())
            .await
            .unwrap();
        let of_two = a.facts_of_host("two.test").await.unwrap();
        let shown: Vec<_> = of_two.iter().map(|it| (&*it.key, &*it.value)).collect();
        assert_eq!(shown, [("a", "1"), ("b", "2"), ("chunks", "no")]);
        assert_eq!(a.facts_of_host("one.test").await.unwrap(), []);
        let long = "x".repeat(4097);
        let error = a
            .put_host_fact("one.test", "chunks", &long)
            .await
            .unwrap_err();
        assert!(matches!(error, StateError::TooLong { limit: 4096, .. }));
        let some_too_long = vec![("c".to_owned(), "3".to_owned()), ("d".to_owned(), long)];
        let error = a.put_host_facts("two.test", some_too_long).await;
        assert!(matches!(error, Err(StateError::TooLong { .. })));
        assert_eq!(a.host_fact("two.test", "c").await.unwrap(), None);
        for (days, left) in [(90, 3), (1, 0)] {
            world.passes(days * 24 * 60 * 60 * 1000 - 5 * u64::from(days == 90));
            let purge = |table: &mut dyn Table, now: &Now<'_>| table.purge(now);
            b.run(Access::Write, purge).await.unwrap();
            assert_eq!(a.host_facts().await.unwrap().len(), left);
        }
    })
    .await;
}

#[tokio::test]
async fn a_pause_holds_for_all_and_only_grows() {
    over_both(|world| async move {
        let (a, b) = (&world.a, &world.b);
        assert_eq!(b.pause_until("one.test").await.unwrap(), None);
        a.pause("one.test", time(START + 500)).await.unwrap();
        b.pause("one.test", time(START + 400)).await.unwrap();
        let until = b.pause_until("one.test").await.unwrap();
        assert_eq!(until, Some(time(START + 500)));
        assert_eq!(b.pause_until("two.test").await.unwrap(), None);
        world.passes(499);
        assert!(b.pause_until("one.test").await.unwrap().is_some());
        world.passes(1);
        assert_eq!(b.pause_until("one.test").await.unwrap(), None);
    })
    .await;
}

/// A pause of a minute is not one of a year because the clock was ahead when it was asked for.
#[tokio::test]
async fn p11_a_pause_ends_though_the_clock_is_set_back() {
    over_both(|world| async move {
        let (a, b) = (&world.a, &world.b);
        let year = 365 * 24 * 3_600_000;
        world.passes(year);
        let until = time(START + year + 60_000);
        a.pause("one.test", until).await.unwrap();
        assert_eq!(b.pause_until("one.test").await.unwrap(), Some(until));
        world.clock.store(START, Ordering::Relaxed);
        assert_eq!(b.pause_until("one.test").await.unwrap(), None);
        a.pause("one.test", time(START + 500)).await.unwrap();
        let until = b.pause_until("one.test").await.unwrap();
        assert_eq!(until, Some(time(START + 500)));
        // The longest that is asked for is.
        let hours = time(START + 6 * 3_600_000);
        a.pause("one.test", hours).await.unwrap();
        assert_eq!(b.pause_until("one.test").await.unwrap(), Some(hours));
    })
    .await;
}

/// Whoever opens a database does not read all of it: what is outdated is looked for once an hour.
#[tokio::test]
async fn what_has_outlived_its_use_is_looked_for_once_an_hour() {
    over_both(|world| async move {
        let (a, b) = (&world.a, &world.b);
        let day = 24 * 3_600_000;
        a.put_host_fact("one.test", "chunks", "no").await.unwrap();
        b.run(Access::Write, table::tidy).await.unwrap();
        world.passes(90 * day + 1);
        a.put_host_fact("two.test", "chunks", "no").await.unwrap();
        b.run(Access::Write, table::tidy).await.unwrap();
        assert_eq!(a.host_facts().await.unwrap().len(), 1);
        a.run(Access::Write, |table, _| {
            table.put_fact(&table::Fact {
                host: "old.test".to_owned(),
                key: "chunks".to_owned(),
                value: "no".to_owned(),
                seen: START,
            })
        })
        .await
        .unwrap();
        b.run(Access::Write, table::tidy).await.unwrap();
        assert_eq!(a.host_facts().await.unwrap().len(), 2, "not yet again");
        world.passes(3_600_001);
        b.run(Access::Write, table::tidy).await.unwrap();
        assert_eq!(a.host_facts().await.unwrap().len(), 1);
        // No clock that was set back is waited for.
        world.clock.store(START + 200 * day, Ordering::Relaxed);
        b.run(Access::Write, table::tidy).await.unwrap();
        world.clock.store(START + 190 * day, Ordering::Relaxed);
        b.run(Access::Write, table::tidy).await.unwrap();
        assert_eq!(a.host_facts().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn p11_no_two_have_the_same_turn_and_none_is_long_ago() {
    over_both(|world| async move {
        let (a, b) = (&world.a, &world.b);
        let turn = Duration::from_micros(1500);
        // Whole milliseconds, not one too few.
        for (state, from) in [(a, 0), (b, 2), (b, 4), (a, 6)] {
            let begins = state.take_turns("http://one.test", turn).await.unwrap();
            assert_eq!(begins, time(START + from));
        }
        let other = b.take_turns("http://two.test", turn).await.unwrap();
        assert_eq!(other, time(START));
        world.passes(100);
        for (state, from) in [(a, 100), (b, 102)] {
            let begins = state.take_turns("http://one.test", turn).await.unwrap();
            assert_eq!(begins, time(START + from));
        }
        // A turn is no pause.
        assert_eq!(a.pause_until("http://one.test").await.unwrap(), None);
        // Nobody waits for a clock that was set back.
        a.pause("turns http://one.test", time(START + 365 * 24 * 3_600_000))
            .await
            .unwrap();
        let begins = b.take_turns("http://one.test", turn).await.unwrap();
        assert_eq!(begins, time(START + 100));
    })
    .await;
}
