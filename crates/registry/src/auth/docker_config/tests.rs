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
    // A store may keep what no entry tells of.
    assert_eq!(
        asked("other.test").map(|_| ()),
        helper("other.test", "desktop")
    );
}

#[test]
fn z18_within_a_file_the_most_specific_place_comes_first() {
    let config = config(
        r#"{"auths": {"r.test": {"username": "host"}, "r.test/team": {"username": "team"}},
            "credsStore": "all", "credHelpers": {"r.test": "own", "https://index.docker.io/v1/": "hub"}}"#,
    );
    let places = |text: &str| -> Vec<String> {
        let repository: Repository = text.parse().unwrap();
        let places = config.places(repository.registry(), Some(&repository));
        let shown = places.iter().map(|place| match place {
            Place::Helper(name) => format!("helper {name}"),
            Place::Entry(entry) => entry.username.clone(),
        });
        shown.collect()
    };
    assert_eq!(
        places("r.test/team/app"),
        ["helper own", "team", "helper all", "host"]
    );
    assert_eq!(places("r.test/app"), ["helper own", "helper all", "host"]);
    assert_eq!(places("alpine"), ["helper hub", "helper all"]);
    assert_eq!(places("other.test/app"), ["helper all"]);
    let helper = |registry: &str| config.helper_for(&registry.parse().unwrap());
    assert_eq!(
        (helper("r.test"), helper("x.test")),
        (Some("own"), Some("all"))
    );
}

#[test]
fn of_two_keys_for_one_registry_the_plain_one_counts() {
    let config = config(&format!(
        r#"{{"auths": {{"http://r.test": {u}, "https://r.test/v1/": {u}, "r.test": {p}}}}}"#,
        u = entry("url"),
        p = entry("plain"),
    ));
    assert_eq!(chosen(&config, "r.test/app").as_deref(), Some("plain:pw"));
}

#[test]
fn null_is_as_good_as_nothing() {
    for file in [
        r#"{"auths": null, "credHelpers": null, "credsStore": null, "HttpHeaders": null}"#,
        r#"{"auths": {"r.test": null}}"#,
        r#"{"auths": {"r.test": {"auth": null, "password": null}}, "credsStore": ""}"#,
        r#"{"credHelpers": {"r.test": ""}, "proxies": {"default": {}}, "currentContext": "x"}"#,
    ] {
        assert_eq!(chosen(&config(file), "r.test/app"), None, "{file}");
    }
}

#[test]
fn the_older_form_of_file_is_read_too() {
    let file = format!(r#"{{"https://index.docker.io/v1/": {}}}"#, entry("hub"));
    let config = DockerConfig::from_legacy_slice(file.as_bytes()).unwrap();
    assert_eq!(chosen(&config, "alpine").as_deref(), Some("hub:pw"));
    assert_eq!(chosen(&config, "r.test/app"), None);
}

#[test]
fn headers_are_read_and_the_protocols_own_are_left_out() {
    let config = config(
        r#"{"HttpHeaders": {"X-Meta-Source": "canary", "authorization": "x", "Host": "x",
            "User-Agent": "x", "Content-Length": "5", "bad name": "x", "X-Bad": "a\nb"}}"#,
    );
    let names: Vec<_> = config
        .http_headers()
        .keys()
        .map(HeaderName::as_str)
        .collect();
    assert_eq!(names, ["x-meta-source"]);
    assert!(config.http_headers()["x-meta-source"].is_sensitive());
    assert!(!format!("{config:?} {:?}", config.http_headers()).contains("canary"));
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
