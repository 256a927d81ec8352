//! `checks/ranges.rs`, with libFuzzer behind it.

#![no_main]

#[path = "../checks/ranges.rs"]
mod ranges;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ranges::check(data));
