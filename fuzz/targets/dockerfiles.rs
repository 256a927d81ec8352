//! `checks/dockerfiles.rs`, with libFuzzer behind it.

#![no_main]

#[path = "../checks/dockerfiles.rs"]
mod dockerfiles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dockerfiles::check(data));
