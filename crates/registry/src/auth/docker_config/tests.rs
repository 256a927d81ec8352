//! Who is chosen for what, as tables.

use super::*;
use secrecy::ExposeSecret;

fn config(json: &str) -> DockerConfig {
    DockerConfig::from_slice(json.as_bytes()).unwrap()
}

/// `user:password`, or the token, chosen for a repository.
fn chosen(config: &DockerConfig, repository: &str) -> Option<String> {
    let repository: Repository = repository.parse().unwrap();
    let found = config.credentials(repository.registry(), Some(&repository));
    found.unwrap().map(|credentials| match credentials {
        Credentials::Password { username, password } => {
            format!("{username}:{}", password.expose_secret())
        }
        Credentials::Bearer(token) => format!("bearer {}", token.expose_secret()),
        Credentials::Identity(token) => format!("identity {}", token.expose_secret()),
    })
}

fn entry(user: &str) -> String {
    format!(r#"{{"username": "{user}", "password": "pw"}}"#)
}

#[test]
fn a_credential_is_chosen_for_exactly_its_host_and_port() {
    let config = config(&format!(
        r#"{{"auths": {{
            "r.test": {a}, "r.test:5000": {b}, "https://url.test/v2/": {c},
            "https://index.docker.io/v1/": {d}, "http://127.0.0.1:5000": {e}, "*": {f}, "": {f}
        }}}}"#,
        a = entry("plain"),
        b = entry("port"),
        c = entry("url"),
        d = entry("hub"),
        e = entry("local"),
        f = entry("nobody"),
    ));
    let cases = [
        ("r.test/app", Some("plain:pw")),
        ("R.TEST:443/app", Some("plain:pw")),
        ("r.test:5000/app", Some("port:pw")),
        ("r.test:5001/app", None),
        ("x.r.test/app", None),
        ("url.test/deep/app", Some("url:pw")),
        ("alpine", Some("hub:pw")),
        ("registry-1.docker.io/library/alpine", Some("hub:pw")),
        ("localhost:5000/app", None),
        ("127.0.0.1:5000/app", Some("local:pw")),
    ];
    for (repository, expected) in cases {
        assert_eq!(
            chosen(&config, repository).as_deref(),
            expected,
            "{repository}"
        );
    }
}

#[test]
fn the_most_specific_namespace_wins() {
    let config = config(&format!(
        r#"{{"auths": {{"r.test": {}, "r.test/team": {}, "r.test/team/app": {}}}}}"#,
        entry("all"),
        entry("team"),
        entry("app"),
    ));
    assert_eq!(chosen(&config, "r.test/other").as_deref(), Some("all:pw"));
    assert_eq!(
        chosen(&config, "r.test/team/x/y").as_deref(),
        Some("team:pw")
    );
    assert_eq!(
        chosen(&config, "r.test/team/app").as_deref(),
        Some("app:pw")
    );
    assert_eq!(
        chosen(&config, "r.test/teamster").as_deref(),
        Some("all:pw")
    );
}

#[test]
fn every_form_of_an_entry_is_read() {
    let auth = BASE64_STANDARD.encode("user:p:w\0\0");
    let cases = [
        (format!(r#"{{"auth": "{auth}"}}"#), Some("user:p:w")),
        (r#"{"registrytoken": "t"}"#.to_owned(), Some("bearer t")),
        (
            r#"{"identitytoken": "t", "auth": "x"}"#.to_owned(),
            Some("identity t"),
        ),
        ("{}".to_owned(), None),
    ];
    for (entry, expected) in cases {
        let config = config(&format!(r#"{{"auths": {{"r.test": {entry}}}}}"#));
        assert_eq!(
            chosen(&config, "r.test/app").as_deref(),
            expected,
            "{entry}"
        );
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_an_error_only_where_it_is_needed() {
    for auth in ["not base64!", "bm9jb2xvbg=="] {
        let config = config(&format!(
            r#"{{"auths": {{"r.test": {{"auth": "{auth}"}}}}}}"#
        ));
        let registry: Registry = "r.test".parse().unwrap();
        let error = config.credentials(&registry, None).unwrap_err();
        assert!(matches!(error, CredentialError::Malformed { .. }));
        assert!(!error.to_string().contains(auth));
        assert_eq!(chosen(&config, "other.test/app"), None);
    }
}

#[test]
fn a_helper_is_named_where_it_keeps_the_entry() {
    let config = config(
        r#"{"auths": {"r.test": {}}, "credsStore": "desktop", "credHelpers": {"ecr.test": "ecr-login"}}"#,
    );
    let asked = |registry: &str| config.credentials(&registry.parse().unwrap(), None);
    let helper = |registry: &str, name: &str| {
        Err(CredentialError::Helper {
            registry: registry.to_owned(),
            name: name.to_owned(),
        })
    };
    assert_eq!(asked("r.test").map(|_| ()), helper("r.test", "desktop"));
    assert_eq!(
        asked("ecr.test").map(|_| ()),
        helper("ecr.test", "ecr-login")
    );
    assert!(asked("other.test").unwrap().is_none());
}

#[test]
fn what_is_no_configuration_is_said_so_without_its_content() {
    let error = DockerConfig::from_slice(br#"{"auths": {"r.test": {"auth": 5, "x": "canary"}}}"#);
    let error = error.unwrap_err();
    assert!(matches!(
        error,
        DockerConfigError::Malformed { line: 1, .. }
    ));
    assert!(!error.to_string().contains("canary"));
    assert!(DockerConfig::from_slice(b"<html>").is_err());
    let large = vec![b' '; MAX_BYTES + 1];
    assert_eq!(
        DockerConfig::from_slice(&large).unwrap_err(),
        DockerConfigError::TooLarge(MAX_BYTES + 1)
    );
    let shown = format!(
        "{:?}",
        config(r#"{"auths": {"r.test": {"auth": "canary"}}}"#)
    );
    assert!(!shown.contains("canary"), "{shown}");
}
