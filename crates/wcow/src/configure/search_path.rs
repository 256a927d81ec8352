//! `PATH` on Windows.
//!
//! Windows keeps the system's `PATH` in the registry, and a base's config has none: `${PATH}` is
//! empty there, and a `PATH` that a config has takes the place of the one in the registry
//! ([moby/buildkit#5445](https://github.com/moby/buildkit/issues/5445)). So none is invented, and
//! one that hides the system's own programs is refused.

/// Where the system's own programs are.
const SYSTEM: &str = r"c:\windows\system32";

/// What the registry of nanoserver says, and the beginning of what servercore's says.
const NANOSERVER: &str = r"C:\Windows\system32;C:\Windows;";

/// What the registry of servercore says.
const SERVERCORE: &str = r"C:\Windows\system32;C:\Windows;C:\Windows\System32\Wbem;C:\Windows\System32\WindowsPowerShell\v1.0\;C:\Windows\System32\OpenSSH\;C:\Users\ContainerAdministrator\AppData\Local\Microsoft\WindowsApps";

/// What a base with these features has in its registry: servercore needs `win32k`.
pub(super) fn in_registry(os_features: &[String]) -> &'static str {
    if os_features.iter().any(|it| it == "win32k") {
        SERVERCORE
    } else {
        NANOSERVER
    }
}

/// Whether programs of the system are not found by it.
pub(super) fn hides_system(path: &str) -> bool {
    !path.split(';').any(|entry| {
        let entry = entry.trim().trim_matches('"').replace('/', r"\");
        entry.trim_end_matches('\\').eq_ignore_ascii_case(SYSTEM)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_the_systems_directory_hides_it() {
        for path in [
            NANOSERVER,
            SERVERCORE,
            r"C:\app;c:/WINDOWS/System32/",
            r#""C:\Windows\System32""#,
        ] {
            assert!(!hides_system(path), "{path}");
        }
        for path in [
            "",
            r"C:\app;",
            r"C:\Windows",
            r"C:\Windows\System32\Wbem",
            r"D:\Windows\system32",
        ] {
            assert!(hides_system(path), "{path}");
        }
        assert_eq!(in_registry(&["win32k".to_owned()]), SERVERCORE);
        assert_eq!(in_registry(&[]), NANOSERVER);
    }
}
