//! Credential helpers and configured headers, as far as the wire shows them.

#![cfg(unix)]

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};

use futures_util::future::join_all;
use longshore_registry::{Client, CredentialHelpers, CredentialStore, DockerConfig};
use oci::{Presence, PushTarget, TargetErrorKind};
use server::{Action, Answer, Auth, Endpoint, Rule, Server};
use tempfile::TempDir;

use crate::{
    fixture::{Blobs, Double, blob, quick, registry, repository, start, upload},
    scripted::{Scripted, reply},
    set_up::SET_UP,
};

const PASSWORD: &str = "canary-password";

/// A directory with a helper `test` that is this shell script, and counts its runs.
fn helper(script: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\ncd '{}'\ncat >>asked; echo >>asked\n{script}\n",
        directory.path().display()
    );
    write_program(&path, &script);
    directory
}

/// Writes a program. By a process of its own: what this one has open for writing, whatever another
/// thread starts has open too for a moment, and nobody can run it meanwhile.
fn write_program(path: &Path, script: &str) {
    let write = r#"printf %s "$1" >"$0" && chmod 755 "$0""#;
    let mut shell = std::process::Command::new("/bin/sh");
    let written = shell.args(["-c", write]).arg(path).arg(script).status();
    assert!(written.unwrap().success());
}

fn good() -> TempDir {
    helper(&format!(
        r#"echo '{{"Username":"alice","Secret":"{PASSWORD}"}}'"#
    ))
}

