//! Layers as tests write them: any names, any links.

use std::io::Write as _;

use crate::header::{BLOCK, Header, Kind, checksum};
use crate::pax::Records;

/// A tar.
#[derive(Clone, Debug, Default)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn dirs(self, paths: &[&str]) -> Self {
        paths
            .iter()
            .fold(self, |tar, it| tar.entry(it, b'5', b"", "", &[]))
    }

    /// Files that have their own names in them.
    pub(super) fn files(self, paths: &[&str]) -> Self {
        paths.iter().fold(self, |tar, it| tar.file(it, it))
    }

    pub(super) fn file(self, path: &str, content: &str) -> Self {
        self.entry(path, b'0', content.as_bytes(), "", &[])
    }

    pub(super) fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, b'2', b"", target, &[])
    }

    pub(super) fn hard(self, path: &str, target: &str) -> Self {
        self.entry(path, b'1', b"", target, &[])
    }

    /// Anything, with records.
    pub(super) fn entry(
        mut self,
        path: &str,
        flag: u8,
        content: &[u8],
        link: &str,
        records: &[(&str, &[u8])],
    ) -> Self {
        let records = records.iter();
        let header = Header {
            path,
            kind: Kind::File,
            mode: if flag == b'5' { 0o750 } else { 0o640 },
            uid: 7,
            gid: 8,
            size: content.len() as u64,
            mtime: 1_600_000_000,
            link,
            records: records.fold(Records::default(), |all, it| all.with_bytes(it.0, it.1)),
        };
        let mut bytes = header.to_bytes();
        let at = bytes.len() - BLOCK;
        let mut last: [u8; BLOCK] = bytes[at..].try_into().unwrap();
        last[156] = flag;
        let sum = checksum(&last);
        last[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes[at..].copy_from_slice(&last);
        self.0.extend_from_slice(&bytes);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Bytes that are no entry.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.0[..], &[0; 2 * BLOCK]].concat()
    }
}

pub(super) fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(tar).unwrap();
    out.finish().unwrap()
}

pub(super) fn zstd(tar: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(tar, 1).unwrap()
}
