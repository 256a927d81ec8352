//! Names in a layer, none of which leads out of the image.

use super::ImageFault;
use crate::{
    dockerfile::TargetOs,
    layer_tar::FILES,
    names::{self, MAX_NAME_UNITS, MAX_PATH_UNITS},
    tree::MAX_DEPTH,
};

/// The longest path on Linux, inclusive, in bytes.
const LINUX_PATH_BYTES: usize = 4095;
/// The longest name on Linux, inclusive, in bytes.
const LINUX_NAME_BYTES: usize = 255;

/// The path of an entry from the root of the file system; none for what is not in it, as the registry
/// of Windows is not. Empty for the root.
pub(super) fn path(os: TargetOs, name: &str) -> Result<Option<String>, ImageFault> {
    let names = components(name)?;
    if name.starts_with('/') && !names.is_empty() {
        return Err(ImageFault::Absolute);
    }
    let names = match os {
        TargetOs::Linux => &names[..],
        TargetOs::Windows => match names.split_first() {
            Some((first, rest)) if first.eq_ignore_ascii_case(FILES) => rest,
            _ => return Ok(None),
        },
    };
    let is_long = |it: &&str| match os {
        TargetOs::Linux => it.len() > LINUX_NAME_BYTES,
        TargetOs::Windows => names::units(it) > MAX_NAME_UNITS,
    };
    let path = names.join("/");
    let is_long_path = match os {
        TargetOs::Linux => path.len() > LINUX_PATH_BYTES,
        TargetOs::Windows => names::units(&path) > MAX_PATH_UNITS,
    };
    if names.len() > MAX_DEPTH || is_long_path || names.iter().any(is_long) {
        return Err(ImageFault::TooLong);
    }
    Ok(Some(path))
}

fn components(name: &str) -> Result<Vec<&str>, ImageFault> {
    let mut names = Vec::new();
    for name in name.split('/') {
        match name {
            "" | "." => {}
            ".." => return Err(ImageFault::Leaves),
            name if name.contains('\0') => return Err(ImageFault::Invalid('\0')),
            name => names.push(name),
        }
    }
    Ok(names)
}

/// What two paths have in common if they are one.
pub(super) fn key(os: TargetOs, path: &str) -> String {
    match os {
        TargetOs::Windows => names::fold(path),
        TargetOs::Linux => path.to_owned(),
    }
}

/// The paths above one, nearest first, the root left out.
pub(super) fn above(path: &str) -> impl Iterator<Item = &str> {
    fn up(path: &str) -> Option<&str> {
        path.rsplit_once('/').map(|it| it.0)
    }
    std::iter::successors(up(path), |it| up(it))
}

/// The names that a symbolic link leads to, `..` among them, and whether they begin at the root; none
/// if that is on another drive or in the network.
pub(super) fn led(os: TargetOs, target: &str) -> Option<(bool, Vec<String>)> {
    let named = |text: &str| {
        let names = text.split('/').filter(|it| !matches!(*it, "" | "."));
        names.map(str::to_owned).collect()
    };
    if os == TargetOs::Linux {
        return Some((target.starts_with('/'), named(target)));
    }
    let target = target.replace('\\', "/");
    // The forms that the kernel knows the drive by.
    let plain = ["//?/", "/??/", "//./"];
    let of_kernel = plain.iter().find_map(|it| target.strip_prefix(it));
    if of_kernel.is_none() && target.starts_with("//") {
        return None;
    }
    match of_kernel.unwrap_or(&target).split_once(':') {
        // A volume, by a name that it has elsewhere.
        None if of_kernel.is_some() => None,
        None => Some((target.starts_with('/'), named(&target))),
        Some((drive, rest)) if drive.eq_ignore_ascii_case("c") && rest.starts_with('/') => {
            Some((true, named(rest)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_image_are_faults_and_those_beside_the_files_are_none() {
        use TargetOs::{Linux, Windows};
        for (os, name, expected) in [
            (Linux, "./usr/bin//x", Some("usr/bin/x")),
            (Linux, "./", Some("")),
            (Linux, "/", Some("")),
            (Windows, "Files/Windows/x.dll", Some("Windows/x.dll")),
            (Windows, "Files/", Some("")),
            (Windows, "Hives/System_Delta", None),
            (Windows, "UtilityVM/Files/x", None),
        ] {
            assert_eq!(path(os, name).unwrap().as_deref(), expected, "{name}");
        }
        for name in ["../x", "a/../../x", "Files/../Hives/x"] {
            let fault = path(Windows, name).unwrap_err();
            assert!(matches!(fault, ImageFault::Leaves), "{name}");
        }
        assert!(matches!(path(Linux, "/etc/x"), Err(ImageFault::Absolute)));
        let deep = "d/".repeat(MAX_DEPTH + 1);
        for long in ["n".repeat(256), deep, "a/".repeat(2048) + "a"] {
            assert!(matches!(path(Linux, &long), Err(ImageFault::TooLong)));
        }
    }

    #[test]
    fn links_of_windows_lead_to_its_one_drive() {
        use TargetOs::{Linux, Windows};
        let names = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for target in [r"C:\a\b", r"\\?\C:\a\b", r"\??\c:\a\b", r"\a\b", "/a/b"] {
            let expected = Some((true, names(&["a", "b"])));
            assert_eq!(led(Windows, target), expected, "{target}");
        }
        assert_eq!(led(Windows, r"..\a"), Some((false, names(&["..", "a"]))));
        for target in [r"D:\a", r"\\server\share", r"\\?\Volume{1}\a", "C:a"] {
            assert_eq!(led(Windows, target), None, "{target}");
        }
        assert_eq!(led(Linux, r"C:\a"), Some((false, names(&[r"C:\a"]))));
    }

    #[test]
    fn what_is_above_a_path_is_nearest_first() {
        assert_eq!(above("a/b/c").collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(above("a").count(), 0);
    }
}
