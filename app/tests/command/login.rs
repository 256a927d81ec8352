//! Logging in and out: verified first, kept where other tools look, and all else left alone.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use server::{Auth, Bearer, Server};

use crate::{
    longshore::{Run, finished, longshore, write_program},
    stage::{Stage, small},
};

const PASSWORD: &str = "canary-5a1f";
/// `someone:canary-5a1f` in base64.
const PAIR: &str = "c29tZW9uZTpjYW5hcnktNWExZg==";

async fn stage(auth: Auth) -> Stage {
    Stage::with(Server::builder().memory().auth(auth).start().await.unwrap())
}

fn basic() -> Auth {
    Auth::basic("someone", PASSWORD)
}

fn bearer() -> Auth {
    Auth::Bearer(Bearer::new().user("someone", PASSWORD))
}

/// Runs with `typed` on standard input.
async fn run(mut command: Command, typed: &str) -> Run {
    let typed = typed.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = writeln!(child.stdin.take().unwrap(), "{typed}");
        finished(child.wait_with_output().unwrap())
    });
    running.await.unwrap()
}

async fn login(stage: &Stage, password: &str, arrange: impl FnOnce(&mut Command)) -> Run {
    stage.server.log().clear();
    let mut command = longshore(stage.home());
    let host = stage.server.registry().to_string();
    command.args(["login", &host, "-u", "someone", "--password-stdin", "-vv"]);
    arrange(&mut command);
    let run = run(command, password).await;
    assert!(
        !run.stdout.contains("canary") && !run.stderr.contains("canary"),
        "{run:#?}"
    );
    run
}

async fn logout(stage: &Stage, args: &[&str]) -> Run {
    let host = stage.server.registry().to_string();
    stage.longshore(&[&["logout", &host], args].concat()).await
}

fn read(stage: &Stage, name: &str) -> Value {
    serde_json::from_slice(&fs::read(stage.path(name)).unwrap()).unwrap()
}

