//! The rules, entry by entry, and what can be said only at the end.

use std::collections::HashMap;

use super::{Finding, LayerFault, LintOptions, LintReport};
use crate::{
    layer_tar::{FILES, HIVES},
    names::{self, MAX_PATH_UNITS, WHITEOUT},
    tree::NameRules,
};

mod kept;
mod seen;

use seen::Seen;

/// Where a layer has the boot files of a utility VM.
const UTILITY_VM: &str = "UtilityVM";

/// The whiteout of all of a directory, which Windows does not know.
const OPAQUE: &str = ".wh..wh..opq";

/// The most bytes of names that are kept in all, inclusive.
const MAX_NAMES: usize = 256 * 1024 * 1024;

/// An entry as it was read.
pub(super) struct Item<'a> {
    pub(super) name: &'a [u8],
    pub(super) link: &'a [u8],
    pub(super) kind: ItemKind,
    pub(super) size: u64,
    /// None where the header has no number there.
    pub(super) mtime: Option<u64>,
    pub(super) records: &'a [(&'a str, &'a str)],
    pub(super) record_error: Option<String>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    File,
    HardLink,
    Symlink,
    Directory,
    Other(u8),
}

/// What is known of the layer so far. Names are folded.
#[derive(Default)]
pub(super) struct Rules {
    report: LintReport,
    seen: Seen,
    /// Of names that are kept beside those.
    names: usize,
    /// Directories that were missed, and the first entry that missed each.
    missed: HashMap<Box<str>, Finding>,
    /// Targets that were not there yet, and the first hard link to each.
    awaited: HashMap<Box<str>, Finding>,
    lacking: Lacking,
}

/// How many entries have no such record.
#[derive(Default)]
struct Lacking {
    attributes: u64,
    creation_time: u64,
    security: u64,
}

// === impl ItemKind ===

impl ItemKind {
    pub(super) fn of(flag: u8) -> Self {
        match flag {
            // Before POSIX a file had a NUL here.
            b'0' | 0 => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'5' => Self::Directory,
            other => Self::Other(other),
        }
    }

    /// Whether content follows its header. Devices and fifos have none either.
    pub(super) fn has_content(self) -> bool {
        match self {
            Self::File => true,
            Self::HardLink | Self::Symlink | Self::Directory => false,
            Self::Other(flag) => !matches!(flag, b'3' | b'4' | b'6'),
        }
    }
}

// === impl Rules ===

impl Rules {
    pub(super) fn entries(&self) -> u64 {
        self.report.entries
    }

    pub(super) fn add(&mut self, finding: Finding, error: bool) {
        if error {
            self.report.errors.add(finding);
        } else {
            self.report.warnings.add(finding);
        }
    }

    /// Something between entries: the name is of what will not be looked at.
    pub(super) fn aside(&mut self, name: &[u8], fault: LayerFault) {
        let finding = Finding {
            entry: self.report.entries + 1,
            name: shown(name),
            fault,
        };
        self.add(finding, true);
    }

    /// Holds one entry against the rules; `false` if no more names can be kept.
    pub(super) fn entry(&mut self, item: &Item<'_>, options: &LintOptions) -> bool {
        self.report.entries += 1;
        let mut at = At {
            number: self.report.entries,
            shown: shown(item.name),
            rules: self,
        };
        at.form(item);
        let Ok(name) = std::str::from_utf8(item.name) else {
            at.error(LayerFault::NotUtf8);
            return true;
        };
        at.times(item, options);
        // A directory may say so with a slash at its end.
        let name = match item.kind {
            ItemKind::Directory => name.strip_suffix('/').unwrap_or(name),
            _ => name,
        };
        if !at.place(name, item.kind, options) {
            return true;
        }
        at.parent(name);
        at.same_name(name, item.kind);
        at.link(name, item);
        at.windows(name, item);
        self.keep(name, item.kind)
    }

    fn keep(&mut self, name: &str, kind: ItemKind) -> bool {
        // Of what is there twice the first one stays, so that the third is found, too.
        let is_kept = self.seen.get(name).is_some()
            || self.seen.keep(name, kind == ItemKind::Directory).is_some();
        is_kept && self.names + self.seen.bytes() <= MAX_NAMES
    }

