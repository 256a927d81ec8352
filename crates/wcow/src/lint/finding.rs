//! What was found in a layer, and how it is said.

use std::fmt;

use crate::names::{MAX_PATH_UNITS, NameFault};

/// The most findings that are kept of errors and of warnings each, inclusive; the rest is
/// counted.
const MAX_FINDINGS: usize = 1000;

/// What was found in a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LintReport {
    pub(super) errors: Kept,
    pub(super) warnings: Kept,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Findings, the first ones kept, all of them counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    findings: Vec<Finding>,
    count: u64,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Which entry it is about, counted from 1; 0 for the layer as a whole.
    pub entry: u64,
    /// The entry's name as the tar has it, what is not UTF-8 replaced, cut to 300
    /// characters. Empty for the layer as a whole.
    pub name: String,
    /// What it is.
    pub fault: LayerFault,
}

/// What can be wrong with a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerFault {
    // --- the archive
    /// Not a tar, or damaged: why.
    NotATar(String),
    /// It ends in the middle of an entry.
    Truncated,
    /// It has no two zero blocks at its end.
    Unterminated,
    /// Something follows its end, and readers differ in whether they see it.
    AfterEnd,
    /// More entries, or longer names in all, than are looked at.
    TooMuch,
    /// More bytes of PAX records before one entry than are looked at.
    RecordsTooLong(u64),
    /// Something that a layer has no use for: devices, fifos, sparse files, records for all.
    EntryType(u8),
    /// A long name in GNU's form. Layers have PAX records for it.
    GnuLongName,
    /// A PAX record that is none, or has no value that it can have.
    Record(String),
    /// Something with content that can have none.
    Content,

    // --- the place of an entry
    /// The name is not UTF-8.
    NotUtf8,
    /// The name begins with a slash.
    Absolute,
    /// The first component is neither `Files` nor `Hives` nor `UtilityVM`.
    NotUnderFiles,
    /// A component of the name is no name on Windows: which, and why.
    Name(String, NameFault),
    /// The path is longer than Windows takes, in UTF-16 units.
    PathTooLong(usize),
    /// There is no directory entry for what it is in.
    MissingParent(String),
    /// The directory entry for what it is in comes later.
    ChildBeforeDirectory(String),
    /// What it is in is no directory.
    ParentNoDirectory(String),
    /// The same name was there before.
    Duplicate,
    /// A name was there before that differs by case only.
    CaseCollision(String),
    /// A name was there before, of a directory and now not, or the reverse.
    KindConflict(String),
    /// `Files`, `Hives` or `UtilityVM` is no directory.
    RootNoDirectory,
    /// There is no directory `Files`.
    NoFiles,
    /// There is no directory `Hives`.
    NoHives,
    /// Something is in `UtilityVM`, for which there is no directory entry.
    NoUtilityVm,

    // --- links and whiteouts
    /// A hard link, or its target, is not under `Files`.
    LinkOutsideFiles(String),
    /// A hard link comes before its target.
    LinkBeforeTarget(String),
    /// The target of a hard link is not in this layer; it would have to be in one below.
    LinkTargetElsewhere(String),
    /// The target of a link is empty or not UTF-8.
    LinkTarget,
    /// A whiteout that is not under `Files`.
    WhiteoutOutsideFiles,
    /// A whiteout for all of a directory, which the importer takes for one of a file
    /// called `.wh..opq`.
    OpaqueWhiteout,

    // --- attributes, rights, times
    /// File attributes that are no number.
    Attributes(String),
    /// The attributes' bit for directories does not agree with what the entry is.
    DirectoryBit(u32),
    /// The attributes' bit for links does not agree with what the entry is.
    ReparseBit(u32),
    /// The security descriptor is none: why.
    Security(&'static str),
    /// The security descriptor has no list of what is allowed: everybody may do everything.
    OpenToAll,
    /// A security descriptor in the form of text, which only old importers read.
    SecurityAsText,
    /// A time that is none: which, and what it is.
    Time(&'static str, String),
    /// A time that is later than allowed: which, and what it is.
    TooLate(&'static str, String),
    /// So many entries have no file attributes.
    NoAttributes(u64),
    /// So many entries have no time of creation.
    NoCreationTime(u64),
    /// So many entries have no security descriptor.
    NoSecurity(u64),
}

// === impl LintReport ===

impl LintReport {
    /// What the importer refuses, or takes for something else. In the order it was found.
    pub fn errors(&self) -> &[Finding] {
        &self.errors.findings
    }

    /// What leaves something to chance.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings.findings
    }

    /// How many errors and warnings were found and not kept.
    pub fn omitted(&self) -> u64 {
        [&self.errors, &self.warnings]
            .map(|it| it.count - it.findings.len() as u64)
            .iter()
            .sum()
    }

    /// Whether nothing is wrong.
    pub fn is_accepted(&self) -> bool {
        self.errors.count == 0
    }

    /// How many entries the layer has, as far as it was read.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How long its tar is, in bytes, as far as it was read.
    pub fn tar_size(&self) -> u64 {
        self.bytes
    }
}

impl Kept {
    pub(super) fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entry == 0 {
            return self.fault.fmt(f);
        }
        write!(f, "entry {}, {:?}: {}", self.entry, self.name, self.fault)
    }
}

