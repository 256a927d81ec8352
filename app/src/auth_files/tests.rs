//! The order as a table, and what bad files are told as.

use std::{error::Error as _, fs};

use secrecy::SecretString;
use tempfile::TempDir;

use super::*;

/// An environment below a directory, with nothing in it.
fn stage() -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let below = |name: &str| Some(directory.path().join(name));
    let environment = Environment {
        home: below("home"),
        docker_config: below("docker"),
        registry_auth_file: below("named.json"),
        runtime_dir: below("run"),
        config_home: below("config"),
        ..Environment::default()
    };
    (directory, environment)
}

fn write(directory: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn entry(key: &str, user: &str) -> String {
    format!(r#"{{"{key}": {{"username": "{user}", "password": "canary"}}}}"#)
}

fn auths(user: &str) -> String {
    format!(r#"{{"auths": {}}}"#, entry("r.test", user))
}

/// The user of the first file that has one.
fn chosen(authfile: Option<&Path>, environment: &Environment) -> Option<String> {
    let registry: oci::Registry = "r.test".parse().unwrap();
    let files = read(authfile, environment).unwrap();
    let mut found = files
        .iter()
        .filter_map(|it| it.credentials(&registry, None).unwrap());
    match found.next() {
        Some(registry::Credentials::Password { username, .. }) => Some(username),
        other => other.map(|it| format!("{it:?}")),
    }
}

#[test]
fn z18_the_first_file_in_the_order_counts() {
    let (directory, mut environment) = stage();
    assert_eq!(chosen(None, &environment), None);
    write(&directory, "home/.dockercfg", &entry("r.test", "legacy"));
    assert_eq!(chosen(None, &environment).as_deref(), Some("legacy"));
    let order: &[&str] = &[
        "config/containers/auth.json",
        #[cfg(target_os = "linux")]
        "run/containers/auth.json",
        "docker/config.json",
        "named.json",
    ];
    for file in order {
        write(&directory, file, &auths(file));
        assert_eq!(chosen(None, &environment).as_deref(), Some(*file));
    }
    environment.docker_auth_config = Some(SecretString::from(auths("variable")));
    assert_eq!(chosen(None, &environment).as_deref(), Some("variable"));
    let given = write(&directory, "given.json", &auths("flag"));
    assert_eq!(chosen(Some(&given), &environment).as_deref(), Some("flag"));
    // The file that is given counts alone.
    fs::write(&given, "{}").unwrap();
    assert_eq!(chosen(Some(&given), &environment), None);
}

#[test]
fn without_variables_the_places_are_below_home() {
    let environment = Environment {
        home: Some("/home/me".into()),
        ..Environment::default()
    };
    let paths: Vec<_> = places(&environment).into_iter().map(|it| it.path).collect();
    let mut expected: Vec<PathBuf> = vec![
        "/home/me/.docker/config.json".into(),
        "/home/me/.config/containers/auth.json".into(),
        "/home/me/.dockercfg".into(),
    ];
    expected.splice(1..1, runtime(&environment));
    assert_eq!(paths, expected);
}

/// The variable that a CI runner sets holds a whole configuration; docker's own holds `auths` only.
#[test]
fn the_variable_may_hold_a_whole_configuration() {
    for content in [
        auths("strict"),
        format!(
            r#"{{"auths": {}, "credHelpers": {{"x.test": "h"}}, "experimental": "on"}}"#,
            entry("https://r.test/v1/", "strict")
        ),
    ] {
        let environment = Environment {
            docker_auth_config: Some(SecretString::from(content)),
            ..Environment::default()
        };
        assert_eq!(chosen(None, &environment).as_deref(), Some("strict"));
    }
}

#[test]
fn a_bad_file_is_named_with_line_and_column_and_nothing_of_it_is_shown() {
    let (directory, mut environment) = stage();
    let bad = "{\n  \"auths\": {\"canary\": 5}\n}";
    let path = write(&directory, "docker/config.json", bad);
    let told = |error: AuthFileError| {
        let source = error.source().unwrap().to_string();
        assert!(!format!("{error} {source} {error:?}").contains("canary"));
        (error.to_string(), source)
    };
    let (text, source) = told(read(None, &environment).unwrap_err());
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(source.contains("line 2, column 23"), "{source}");

    environment.docker_auth_config = Some(SecretString::from("{\"canary"));
    let (text, _) = told(read(None, &environment).unwrap_err());
    assert!(text.contains("DOCKER_AUTH_CONFIG"), "{text}");

    environment = stage().1;
    let missing = directory.path().join("missing");
    let (text, _) = told(read(Some(&missing), &environment).unwrap_err());
    assert!(text.contains("missing"), "{text}");

    let large = write(&directory, "large.json", "");
    fs::File::create(&large)
        .unwrap()
        .set_len(files::MAX_BYTES + 1)
        .unwrap();
    let (text, source) = told(read(Some(&large), &environment).unwrap_err());
    assert!(
        text.contains("large.json") && source.contains("4 MiB"),
        "{text} {source}"
    );
}

#[test]
fn an_empty_file_is_no_file() {
    let (directory, environment) = stage();
    write(&directory, "docker/config.json", " \n");
    write(&directory, "named.json", "");
    write(&directory, "config/containers/auth.json", &auths("podman"));
    assert_eq!(chosen(None, &environment).as_deref(), Some("podman"));
}
