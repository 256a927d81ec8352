//! PAX records: what an entry of a tar has beside its header.
//!
//! A record is `<length> <key>=<value>\n`, and its length counts itself
//! ([POSIX, pax Extended Header](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03)).
//! Written, records are sorted by the bytes of their keys: a layer's digest is made
//! of them. Read, they are bounded, since whoever lints a layer did not write it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

/// The keys that layers have, those of Windows named as its own writer does
/// ([go-winio](https://github.com/microsoft/go-winio/blob/main/backuptar/tar.go)).
pub(crate) mod key {
    pub(crate) const CREATION_TIME: &str = "LIBARCHIVE.creationtime";
    pub(crate) const ATTRIBUTES: &str = "MSWINDOWS.fileattr";
    pub(crate) const SECURITY: &str = "MSWINDOWS.rawsd";
    pub(crate) const SDDL: &str = "MSWINDOWS.sd";
    pub(crate) const MOUNT_POINT: &str = "MSWINDOWS.mountpoint";
    pub(crate) const EXTENDED_ATTRIBUTE: &str = "MSWINDOWS.xattr.";
    pub(crate) const ATIME: &str = "atime";
    pub(crate) const CTIME: &str = "ctime";
    pub(crate) const MTIME: &str = "mtime";
    pub(crate) const PATH: &str = "path";
    pub(crate) const LINK_PATH: &str = "linkpath";
    pub(crate) const SIZE: &str = "size";
    pub(crate) const UID: &str = "uid";
    pub(crate) const GID: &str = "gid";
}

/// The records of one entry, sorted by key, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records(BTreeMap<Cow<'static, str>, Vec<u8>>);

/// A record as it is read: its key, and its value.
pub(crate) type RawRecord<'a> = (&'a [u8], &'a [u8]);

/// Why bytes are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PaxError {
    /// A record does not begin with its length and a space.
    #[error("a record does not begin with its length")]
    Length,
    /// A record says it is longer than what there is, or does not end in a newline.
    #[error("a record does not end where its length says")]
    End,
    /// A record has no `=`, or nothing before it.
    #[error("a record has no key")]
    Key,
    /// A key or the value of one is not UTF-8.
    #[error("a record is not UTF-8")]
    Utf8,
}

// === impl Records ===

impl Records {
    /// The same with one more.
    pub(crate) fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.insert(key.into(), value.to_string().into_bytes());
        self
    }

    /// The same with one that somebody else wrote, whatever is in it.
    pub(crate) fn with_bytes(mut self, key: &str, value: &[u8]) -> Self {
        self.0.insert(Cow::Owned(key.to_owned()), value.to_vec());
        self
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they are written.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            bytes.extend_from_slice(&record(key, value));
        }
        bytes
    }
}

/// One record. Its length is counted with the digits it takes, of which there are more
/// than there seem where they carry it over a power of ten.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + " =\n".len();
    let mut length = rest + digits(rest);
    if digits(length) > digits(rest) {
        length = rest + digits(length);
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |it| it as usize + 1)
}

/// The records in `bytes`, in their order, keys repeated where they are.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<(&str, &str)>, PaxError> {
    let all = parse_bytes(bytes)?.into_iter();
    let text = |it| std::str::from_utf8(it).map_err(|_| PaxError::Utf8);
    all.map(|(key, value)| Ok((text(key)?, text(value)?)))
        .collect()
}

/// The same, values being whatever they are: extended attributes need not be text.
pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Vec<RawRecord<'_>>, PaxError> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest
            .iter()
            .take(20)
            .position(|it| *it == b' ')
            .ok_or(PaxError::Length)?;
        let length = decimal(&rest[..space]).ok_or(PaxError::Length)?;
        let record = rest.get(..length).ok_or(PaxError::End)?;
        let content = record
            .get(space + 1..)
            .and_then(|it| it.strip_suffix(b"\n"))
            .ok_or(PaxError::End)?;
        match content.iter().position(|it| *it == b'=') {
            None | Some(0) => return Err(PaxError::Key),
            Some(at) => records.push((&content[..at], &content[at + 1..])),
        }
        rest = &rest[length..];
    }
    Ok(records)
}

fn decimal(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    let plain = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The whole seconds of a time as records have it, before 1970 or after, rounded up where
/// there is a fraction.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let plain = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    if !plain(digits) || !plain(fraction) {
        return None;
    }
    let up = !whole.starts_with('-') && fraction.bytes().any(|it| it != b'0');
    whole.parse::<i64>().ok()?.checked_add(i64::from(up))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(
            record("MSWINDOWS.fileattr", b"16"),
            b"25 MSWINDOWS.fileattr=16\n"
        );
        // Nine bytes and one digit are ten, which take two digits: eleven.
        assert_eq!(record("atime", b"1"), b"11 atime=1\n");
        for length in [1, 5, 6, 7, 90, 91, 92, 93, 988, 989, 990, 991, 9985, 9986] {
            let record = String::from_utf8(record("k", "v".repeat(length).as_bytes())).unwrap();
            let (said, _) = record.split_once(' ').unwrap();
            assert_eq!(said.parse(), Ok(record.len()), "{length}");
        }
    }

    #[test]
    fn records_are_sorted_by_the_bytes_of_their_keys() {
        let records = Records::default()
            .with(key::PATH, "ä")
            .with(key::ATIME, 1)
            .with(key::ATTRIBUTES, 32)
            .with(key::CREATION_TIME, 1);
        let bytes = records.to_bytes();
        let keys: Vec<_> = parse(&bytes).unwrap().iter().map(|it| it.0).collect();
        assert_eq!(
            keys,
            [key::CREATION_TIME, key::ATTRIBUTES, key::ATIME, key::PATH]
        );
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        for (bytes, error) in [
            ("x", PaxError::Length),
            (" k=v\n", PaxError::Length),
            ("+8 k=v\n", PaxError::Length),
            ("1 k=v\n", PaxError::End),
            ("7 k=v\n", PaxError::End),
            ("99 k=v\n", PaxError::End),
            ("18446744073709551615 k=v\n", PaxError::Length),
            ("6 kv\n\n", PaxError::Key),
            ("5 =v\n", PaxError::Key),
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(error), "{bytes:?}");
        }
        assert_eq!(parse(b"6 k=\xff\n"), Err(PaxError::Utf8));
        assert_eq!(parse(b"6 k=v\n6 k=w\n").unwrap(), [("k", "v"), ("k", "w")]);
        assert_eq!(parse(b"7 k==\n\n").unwrap(), [("k", "=\n")]);
    }

    #[test]
    fn times_are_seconds_rounded_up() {
        assert_eq!(seconds("1700000000"), Some(1_700_000_000));
        assert_eq!(seconds("1.000000000"), Some(1));
        assert_eq!(seconds("1.5"), Some(2));
        assert_eq!(seconds("-1.5"), Some(-1));
        assert_eq!(seconds("-7"), Some(-7));
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "1e9",
            "1.5.5",
            " 1",
            "9223372036854775807.5",
        ] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in "\\PC{0,300}") {
            let bytes = Records::default().with(key::PATH, &value).to_bytes();
            prop_assert_eq!(parse(&bytes).unwrap(), [(key::PATH, &*value)]);
        }

        #[test]
        fn any_bytes_are_records_or_an_error(bytes: Vec<u8>, length in 0usize..30) {
            let mut text = format!("{length} ").into_bytes();
            text.extend(bytes);
            let _ = parse(&text);
        }
    }
}