// === impl LayerFault ===

impl LayerFault {
    /// A word for it that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotATar(_) => "not-a-tar",
            Self::Truncated => "truncated",
            Self::Unterminated => "unterminated",
            Self::AfterEnd => "after-end",
            Self::TooMuch => "too-much",
            Self::RecordsTooLong(_) => "records-too-long",
            Self::EntryType(_) => "entry-type",
            Self::GnuLongName => "gnu-long-name",
            Self::Record(_) => "record",
            Self::Content => "content",
            Self::NotUtf8 => "not-utf8",
            Self::Absolute => "absolute",
            Self::NotUnderFiles => "not-under-files",
            Self::Name(_, fault) => name_code(fault),
            Self::PathTooLong(_) => "path-too-long",
            Self::MissingParent(_) => "missing-parent",
            Self::ChildBeforeDirectory(_) => "child-before-directory",
            Self::ParentNoDirectory(_) => "parent-no-directory",
            Self::Duplicate => "duplicate",
            Self::CaseCollision(_) => "case-collision",
            Self::KindConflict(_) => "kind-conflict",
            Self::RootNoDirectory => "root-no-directory",
            Self::NoFiles => "no-files",
            Self::NoHives => "no-hives",
            Self::NoUtilityVm => "no-utility-vm",
            Self::LinkOutsideFiles(_) => "link-outside-files",
            Self::LinkBeforeTarget(_) => "link-before-target",
            Self::LinkTargetElsewhere(_) => "link-target-elsewhere",
            Self::LinkTarget => "link-target",
            Self::WhiteoutOutsideFiles => "whiteout-outside-files",
            Self::OpaqueWhiteout => "opaque-whiteout",
            Self::Attributes(_) => "attributes",
            Self::DirectoryBit(_) => "directory-bit",
            Self::ReparseBit(_) => "reparse-bit",
            Self::Security(_) => "security",
            Self::OpenToAll => "open-to-all",
            Self::SecurityAsText => "security-as-text",
            Self::Time(..) => "time",
            Self::TooLate(..) => "too-late",
            Self::NoAttributes(_) => "no-attributes",
            Self::NoCreationTime(_) => "no-creation-time",
            Self::NoSecurity(_) => "no-security",
        }
    }
}

fn name_code(fault: &NameFault) -> &'static str {
    match fault {
        NameFault::Empty => "empty-name",
        NameFault::Dots => "dots",
        NameFault::Invalid(_) => "invalid-character",
        NameFault::Reserved => "reserved-name",
        NameFault::Trailing => "trailing-dot-or-space",
        NameFault::TooLong(_) => "name-too-long",
        NameFault::Sidecar => "sidecar-name",
        NameFault::Whiteout => "whiteout-name",
    }
}

impl fmt::Display for LayerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.plain() {
            Some(text) => f.write_str(text),
            None => self.place(f),
        }
    }
}

