//! Chance that can be repeated: a number from a seed and a place in the order.
//!
//! [SplitMix64](https://prng.di.unimi.it/splitmix64.c), asked for its `n`th number at once,
//! so that requests need not be drawn for in the order they arrive.

use std::time::Duration;

use super::Latency;

/// The `n`th number of a seed.
fn number(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The same as a fraction: 0 inclusive to 1 exclusive.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are what a fraction holds"
)]
fn fraction(seed: u64, n: u64) -> f64 {
    (number(seed, n) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whether the `n`th request is hit by a rule of this probability.
pub(super) fn strikes(probability: f64, seed: u64, n: u64) -> bool {
    fraction(seed, n) < probability
}

/// How long the `n`th request waits.
pub(super) fn wait(latency: &Latency, n: u64) -> Duration {
    let span = latency.to.saturating_sub(latency.from);
    latency.from + span.mul_f64(fraction(latency.seed, n))
}
