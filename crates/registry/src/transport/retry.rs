//! When to try again, and how long to wait before it.
//!
//! One [`Retry`] belongs to one request, or to one blob's body; two of them are
//! never nested around the same bytes.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use tokio::time::Instant;

use super::backoff::full_jitter;

/// How often something that was too much for its host is tried again on top of all attempts: as often
/// as a limit of some hundreds can be halved.
const SPARED: u32 = 8;

/// How often to try again, and how patiently.
///
/// Tried again: connections that fail or break, time limits, and the statuses 408, 429, 499
/// and 5xx. Never: any other 4xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often something is tried at all, the first time included; at least 1. 5.
    pub attempts: u32,
    /// The ceiling of the first wait; each further one is twice as high. 250 ms.
    pub base: Duration,
    /// The highest ceiling. 20 s.
    pub cap: Duration,
    /// The longest wait a registry may ask for with `Retry-After`, inclusive; above it the request
    /// fails at once. 2 min.
    pub max_retry_after: Duration,
    /// No new attempt is made after this much time since the first began. 15 min.
    pub budget: Duration,
    /// Makes the jitter the same in every run; random if none.
    pub seed: Option<u64>,
}

/// The attempts of one thing.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    made: u32,
    /// Failures that count as no attempt, still.
    spared: u32,
    too_much: bool,
    started: Instant,
    random: fastrand::Rng,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(20),
            max_retry_after: Duration::from_mins(2),
            budget: Duration::from_mins(15),
            seed: None,
        }
    }
}

impl RetryPolicy {
    /// Never tries again.
    pub fn never() -> Self {
        Self::default().with_attempts(1)
    }

    /// The same with another number of attempts; 0 means 1.
    #[must_use]
    pub fn with_attempts(self, attempts: u32) -> Self {
        Self {
            attempts: attempts.max(1),
            ..self
        }
    }

    /// The same with other bounds for the wait between attempts.
    #[must_use]
    pub fn with_backoff(self, base: Duration, cap: Duration) -> Self {
        Self { base, cap, ..self }
    }

    /// The same with another bound for what a registry may ask for.
    #[must_use]
    pub fn with_max_retry_after(self, max_retry_after: Duration) -> Self {
        Self {
            max_retry_after,
            ..self
        }
    }

    /// The same with another bound for all attempts together.
    #[must_use]
    pub fn with_budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// The same with waits that are equal in every run.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            seed: Some(seed),
            ..self
        }
    }

    pub(crate) fn start(&self) -> Retry {
        Retry {
            policy: *self,
            made: 0,
            spared: if self.attempts > 1 { SPARED } else { 0 },
            too_much: false,
            started: Instant::now(),
            random: self
                .seed
                .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
        }
    }
}

impl Retry {
    /// What has just failed may have been too much at once for its host, from which fewer are wanted
    /// from now on: it was not the attempt's own fault.
    pub(crate) fn was_too_much(&mut self, too_much: bool) {
        self.too_much = too_much;
    }

    /// How long to wait before the next attempt, given that one has just failed and that the
    /// registry asked for `asked`. None: there is none.
    pub(crate) fn after_failure(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if std::mem::take(&mut self.too_much) && self.spared > 0 {
            self.spared -= 1;
        } else {
            self.made += 1;
        }
        if self.made >= self.policy.attempts {
            return None;
        }
        if asked.is_some_and(|asked| asked > self.policy.max_retry_after) {
            return None;
        }
        let backoff = full_jitter(
            self.made.saturating_sub(1),
            self.policy.base,
            self.policy.cap,
            self.random.f64(),
        );
        let wait = asked.map_or(backoff, |asked| asked.saturating_add(backoff));
        (self.started.elapsed().saturating_add(wait) <= self.policy.budget).then_some(wait)
    }
}

/// Whether an answer with this status may be another one next time.
pub(crate) fn may_change(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 499) || status.is_server_error() && status != 501
}

/// What `Retry-After` asks for, in either form
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)); a date that has passed is
/// no wait at all. A date is of the clock that the answer's own `Date` is of, if it has one: that
/// clock and ours may differ.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let date = |value: &http::HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
    let now = headers.get(DATE).and_then(date).unwrap_or(now);
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let cases = [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:49 GMT", Some(12)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-3", None),
        ];
        for (value, seconds) in cases {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers(value), now), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        // The registry's clock is an hour before ours.
        let mut ahead = headers("Sun, 06 Nov 1994 09:49:49 GMT");
        ahead.insert(DATE, "Sun, 06 Nov 1994 09:49:37 GMT".parse().unwrap());
        assert_eq!(retry_after(&ahead, now), Some(Duration::from_secs(12)));
    }

    #[test]
    fn only_answers_that_may_change_are_asked_for_again() {
        let tried_again: Vec<u16> = (400..=522)
            .filter(|code| may_change(StatusCode::from_u16(*code).unwrap()))
            .filter(|code| *code < 505 || *code > 520)
            .collect();
        assert_eq!(tried_again, [408, 429, 499, 500, 502, 503, 504, 521, 522]);
    }

    #[tokio::test(start_paused = true)]
    async fn r8_the_budget_bounds_attempts_and_time() {
        let policy = RetryPolicy::default().with_attempts(4).with_seed(7);
        let mut retry = policy.start();
        let waits: Vec<_> = std::iter::from_fn(|| retry.after_failure(None)).collect();
        assert_eq!(waits.len(), 3);
        for (wait, ceiling) in waits.iter().zip([250, 500, 1000]) {
            assert!(wait.as_millis() <= ceiling, "{wait:?} of {ceiling}");
        }
        let mut same = policy.start();
        let again: Vec<_> = std::iter::from_fn(|| same.after_failure(None)).collect();
        assert_eq!(waits, again);

        let mut late = policy.with_budget(Duration::from_secs(5)).start();
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(late.after_failure(None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn p9_what_was_too_much_at_once_costs_no_attempt_and_not_for_ever() {
        let policy = RetryPolicy::default().with_attempts(4);
        let mut retry = policy.start();
        let waits = std::iter::from_fn(|| {
            retry.was_too_much(true);
            retry.after_failure(None)
        });
        assert_eq!(waits.count(), 8 + 3);
        let mut never = RetryPolicy::never().start();
        never.was_too_much(true);
        assert_eq!(never.after_failure(None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn r8_retry_after_is_waited_for_unless_it_is_over_the_cap() {
        let policy = RetryPolicy::default().with_max_retry_after(Duration::from_secs(10));
        let wait = policy.start().after_failure(Some(Duration::from_secs(7)));
        assert!(wait.is_some_and(|it| it >= Duration::from_secs(7)));
        let refused = policy.start().after_failure(Some(Duration::from_secs(11)));
        assert_eq!(refused, None);
    }
}
