//! What packages are called on Windows, where a user says so.
//!
//! ```toml
//! [packages]                       # whichever distribution names it so
//! postgresql-client = "postgresql"
//! libpq5 = false                   # not installed at all
//! nodejs = { id = "nodejs", version = "22.11.0" }
//!
//! [apt]                            # Debian alone; [apk] is Alpine's, [rpm] Fedora's
//! fd-find = "fd"
//! ```
//!
//! A distribution's own table comes first, then `[packages]`, then what is compiled in. Names and
//! versions end up in a command line, so they have letters, digits and `.-_` only.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::{known, manager::Family, note::Reason};

/// The longest map that is read, in bytes, inclusive.
pub const MAX_MAP_BYTES: usize = 256 << 10;

/// The longest name of a package, in bytes, inclusive: as long as choco's may be.
const MAX_NAME_BYTES: usize = 100;

/// How many bad lines are told, inclusive.
const MAX_BAD_LINES: usize = 20;

/// What packages are called on Windows. The default one has nothing of a user's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageMap(BTreeMap<(Section, String), Entry>);

/// A table of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Packages,
    Apt,
    Apk,
    Rpm,
}

/// What a map says of one package.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Choco { id: String, version: Option<String> },
    LeftOut,
}

/// What becomes of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is installed; `version` is the one that the map asks for.
    Choco { id: String, version: Option<String> },
    /// It is left out.
    Skipped(Reason),
}

/// Why a map cannot be used: each of its bad lines once, up to 20.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is no map of packages")]
#[non_exhaustive]
pub struct PackageMapError {
    /// What the file is called.
    pub file: String,
    /// What is wrong, in order.
    pub lines: Vec<BadLine>,
}

/// A line of a map that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct BadLine {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Section {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "packages" => Self::Packages,
            "apt" => Self::Apt,
            "apk" => Self::Apk,
            "rpm" => Self::Rpm,
            _ => return None,
        })
    }

    fn of(family: Family) -> Self {
        match family {
            Family::Apt => Self::Apt,
            Family::Apk => Self::Apk,
            Family::Rpm => Self::Rpm,
        }
    }
}

impl PackageMap {
    /// Reads a map. `name` is what messages call it.
    ///
    /// Fails if any line is not one of a map, and then tells all that are not; over
    /// [`MAX_MAP_BYTES`] nothing is read.
    pub fn parse(text: &str, name: &str) -> Result<Self, PackageMapError> {
        let mut reader = Reader {
            text,
            map: Self::default(),
            bad: Vec::new(),
        };
        if text.len() > MAX_MAP_BYTES {
            let problem = format!("the file is too long: at most {MAX_MAP_BYTES} bytes");
            reader.refuse(0, problem);
        } else {
            reader.file();
        }
        if reader.bad.is_empty() {
            return Ok(reader.map);
        }
        reader.bad.sort_by_key(|it| it.line);
        reader.bad.dedup_by_key(|it| it.line);
        reader.bad.truncate(MAX_BAD_LINES);
        Err(PackageMapError {
            file: name.to_owned(),
            lines: reader.bad,
        })
    }

    /// Whether anything is known of a package of this name.
    pub(super) fn knows(&self, family: Family, package: &str) -> bool {
        self.find(family, package).is_some()
    }

    /// What becomes of a package.
    pub(super) fn find(&self, family: Family, package: &str) -> Option<Found> {
        if package.len() > MAX_NAME_BYTES {
            return None;
        }
        let said = |section| self.0.get(&(section, package.to_owned()));
        match said(Section::of(family)).or_else(|| said(Section::Packages)) {
            Some(Entry::Choco { id, version }) => Some(Found::Choco {
                id: id.clone(),
                version: version.clone(),
            }),
            Some(Entry::LeftOut) => Some(Found::Skipped(Reason::Map)),
            None => match known::choco(package) {
                Some(id) => Some(Found::Choco {
                    id: id.to_owned(),
                    version: None,
                }),
                None => known::skipped(package).map(Found::Skipped),
            },
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    map: PackageMap,
    bad: Vec<BadLine>,
}

impl Reader<'_> {
    fn refuse(&mut self, at: usize, problem: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        self.bad.push(BadLine {
            line: before.matches('\n').count() + 1,
            problem: problem.into(),
        });
    }

    fn file(&mut self) {
        let (file, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |it| it.start);
            self.refuse(at, error.message());
        }
        for (name, value) in file.get_ref() {
            let at = name.span().start;
            let table = value.get_ref().as_table();
            match (Section::named(name.get_ref()), table) {
                (Some(section), Some(table)) => self.section(section, table),
                (Some(_), None) => {
                    self.refuse(at, format!("{0} is a table: write [{0}]", name.get_ref()));
                }
                (None, _) => {
                    let problem = format!(
                        "there is no table {:?}: packages stand in [packages], or in [apt], [apk], \
                         [rpm] for those of one distribution",
                        shown(name.get_ref())
                    );
                    self.refuse(at, problem);
                }
            }
        }
    }

    fn section(&mut self, section: Section, table: &DeTable<'_>) {
        for (name, value) in table {
            let package = name.get_ref();
            let fits = !package.is_empty()
                && package.len() <= MAX_NAME_BYTES
                && package.bytes().all(|it| it.is_ascii_graphic());
            if !fits {
                let problem = format!("{:?} is no name of a package", shown(package));
                self.refuse(name.span().start, problem);
                continue;
            }
            match entry(value.get_ref()) {
                Ok(entry) => {
                    self.map.0.insert((section, package.to_string()), entry);
                }
                Err(problem) => self.refuse(name.span().start, format!("{package}: {problem}")),
            }
        }
    }
}

