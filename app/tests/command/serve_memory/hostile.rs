//! Manifests that are made to take much memory.

use std::fmt::Write as _;

use super::{
    Measured,
    slow::{INDEX, ask},
};

const BYTES: usize = 4 << 20;

/// An index with this in it, as often as it fits into 4 MiB.
fn filled(opening: &str, item: impl Fn(usize) -> String, closing: &str) -> Vec<u8> {
    let mut text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}",{opening}"#);
    for number in 0.. {
        let item = item(number);
        if text.len() + item.len() + closing.len() + 2 > BYTES {
            break;
        }
        let comma = if number == 0 { "" } else { "," };
        write!(text, "{comma}{item}").unwrap();
    }
    text.push_str(closing);
    text.into_bytes()
}

/// It is answered like this, again and again, and what it took is within the bound.
fn is_bounded(manifest: &[u8], status: u16, says: &str) {
    let served = Measured::start();
    for number in 0..4 {
        let answer = ask(
            &served,
            &format!("PUT /v2/app/manifests/t{number}"),
            manifest,
            status,
        );
        assert!(answer.contains(says), "{answer}");
    }
    served.is_bounded();
}

#[test]
fn deep_nesting_stays_within_64_mib() {
    let depth = BYTES / 2 - 100;
    let nested = format!(
        r#"{{"schemaVersion":2,"x":{}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    is_bounded(nested.as_bytes(), 400, "MANIFEST_INVALID");
}

#[test]
fn millions_of_values_stay_within_64_mib() {
    let values = filled(r#""manifests":[],"x":["#, |_| "{}".to_owned(), "]}");
    is_bounded(&values, 201, "");
}

#[test]
fn hundreds_of_thousands_of_annotations_are_refused_and_stay_within_64_mib() {
    let annotations = filled(
        r#""manifests":[],"annotations":{"#,
        |number| format!(r#""{number:x}":"""#),
        "}}",
    );
    is_bounded(&annotations, 400, "250000 are taken");
}

#[test]
fn as_many_descriptors_as_fit_stay_within_64_mib() {
    let descriptors = filled(
        r#""manifests":["#,
        |number| format!(r#"{{"mediaType":"a/b","digest":"sha256:{number:064x}","size":0}}"#),
        "]}",
    );
    is_bounded(&descriptors, 400, "MANIFEST_BLOB_UNKNOWN");
}
