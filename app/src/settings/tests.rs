//! What is decided, and what is refused.

use std::fs;

use super::*;
use crate::env::Password;

fn destination() -> Registry {
    "registry.example.com".parse().unwrap()
}

fn environment_with(file: &str) -> (tempfile::TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs::write(&path, file).unwrap();
    let environment = Environment {
        config: Some(path),
        ..Environment::default()
    };
    (directory, environment)
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let (_directory, mut environment) = environment_with("concurrency = 3\n");
    let mut args = ConnectionArgs::default();
    let decided = |args: &ConnectionArgs, environment: &Environment| {
        Settings::decide(args, environment, &destination())
            .unwrap()
            .concurrency
            .get()
    };
    assert_eq!(decided(&args, &Environment::default()), 32);
    assert_eq!(decided(&args, &environment), 3);
    environment.concurrency = Some("5".into());
    assert_eq!(decided(&args, &environment), 5);
    args.concurrency = NonZeroUsize::new(7);
    assert_eq!(decided(&args, &environment), 7);
}

#[test]
fn a_settings_file_with_an_unknown_key_is_refused_by_name() {
    let (_directory, environment) = environment_with("concurency = 3\n");
    let error =
        Settings::decide(&ConnectionArgs::default(), &environment, &destination()).unwrap_err();
    let SettingsError::File { error, .. } = error else {
        panic!("{error}")
    };
    assert!(error.to_string().contains("concurency"), "{error}");
}

#[test]
fn plain_http_is_for_the_registry_it_was_said_of() {
    let (_directory, environment) =
        environment_with("[registry.\"lab.example.com:5000\"]\nplain-http = true\n");
    let settings =
        Settings::decide(&ConnectionArgs::default(), &environment, &destination()).unwrap();
    assert_eq!(
        settings.plain_http,
        ["lab.example.com:5000".parse().unwrap()]
    );
    assert!(settings.tls.iter().all(|(_, it)| it.is_checked()));
}

#[test]
fn a_token_service_that_is_no_host_is_refused_with_its_place() {
    for service in ["https://auth.test/token", "*.test"] {
        let (_directory, environment) =
            environment_with(&format!("trust-token-service = [\"{service}\"]\n"));
        let error =
            Settings::decide(&ConnectionArgs::default(), &environment, &destination()).unwrap_err();
        let SettingsError::File { error, .. } = error else {
            panic!("{error}")
        };
        let error = error.to_string();
        assert!(error.starts_with("line 1, column 23: "), "{error}");
        assert!(
            error.contains(service) && error.contains("auth.example.com"),
            "{error}"
        );
    }
    let (_directory, environment) =
        environment_with("trust-token-service = [\"auth.test:8443\", \"[::1]\"]\n");
    let settings =
        Settings::decide(&ConnectionArgs::default(), &environment, &destination()).unwrap();
    let expected = ["auth.test:8443", "[::1]"].map(|it| it.parse().unwrap());
    assert_eq!(settings.token_services, expected);
}

#[test]
fn half_a_login_is_an_error_and_a_password_does_not_print() {
    let environment = Environment {
        password: Some(Password("canary".into())),
        ..Environment::default()
    };
    let error = Settings::decide(&ConnectionArgs::default(), &environment, &destination());
    assert!(matches!(error, Err(SettingsError::NoUsername)));
    assert!(!format!("{environment:?}").contains("canary"));
}
