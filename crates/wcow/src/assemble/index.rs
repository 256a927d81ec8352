//! The index of several images.
//!
//! Hosts take the first entry that fits them, so the newest build comes first: a host that is newer
//! than all of them finds the newest it can run
//! ([moby](https://github.com/moby/moby/blob/master/distribution/pull_v2_windows.go)). What is not
//! for Windows comes before, as it was given.

use std::cmp::Reverse;

use oci::{Document, MediaType, Platform};
use serde_json::json;

use super::{
    BuildError, BuiltPart,
    manifest::{Family, family_of},
};
use crate::OsVersion;

/// The images in the order they are listed in. Two for the same hosts are an error.
pub(super) fn sorted(mut parts: Vec<BuiltPart>) -> Result<Vec<BuiltPart>, BuildError> {
    let version = |it: &Platform| it.os_version.as_deref()?.parse::<OsVersion>().ok();
    parts.sort_by_key(|it| {
        let platform = it.platform();
        (platform.os == "windows", Reverse(version(platform)))
    });
    let same = |one: &Platform, other: &Platform| {
        let build = |it: &Platform| version(it).map(|it| it.build);
        let machine = |it: &Platform| (it.os.clone(), it.architecture.clone(), it.variant.clone());
        machine(one) == machine(other) && build(one) == build(other)
    };
    for (at, part) in parts.iter().enumerate() {
        if parts[..at]
            .iter()
            .any(|it| same(it.platform(), part.platform()))
        {
            let platform = part.platform().to_string();
            return Err(BuildError::SameBuild { platform });
        }
    }
    Ok(parts)
}

/// The index that lists these images; none for one image.
pub(super) fn of(parts: &[BuiltPart]) -> Result<Option<Document>, BuildError> {
    let mut families: Vec<Family> = parts
        .iter()
        .filter_map(|it| family_of(it.image().manifest().media_type()))
        .collect();
    families.dedup();
    let media_type = match (parts.len(), &families[..]) {
        (0 | 1, _) => return Ok(None),
        (_, [Family::Docker]) => MediaType::DOCKER_LIST,
        (_, [Family::Oci]) => MediaType::OCI_INDEX,
        _ => {
            let what = "the index of these images".to_owned();
            return Err(BuildError::MixedMediaTypes { what });
        }
    };
    let manifests: Vec<_> = parts
        .iter()
        .map(|it| {
            let mut entry = it.image().manifest().descriptor().clone();
            entry.platform = Some(it.platform().clone());
            entry
        })
        .collect();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":{},"manifests":{}}}"#,
        json!(media_type),
        json!(manifests),
    );
    let index = Document::new(index.into(), None).map_err(BuildError::Index)?;
    Ok(Some(index))
}
