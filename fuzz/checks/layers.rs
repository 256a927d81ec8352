//! Layers of others, for the linter: entries written short, or the bytes of a tar.
//!
//! Checksums would keep nearly everything out, so an input whose first byte is a lower-case
//! letter is a list of entries: a line each, `<type> <name> <link or record>`. Whatever it is,
//! the linter ends with a report that agrees with itself.

use std::fmt::Write as _;

use wcow::{LintOptions, NameRules, lint_windows_layer};

pub(crate) fn check(data: &[u8]) {
    let tar = match data.first() {
        Some(b'a'..=b'z') => of_lines(&String::from_utf8_lossy(data)),
        _ => data.to_vec(),
    };
    for names in [NameRules::Strict, NameRules::Warn] {
        let options = LintOptions::default().with_names(names).with_latest(1);
        let Ok(report) = lint_windows_layer(&*tar, options) else {
            continue;
        };
        assert_eq!(report.is_accepted(), report.errors().is_empty());
        assert!(report.entries() * 512 <= report.tar_size());
        for it in report.errors().iter().chain(report.warnings()) {
            assert!(
                it.entry <= report.entries() + 1 && it.to_string().len() > it.fault.code().len()
            );
        }
    }
}

fn of_lines(text: &str) -> Vec<u8> {
    let mut tar = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let kind = words.next().unwrap_or_default();
        let name = words.next().unwrap_or_default();
        let rest = words.next().unwrap_or_default();
        match (kind, rest.contains('=')) {
            ("f" | "d" | "s" | "l", true) => {
                entry(&mut tar, b'x', "records", "", record(rest).as_bytes());
                entry(&mut tar, flag(kind), name, "target", b"");
            }
            ("f" | "d" | "s" | "l", false) => {
                let body: &[u8] = if kind == "f" { b"x" } else { b"" };
                entry(&mut tar, flag(kind), name, rest, body);
            }
            _ => entry(
                &mut tar,
                kind.bytes().next().unwrap_or(0),
                name,
                "",
                rest.as_bytes(),
            ),
        }
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn flag(kind: &str) -> u8 {
    match kind {
        "f" => b'0',
        "d" => b'5',
        "s" => b'2',
        _ => b'1',
    }
}

/// A record with its length before it.
fn record(text: &str) -> String {
    let rest = text.len() + 2;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length && length < rest + 9 {
        length += 1;
    }
    format!("{length} {text}\n")
}

fn entry(tar: &mut Vec<u8>, flag: u8, name: &str, link: &str, body: &[u8]) {
    let mut header = [0; 512];
    let mut size = String::new();
    let _ = write!(size, "{:011o}", body.len());
    for (at, text, most) in [
        (0, name, 100),
        (157, link, 100),
        (124, &*size, 11),
        (136, "1", 1),
    ] {
        let bytes = &text.as_bytes()[..text.len().min(most)];
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    header[156] = flag;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|it| u32::from(*it)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(body);
    tar.resize(tar.len().next_multiple_of(512), 0);
}
