//! The memory a process has, as the kernel accounts for it, and as a release build would have it.

use std::fs;

/// What a release build has of the program itself in memory, in KiB, rounded up. The one that is
/// tested has its code unoptimised, and the more of that there is the more of it is in memory.
const PROGRAM: u64 = 16 * 1024;

/// The most memory a process had so far, in KiB, as a release build would have.
pub(crate) fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let account = |line: &str| -> u64 {
        let line = status.lines().find(|it| it.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (program, peak) = (account("RssFile:"), account("VmHWM:"));
    println!("{peak} KiB at most, {program} KiB of the program");
    peak - program.saturating_sub(PROGRAM)
}
