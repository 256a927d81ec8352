//! Bytes that travel inside the value: in memory as they are, in JSON as base64.
//!
//! Standard alphabet with padding ([RFC 4648](https://www.rfc-editor.org/rfc/rfc4648#section-4)).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// The most bytes that a config or a layer may have to be kept in memory: 16 MiB,
/// inclusive. What is larger stands in a file.
pub const MAX_INLINE_BYTES: usize = 16 * 1024 * 1024;

pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    // Four characters stand for three bytes; one that is over is refused before it is decoded.
    if text.len() / 4 > MAX_INLINE_BYTES / 3 + 1 {
        return Err(D::Error::custom(format_args!(
            "more than {MAX_INLINE_BYTES} bytes of base64"
        )));
    }
    STANDARD
        .decode(&*text)
        .map(Bytes::from)
        .map_err(D::Error::custom)
}
