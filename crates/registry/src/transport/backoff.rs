//! How long to wait before the next attempt: exponential, with full jitter.
//!
//! Pure: the randomness is a parameter.
//! [Exponential backoff and jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

use std::time::Duration;

/// The wait before retry number `retry` (the first is 0): anything between nothing and
/// `base · 2^retry`, at most `cap`; `random` in `0.0..1.0` says where in between.
pub(crate) fn full_jitter(retry: u32, base: Duration, cap: Duration, random: f64) -> Duration {
    let factor = 1_u32.checked_shl(retry).unwrap_or(u32::MAX);
    let ceiling = base.saturating_mul(factor).min(cap);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let base = Duration::from_millis(100);
        let cap = Duration::from_secs(1);
        let ceilings: Vec<_> = [0, 1, 2, 3, 4, 31, 32, 200]
            .map(|retry| full_jitter(retry, base, cap, 1.0).as_millis())
            .into();
        assert_eq!(ceilings, [100, 200, 400, 800, 1000, 1000, 1000, 1000]);
    }

    proptest! {
        #[test]
        fn any_wait_is_within_its_bounds(retry in 0_u32..100, random in 0.0..1.0) {
            let cap = Duration::from_secs(30);
            let wait = full_jitter(retry, Duration::from_millis(250), cap, random);
            prop_assert!(wait <= cap);
        }
    }
}
