//! A blob on its way into a file: hashed while it is written, and right or an error.

use std::io::{self, Write};

use bytes::Bytes;
use oci::{Descriptor, Hasher};

use super::LayoutError;

/// Writes the pieces that `next` gives to `file`, no more bytes than the blob has; `failed` says where it could not be written. An error if they are
/// not the blob: what is in the file is then nothing.
pub(crate) fn write_checked(
    file: &mut impl Write,
    blob: &Descriptor,
    mut next: impl FnMut() -> Option<Bytes>,
    failed: impl Fn(io::Error) -> LayoutError,
) -> Result<(), LayoutError> {
    let mut hasher = Hasher::for_digest(&blob.digest);
    let mut length = 0;
    while let Some(piece) = next() {
        length += piece.len() as u64;
        if length > blob.size {
            break;
        }
        hasher.update(&piece);
        file.write_all(&piece).map_err(&failed)?;
    }
    let actual = hasher.finish();
    if length != blob.size || actual != blob.digest {
        return Err(LayoutError::Altered {
            expected: blob.digest.clone(),
            actual,
            size: blob.size,
            length,
        });
    }
    Ok(())
}
