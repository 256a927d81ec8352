//! One layer: its blob in a file, and what was found in it so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use oci::Digest;

use super::{
    ImageFault, Shared, Wanted,
    entries::{Entries, Raw},
    item::{self, Item, View, What},
    name::{self, above},
    unpacked::Unpacked,
};
use crate::{FileBody, copy::Spool, dockerfile::TargetOs, names::WHITEOUT};

/// How many entries of an image are kept, inclusive.
pub(super) const MAX_WANTED: usize = 200_000;
/// How many bytes are taken out of an image, inclusive.
const MAX_COPIED_BYTES: u64 = 16 << 30;
/// What hides all that lower layers have in its directory.
const OPAQUE: &str = ".wh..wh..opq";
/// What marks a directory's own business of a storage driver.
const OF_DRIVER: &str = ".wh..wh.";

/// What an entry is that cannot be taken: its name if it is about one.
pub(super) type Fault = (Option<String>, ImageFault);

/// A layer of an image.
pub(super) struct Layer {
    pub(super) digest: Digest,
    diff_id: Digest,
    /// Its bytes, which have its digest; none until they were needed.
    pub(super) blob: Option<FileBody>,
    is_checked: bool,
    /// What was looked for.
    asked: Vec<Wanted>,
    asked_exactly: BTreeSet<String>,
    found: BTreeMap<String, Shared>,
    /// What it removes of the layers below it: paths, and what is in directories.
    removed: BTreeSet<String>,
    opaque: BTreeSet<String>,
}

impl Layer {
    pub(super) fn new(digest: Digest, diff_id: Digest) -> Self {
        Self {
            digest,
            diff_id,
            blob: None,
            is_checked: false,
            asked: Vec::new(),
            asked_exactly: BTreeSet::new(),
            found: BTreeMap::new(),
            removed: BTreeSet::new(),
            opaque: BTreeSet::new(),
        }
    }

    /// What was found, by key, and what the layer removes.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Shared)> {
        self.found.iter()
    }

    pub(super) fn removed(&self) -> &BTreeSet<String> {
        &self.removed
    }

    pub(super) fn opaque(&self) -> &BTreeSet<String> {
        &self.opaque
    }

    /// What has this key, if it was looked for and is there.
    pub(super) fn found(&self, key: &str) -> Option<&Shared> {
        self.found.get(key)
    }

    /// Whether layers below it have nothing to say of a key.
    pub(super) fn hides(&self, key: &str) -> bool {
        hides(&self.removed, &self.opaque, key)
    }

    /// Goes over its tar for what was not looked for yet. What files have in them goes to the spool.
    pub(super) fn pass(
        &mut self,
        view: View,
        wanted: &[Wanted],
        exact: &BTreeSet<String>,
        spool: &mut Spool,
    ) -> Result<(), Fault> {
        let is_new = |it: &&Wanted| !self.asked.iter().any(|asked| asked.is(it));
        let mut new: Vec<Wanted> = wanted.iter().filter(is_new).cloned().collect();
        // A link may want what a source wanted before.
        let mut exact: BTreeSet<String> = exact
            .iter()
            .filter(|it| !self.asked_exactly.contains(*it) && !self.found.contains_key(*it))
            .cloned()
            .collect();
        if new.is_empty() && exact.is_empty() {
            return Ok(());
        }
        let whole = |fault| (None, fault);
        let Some(blob) = &self.blob else {
            return Ok(());
        };
        let diff_id = (!self.is_checked).then_some(&self.diff_id);
        let unpacked = Unpacked::of(blob, diff_id).map_err(whole)?;
        let mut entries = Entries::new(unpacked);
        while let Some(raw) = entries.next().map_err(whole)? {
            let named = || {
                Some(
                    String::from_utf8_lossy(&raw.name)
                        .chars()
                        .take(512)
                        .collect(),
                )
            };
            let look = Looking {
                view,
                wanted: &new,
                exact: &exact,
            };
            let taken = self.take(look, &raw, &mut entries, spool);
            taken.map_err(|fault| (named(), fault))?;
        }
        let unpacked = entries.finish().map_err(whole)?;
        unpacked.check(&self.diff_id).map_err(whole)?;
        self.is_checked = true;
        self.asked.append(&mut new);
        self.asked_exactly.append(&mut exact);
        Ok(())
    }

    fn take(
        &mut self,
        look: Looking<'_>,
        raw: &Raw,
        entries: &mut Entries<Unpacked>,
        spool: &mut Spool,
    ) -> Result<(), ImageFault> {
        let lossy = String::from_utf8_lossy(&raw.name);
        let Some(path) = name::path(look.view.os, &lossy)?.filter(|it| !it.is_empty()) else {
            return Ok(());
        };
        if self.whiteout(look, &path)? {
            return Ok(());
        }
        let key = name::key(look.view.os, &path);
        if !look.covers(&path, &key) {
            return Ok(());
        }
        if std::str::from_utf8(&raw.name).is_err() {
            return Err(ImageFault::NotUtf8);
        }
        if look.view.os == TargetOs::Windows {
            // A stream beside a file's own content, which no layer of ours can have.
            if path.contains(':') {
                return Ok(());
            }
            if path.contains('\\') {
                return Err(ImageFault::Invalid('\\'));
            }
        }
        // Of two with one name the later one counts, whichever pass finds it.
        if self.found.get(&key).is_some_and(|it| it.order >= raw.order) {
            return Ok(());
        }
        if self.found.len() == MAX_WANTED {
            return Err(ImageFault::TooManyWanted(MAX_WANTED));
        }
        let what = what(look.view.os, raw, entries, spool)?;
        self.found
            .insert(key, Arc::new(Item::of(look.view, path, raw, what)));
        Ok(())
    }

    /// Takes note of what the layer removes; whether the entry is about that.
    fn whiteout(&mut self, look: Looking<'_>, path: &str) -> Result<bool, ImageFault> {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(removed) = last.strip_prefix(WHITEOUT) else {
            return Ok(false);
        };
        if self.removed.len() + self.opaque.len() == MAX_WANTED {
            return Err(ImageFault::TooManyWanted(MAX_WANTED));
        }
        let parent = name::key(look.view.os, parent);
        if last == OPAQUE {
            // Its importer would look for a file called `.wh..opq`.
            if look.view.os == TargetOs::Windows {
                return Err(ImageFault::Opaque);
            }
            self.opaque.insert(parent);
        } else if matches!(removed, "" | "." | "..") {
            return Err(ImageFault::Leaves);
        } else if !last.starts_with(OF_DRIVER) {
            let removed = name::key(look.view.os, removed);
            self.removed.insert(if parent.is_empty() {
                removed
            } else {
                format!("{parent}/{removed}")
            });
        }
        Ok(true)
    }
}

