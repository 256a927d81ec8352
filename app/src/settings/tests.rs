//! What is decided, and what is refused.

use std::fs;

use secrecy::SecretString;

use super::*;

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
        password: Some(SecretString::from("canary")),
        ..Environment::default()
    };
    let error = Settings::decide(&ConnectionArgs::default(), &environment, &destination());
    assert!(matches!(error, Err(SettingsError::NoUsername)));
    assert!(!format!("{environment:?}").contains("canary"));
}

#[test]
fn p12_the_file_says_how_fast_for_all_and_for_one_and_into_what_chunks() {
    let file = "limit-rate = \"10MiB\"\nchunk-size = 4096\n\
        [registry.\"lab.example.com:5000\"]\nlimit-rate = \"1MB/s\"\n";
    let (_directory, environment) = environment_with(file);
    let mut args = ConnectionArgs::default();
    let decide =
        |args: &ConnectionArgs| Settings::decide(args, &environment, &destination()).unwrap();
    let settings = decide(&args);
    assert_eq!(settings.limit_rate.map(Rate::bytes), Some(10 << 20));
    assert_eq!(settings.chunk_size, ChunkSize::of(4096));
    let lab = "lab.example.com:5000".parse().unwrap();
    let rate = Rate::per_second(1_000_000).unwrap();
    assert_eq!(settings.limit_rate_of, [(lab, rate)]);
    // Flags go before the file.
    args.limit_rate = Some(rate);
    args.chunk_size = Some(ChunkSize::Auto);
    let settings = decide(&args);
    assert_eq!(settings.limit_rate, Some(rate));
    assert_eq!(settings.chunk_size, ChunkSize::Auto);
}

#[test]
fn p11_the_file_says_how_many_requests_for_each_host_and_for_one() {
    let file = "limit-requests = \"50/s\"\n\
        [registry.\"lab.example.com:5000\"]\nlimit-requests = \"600/min\"\n";
    let (_directory, environment) = environment_with(file);
    let mut args = ConnectionArgs::default();
    let decide =
        |args: &ConnectionArgs| Settings::decide(args, &environment, &destination()).unwrap();
    let settings = decide(&args);
    let a_second = |requests| RequestRate::new(requests, Duration::from_secs(1)).unwrap();
    assert_eq!(settings.limit_requests, Some(a_second(50)));
    let lab = "lab.example.com:5000".parse().unwrap();
    assert_eq!(settings.limit_requests_of, [(lab, a_second(10))]);
    args.limit_requests = Some(a_second(7));
    assert_eq!(decide(&args).limit_requests, Some(a_second(7)));
}

#[test]
fn an_amount_in_the_file_that_is_none_is_refused_with_what_to_write() {
    for (file, part) in [
        ("limit-rate = 0\n", "leave the limit out"),
        ("limit-rate = \"10M\"\n", "use kB, KiB"),
        ("limit-rate = true\n", "expected a number"),
        ("chunk-size = \"much\"\n", "auto"),
        ("limit-requests = \"50\"\n", "600/min"),
        ("limit-requests = 50\n", "expected a string"),
    ] {
        let (_directory, environment) = environment_with(file);
        let error = Settings::decide(&ConnectionArgs::default(), &environment, &destination());
        let Err(SettingsError::File { error, .. }) = error else {
            panic!("{file}: {error:?}")
        };
        assert!(error.to_string().contains(part), "{file}: {error}");
    }
}
