//! Names in an archive, none of which leads out of it.

use crate::LayerPath;

/// The names on the way to an entry; nothing if they lead out, or begin at a root or a drive.
pub(super) fn names(path: &str) -> Option<Vec<&str>> {
    if path.starts_with(['/', '\\']) || path.as_bytes().get(1) == Some(&b':') {
        return None;
    }
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => return None,
            name => names.push(name),
        }
    }
    Some(names)
}

/// Where a symbolic link leads, seen from the archive's root; nothing if that is outside. An
/// absolute one leads below the archive's `place` in the image, or, if there is none, outside.
pub(super) fn led_to(link: &str, target: &str, place: Option<&LayerPath>) -> Option<String> {
    let target = target.replace('\\', "/");
    if target.as_bytes().get(1) == Some(&b':') {
        return None;
    }
    if let Some(absolute) = target.strip_prefix('/') {
        let mut led = steps(Vec::new(), absolute)?.into_iter();
        let is_below = place?.components().all(|it| led.next() == Some(it));
        return is_below.then(|| led.collect::<Vec<_>>().join("/"));
    }
    let above = link.rsplit_once('/').map_or("", |it| it.0);
    let above = above.split('/').filter(|it| !it.is_empty()).collect();
    Some(steps(above, &target)?.join("/"))
}

/// The names one gets to from others; nothing where it goes above them all.
fn steps<'a>(mut names: Vec<&'a str>, path: &'a str) -> Option<Vec<&'a str>> {
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names)
}
