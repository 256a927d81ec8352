//! Each rule by the smallest layer that breaks it: entries as a table, and what is said
//! of them.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::{header::checksum, names::NameFault};

mod archive;
mod vectors;

const MTIME: u64 = 1_700_000_000;

/// An entry of a tar that anybody may have written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    name: Vec<u8>,
    flag: u8,
    link: Vec<u8>,
    body: Vec<u8>,
    /// What the header says, if not the length of the body.
    size: Option<u64>,
    records: Vec<(String, String)>,
}

fn entry(flag: u8, name: impl AsRef<[u8]>) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        flag,
        link: Vec::new(),
        body: Vec::new(),
        size: None,
        records: Vec::new(),
    }
}

/// A directory.
fn d(name: &str) -> Entry {
    entry(b'5', name)
}

/// A file of one byte.
fn f(name: &str) -> Entry {
    let mut it = entry(b'0', name);
    it.body = b"x".to_vec();
    it
}

/// A hard link.
fn l(name: &str, target: &str) -> Entry {
    let mut it = entry(b'1', name);
    it.link = target.into();
    it
}

/// A symbolic link.
fn s(name: &str, target: &str) -> Entry {
    let mut it = entry(b'2', name);
    it.link = target.into();
    it
}

impl Entry {
    fn with(mut self, key: &str, value: &str) -> Self {
        self.records.push((key.to_owned(), value.to_owned()));
        self
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.records.is_empty() {
            let mut records = entry(b'x', "records");
            for (key, value) in &self.records {
                let rest = key.len() + value.len() + 3;
                let length = (rest + 1..rest + 9).find(|it| it.to_string().len() + rest == *it);
                let length = length.unwrap();
                records
                    .body
                    .extend(format!("{length} {key}={value}\n").bytes());
            }
            bytes.extend(records.to_bytes());
        }
        let mut header = [0; 512];
        header[..self.name.len()].copy_from_slice(&self.name);
        header[157..157 + self.link.len()].copy_from_slice(&self.link);
        let size = self.size.unwrap_or(self.body.len() as u64);
        for (at, text) in [
            (100, "0000644\0".to_owned()),
            (124, format!("{size:011o}\0")),
            (136, format!("{MTIME:011o}\0")),
            (257, "ustar\x0000".to_owned()),
        ] {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        header[156] = self.flag;
        let sum = format!("{:06o}\0 ", checksum(&header));
        header[148..156].copy_from_slice(sum.as_bytes());
        bytes.extend(header);
        bytes.extend(&self.body);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn lint_with(tar: &[u8], options: LintOptions) -> LintReport {
    let report = lint_windows_layer(tar, options).unwrap();
    // However the bytes come, it is the same layer.
    let mut linter = Linter::new(options);
    for piece in tar.chunks(333) {
        linter.feed(piece);
    }
    assert_eq!(linter.finish(), report);
    report
}

fn lint(entries: &[Entry]) -> LintReport {
    lint_with(&tar(entries), LintOptions::default())
}

/// The errors' words, with the entries they are about.
fn errors(report: &LintReport) -> Vec<(u64, &'static str)> {
    let words = report.errors().iter();
    words.map(|it| (it.entry, it.fault.code())).collect()
}

fn warnings(report: &LintReport) -> Vec<&'static str> {
    report.warnings().iter().map(|it| it.fault.code()).collect()
}