fn entry(value: &DeValue<'_>) -> Result<Entry, String> {
    const FORMS: &str = "expected \"ID\", false, or { id = \"ID\", version = \"1.2.3\" }";
    match value {
        DeValue::String(id) => Ok(Entry::Choco {
            id: id_of(id)?,
            version: None,
        }),
        DeValue::Boolean(false) => Ok(Entry::LeftOut),
        DeValue::Table(table) => {
            let (mut id, mut version) = (None, None);
            for (key, value) in table {
                let text = value.get_ref().as_str().ok_or(FORMS)?;
                match key.get_ref().as_ref() {
                    "id" => id = Some(id_of(text)?),
                    "version" => version = Some(version_of(text)?),
                    other => return Err(format!("there is no key {:?}: {FORMS}", shown(other))),
                }
            }
            let id = id.ok_or(FORMS)?;
            Ok(Entry::Choco { id, version })
        }
        _ => Err(FORMS.to_owned()),
    }
}

fn id_of(text: &str) -> Result<String, String> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{:?} is no choco package: letters, digits and . - _, at most {MAX_NAME_BYTES}",
        shown(text)
    ))
}

fn version_of(text: &str) -> Result<String, String> {
    let inside = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-');
    let starts = text.starts_with(|it: char| it.is_ascii_digit());
    if starts && text.len() <= MAX_NAME_BYTES && text.bytes().all(inside) {
        return Ok(text.to_owned());
    }
    Err(format!("{:?} is no version, such as 1.2.3", shown(text)))
}

/// Whether a text can be a choco package's name, and nothing else on a command line.
pub(super) fn is_id(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphanumeric())
        && text.len() <= MAX_NAME_BYTES
        && text
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_'))
}

/// The start of a text that a user wrote.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as the map answers")]
    fn choco(id: &str, version: Option<&str>) -> Option<Found> {
        Some(Found::Choco {
            id: id.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    #[test]
    fn b16_a_users_map_comes_before_what_is_compiled_in() {
        let text = "# mine\n[packages]\ncurl = \"my-curl\"\nlibpq5 = false\n\
            gcc = { id = \"mingw\", version = \"13.2.0\" }\n\"g++\" = 'mingw'\n\
            [apk]\ncurl = 'alpine.curl'\n";
        let map = PackageMap::parse(text, "map.toml").unwrap();
        assert_eq!(map.find(Family::Apt, "curl"), choco("my-curl", None));
        assert_eq!(map.find(Family::Rpm, "curl"), choco("my-curl", None));
        assert_eq!(map.find(Family::Apk, "curl"), choco("alpine.curl", None));
        assert_eq!(map.find(Family::Apt, "gcc"), choco("mingw", Some("13.2.0")));
        assert_eq!(map.find(Family::Apt, "g++"), choco("mingw", None));
        let left_out = Some(Found::Skipped(Reason::Map));
        assert_eq!(map.find(Family::Apt, "libpq5"), left_out);
        assert_eq!(map.find(Family::Apt, "jq"), choco("jq", None));
        assert_eq!(map.find(Family::Apt, "libpq6"), None);
        let none = PackageMap::default();
        let toolchain = Some(Found::Skipped(Reason::Toolchain));
        assert_eq!(none.find(Family::Apt, "gcc"), toolchain);
        assert_eq!(PackageMap::parse("", "empty").unwrap(), none);
    }

    #[test]
    fn b16_every_bad_line_of_a_map_is_told_with_its_number() {
        let text = "[packages]\ncurl = 1\njq = \"a b\"\ngood = \"good\"\nwget = true\n\
            yq = { version = \"1\" }\nfd = { id = \"fd\", v = \"1\" }\n\
            bat = { id = \"bat\", version = \"latest & del\" }\n\"a b\" = \"c\"\n[pip]\nx = 'y'\n";
        let error = PackageMap::parse(text, "map.toml").unwrap_err();
        assert_eq!(error.to_string(), "map.toml is no map of packages");
        let told: Vec<String> = error.lines.iter().map(ToString::to_string).collect();
        let forms = "expected \"ID\", false, or { id = \"ID\", version = \"1.2.3\" }";
        assert_eq!(
            told,
            [
                format!("line 2: curl: {forms}"),
                "line 3: jq: \"a b\" is no choco package: letters, digits and . - _, at most 100"
                    .to_owned(),
                format!("line 5: wget: {forms}"),
                format!("line 6: yq: {forms}"),
                format!("line 7: fd: there is no key \"v\": {forms}"),
                "line 8: bat: \"latest & del\" is no version, such as 1.2.3".to_owned(),
                "line 9: \"a b\" is no name of a package".to_owned(),
                "line 10: there is no table \"pip\": packages stand in [packages], or in [apt], \
                 [apk], [rpm] for those of one distribution"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn b16_what_is_no_toml_is_told_with_its_line_and_a_map_has_a_bound() {
        let lines = |text: &str| {
            let error = PackageMap::parse(text, "m").unwrap_err();
            error.lines.iter().map(|it| it.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("[packages]\ncurl = 'a'\ncurl = 'b'\n"), [3]);
        assert_eq!(lines("[packages]\n\ncurl = \n"), [3]);
        assert_eq!(lines("packages = 1\n"), [1]);
        let long = |extra: usize| "#".repeat(MAX_MAP_BYTES + extra);
        assert!(PackageMap::parse(&long(0), "m").is_ok());
        assert_eq!(lines(&long(1)), [1]);
    }
}
