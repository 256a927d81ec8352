//! Digests inside texts and JSON that were written for people.

use std::collections::HashSet;

use serde_json::Value;

use crate::{Algorithm, Digest};

/// Digests in the order they were found, each once.
#[derive(Default)]
pub(super) struct Mentioned {
    seen: HashSet<Digest>,
    found: Vec<Digest>,
}

impl Mentioned {
    pub(super) fn into_vec(self) -> Vec<Digest> {
        self.found
    }

    /// Looks into every text of a value, the keys of objects too.
    pub(super) fn in_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.in_text(text),
            Value::Array(values) => values.iter().for_each(|it| self.in_value(it)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                self.in_text(key);
                self.in_value(value);
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Looks for `<algorithm>:<hex>` between whatever stands around it.
    pub(super) fn in_text(&mut self, text: &str) {
        for (at, _) in text.match_indices("sha") {
            if let Some(digest) = digest_at(&text[at..])
                && self.seen.insert(digest.clone())
            {
                self.found.push(digest);
            }
        }
    }
}

/// The digest a text begins with. One that goes on in letters or digits is another
/// word; any other neighbour (`: not found`, a quote, a bracket) is none of its.
fn digest_at(text: &str) -> Option<Digest> {
    let algorithm: Algorithm = text.get(..6)?.parse().ok()?;
    let length = 6 + 1 + algorithm.hex_len();
    let next = text.as_bytes().get(length);
    if next.is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    text.get(..length)?.parse().ok()
}