impl LayerFault {
    /// The text of those about the archive, and where an entry is.
    fn place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATar(why) => write!(f, "is no tar, or a damaged one: {why}"),
            Self::RecordsTooLong(bytes) => write!(f, "has {bytes} bytes of PAX records"),
            Self::EntryType(flag) => write!(
                f,
                "is of type {:?}: a Windows layer has files, directories and links only",
                char::from(*flag)
            ),
            Self::Record(why) => write!(f, "has a PAX record that is wrong: {why}"),
            Self::Name(name, fault) => write!(f, "the name {name:?} {fault}"),
            Self::PathTooLong(units) => write!(
                f,
                "the path is {units} UTF-16 units long, and {MAX_PATH_UNITS} are the most"
            ),
            Self::MissingParent(parent) => {
                write!(f, "there is no directory entry for {parent:?}")
            }
            Self::ChildBeforeDirectory(parent) => {
                write!(f, "the directory entry for {parent:?} comes after it")
            }
            Self::ParentNoDirectory(parent) => {
                write!(f, "is below {parent:?}, which is no directory")
            }
            Self::CaseCollision(other) => {
                write!(f, "differs from {other:?} by case only, and is the same")
            }
            Self::KindConflict(other) => write!(
                f,
                "is a directory here and none as {other:?}, or the reverse"
            ),
            _ => self.content(f),
        }
    }

    /// The text of those about what an entry has.
    fn content(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkOutsideFiles(name) => write!(
                f,
                "is a hard link, and {name:?} is not below \"Files\": its own name and its target have to be"
            ),
            Self::LinkBeforeTarget(target) => {
                write!(f, "is a hard link that comes before its target {target:?}")
            }
            Self::LinkTargetElsewhere(target) => write!(
                f,
                "is a hard link to {target:?}, which is not in this layer: it has to be in one below"
            ),
            Self::Attributes(value) => write!(f, "has {value:?} for file attributes"),
            Self::DirectoryBit(value) => write!(
                f,
                "has file attributes {value}, whose bit for directories (16) is not what the entry is"
            ),
            Self::ReparseBit(value) => write!(
                f,
                "has file attributes {value}, whose bit for links (1024) is not what the entry is"
            ),
            Self::Security(why) => write!(f, "has a security descriptor that is none: {why}"),
            Self::Time(key, value) => write!(f, "has {value:?} for {key}"),
            Self::TooLate(key, value) => {
                write!(f, "has {value} for {key}, which is later than the epoch")
            }
            Self::NoAttributes(count) => write!(f, "{count} entries have no file attributes"),
            Self::NoCreationTime(count) => write!(f, "{count} entries have no time of creation"),
            Self::NoSecurity(count) => write!(
                f,
                "{count} entries have no security descriptor: who may do what is left to Windows"
            ),
            _ => f.write_str(self.code()),
        }
    }

    /// The text of those that have nothing to put into it.
    fn plain(&self) -> Option<&'static str> {
        Some(match self {
            Self::Truncated => "the tar ends in the middle of an entry",
            Self::Unterminated => "the tar does not end in two zero blocks",
            Self::AfterEnd => "something follows the end of the tar",
            Self::TooMuch => "has more or longer names than are looked at",
            Self::GnuLongName => "has a long name in GNU's form: layers have PAX records for it",
            Self::Content => "is a directory or a link, and has content",
            Self::NotUtf8 => "the name is not UTF-8",
            Self::Absolute => "the path is absolute",
            Self::NotUnderFiles => {
                "is not below \"Files\": Windows would put it where nobody finds it"
            }
            Self::Duplicate => "is there for the second time",
            Self::RootNoDirectory => "has to be a directory",
            Self::NoFiles => "there is no directory \"Files\"",
            Self::NoHives => "there is no directory \"Hives\"",
            Self::NoUtilityVm => "there is no directory entry for \"UtilityVM\"",
            Self::LinkTarget => "the target of the link is empty or not UTF-8",
            Self::WhiteoutOutsideFiles => "is a whiteout that is not below \"Files\"",
            Self::OpaqueWhiteout => {
                "is an opaque whiteout, which Windows takes for one of a file called \".wh..opq\""
            }
            Self::OpenToAll => {
                "has a security descriptor without a list: everybody may do everything"
            }
            Self::SecurityAsText => {
                "has its security descriptor as text, which only old importers read"
            }
            _ => return None,
        })
    }
}