    /// What can be said only now. Nothing is missing from a layer that was not read to
    /// its end.
    pub(super) fn finish(mut self, bytes: u64, complete: bool) -> LintReport {
        if complete {
            self.roots();
            let mut missed: Vec<_> = self.missed.drain().map(|it| it.1).collect();
            missed.sort_by_key(|it| it.entry);
            for it in missed {
                self.add(it, true);
            }
            let mut awaited: Vec<_> = self.awaited.drain().map(|it| it.1).collect();
            awaited.sort_by_key(|it| it.entry);
            for it in awaited {
                self.add(it, false);
            }
        }
        let Lacking {
            attributes,
            creation_time,
            security,
        } = self.lacking;
        for (count, fault) in [
            (attributes, LayerFault::NoAttributes(attributes)),
            (creation_time, LayerFault::NoCreationTime(creation_time)),
            (security, LayerFault::NoSecurity(security)),
        ] {
            if count > 0 {
                self.add(whole(fault), false);
            }
        }
        self.report.bytes = bytes;
        self.report
    }

    fn roots(&mut self) {
        for (root, fault) in [(FILES, LayerFault::NoFiles), (HIVES, LayerFault::NoHives)] {
            let seen = self.seen.get(root);
            if !seen.is_some_and(|it| it.is_directory && it.name() == root) {
                self.add(whole(fault), true);
            }
        }
    }
}

/// One entry while it is looked at.
struct At<'a> {
    number: u64,
    shown: String,
    rules: &'a mut Rules,
}

