//! Names in an archive, none of which leads out of it.

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

/// Where a symbolic link leads, seen from the archive's root; nothing if that is outside.
pub(super) fn led_to(link: &str, target: &str) -> Option<String> {
    let target = target.replace('\\', "/");
    if target.starts_with('/') || target.as_bytes().get(1) == Some(&b':') {
        return None;
    }
    let above = link.rsplit_once('/').map_or("", |it| it.0);
    let mut names: Vec<&str> = above.split('/').filter(|it| !it.is_empty()).collect();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}
