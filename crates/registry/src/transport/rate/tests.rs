//! Rates over ten seconds of a clock that stands still unless it is waited for.

use futures_util::future::join_all;
use url::Url;

use super::*;

const SECONDS: u64 = 10;

fn origin(url: &str) -> Origin {
    Origin::of(&Url::parse(url).unwrap()).unwrap()
}

fn rate(bytes: u64) -> Rate {
    Rate::per_second(bytes).unwrap()
}

fn throttle(all: Option<u64>, hosts: &[(&str, u64)]) -> Throttle {
    let hosts = hosts
        .iter()
        .map(|(host, it)| ((*host).to_owned(), rate(*it)));
    let rates = Rates {
        all: all.map(rate),
        hosts: hosts.collect(),
    };
    Throttle::new(rates, 32)
}

/// What goes through in ten seconds, in pieces of so many bytes.
async fn through(mut pace: Pace, piece: usize) -> u64 {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let mut bytes = 0;
    loop {
        let mut left = piece;
        while left > 0 {
            let part = pace.part_of(left);
            pace.part(part).await;
            if Instant::now() >= end {
                return bytes;
            }
            left -= part;
            bytes += part as u64;
        }
    }
}

#[track_caller]
fn within(bytes: u64, rate: u64) {
    let share = bytes * 1000 / (rate * SECONDS);
    assert!((900..=1050).contains(&share), "{share} of 1000 at {rate}");
}

#[tokio::test(start_paused = true)]
async fn p12_over_ten_seconds_the_rate_is_the_limit() {
    for limit in [1024, 100_000, 10 << 20, 1 << 30] {
        for piece in [1000, 64 * 1024, 4 << 20] {
            let throttle = throttle(Some(limit), &[]);
            let pace = throttle.up(&origin("https://r.test")).await;
            within(through(pace, piece).await, limit);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p12_all_bodies_share_the_limit_of_all_and_those_of_a_host_its_own() {
    let (limit, own) = (10 << 20, 1 << 20);
    let throttle = throttle(Some(limit), &[("slow.test:443", own)]);
    let (slow, other) = (origin("https://slow.test"), origin("https://r.test"));
    let bodies = (0..12).map(|n| {
        let to = if n < 4 { &slow } else { &other };
        let throttle = &throttle;
        async move { (n < 4, through(throttle.up(to).await, 300_000).await) }
    });
    let sent = join_all(bodies).await;
    within(sent.iter().map(|(_, bytes)| bytes).sum(), limit);
    let of_slow = sent.iter().filter(|(slow, _)| *slow);
    within(of_slow.map(|(_, bytes)| bytes).sum(), own);
}

#[tokio::test(start_paused = true)]
async fn p12_the_directions_do_not_share() {
    let limit = 1 << 20;
    let throttle = throttle(Some(limit), &[]);
    let host = origin("https://r.test");
    let (up, down) = tokio::join!(
        async { through(throttle.up(&host).await, 100_000).await },
        through(throttle.down(&host), 100_000),
    );
    within(up, limit);
    within(down, limit);
}

#[tokio::test(start_paused = true)]
async fn p12_without_a_limit_nothing_is_cut_and_nothing_waits() {
    let throttle = throttle(None, &[("slow.test:443", 1024)]);
    let mut pace = throttle.up(&origin("https://r.test")).await;
    let began = Instant::now();
    assert_eq!(pace.part_of(usize::MAX), usize::MAX);
    pace.part(usize::MAX).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn p12_limited_bodies_leave_a_permit_to_the_questions() {
    let rates = Rates {
        all: Some(rate(1024)),
        ..Rates::default()
    };
    let throttle = Throttle::new(rates, 3);
    let (one, other) = (origin("https://r.test"), origin("https://other.test"));
    let first = throttle.up(&one).await;
    let _second = throttle.up(&one).await;
    let waiting = Duration::from_hours(1);
    assert!(
        tokio::time::timeout(waiting, throttle.up(&one))
            .await
            .is_err()
    );
    let _elsewhere = throttle.up(&other).await;
    drop(first);
    let _third = throttle.up(&one).await;
}

#[test]
fn p12_rates_have_bounds() {
    for bytes in [0, 1, 1023, (1 << 40) + 1, u64::MAX] {
        let error = Rate::per_second(bytes).unwrap_err();
        assert!(error.to_string().contains("from 1024"), "{error}");
    }
    for bytes in [1024, 1 << 40] {
        assert_eq!(rate(bytes).bytes(), bytes);
    }
}
