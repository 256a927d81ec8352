//! `checks/layers.rs`, with libFuzzer behind it.

#![no_main]

#[path = "../checks/layers.rs"]
mod layers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| layers::check(data));
