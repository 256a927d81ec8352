//! A JSON object that keeps what nobody looks at: its keys, their order, and each value's bytes.
//!
//! Where a new index is made of an old one, what is not changed in it has to stay what it was,
//! fields that nobody here knows included. So nothing is read that is not replaced.

use std::fmt;

use oci::DocumentError;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::value::RawValue;

/// An object's fields, in their order.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(String, Box<RawValue>)>);

/// A value as the bytes it has in JSON.
pub(crate) fn raw(value: &impl Serialize) -> Result<Box<RawValue>, DocumentError> {
    serde_json::value::to_raw_value(value).map_err(DocumentError::Malformed)
}

impl Fields {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        serde_json::from_slice(bytes).map_err(DocumentError::Malformed)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Box<RawValue>> {
        let mut fields = self.0.iter_mut();
        fields.find(|(it, _)| it == key).map(|(_, value)| value)
    }

    /// Puts a value where the one of this key stands; at the end if there is none.
    pub(crate) fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.get_mut(key) {
            Some(known) => *known = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Takes a value away, if it is there.
    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|(it, _)| it != key);
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, DocumentError> {
        serde_json::to_vec(self).map_err(DocumentError::Malformed)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
