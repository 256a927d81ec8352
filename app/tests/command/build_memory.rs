//! The memory `build` takes: bounded, however large the context is and however many threads
//! compress.

use std::{
    fs::{self, File},
    path::Path,
};

use crate::{longshore::longshore, memory::peak_of, sink::Sink};

/// What a build may have in memory, in KiB, exclusive.
const BOUND: u64 = 64 * 1024;

/// 10,000 files of noise, which takes the most room when it is compressed, and a sparse one of 1 GiB.
fn context(directory: &Path) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for number in 0..10_000 {
        let unit = directory.join(format!("app/unit-{:03}", number % 400));
        fs::create_dir_all(&unit).unwrap();
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let noise: Vec<u8> = noise.take(1000).flatten().collect();
        fs::write(unit.join(format!("file-{number:05}.bin")), noise).unwrap();
    }
    let sparse = File::create(directory.join("large.bin")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    fs::write(directory.join("Dockerfile"), "FROM scratch\nCOPY . /srv/\n").unwrap();
}

/// The most memory a build took, in KiB.
fn peak_of_build(context: &Path, more: &[&str]) -> u64 {
    let sink = Sink::start();
    let home = tempfile::tempdir().unwrap();
    let to = sink.reference("app:1");
    let mut command = longshore(home.path());
    command.args(["build", context.to_str().unwrap(), "-t", &to, "--push"]);
    command.args(["--platform", "linux/amd64", "--json", "--no-state"]);
    let (peak, _) = peak_of(&sink, command.args(more));
    assert!(sink.body_bytes() > 75 << 20, "the noise is in it");
    peak
}

#[test]
fn a_build_of_10_000_files_and_one_of_1_gib_stays_within_64_mib_with_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    context(directory.path());
    for format in ["gzip", "zstd"] {
        // As on a machine with as many processors.
        let peak = peak_of_build(
            directory.path(),
            &["--compression", format, "--compression-threads", "64"],
        );
        println!("{format}: {peak} KiB at most");
        assert!(peak < BOUND, "{format}: {peak} KiB");
    }
}
