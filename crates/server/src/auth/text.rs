//! Files of text that settings are in: read whole, up to a bound.

use std::{fs, io, io::Read as _, path::Path};

/// A file's text; none if it has more than `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Option<String>> {
    let file = fs::File::open(path)?;
    let mut text = String::new();
    let length = file.take(most + 1).read_to_string(&mut text)?;
    Ok((length as u64 <= most).then_some(text))
}
