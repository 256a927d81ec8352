//! Which image of an index is the base.

use oci::{Descriptor, Index, Platform};

use super::BaseError;
use crate::OsVersion;

/// The entry of `index` for `platform`.
///
/// On Windows the version decides: the same version, else the highest revision of the same build.
/// Where the platform names no version there has to be one build only.
pub(super) fn chosen<'a>(
    index: &'a Index,
    reference: &str,
    platform: &Platform,
) -> Result<&'a Descriptor, BaseError> {
    let without_version = super::without_version(platform);
    let of_platform: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|it| {
            it.platform
                .as_ref()
                .is_some_and(|it| without_version.matches(it))
        })
        .collect();
    let missing = || BaseError::NoPlatform {
        reference: reference.to_owned(),
        platform: Box::new(platform.clone()),
        candidates: index
            .platforms()
            .into_iter()
            .map(ToString::to_string)
            .collect(),
    };
    if platform.os != "windows" {
        return index.child_for(platform).ok_or_else(missing);
    }
    let version = |it: &Descriptor| it.platform.as_ref().and_then(|it| it.os_version.clone());
    let parsed = |it: &Descriptor| version(it)?.parse::<OsVersion>().ok();
    if let Some(wanted) = &platform.os_version {
        let exact = of_platform
            .iter()
            .find(|it| version(it).as_ref() == Some(wanted));
        if let Some(exact) = exact {
            return Ok(exact);
        }
        let build = wanted.parse::<OsVersion>().ok().map(|it| it.build);
        let of_build = of_platform.iter().filter_map(|&it| Some((parsed(it)?, it)));
        let highest = of_build.filter(|(it, _)| Some(it.build) == build);
        // Of equal ones the first, as everywhere in an index.
        let highest = highest.rev().max_by_key(|(it, _)| *it);
        return highest.map(|(_, it)| it).ok_or_else(missing);
    }
    let mut builds: Vec<_> = of_platform
        .iter()
        .map(|it| parsed(it).map(|it| it.build))
        .collect();
    builds.sort_unstable();
    builds.dedup();
    match builds[..] {
        [] => Err(missing()),
        [_] => {
            let highest = of_platform.iter().rev().max_by_key(|it| parsed(it));
            highest.copied().ok_or_else(missing)
        }
        _ => Err(BaseError::SeveralBuilds {
            reference: reference.to_owned(),
            platform: Box::new(platform.clone()),
            candidates: of_platform.into_iter().filter_map(version).collect(),
        }),
    }
}