/// The servers a helper was asked for.
fn asked(directory: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(directory.path().join("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn client(directory: &TempDir, config: &str) -> Client {
    let helpers = CredentialHelpers::in_directories([directory.path().to_owned()]);
    let config = DockerConfig::from_slice(config.as_bytes()).unwrap();
    let store = CredentialStore::new()
        .with_docker_config(config)
        .with_helpers(helpers);
    let headers = store.http_headers();
    quick()
        .credentials(store)
        .registry_headers(headers)
        .build()
        .unwrap()
}

async fn basic() -> Double {
    start(
        Server::builder()
            .memory()
            .auth(Auth::basic("alice", PASSWORD)),
    )
    .await
}

#[tokio::test]
async fn p16_of_thirty_registries_one_is_asked_for_once_also_by_sixteen_requests_at_once() {
    let server = basic().await;
    let here = server.registry();
    let mut helpers: serde_json::Map<_, _> = (0..29)
        .map(|at| (format!("r{at}.test"), "test".into()))
        .collect();
    helpers.insert(here.to_string(), "test".into());
    let config = serde_json::json!({ "credHelpers": helpers }).to_string();
    let directory = good();
    let client = client(&directory, &config);
    assert_eq!(asked(&directory), Vec::<String>::new());
    let requests = (0..16).map(|at| {
        let target = client.push_target(&repository(&server, &format!("app/{at}")));
        async move { target.has_blob(&blob(1, 10).0).await }
    });
    for held in join_all(requests).await {
        assert_eq!(held.unwrap(), Presence::Absent);
    }
    assert_eq!(asked(&directory), [here.to_string()]);
}

#[tokio::test]
async fn p16_an_open_registry_has_no_store_asked() {
    let server = registry().await;
    let directory = good();
    let client = client(&directory, r#"{"credsStore": "test"}"#);
    let target = client.push_target(&repository(&server, "app"));
    assert_eq!(
        target.has_blob(&blob(1, 10).0).await.unwrap(),
        Presence::Absent
    );
    assert_eq!(asked(&directory), Vec::<String>::new());
}

#[tokio::test]
async fn z18_a_store_is_asked_for_any_registry_that_wants_credentials() {
    let server = basic().await;
    let directory = good();
    let client = client(&directory, r#"{"credsStore": "test"}"#);
    let target = client.push_target(&repository(&server, "app"));
    assert_eq!(
        target.has_blob(&blob(1, 10).0).await.unwrap(),
        Presence::Absent
    );
    assert_eq!(asked(&directory), [server.registry().to_string()]);
    assert!(server.log().saw_secret(PASSWORD));
}

#[tokio::test]
async fn a_helper_that_has_nothing_means_the_entry_or_nobody() {
    let nothing = "echo 'credentials not found in native keychain'; exit 1";
    let server = basic().await;
    let here = server.registry();
    for (auths, expected) in [
        (
            format!(r#"{{"{here}": {{"username": "alice", "password": "{PASSWORD}"}}}}"#),
            Ok(Presence::Absent),
        ),
        (
            format!(r#"{{"{here}": {{}}}}"#),
            Err(TargetErrorKind::Unauthorized),
        ),
    ] {
        let directory = helper(nothing);
        let client = client(
            &directory,
            &format!(r#"{{"credsStore": "test", "auths": {auths}}}"#),
        );
        let target = client.push_target(&repository(&server, "app"));
        let held = target.has_blob(&blob(1, 10).0).await;
        assert_eq!(held.map_err(|error| error.kind().clone()), expected);
        assert_eq!(asked(&directory), [here.to_string()]);
    }
}

#[tokio::test]
async fn a_helper_that_fails_is_a_typed_error_that_names_it_and_nothing_is_sent_without() {
    let server = basic().await;
    let here = server.registry();
    let directory = helper(&format!("echo {PASSWORD}; exit 1"));
    let client = client(
        &directory,
        &format!(r#"{{"credHelpers": {{"{here}": "test"}}}}"#),
    );
    let target = client.push_target(&repository(&server, "app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    let mut chain = format!("{error} {error:?}");
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        let _ = write!(chain, " {cause} {cause:?}");
        next = cause.source();
    }
    assert!(chain.contains("docker-credential-test"), "{chain}");
    assert!(!chain.contains("canary"), "{chain}");
    // The challenge, and nothing after it.
    assert_eq!(server.log().requests(), 1);
}

/// Cloud registries give out passwords for some hours; a process may live for longer.
#[tokio::test]
async fn a_helpers_password_that_has_ended_is_asked_for_again_and_a_wrong_one_is_not() {
    for challenge in ["Basic realm=\"r\"", "Bearer realm=\"SCHEME://HOST/token\""] {
        let password = Arc::new(Mutex::new("one".to_owned()));
        let server = {
            let password = password.clone();
            Scripted::start(move |head| {
                let pair = format!("alice:{}", password.lock().unwrap());
                let good = head.contains(&format!("Basic {}", BASE64_STANDARD.encode(&pair)));
                let token = format!("token-{}", password.lock().unwrap());
                if head.starts_with("GET /token") && good {
                    return reply("200 OK", &format!(r#"{{"token": "{token}"}}"#));
                }
                if good || head.contains(&token) {
                    return reply("404 Not Found", "");
                }
                let host = head.split("host: ").nth(1).unwrap().lines().next().unwrap();
                let challenge = challenge
                    .replace("HOST", host)
                    .replace("SCHEME", SET_UP.scheme());
                reply(
                    &format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}"),
                    "",
                )
            })
            .await
        };
        let directory = helper(r#"echo "{\"Username\":\"alice\",\"Secret\":\"$(cat secret)\"}""#);
        let keep = |secret: &str| fs::write(directory.path().join("secret"), secret).unwrap();
        keep("one");
        let client = client(&directory, r#"{"credsStore": "test"}"#);
        let target = client.push_target(&server.repository("app"));
        let ask = || async { target.has_blob(&blob(1, 10).0).await };
        assert_eq!(ask().await.unwrap(), Presence::Absent);
        assert_eq!(asked(&directory).len(), 1);

        "two".clone_into(&mut password.lock().unwrap());
        keep("two");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(90)).await;
        tokio::time::resume();
        assert_eq!(ask().await.unwrap(), Presence::Absent, "{challenge}");
        assert_eq!(asked(&directory).len(), 2);

        // What was asked for a moment ago is wrong and has no end.
        "three".clone_into(&mut password.lock().unwrap());
        let error = ask().await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
        assert_eq!(asked(&directory).len(), 2);
    }
}

#[tokio::test]
async fn configured_headers_go_to_the_registry_and_no_further() {
    let server = basic().await;
    let elsewhere = Scripted::start(|head| {
        let uploads = head.starts_with("PUT");
        reply(
            if uploads {
                "201 Created"
            } else {
                "403 Forbidden"
            },
            "",
        )
    })
    .await;
    let moved = Rule::on(Endpoint::UploadPost);
    server
        .faults()
        .add(moved.act(Action::MoveLocation(elsewhere.url())));
    let to = Answer::redirect(307, format!("{}/blob", elsewhere.url()));
    server
        .faults()
        .add(Rule::on(Endpoint::BlobHead).act(Action::Answer(to)));
    let directory = good();
    let config = r#"{"credsStore": "test", "HttpHeaders": {"X-Meta": "canary-meta", "User-Agent": "canary-agent"}}"#;
    let target = client(&directory, config).push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    target.has_blob(&layer).await.unwrap();
    target
        .upload_blob(upload(&layer, &Blobs::one(&layer, &content)))
        .await
        .unwrap();
    assert_eq!(elsewhere.lines().len(), 2);
    assert!(
        !elsewhere.heads().contains("canary"),
        "{}",
        elsewhere.heads()
    );
    assert!(server.log().saw_secret(PASSWORD));
    assert!(server.log().saw_secret("canary-meta"));
    assert!(!server.log().saw_secret("canary-agent"));
}
