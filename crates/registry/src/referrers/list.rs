//! The list that clients keep of what is about a manifest: added to, and otherwise left as it is.
//!
//! Entries of others stay to the byte of their values: fields that are not known here too.

use std::collections::HashSet;

use oci::{Descriptor, Digest, Document, DocumentError, MediaType, document::View};
use serde_json::{Value, json};

/// The list that has `wanted` as well and what is `gone` no more; none if `found` is that already.
pub(super) fn added(
    found: Option<&Document>,
    wanted: &[Descriptor],
    gone: &HashSet<Digest>,
) -> Result<Option<Document>, DocumentError> {
    let mut list = match found {
        Some(document) => {
            serde_json::from_slice(document.bytes()).map_err(DocumentError::Malformed)?
        }
        None => json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [],
        }),
    };
    if !list["manifests"].is_array() {
        list["manifests"] = json!([]);
    }
    let Value::Array(entries) = &mut list["manifests"] else {
        return Ok(None);
    };
    let before = entries.len();
    let is_gone = |it: &Value| digest_of(it).is_some_and(|it| gone.contains(&it));
    entries.retain(|it| !is_gone(it));
    let mut changed = entries.len() != before;
    let mut listed: HashSet<Digest> = entries.iter().filter_map(digest_of).collect();
    for descriptor in wanted {
        if listed.insert(descriptor.digest.clone()) {
            entries.push(json!(descriptor));
            changed = true;
        }
    }
    if !changed {
        return Ok(None);
    }
    let media_type = found.map_or(MediaType::OCI_INDEX, |it| it.media_type().clone());
    Document::new(list.to_string().into(), Some(&media_type)).map(Some)
}

fn digest_of(entry: &Value) -> Option<Digest> {
    entry["digest"].as_str()?.parse().ok()
}

/// The entry of a manifest: with its artifact type and all its annotations
/// ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject)).
pub(super) fn entry(document: &Document) -> Descriptor {
    let it = document.descriptor();
    let mut entry = Descriptor::new(it.media_type.clone(), it.digest.clone(), it.size);
    entry.artifact_type = document.artifact_type().map(str::to_owned);
    match document.view() {
        View::Manifest(it) => entry.annotations.clone_from(&it.annotations),
        View::Index(it) => entry.annotations.clone_from(&it.annotations),
        _ => {}
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(kind: &str) -> Document {
        let config = Descriptor::of(MediaType::OCI_EMPTY, b"{}");
        let json = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
            "layers": [], "artifactType": kind, "annotations": {"of": kind},
        });
        Document::new(json.to_string().into(), None).unwrap()
    }

    fn digests(list: &Document) -> Vec<Digest> {
        let index = list.as_index().unwrap();
        index.manifests.iter().map(|it| it.digest.clone()).collect()
    }

    #[test]
    fn an_entry_has_the_type_and_the_annotations_of_its_manifest() {
        let it = artifact("a/b");
        let entry = entry(&it);
        assert_eq!(
            (&entry.digest, entry.size),
            (it.digest(), it.descriptor().size)
        );
        assert_eq!(entry.artifact_type.as_deref(), Some("a/b"));
        assert_eq!(entry.annotations["of"], "a/b");
        let config = Descriptor::of("application/x.config".into(), b"{}");
        let image = json!({"schemaVersion": 2, "config": config, "layers": []});
        let image = Document::new(image.to_string().into(), None).unwrap();
        let of_config = super::entry(&image).artifact_type;
        assert_eq!(of_config.as_deref(), Some("application/x.config"));
    }

    #[test]
    fn a_list_is_added_to_and_keeps_what_is_not_known_of_it() {
        let (one, two) = (artifact("one"), artifact("two"));
        let (first, second) = (entry(&one), entry(&two));
        let nothing = HashSet::new();
        let list = added(None, &[first.clone(), first.clone()], &nothing);
        let list = list.unwrap().unwrap();
        assert_eq!(digests(&list), [one.digest().clone()]);
        assert_eq!(list.media_type(), &MediaType::OCI_INDEX);
        let same = added(Some(&list), std::slice::from_ref(&first), &nothing).unwrap();
        assert!(same.is_none(), "nothing is to be written");

        let text = String::from_utf8(list.bytes().to_vec()).unwrap();
        let text = text.replacen('{', r#"{"x":{"y":1},"annotations":{"a":"b"},"#, 1);
        let text = text.replacen(r#""manifests":[{"#, r#""manifests":[{"z":[2],"#, 1);
        let odd = Document::new(text.into(), None).unwrap();
        let list = added(Some(&odd), std::slice::from_ref(&second), &nothing)
            .unwrap()
            .unwrap();
        assert_eq!(digests(&list), [one.digest().clone(), two.digest().clone()]);
        let json: Value = serde_json::from_slice(list.bytes()).unwrap();
        assert_eq!(json["x"]["y"], 1);
        assert_eq!(json["annotations"]["a"], "b");
        assert_eq!(json["manifests"][0]["z"][0], 2);

        let gone = HashSet::from([one.digest().clone()]);
        let list = added(Some(&list), &[second], &gone).unwrap().unwrap();
        assert_eq!(digests(&list), [two.digest().clone()]);
    }

    #[test]
    fn a_list_without_entries_is_one() {
        let empty = Document::new(r#"{"schemaVersion":2,"manifests":null,"mediaType":"application/vnd.oci.image.index.v1+json"}"#.into(), None).unwrap();
        let list = added(Some(&empty), &[entry(&artifact("one"))], &HashSet::new());
        assert_eq!(digests(&list.unwrap().unwrap()).len(), 1);
    }
}
