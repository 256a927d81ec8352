//! Which names a file can have on Windows, and which two of them are one.
//!
//! Two kinds of fault. What the importer of a layer rejects, or takes for something
//! else than a name, is wrong in any case ([`NameFault::is_fatal`]). What it accepts
//! but no ordinary program can open afterwards (`CON`, `a.`) is wrong unless the user
//! says otherwise.
//!
//! Rules: [Naming Files, Paths, and Namespaces](https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file);
//! the importer's own are in [hcsshim](https://github.com/microsoft/hcsshim/blob/main/internal/safefile/safeopen.go).

use std::fmt;

pub(crate) mod table;

/// The longest name of one file or directory, inclusive, in UTF-16 units.
pub const MAX_NAME_UNITS: usize = 255;

/// The longest path, inclusive, in UTF-16 units: that of an extended-length path.
pub const MAX_PATH_UNITS: usize = 32_767;

/// A path as long as this, drive and root included, is out of reach for programs that
/// did not ask for long ones. In UTF-16 units.
pub const LEGACY_PATH_UNITS: usize = 260;

/// What is appended to a directory's name to keep its attributes beside it while a
/// layer is imported. A file of that name would be taken for it.
const SIDECAR: &str = ".$wcidirs$";

/// What marks a removed file in a layer
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts)).
pub(crate) const WHITEOUT: &str = ".wh.";

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFault {
    /// There is none.
    Empty,
    /// It is `.` or `..`.
    Dots,
    /// It has a character that NTFS keeps in no name, or that means something else.
    Invalid(char),
    /// It names a device, with or without an extension: `CON`, `nul.txt`.
    Reserved,
    /// It ends in a dot or a space, which Win32 cuts off.
    Trailing,
    /// It has more UTF-16 units than [`MAX_NAME_UNITS`]: this many.
    TooLong(usize),
    /// It ends in `.$wcidirs$`.
    Sidecar,
    /// It begins with `.wh.`.
    Whiteout,
}

// === impl NameFault ===

impl NameFault {
    /// Whether no layer can hold such a name. The others are accepted by the importer,
    /// and then opened by no ordinary program.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Reserved | Self::Trailing)
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Dots => f.write_str("is a step and no name"),
            Self::Invalid(it) => write!(f, "has {it:?}, which no name on Windows can have"),
            Self::Reserved => f.write_str("is a device on Windows, whatever its extension"),
            Self::Trailing => f.write_str("ends in a dot or a space, which Windows cuts off"),
            Self::TooLong(units) => write!(
                f,
                "is {units} UTF-16 units long, and Windows takes {MAX_NAME_UNITS}"
            ),
            Self::Sidecar => write!(f, "ends in {SIDECAR}, which the importer keeps for itself"),
            Self::Whiteout => write!(f, "begins with {WHITEOUT}, which marks a removed file"),
        }
    }
}

/// The first thing that is wrong with one component of a path, what is fatal first.
pub(crate) fn check(name: &str) -> Option<NameFault> {
    if name.is_empty() {
        return Some(NameFault::Empty);
    }
    if matches!(name, "." | "..") {
        return Some(NameFault::Dots);
    }
    if let Some(invalid) = name.chars().find(|it| is_invalid(*it)) {
        return Some(NameFault::Invalid(invalid));
    }
    let units = units(name);
    if units > MAX_NAME_UNITS {
        return Some(NameFault::TooLong(units));
    }
    // Case does not tell names apart, so it does not make these harmless.
    let folded = fold(name);
    if folded.ends_with(&fold(SIDECAR)) {
        return Some(NameFault::Sidecar);
    }
    if folded.starts_with(&fold(WHITEOUT)) {
        return Some(NameFault::Whiteout);
    }
    if name.ends_with(['.', ' ']) {
        return Some(NameFault::Trailing);
    }
    is_reserved(name).then_some(NameFault::Reserved)
}

fn is_invalid(it: char) -> bool {
    it < ' ' || matches!(it, '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*')
}

/// Whether the part before the first dot, blanks at its end cut off, is a device's.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
    if matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL") {
        return true;
    }
    let number = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    // The superscript digits are those of ISO 8859-1, which Windows takes for digits here.
    number.is_some_and(|it| {
        let mut digits = it.chars();
        matches!(digits.next(), Some('1'..='9' | '¹' | '²' | '³')) && digits.next().is_none()
    })
}

/// How long a text is in UTF-16 units, which is how Windows counts.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// What two names have in common if they are one file on Windows.
///
/// NTFS compares names by an upper-case table of its own volume: one UTF-16 unit to
/// one unit, nothing outside the Basic Multilingual Plane. This is Unicode's simple
/// upper-casing under the same limits. It is an approximation: the table of a volume
/// is as old as the Windows that made it, and letters that came to Unicode since fold
/// here and not there. So two names may be called one that an older Windows tells
/// apart, which is an error with both names in it, and not a layer that fails later.
pub(crate) fn fold(name: &str) -> String {
    name.chars().map(upper).collect()
}

fn upper(it: char) -> char {
    if it.is_ascii() {
        return it.to_ascii_uppercase();
    }
    if it.len_utf16() > 1 {
        return it;
    }
    if let Some(titled) = with_iota(it) {
        return titled;
    }
    let mut upper = it.to_uppercase();
    match (upper.next(), upper.next()) {
        // The dotless i and the long s stay what they are: no name turns into ASCII.
        (Some(one), None) if !one.is_ascii() && one.len_utf16() == 1 => one,
        _ => it,
    }
}

/// Greek letters with an iota below, whose full upper case has two characters and
/// whose simple one has one
/// ([UnicodeData](https://www.unicode.org/reports/tr44/#Simple_Uppercase_Mapping)).
fn with_iota(it: char) -> Option<char> {
    let offset = match it {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => return None,
    };
    char::from_u32(u32::from(it) + offset)
}

#[cfg(test)]
mod tests;
