use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use url::Url;

use super::*;

fn origin() -> Origin {
    Origin::of(&Url::parse("http://r.test").unwrap()).unwrap()
}

fn rate(requests: u32) -> RequestRate {
    RequestRate::new(requests, Duration::from_secs(1)).unwrap()
}

fn turns(requests: u32, board: Option<Arc<dyn PauseBoard>>) -> Turns {
    let quotas = Quotas {
        each: Some(rate(requests)),
        ..Quotas::default()
    };
    Turns::new(quotas, board)
}

/// A board whose clock is the test's: when it began, and how much is taken since, in nanoseconds.
#[derive(Debug)]
struct Board(Instant, AtomicU64);

impl Board {
    fn new() -> Arc<Self> {
        Arc::new(Self(Instant::now(), AtomicU64::new(0)))
    }
}

#[async_trait]
impl PauseBoard for Board {
    async fn until(&self, _: &str) -> Option<SystemTime> {
        None
    }

    async fn pause(&self, _: &str, _: SystemTime) {}

    async fn turns(&self, _: &str, length: Duration) -> Option<SystemTime> {
        let now = u64::try_from(self.0.elapsed().as_nanos()).unwrap();
        let length = u64::try_from(length.as_nanos()).unwrap();
        let from = self.1.load(Relaxed).max(now);
        self.1.store(from + length, Relaxed);
        // The clock of the wall stands still while that of the test goes on.
        Some(SystemTime::now() + Duration::from_nanos(from - now))
    }
}

#[derive(Debug)]
struct Hangs;

#[async_trait]
impl PauseBoard for Hangs {
    async fn until(&self, _: &str) -> Option<SystemTime> {
        None
    }

    async fn pause(&self, _: &str, _: SystemTime) {}

    async fn turns(&self, _: &str, _: Duration) -> Option<SystemTime> {
        std::future::pending().await
    }
}

/// When requests set out that all come at once.
async fn starts(clients: &[Turns], each: usize) -> Vec<Duration> {
    let (begun, at) = (Instant::now(), origin());
    let all = clients.iter().flat_map(|it| (0..each).map(move |_| it));
    let all = all.map(async |it| {
        it.wait(&at, Duration::from_hours(1)).await.unwrap();
        begun.elapsed()
    });
    let mut starts = futures_util::future::join_all(all).await;
    starts.sort();
    starts
}

/// The most requests in any second.
fn most(starts: &[Duration]) -> usize {
    let second = |from: &Duration| {
        let within = starts
            .iter()
            .filter(|it| (*from..*from + Duration::from_secs(1)).contains(it));
        within.count()
    };
    starts.iter().map(second).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn p11_no_second_has_more_requests_than_its_quota_and_few_have_less() {
    for (quota, clients) in [
        (1, 1),
        (10, 1),
        (50, 1),
        (1000, 1),
        (1, 3),
        (10, 3),
        (50, 3),
        (400, 3),
    ] {
        let board = Board::new();
        let board = || (clients > 1).then(|| board.clone() as Arc<dyn PauseBoard>);
        let several: Vec<_> = (0..clients).map(|_| turns(quota, board())).collect();
        let requests = quota as usize * 4;
        let starts = starts(&several, requests / clients).await;
        let most = most(&starts);
        let quota = quota as usize;
        assert!(most <= quota + quota / 20, "{quota}, {clients}: {most}");
        assert!(most * 10 >= quota * 9, "{quota}, {clients}: {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn p11_after_a_rest_there_is_no_burst() {
    let turns = [turns(10, None)];
    let first = starts(&turns, 3).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(starts(&turns, 3).await, first);
    assert_eq!(first[0], Duration::ZERO);
    assert!(first[1] >= Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn p11_a_board_that_hangs_costs_a_second_and_no_quota() {
    let turns = [turns(10, Some(Arc::new(Hangs)))];
    let starts = starts(&turns, 5).await;
    assert!(starts[0] >= PATIENCE);
    assert!(most(&starts) <= 10);
}

#[tokio::test(start_paused = true)]
async fn p11_nobody_waits_longer_than_a_pause_is_waited_for() {
    let turns = turns(1, None);
    let at = origin();
    let patience = Duration::from_secs(2);
    let all = (0..5).map(|_| turns.wait(&at, patience));
    let outcomes = futures_util::future::join_all(all).await;
    let refused = outcomes.iter().filter(|it| it.is_err()).count();
    assert_eq!(refused, 3, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn p11_what_a_registry_says_counts_where_it_is_less() {
    let limited = |text: &str| {
        let value = text.parse().unwrap();
        HeaderMap::from_iter([("ratelimit-limit".parse().unwrap(), value)])
    };
    let at = origin();
    let set = turns(10, None);
    set.heed(&at, &limited("50;w=1"));
    assert_eq!(set.rate(&at), Some(rate(10)));
    set.heed(&at, &limited("5;w=1"));
    assert_eq!(set.rate(&at), Some(rate(5)));
    let unset = Turns::new(Quotas::default(), None);
    assert_eq!(unset.wait(&at, Duration::ZERO).await, Ok(false));
    unset.heed(&at, &limited("5;w=1"));
    assert_eq!(unset.rate(&at), Some(rate(5)));
}

#[test]
fn rates_of_requests_have_bounds() {
    let second = Duration::from_secs(1);
    for (requests, per, expected) in [
        (1, second, Some(second)),
        (10_000, second, Some(Duration::from_micros(100))),
        (10_001, second, None),
        (0, second, None),
        (1, Duration::from_hours(1), Some(SLOWEST)),
        (1, Duration::from_hours(2), None),
    ] {
        let rate = RequestRate::new(requests, per).ok();
        assert_eq!(rate.map(RequestRate::every), expected, "{requests} {per:?}");
    }
}
