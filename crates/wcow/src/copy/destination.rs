//! Where a destination is in a layer.
//!
//! On Windows `C:\app\`, `c:/app/`, `/app/`, `\app\` and, below the working directory, `app/`
//! are all said; both slashes part names. `..` ends at the root.

use super::CopyError;
use crate::{LayerPath, Owner, dockerfile::TargetOs};

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) path: LayerPath,
    /// Whether it is said to be a directory: by a slash at its end, or by being `.`.
    pub(super) is_directory: bool,
}

impl Destination {
    pub(super) fn parse(os: TargetOs, from: &str, text: &str) -> Result<Self, CopyError> {
        if text.is_empty() {
            return Err(CopyError::NoDestination);
        }
        let (text, from) = match os {
            TargetOs::Linux => (text.to_owned(), from.to_owned()),
            TargetOs::Windows => (windows(text)?, windows(from).unwrap_or_default()),
        };
        let last = text.rsplit('/').next().unwrap_or_default();
        let mut is_directory = matches!(last, "" | "." | "..");
        let base = if text.starts_with('/') {
            ""
        } else {
            from.as_str()
        };
        let mut names: Vec<&str> = Vec::new();
        for name in base.split('/').chain(text.split('/')) {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        is_directory |= names.is_empty();
        let path = if names.is_empty() {
            LayerPath::root()
        } else {
            names.join("/").parse()?
        };
        Ok(Self { path, is_directory })
    }
}

/// A path without its drive, which must be C:, parted by `/`.
fn windows(text: &str) -> Result<String, CopyError> {
    let slashed = text.replace('\\', "/");
    if slashed.starts_with("//") {
        return Err(CopyError::Unc(text.to_owned()));
    }
    let mut letters = slashed.chars();
    match (letters.next(), letters.next()) {
        (Some(drive), Some(':')) => match letters.as_str() {
            _ if !drive.eq_ignore_ascii_case(&'c') => Err(CopyError::Drive(text.to_owned())),
            "" => Err(CopyError::BareDrive(text.to_owned())),
            rest => Ok(rest.to_owned()),
        },
        _ => Ok(slashed),
    }
}

/// Directories that every image has, so a file that goes there goes into them.
pub(crate) fn is_in_every_image(os: TargetOs, path: &LayerPath) -> bool {
    const WINDOWS: &[&str] = &[
        "windows",
        "windows/system32",
        "windows/temp",
        "program files",
        "program files (x86)",
        "programdata",
        "users",
        "users/public",
        "users/containeruser",
        "users/containeradministrator",
    ];
    const LINUX: &[&str] = &[
        "bin",
        "boot",
        "dev",
        "etc",
        "home",
        "lib",
        "lib64",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "srv",
        "sys",
        "tmp",
        "usr",
        "usr/bin",
        "usr/lib",
        "usr/local",
        "usr/local/bin",
        "usr/local/lib",
        "usr/sbin",
        "usr/share",
        "var",
        "var/lib",
        "var/log",
        "var/tmp",
    ];
    match os {
        TargetOs::Windows => WINDOWS.contains(&path.as_str().to_lowercase().as_str()),
        TargetOs::Linux => LINUX.contains(&path.as_str()),
    }
}

/// What `--chown` says, if it means something on the image's system.
pub(super) fn owner(os: TargetOs, text: &str) -> Option<Owner> {
    if os == TargetOs::Windows {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        return if is("ContainerUser") {
            Some(Owner::ContainerUser)
        } else if is("ContainerAdministrator") {
            Some(Owner::ContainerAdministrator)
        } else {
            None
        };
    }
    let id = |it: &str| {
        if it == "root" {
            Some(0)
        } else {
            it.parse().ok()
        }
    };
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let uid = id(user)?;
    let gid = if group.is_empty() { uid } else { id(group)? };
    Some(Owner::Ids { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b5_a_destination_is_where_the_reference_says() {
        use TargetOs::{Linux, Windows};
        for (os, from, text, path, is_directory) in [
            (Windows, "", r"C:\app\", "app", true),
            (Windows, "", "c:/app/", "app", true),
            (Windows, "", "/app", "app", false),
            (Windows, "", r"\app\x.exe", "app/x.exe", false),
            (Windows, r"C:\w", "app/", "w/app", true),
            (Windows, r"C:\w", ".", "w", true),
            (Windows, r"C:\w", "x.exe", "w/x.exe", false),
            (Windows, r"C:\w", r"C:x.exe", "w/x.exe", false),
            (Windows, r"C:\w\v", r"..\x", "w/x", false),
            (Windows, "", r"..\..\x", "x", false),
            (Windows, "", r"C:\", "", true),
            (
                Windows,
                "",
                r"C:\Program Files\a b",
                "Program Files/a b",
                false,
            ),
            (Linux, "/w", "app/", "w/app", true),
            (Linux, "/w", r"C:\x", r"w/C:\x", false),
            (Linux, "", "/a/../b/./c", "b/c", false),
        ] {
            let found = Destination::parse(os, from, text).unwrap();
            assert_eq!(
                (found.path.as_str(), found.is_directory),
                (path, is_directory),
                "{text}"
            );
        }
    }

    #[test]
    fn b5_other_drives_bare_ones_and_shares_are_refused() {
        let error = |text: &str| Destination::parse(TargetOs::Windows, "", text).unwrap_err();
        assert!(matches!(error(r"D:\app"), CopyError::Drive(_)));
        assert!(matches!(error("C:"), CopyError::BareDrive(_)));
        assert!(matches!(error(r"\\server\share"), CopyError::Unc(_)));
        assert!(matches!(error("//server/share"), CopyError::Unc(_)));
        assert!(matches!(error(""), CopyError::NoDestination));
    }

    #[test]
    fn b10_an_owner_is_an_account_on_windows_and_numbers_on_linux() {
        let windows = |it: &str| owner(TargetOs::Windows, it);
        assert_eq!(windows("containeruser"), Some(Owner::ContainerUser));
        assert_eq!(
            windows("ContainerAdministrator"),
            Some(Owner::ContainerAdministrator)
        );
        assert_eq!(windows("1000:1000"), None);
        let linux = |it: &str| owner(TargetOs::Linux, it);
        assert_eq!(linux("1:2"), Some(Owner::Ids { uid: 1, gid: 2 }));
        assert_eq!(linux("7"), Some(Owner::Ids { uid: 7, gid: 7 }));
        assert_eq!(linux("root"), Some(Owner::Ids { uid: 0, gid: 0 }));
        assert_eq!(linux("app:app"), None);
    }
}
