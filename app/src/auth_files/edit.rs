//! A file with credentials, changed in one place and otherwise left as it is.
//!
//! What is not understood is kept as it was written, number for number. The new file is complete
//! before it takes the old one's place, and nobody but its owner may read it.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::{ser::PrettyFormatter, value::RawValue};

/// A JSON object whose values are text still, in their order.
#[derive(Default)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// The object in a file's content; an empty file is an empty one.
    pub(super) fn parse(content: &[u8]) -> serde_json::Result<Self> {
        if content.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        serde_json::from_slice(content)
    }

    /// The object at `key`; an empty one if there is none.
    pub(super) fn object(&self, key: &str) -> serde_json::Result<Self> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        let found = found.map(|(_, value)| serde_json::from_str::<Option<Self>>(value.get()));
        Ok(found.transpose()?.flatten().unwrap_or_default())
    }

    /// Puts `value` at `key`, in the place of what is there.
    pub(super) fn set(&mut self, key: &str, value: &impl Serialize) -> serde_json::Result<()> {
        let value = serde_json::value::to_raw_value(value)?;
        match self.0.iter_mut().rev().find(|(name, _)| name == key) {
            Some((_, there)) => *there = value,
            None => self.0.push((key.to_owned(), value)),
        }
        Ok(())
    }

    /// Takes out the entries whose key `is` one; whether there was any.
    pub(super) fn remove(&mut self, is: impl Fn(&str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|(key, _)| !is(key));
        self.0.len() < before
    }

    /// As the content of a file.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut content = Vec::new();
        let formatter = PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut content, formatter);
        self.serialize(&mut serializer)?;
        content.push(b'\n');
        Ok(content)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Puts `content` in the place of the file at `path`, whole or not at all; its owner alone may read
/// it. A symbolic link stays one.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    create_private(&directory)?;
    let mut file = tempfile::Builder::new()
        .prefix(".longshore-")
        .tempfile_in(&directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The new name is lasting when the directory is.
    #[cfg(unix)]
    fs::File::open(&directory)?.sync_all()?;
    Ok(())
}

/// Makes a directory that only its owner may look into, unless it is there.
fn create_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