/// Whether what is removed has a key in it or above it.
pub(super) fn hides(removed: &BTreeSet<String>, opaque: &BTreeSet<String>, key: &str) -> bool {
    removed.contains(key)
        || opaque.contains("")
        || above(key).any(|it| removed.contains(it) || opaque.contains(it))
}

/// What one pass looks for.
#[derive(Clone, Copy)]
struct Looking<'a> {
    view: View,
    wanted: &'a [Wanted],
    exact: &'a BTreeSet<String>,
}

impl Looking<'_> {
    fn covers(&self, path: &str, key: &str) -> bool {
        self.exact.contains(key) || self.wanted.iter().any(|it| it.covers(path, key))
    }
}

fn what(
    os: TargetOs,
    raw: &Raw,
    entries: &mut Entries<Unpacked>,
    spool: &mut Spool,
) -> Result<What, ImageFault> {
    let link = || match std::str::from_utf8(&raw.link) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(ImageFault::NotUtf8),
    };
    Ok(match raw.flag {
        b'5' => What::Directory { implicit: false },
        // Before POSIX, a directory was a file whose name ends in a slash.
        b'0' | 0 if raw.name.ends_with(b"/") => What::Directory { implicit: false },
        b'0' | 0 | b'7' => {
            if raw.records.iter().any(|it| it.0.starts_with("GNU.sparse.")) {
                return Err(ImageFault::Sparse);
            }
            if spool.length().saturating_add(raw.size) > MAX_COPIED_BYTES {
                return Err(ImageFault::TooLarge(MAX_COPIED_BYTES));
            }
            What::File(content(entries, spool)?)
        }
        b'1' => {
            let target = link()?;
            let path = name::path(os, &target)?.filter(|it| !it.is_empty());
            let path = path.ok_or(ImageFault::NoTarget(target))?;
            What::HardLink(name::key(os, &path))
        }
        b'2' => What::Symlink {
            target: link()?,
            to_directory: item::is_to_directory(raw),
        },
        _ => What::Special,
    })
}

/// Keeps the content of the entry. Reading and writing fail in different ways.
fn content(entries: &mut Entries<Unpacked>, spool: &mut Spool) -> Result<FileBody, ImageFault> {
    use std::io::{Read as _, Write as _};
    let offset = spool.length();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match entries.read(&mut buffer)? {
            0 => return Ok(spool.piece(offset).into()),
            read => spool
                .write_all(&buffer[..read])
                .map_err(ImageFault::Spool)?,
        }
    }
}
