//! Reads the errors of a body as far as it goes.
//!
//! What was read before the body turns out broken or cut off stands: a registry that
//! lists a thousand missing blobs is still understood for most of them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{ErrorCode, ErrorEntry, printable};

/// The most errors kept of one body.
const MAX_ENTRIES: usize = 1024;

/// The errors of a body, in order.
pub(super) fn errors(body: &[u8]) -> Vec<ErrorEntry> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}');
    let mut read = Read::default();
    let mut json = serde_json::Deserializer::from_str(text);
    // Where the body stops being JSON, reading stops; that is all there is to say about it.
    let _ = Body(&mut read).deserialize(&mut json);
    if read.entries.is_empty() {
        read.entries.extend(entry(Value::Object(read.alone)));
    }
    read.entries
}

#[derive(Default)]
struct Read {
    entries: Vec<ErrorEntry>,
    /// The fields of a body that is itself the one error.
    alone: Map<String, Value>,
}

/// The whole body: an object with `errors`, an object that is an error, or a list.
struct Body<'a>(&'a mut Read);

/// The value of `errors`: a list, or a single error.
struct Errors<'a>(&'a mut Read);

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "errors" => fields.next_value_seed(Errors(self.0))?,
                "code" | "message" | "detail" | "details" | "error" | "error_description" => {
                    let value = fields.next_value()?;
                    self.0.alone.insert(key, value);
                }
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Errors(self.0).visit_seq(list)
    }
}

impl<'de> DeserializeSeed<'de> for Errors<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Errors<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of errors")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while self.0.entries.len() < MAX_ENTRIES {
            match list.next_element()? {
                Some(value) => self.0.entries.extend(entry(value)),
                None => return Ok(()),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut object = Map::new();
        while let Some((key, value)) = fields.next_entry()? {
            object.insert(key, value);
        }
        self.0.entries.extend(entry(Value::Object(object)));
        Ok(())
    }
}

/// One error, if the value says anything.
fn entry(value: Value) -> Option<ErrorEntry> {
    let mut fields = match value {
        Value::String(message) => {
            return Some(ErrorEntry::new(ErrorCode::Unknown).message(message));
        }
        Value::Object(fields) => fields,
        _ => return None,
    };
    let mut code = text(fields.remove("code"));
    let mut message = text(fields.remove("message")).or(text(fields.remove("error_description")));
    match fields.remove("error") {
        Some(Value::String(error)) if is_blank(&error) => {}
        // OAuth: a code. Others: the message, or the error itself one level down.
        Some(Value::String(error)) if code.is_none() && !error.contains(' ') => code = Some(error),
        Some(Value::String(error)) => message = message.or(Some(error)),
        Some(Value::Object(inner)) if code.is_none() && message.is_none() => {
            return entry(Value::Object(inner));
        }
        _ => {}
    }
    let detail = ["detail", "details"]
        .into_iter()
        .find_map(|key| fields.remove(key))
        .unwrap_or_default();
    if code.is_none() && message.is_none() && detail.is_null() {
        return None;
    }
    Some(ErrorEntry {
        code: code.as_deref().map_or(ErrorCode::Unknown, ErrorCode::from),
        message,
        detail,
    })
}

/// Whether nothing of a text can be seen.
fn is_blank(text: &str) -> bool {
    printable(text, text.len()).trim().is_empty()
}

/// A text or number as a text; nothing for a blank one.
fn text(value: Option<Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text).filter(|text| !is_blank(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
