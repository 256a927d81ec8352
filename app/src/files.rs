//! Files of settings, read whole and never more than fits.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// The largest file read, in bytes, inclusive.
pub(crate) const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The content of a file; an error over 4 MiB.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        let text = "it is too large: at most 4 MiB are read";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// The same as text.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_bound_is_refused_and_one_without_end_is_not_read_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let sized = |bytes: u64| File::create(&path).unwrap().set_len(bytes).unwrap();
        sized(MAX_BYTES);
        assert_eq!(read(&path).unwrap().len() as u64, MAX_BYTES);
        sized(MAX_BYTES + 1);
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        #[cfg(unix)]
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
