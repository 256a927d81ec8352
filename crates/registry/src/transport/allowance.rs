//! What registries say of how many requests they still take.
//!
//! `RateLimit-Limit: 100;w=60`, `RateLimit-Remaining: 76;w=60`, `RateLimit-Reset: 12`, as
//! [draft-ietf-httpapi-ratelimit-headers-03](https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-03)
//! has them; [some](https://docs.docker.com/docker-hub/usage/pulls/) without the last and for pulls alone,
//! [some](https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/) with a time
//! since 1970 for it. A window of many seconds leaves it to the client when to use what: only
//! its end is heeded, and one second's is kept to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

/// The longest time that is worth waiting for before anything was refused: who counts by the hour
/// does not count everything.
const SOON: Duration = Duration::from_mins(1);
/// What is over so much is no number of seconds, but a time since 1970.
const A_TIME: u64 = 1_000_000_000;

/// The requests that are taken each second, if that is how they are counted.
pub(crate) fn a_second(headers: &HeaderMap) -> Option<u32> {
    let (limit, window) = amount(headers, "ratelimit-limit")?;
    u32::try_from(limit).ok().filter(|_| window == Some(1))
}

/// Until when no further request is taken, if this was the last one.
pub(crate) fn used_up(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let (remaining, _) = amount(headers, "ratelimit-remaining")?;
    let (reset, _) = amount(headers, "ratelimit-reset").filter(|_| remaining == 0)?;
    let wait = if reset >= A_TIME {
        let end = UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
        end.duration_since(now).unwrap_or_default()
    } else {
        Duration::from_secs(reset)
    };
    Some(wait).filter(|it| !it.is_zero() && *it <= SOON)
}

/// A number, and the window it is for in seconds.
fn amount(headers: &HeaderMap, name: &str) -> Option<(u64, Option<u64>)> {
    let text = headers.get(name)?.to_str().ok()?;
    // Several quotas are a list: the first is the one that is nearest to its end.
    let mut parts = text.split(',').next()?.split(';').map(str::trim);
    let number = parts.next()?.parse().ok()?;
    let window = parts.find_map(|it| it.strip_prefix("w=")?.parse().ok());
    Some((number, window))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(limit: &str, remaining: &str, reset: &str) -> HeaderMap {
        let all = [
            ("ratelimit-limit", limit),
            ("ratelimit-remaining", remaining),
            ("ratelimit-reset", reset),
        ];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        given
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn p11_what_registries_say_of_their_quota_is_understood() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        // Limit, remaining, reset: requests a second, and seconds to wait.
        let cases = [
            ("20;w=1", "7;w=1", "", Some(20), None),
            ("20;w=1, 100;w=60", "0", "1", Some(20), Some(1)),
            // Pulls in six hours, that are nothing to other requests.
            ("100;w=21600", "0;w=21600", "", None, None),
            ("600", "0", "1700000042", None, Some(42)),
            ("600", "0", "1699999999", None, None),
            ("600", "1", "1700000042", None, None),
            ("600", "0", "30", None, Some(30)),
            ("600", "0", "3600", None, None),
            ("0;w=1", "0", "0", Some(0), None),
            ("99999999999;w=1", "x", "30", None, None),
            ("-1;w=1", "0", "soon", None, None),
            ("", "", "", None, None),
        ];
        for (limit, remaining, reset, rate, wait) in cases {
            let headers = headers(limit, remaining, reset);
            assert_eq!(a_second(&headers), rate, "{limit}");
            let expected = wait.map(Duration::from_secs);
            assert_eq!(used_up(&headers, now), expected, "{remaining} {reset}");
        }
    }
}