fn write(stage: &Stage, name: &str, content: &str) {
    let path = stage.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_login_verifies_keeps_and_announces_and_logout_removes() {
    for auth in [basic(), bearer()] {
        let stage = stage(auth.clone()).await;
        let host = stage.server.registry().to_string();
        let run = login(&stage, PASSWORD, |_| {}).await.succeeded();
        let expected: &[&str] = match auth {
            Auth::Basic(_) => &["GET /v2/ → 401", "GET /v2/ → 200"],
            _ => &[
                "GET /v2/ → 401",
                "GET /token?service=longshore → 200",
                "GET /v2/ → 200",
            ],
        };
        assert_eq!(stage.server.log().lines(), expected);
        let file = stage.path(".docker/config.json");
        assert_eq!(
            run.stdout,
            format!(
                "logged in to {host} as someone; kept in {}\n",
                file.display()
            )
        );
        assert!(
            run.stderr
                .contains("warning: the password is not encrypted")
        );
        assert_eq!(
            read(&stage, ".docker/config.json"),
            json!({ "auths": { &*host: { "auth": PAIR } } })
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(file), 0o600);
            assert_eq!(mode(stage.path(".docker")), 0o700);
        }

        let image = stage.image(&small());
        let reference = stage.reference("team/app:1");
        stage
            .longshore(&["push", image.path(), &reference])
            .await
            .succeeded();

        let run = logout(&stage, &[]).await.succeeded();
        assert_eq!(run.stdout, format!("logged out of {host}\n"));
        assert_eq!(stage.server.log().requests(), 0);
        assert_eq!(read(&stage, ".docker/config.json"), json!({ "auths": {} }));
        let run = stage.longshore(&["push", image.path(), &reference]).await;
        assert_eq!(run.code, Some(3), "{run:#?}");
        let run = logout(&stage, &[]).await.succeeded();
        assert!(
            run.stdout.contains("there are no credentials for"),
            "{run:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_a_wrong_password_is_refused_and_nothing_is_kept() {
    for auth in [basic(), bearer()] {
        let stage = stage(auth).await;
        let run = login(&stage, "wrong", |_| {}).await;
        assert_eq!(run.code, Some(3), "{run:#?}");
        assert!(run.stderr.contains("nothing was kept"), "{}", run.stderr);
        assert!(
            run.stderr
                .contains("hint: check the user name and the password")
        );
        assert!(!stage.path(".docker").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_else_is_in_the_file_is_kept_as_it_is() {
    let stage = stage(basic()).await;
    let host = stage.server.registry().to_string();
    let before = format!(
        r#"{{"psFormat": "x\u00e9", "detachKeys": 12345678901234567890.10, "auths": {{
            "other.test": {{"auth": "eDp5", "email": "a@b", "more": [1, {{}}]}},
            "http://{host}": {{"auth": "eDp5"}}
        }}, "plugins": {{"a": {{"b": null}}}}, "currentContext": "z"}}"#
    );
    write(&stage, ".docker/config.json", &before);
    login(&stage, PASSWORD, |_| {}).await.succeeded();
    let text = fs::read_to_string(stage.path(".docker/config.json")).unwrap();
    for kept in [
        r#""psFormat": "x\u00e9""#,
        "12345678901234567890.10",
        r#"{"auth": "eDp5", "email": "a@b", "more": [1, {}]}"#,
        r#"{"a": {"b": null}}"#,
    ] {
        assert!(text.contains(kept), "{kept} is not in {text}");
    }
    // Another spelling of the same registry is not left beside it.
    let auths = &read(&stage, ".docker/config.json")["auths"];
    assert_eq!(
        auths.as_object().unwrap().keys().collect::<Vec<_>>(),
        [&*host, "other.test"]
    );
    logout(&stage, &[]).await.succeeded();
    let mut expected: Value = serde_json::from_str(&before).unwrap();
    expected["auths"]
        .as_object_mut()
        .unwrap()
        .remove(&format!("http://{host}"));
    assert_eq!(read(&stage, ".docker/config.json"), expected);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_a_link_stays_one_and_no_open_copy_is_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = stage(basic()).await;
    write(&stage, "dotfiles/config.json", "{}");
    fs::set_permissions(
        stage.path("dotfiles/config.json"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    fs::create_dir(stage.path(".docker")).unwrap();
    std::os::unix::fs::symlink(
        stage.path("dotfiles/config.json"),
        stage.path(".docker/config.json"),
    )
    .unwrap();
    login(&stage, PASSWORD, |_| {}).await.succeeded();
    assert!(stage.path(".docker/config.json").is_symlink());
    let real = stage.path("dotfiles/config.json");
    assert!(fs::read_to_string(&real).unwrap().contains(PAIR));
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(stage.path("dotfiles")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authfile_or_the_environment_names_another_file() {
    let stage = stage(basic()).await;
    let host = stage.server.registry().to_string();
    let [given, named] = ["new/given.json", "new/named.json"].map(|name| stage.path(name));
    let expected = json!({ "auths": { &*host: { "auth": PAIR } } });
    login(&stage, PASSWORD, |it| {
        it.arg("--authfile").arg(&given);
    })
    .await
    .succeeded();
    login(&stage, PASSWORD, |it| {
        it.env("REGISTRY_AUTH_FILE", &named);
    })
    .await
    .succeeded();
    assert_eq!(read(&stage, "new/given.json"), expected);
    assert_eq!(read(&stage, "new/named.json"), expected);
    assert!(!stage.path(".docker").exists());

    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let authfile = ["--authfile", given.to_str().unwrap()];
    let push = ["push", image.path(), &reference];
    stage
        .longshore(&[&push[..], &authfile].concat())
        .await
        .succeeded();
    // A podman file that is left would be used after all.
    write(
        &stage,
        ".config/containers/auth.json",
        &expected.to_string(),
    );
    let run = logout(&stage, &[]).await.succeeded();
    assert!(
        run.stderr.contains("auth.json has credentials for it too"),
        "{run:#?}"
    );
    logout(&stage, &authfile).await.succeeded();
    assert_eq!(read(&stage, "new/given.json"), json!({ "auths": {} }));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn r9_a_configured_helper_keeps_the_password_and_the_file_does_not() {
    let stage = stage(bearer()).await;
    let host = stage.server.registry().to_string();
    write(&stage, ".docker/config.json", r#"{"credsStore": "test"}"#);
    let script = "#!/bin/sh\ncd \"$HOME\"\ncase $1 in
        store) cat >kept;; get) cat kept;; erase) cat >erased; rm kept;; esac\n";
    fs::create_dir(stage.path("bin")).unwrap();
    write_program(&stage.path("bin/docker-credential-test"), script);
    let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());

    let run = login(&stage, PASSWORD, |it| {
        it.env("PATH", &path);
    })
    .await
    .succeeded();
    assert!(
        run.stdout.contains("kept in docker-credential-test"),
        "{run:#?}"
    );
    assert!(!run.stderr.contains("not encrypted"));
    assert_eq!(
        read(&stage, "kept"),
        json!({ "ServerURL": host, "Username": "someone", "Secret": PASSWORD })
    );
    let text = fs::read_to_string(stage.path(".docker/config.json")).unwrap();
    assert!(!text.contains(PASSWORD) && !text.contains(PAIR), "{text}");
    assert_eq!(
        read(&stage, ".docker/config.json")["auths"],
        json!({ &*host: {} })
    );

    let image = stage.image(&small());
    let mut push = longshore(stage.home());
    push.args(["push", image.path(), &stage.reference("team/app:1")])
        .env("PATH", &path);
    run_with(push).await.succeeded();
    let mut out = longshore(stage.home());
    out.args(["logout", &host]).env("PATH", &path);
    run_with(out).await.succeeded();
    assert_eq!(fs::read_to_string(stage.path("erased")).unwrap(), host);
    assert_eq!(read(&stage, ".docker/config.json")["auths"], json!({}));
}

#[cfg(unix)]
async fn run_with(command: Command) -> Run {
    run(command, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_wrong_is_said_before_anything_is_sent() {
    let stage = stage(basic()).await;
    let host = stage.server.registry().to_string();
    let cases: [(&[&str], &str, i32, &str); 5] = [
        (&["login", &host], "", 2, "give --username"),
        (
            &["login", &host, "-u", "someone"],
            "",
            2,
            "use --password-stdin",
        ),
        (
            &["login", &host, "-u", "someone", "--password-stdin"],
            "",
            2,
            "the password is empty",
        ),
        (
            &["login", &host, "-u", "a:b", "--password-stdin"],
            "x",
            2,
            "no colon",
        ),
        (
            &["login", "r.test/app", "-u", "a", "--password-stdin"],
            "x",
            2,
            "cannot be used",
        ),
    ];
    for (args, typed, code, words) in cases {
        let mut command = longshore(stage.home());
        command.args(args);
        let run = run(command, typed).await;
        assert_eq!(run.code, Some(code), "{args:?}: {run:#?}");
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
    assert_eq!(stage.server.log().requests(), 0);
    assert!(!stage.path(".docker").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_registry_verifies_nothing_and_that_is_said() {
    let stage = stage(Auth::None).await;
    let run = login(&stage, PASSWORD, |_| {}).await.succeeded();
    assert!(run.stderr.contains("lets everybody in"), "{run:#?}");
}
