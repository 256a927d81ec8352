//! `checks/challenges.rs`, with libFuzzer behind it.

#![no_main]

#[path = "../checks/challenges.rs"]
mod challenges;

libfuzzer_sys::fuzz_target!(|data: &[u8]| challenges::check(data));
