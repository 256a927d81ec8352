//! One name of an image, and what is there.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::entries::Raw;
use crate::{
    FileBody, Kept, Owner,
    dockerfile::TargetOs,
    layer_tar::DIRECTORY,
    pax::{self, key},
    tree::KeptTimes,
};

/// The latest time that is taken for one, in seconds since 1970.
const LATEST: u64 = 1 << 40;

/// What an image is taken for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Its system.
    pub(crate) os: TargetOs,
    /// Whether what is copied keeps its times.
    pub(crate) keeps_times: bool,
}

/// What is at one name of an image.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// As it is spelled.
    pub(super) path: String,
    pub(super) what: What,
    pub(super) mtime: Option<SystemTime>,
    pub(super) mode: u32,
    pub(super) owner: Owner,
    pub(super) kept: Option<Arc<Kept>>,
    /// Which entry of its layer it is.
    pub(super) order: u64,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Directory {
        /// Whether no layer so far has it, but something in it.
        implicit: bool,
    },
    File(FileBody),
    Symlink {
        target: String,
        to_directory: bool,
    },
    /// Holds the key of what it links to.
    HardLink(String),
    /// A device, a pipe, or of a kind that nobody knows.
    Special,
}

impl Item {
    /// A directory that is there because of what is in it.
    pub(super) fn implicit(path: String) -> Self {
        Self {
            path,
            what: What::Directory { implicit: true },
            mtime: None,
            mode: 0o755,
            owner: Owner::Default,
            kept: None,
            order: 0,
        }
    }

    /// What an entry of a layer is.
    pub(super) fn of(view: View, path: String, raw: &Raw, what: What) -> Self {
        let os = view.os;
        let seconds = raw.mtime();
        let owner = match os {
            TargetOs::Windows => Owner::Default,
            TargetOs::Linux => Owner::Ids {
                uid: raw.uid,
                gid: raw.gid,
            },
        };
        // The importer of Windows does not read it, and most writers leave it out.
        let mode = match os {
            TargetOs::Windows => 0o755,
            TargetOs::Linux => raw.mode,
        };
        Self {
            path,
            what,
            mtime: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST))),
            mode,
            owner,
            kept: Some(Arc::new(kept(view, raw))),
            order: raw.order,
        }
    }
}

/// Whether a symbolic link of Windows is one to a directory: its attributes say so, and a junction
/// always is.
pub(super) fn is_to_directory(raw: &Raw) -> bool {
    let attributes = raw
        .text(key::ATTRIBUTES)
        .and_then(|it| it.parse::<u32>().ok());
    raw.text(key::MOUNT_POINT).is_some() || attributes.is_some_and(|it| it & DIRECTORY != 0)
}

fn kept(view: View, raw: &Raw) -> Kept {
    let os = view.os;
    let mut records = Vec::new();
    let mut times = Vec::new();
    for (key, value) in &raw.records {
        let is_time = matches!(
            &**key,
            key::CREATION_TIME | key::ATIME | key::CTIME | key::MTIME
        );
        let is_kept = match os {
            TargetOs::Windows => key.starts_with("MSWINDOWS."),
            TargetOs::Linux => key.starts_with("SCHILY.xattr."),
        };
        // On Linux an entry of ours has one time, and whole seconds of it.
        if is_time && os == TargetOs::Windows {
            times.push((key.clone(), value.clone()));
        } else if is_kept {
            records.push((key.clone(), value.clone()));
        }
    }
    Kept {
        os,
        records,
        times: view.keeps_times.then(|| KeptTimes {
            mtime: match os {
                TargetOs::Windows => raw.header_mtime,
                TargetOs::Linux => raw.mtime(),
            }
            .min(LATEST),
            records: times,
        }),
    }
}

impl Raw {
    /// When it was changed, in whole seconds since 1970: what a record says, else the header.
    fn mtime(&self) -> u64 {
        let text = self.text(key::MTIME);
        let whole = text.and_then(|it| it.split('.').next());
        let said = whole.and_then(|it| it.parse::<i64>().ok());
        said.map_or(self.header_mtime, |it| u64::try_from(it).unwrap_or(0))
    }

    /// The text of a record; none where it has none.
    fn text(&self, key: &str) -> Option<&str> {
        let found = self.records.iter().rev().find(|it| it.0 == key);
        std::str::from_utf8(&found?.1).ok()
    }
}

/// The records of an entry, each key's last, in the order of their keys.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, pax::PaxError> {
    let mut records = std::collections::BTreeMap::new();
    for (key, value) in pax::parse_bytes(bytes)? {
        let key = std::str::from_utf8(key).map_err(|_| pax::PaxError::Utf8)?;
        // An empty one takes back what was before.
        if value.is_empty() {
            records.remove(key);
        } else {
            records.insert(key.to_owned(), value.to_vec());
        }
    }
    Ok(records.into_iter().collect())
}