impl At<'_> {
    fn finding(&self, fault: LayerFault) -> Finding {
        Finding {
            entry: self.number,
            name: self.shown.clone(),
            fault,
        }
    }

    fn error(&mut self, fault: LayerFault) {
        let finding = self.finding(fault);
        self.rules.add(finding, true);
    }

    fn warning(&mut self, fault: LayerFault) {
        let finding = self.finding(fault);
        self.rules.add(finding, false);
    }

    /// What any tar of a layer must not have.
    fn form(&mut self, item: &Item<'_>) {
        if let ItemKind::Other(flag) = item.kind {
            self.error(LayerFault::EntryType(flag));
        } else if !item.kind.has_content() && item.size > 0 {
            self.error(LayerFault::Content);
        }
        if let Some(why) = &item.record_error {
            self.error(LayerFault::Record(why.clone()));
        }
        if item
            .records
            .iter()
            .any(|it| it.0.starts_with("GNU.sparse."))
        {
            self.error(LayerFault::EntryType(b'S'));
        }
    }

    /// Whether the name is one: if not, nothing else is said of it.
    fn place(&mut self, name: &str, kind: ItemKind, options: &LintOptions) -> bool {
        if name.starts_with('/') {
            self.error(LayerFault::Absolute);
            return false;
        }
        let mut components: Vec<&str> = name.split('/').collect();
        let last = components.last().copied().unwrap_or_default();
        let whiteout = kind != ItemKind::Directory && last.starts_with(WHITEOUT);
        if whiteout {
            let Some(removed) = self.whiteout(name, last) else {
                return false;
            };
            components.pop();
            components.push(removed);
        }
        for component in components {
            let Some(fault) = names::check(component) else {
                continue;
            };
            let fatal = fault.is_fatal() || options.names == NameRules::Strict;
            let invalid = fault.is_fatal();
            let fault = LayerFault::Name(component.to_owned(), fault);
            if fatal {
                self.error(fault);
            } else {
                self.warning(fault);
            }
            if invalid {
                return false;
            }
        }
        self.root(name, kind)
    }

    /// Whether the first name is one of the importer's, and the path not too long.
    fn root(&mut self, name: &str, kind: ItemKind) -> bool {
        let (root, rest) = name.split_once('/').unwrap_or((name, ""));
        let known = match root {
            FILES | HIVES => true,
            // Only the files of the utility VM are in there.
            UTILITY_VM => rest.is_empty() || rest.split('/').next() == Some(FILES),
            _ => false,
        };
        if !known {
            self.error(LayerFault::NotUnderFiles);
            return false;
        }
        if rest.is_empty() && kind != ItemKind::Directory {
            self.error(LayerFault::RootNoDirectory);
        }
        let units = r"C:\".len() + names::units(rest);
        if units > MAX_PATH_UNITS {
            self.error(LayerFault::PathTooLong(units));
            return false;
        }
        true
    }

    /// The name that a whiteout removes, if that is what it does.
    fn whiteout<'n>(&mut self, name: &str, last: &'n str) -> Option<&'n str> {
        if last == OPAQUE {
            self.error(LayerFault::OpaqueWhiteout);
            return None;
        }
        if !is_below_files(name) {
            self.error(LayerFault::WhiteoutOutsideFiles);
            return None;
        }
        last.strip_prefix(WHITEOUT)
    }

    /// Whether what the entry is in is there by now.
    fn parent(&mut self, name: &str) {
        let Some((parent, last)) = name.rsplit_once('/') else {
            return;
        };
        // A whiteout makes nothing: what it is in may be in a layer below only.
        if last.starts_with(WHITEOUT) {
            return;
        }
        let fault = match self.rules.seen.get(parent) {
            Some(seen) if seen.is_directory => return,
            Some(seen) => LayerFault::ParentNoDirectory(seen.name()),
            None if self.is_without_utility_vm(parent) => LayerFault::NoUtilityVm,
            None => {
                let finding = self.finding(LayerFault::MissingParent(parent.to_owned()));
                self.rules.names += parent.len();
                let key = names::fold(parent).into();
                self.rules.missed.entry(key).or_insert(finding);
                return;
            }
        };
        self.error(fault);
    }

    fn is_without_utility_vm(&self, parent: &str) -> bool {
        let root = parent.split('/').next();
        root == Some(UTILITY_VM) && self.rules.seen.get(UTILITY_VM).is_none()
    }

    /// Whether the name was there before, and what was waiting for it.
    fn same_name(&mut self, name: &str, kind: ItemKind) {
        let directory = kind == ItemKind::Directory;
        if let Some(seen) = self.rules.seen.get(name) {
            let other = seen.name();
            let fault = match (other == name, seen.is_directory == directory) {
                (true, true) => LayerFault::Duplicate,
                (false, true) => LayerFault::CaseCollision(other),
                (_, false) => LayerFault::KindConflict(other),
            };
            self.error(fault);
        }
        if self.rules.missed.is_empty() && self.rules.awaited.is_empty() {
            return;
        }
        let key: Box<str> = names::fold(name).into();
        if directory && let Some(mut early) = self.rules.missed.remove(&key) {
            early.fault = LayerFault::ChildBeforeDirectory(name.to_owned());
            self.rules.add(early, true);
        }
        if let Some(mut early) = self.rules.awaited.remove(&key) {
            early.fault = LayerFault::LinkBeforeTarget(name.to_owned());
            self.rules.add(early, true);
        }
    }

    fn link(&mut self, name: &str, item: &Item<'_>) {
        if !matches!(item.kind, ItemKind::HardLink | ItemKind::Symlink) {
            return;
        }
        let target = match std::str::from_utf8(item.link) {
            Ok(target) if !target.is_empty() => target,
            _ => return self.error(LayerFault::LinkTarget),
        };
        if item.kind == ItemKind::Symlink {
            return;
        }
        for one in [name, target] {
            let plain = one.split('/').all(|it| !matches!(it, "" | "." | ".."));
            if !is_below_files(one) || !plain {
                return self.error(LayerFault::LinkOutsideFiles(cut(one)));
            }
        }
        let key: Box<str> = names::fold(target).into();
        if self.rules.seen.get(target).is_none() {
            let finding = self.finding(LayerFault::LinkTargetElsewhere(cut(target)));
            self.rules.names += key.len();
            self.rules.awaited.entry(key).or_insert(finding);
        }
    }
}

fn whole(fault: LayerFault) -> Finding {
    Finding {
        entry: 0,
        name: String::new(),
        fault,
    }
}

/// Below `Files` itself, or below that of the utility VM.
fn is_below_files(name: &str) -> bool {
    let rest = name
        .strip_prefix(UTILITY_VM)
        .and_then(|it| it.strip_prefix('/'))
        .unwrap_or(name);
    rest.strip_prefix(FILES)
        .is_some_and(|it| it.len() > 1 && it.starts_with('/'))
}

fn shown(name: &[u8]) -> String {
    // Enough bytes for 300 characters, whatever they are.
    cut(&String::from_utf8_lossy(&name[..name.len().min(1200)]))
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}
