//! What Windows keeps of an entry: attributes, rights and times, all in records.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    super::{
        LayerFault, LintOptions,
        descriptor::{self, Access},
    },
    At, Item, ItemKind, cut,
};
use crate::{
    layer_tar::{DIRECTORY, REPARSE_POINT},
    names::WHITEOUT,
    pax::{self, key},
};

impl At<'_> {
    /// What Windows keeps of an entry.
    pub(super) fn windows(&mut self, name: &str, item: &Item<'_>) {
        // A hard link has what its target has, and a whiteout nothing.
        let last = name.rsplit('/').next().unwrap_or_default();
        if item.kind == ItemKind::HardLink || last.starts_with(WHITEOUT) {
            return;
        }
        let get = |key: &str| {
            let found = item.records.iter().rev().find(|it| it.0 == key);
            found.map(|it| it.1)
        };
        match get(key::ATTRIBUTES) {
            None => self.rules.lacking.attributes += 1,
            Some(value) => self.attributes(value, item.kind, get(key::MOUNT_POINT).is_some()),
        }
        if get(key::CREATION_TIME).is_none() {
            self.rules.lacking.creation_time += 1;
        }
        match (get(key::SECURITY), get(key::SDDL)) {
            (Some(value), _) => self.security(value),
            (None, Some(_)) => self.warning(LayerFault::SecurityAsText),
            // The importer's own directories have none.
            (None, None) if name.contains('/') => self.rules.lacking.security += 1,
            (None, None) => {}
        }
        for (key, value) in item.records {
            if key.starts_with(key::EXTENDED_ATTRIBUTE) && STANDARD.decode(value).is_err() {
                self.error(LayerFault::Record(format!("{key} is no base64")));
            }
        }
    }

    fn attributes(&mut self, value: &str, kind: ItemKind, mount_point: bool) {
        let digits = value.bytes().all(|it| it.is_ascii_digit());
        let Some(bits) = value.parse::<u32>().ok().filter(|_| digits) else {
            return self.error(LayerFault::Attributes(cut(value)));
        };
        let directory = bits & DIRECTORY != 0;
        let wrong = match kind {
            ItemKind::Directory => !directory,
            // A link is to a directory or not, a junction is always.
            ItemKind::Symlink => mount_point && !directory,
            _ => directory,
        };
        if wrong {
            self.error(LayerFault::DirectoryBit(bits));
        }
        if (bits & REPARSE_POINT != 0) != (kind == ItemKind::Symlink) {
            self.error(LayerFault::ReparseBit(bits));
        }
    }

    fn security(&mut self, value: &str) {
        let checked = match STANDARD.decode(value) {
            Ok(bytes) => descriptor::check(&bytes),
            Err(_) => Err("it is no base64"),
        };
        match checked {
            Ok(Access::Listed) => {}
            Ok(Access::OpenToAll) => self.warning(LayerFault::OpenToAll),
            Err(why) => self.error(LayerFault::Security(why)),
        }
    }

    pub(super) fn times(&mut self, item: &Item<'_>, options: &LintOptions) {
        let late = |seconds: i64| {
            let latest = options.latest.map(i64::try_from);
            latest.is_some_and(|it| it.is_ok_and(|it| seconds > it))
        };
        match item.mtime {
            None => self.error(LayerFault::Time(key::MTIME, "no number".to_owned())),
            Some(it) if late(i64::try_from(it).unwrap_or(i64::MAX)) => {
                self.error(LayerFault::TooLate(key::MTIME, it.to_string()));
            }
            Some(_) => {}
        }
        for key in [key::CREATION_TIME, key::ATIME, key::CTIME, key::MTIME] {
            for (_, value) in item.records.iter().filter(|it| it.0 == key) {
                match pax::seconds(value) {
                    None => self.error(LayerFault::Time(key, cut(value))),
                    Some(it) if late(it) => self.error(LayerFault::TooLate(key, cut(value))),
                    Some(_) => {}
                }
            }
        }
    }
}
