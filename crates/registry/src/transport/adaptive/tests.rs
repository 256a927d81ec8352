//! The limit as it goes up and down, against a host that bears so many and no more.

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

/// As many places as there are now.
fn fill(limit: &Arc<Adaptive>) -> Vec<Place> {
    std::iter::from_fn(|| limit.place().now_or_never()).collect()
}

/// As many at once as may be, of a host that bears `bears`: the last to come are refused.
fn wave(limit: &Arc<Adaptive>, bears: usize) -> usize {
    let mut places = fill(limit);
    let count = places.len();
    for place in places.iter_mut().skip(bears) {
        place.judge(Load::TooMuch);
    }
    for place in places.iter_mut().take(bears) {
        place.judge(Load::Borne);
    }
    count
}

#[test]
fn without_trouble_there_are_as_many_as_may_be() {
    let limit = Arc::new(Adaptive::new(32));
    for _ in 0..5 {
        assert_eq!(wave(&limit, 32), 32);
    }
    assert_eq!(limit.shown(), None);
}

#[test]
fn p9_those_that_set_out_together_halve_once() {
    let limit = Arc::new(Adaptive::new(32));
    let mut places = fill(&limit);
    for place in &mut places {
        place.judge(Load::TooMuch);
        place.judge(Load::TooMuch);
    }
    assert_eq!((limit.shown(), limit.halved()), (Some(16), 1));
    // Those under way keep their places; nobody comes in before there are fewer than the limit.
    places.truncate(16);
    assert_eq!(fill(&limit).len(), 0);
    places.truncate(15);
    assert_eq!(fill(&limit).len(), 1);
    drop(places);
    assert_eq!(fill(&limit).len(), 16);
}

#[test]
fn p9_one_alone_is_not_too_many() {
    let limit = Arc::new(Adaptive::new(4));
    for _ in 0..3 {
        let mut alone = limit.place().now_or_never().unwrap();
        alone.judge(Load::TooMuch);
    }
    assert_eq!((limit.shown(), limit.halved()), (None, 0));
}

#[test]
fn p9_a_host_that_bears_more_again_is_asked_for_more() {
    let limit = Arc::new(Adaptive::new(8));
    limit.begin_at(1);
    // Nobody was held back: that shows nothing.
    for _ in 0..100 {
        drop(limit.place().now_or_never());
    }
    assert_eq!(limit.shown(), Some(1));
    let waves = (1..1000).find(|_| wave(&limit, 8) == 8).unwrap();
    // One beyond what was known takes eight windows, each further one a window.
    assert_eq!(waves, PROBE + 6 + 1);
}

#[test]
fn p9_what_was_known_holds_between_one_and_the_setting() {
    for (known, expected) in [
        (0, Some(1)),
        (1, Some(1)),
        (3, Some(3)),
        (4, None),
        (900, None),
    ] {
        let limit = Arc::new(Adaptive::new(4));
        limit.begin_at(known);
        assert_eq!(limit.shown(), expected);
        assert_eq!(fill(&limit).len(), expected.unwrap_or(4));
    }
    let limit = Arc::new(Adaptive::new(4));
    wave(&limit, 3);
    limit.begin_at(1);
    assert_eq!(
        limit.shown(),
        Some(2),
        "what was seen goes before what was known"
    );
}

proptest! {
    /// Wherever it begins: after some waves it is within half of what is borne and all of it, and
    /// goes over it once in many waves.
    #[test]
    fn p9_the_limit_settles(most in 1_usize..64, bears in 1_usize..64, from in 1_usize..64) {
        let limit = Arc::new(Adaptive::new(most));
        limit.begin_at(from);
        for _ in 0..600 {
            wave(&limit, bears);
        }
        let bears = bears.min(most);
        let over = (0..PROBE * 4).filter(|_| wave(&limit, bears) > bears).count();
        prop_assert!(over <= 5, "{} times over {}", over, bears);
        let settled = limit.shown().unwrap_or(most);
        prop_assert!(settled >= bears / 2 && settled <= bears, "{} of {}", settled, bears);
        // No place is lost or made.
        prop_assert_eq!(fill(&limit).len(), limit.state().limit);
    }
}
