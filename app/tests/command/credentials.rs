//! Where credentials come from, and that they show up nowhere else.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use server::{Auth, Authorization, Bearer, Server};

use crate::{
    longshore::{Run, finished, longshore, write_program},
    stage::{Image, Stage, small},
};

const PASSWORD: &str = "canary-5a1f";

/// Every way a registry asks for a password.
fn ways() -> [Auth; 2] {
    [
        Auth::basic("someone", PASSWORD),
        Auth::Bearer(Bearer::new().user("someone", PASSWORD)),
    ]
}

async fn stage(auth: Auth) -> (Stage, Image) {
    let server = Server::builder().memory().auth(auth).start().await;
    let stage = Stage::with(server.unwrap());
    let image = stage.image(&small());
    (stage, image)
}

/// Pushes with everything logged, and `arrange` before it starts.
async fn push(stage: &Stage, image: &Image, arrange: impl FnOnce(&mut Command)) -> Run {
    let mut command = longshore(stage.home());
    let reference = stage.reference("team/app:1");
    command.args(["push", image.path(), &reference, "--json", "-vv"]);
    arrange(&mut command);
    let mut command = tokio::process::Command::from(command);
    finished(command.output().await.unwrap())
}

/// The push went through, authenticated, and nothing it printed has the password.
#[track_caller]
fn pushed_in_silence(run: Run, stage: &Stage) {
    let run = run.succeeded();
    assert!(!run.stdout.contains(PASSWORD), "{run:#?}");
    assert!(!run.stderr.contains(PASSWORD), "{run:#?}");
    let entries = stage.server.log().entries();
    let last = entries.last().unwrap();
    assert!(last.path.ends_with("/manifests/1"), "{last:?}");
    assert_ne!(last.headers.authorization, Authorization::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_the_environment() {
    for auth in ways() {
        let (stage, image) = stage(auth).await;
        let run = push(&stage, &image, |it| {
            it.env("LONGSHORE_USERNAME", "someone")
                .env("LONGSHORE_PASSWORD", PASSWORD);
        });
        pushed_in_silence(run.await, &stage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_dockers_configuration() {
    for auth in ways() {
        let (stage, image) = stage(auth).await;
        let registry = stage.server.registry().to_string();
        let config = serde_json::json!({ "auths": { registry: {
            "username": "someone", "password": PASSWORD,
        }}});
        fs::create_dir(stage.path(".docker")).unwrap();
        fs::write(stage.path(".docker/config.json"), config.to_string()).unwrap();
        pushed_in_silence(push(&stage, &image, |_| {}).await, &stage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_standard_input() {
    for auth in ways() {
        let (stage, image) = stage(auth).await;
        let mut command = longshore(stage.home());
        command
            .args(["push", image.path(), &stage.reference("team/app:1")])
            .args(["--json", "-vv", "-u", "someone", "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let run = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
            finished(child.wait_with_output().unwrap())
        });
        pushed_in_silence(run.await.unwrap(), &stage);
    }
}

fn config(stage: &Stage) -> String {
    let registry = stage.server.registry().to_string();
    let entry = serde_json::json!({ "username": "someone", "password": PASSWORD });
    serde_json::json!({ "auths": { registry: entry } }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn z18_a_password_comes_from_each_place_that_is_named() {
    for auth in ways() {
        let (stage, image) = stage(auth).await;
        let (config, file) = (config(&stage), stage.path("auth.json"));
        fs::write(&file, &config).unwrap();
        let given = file.to_str().unwrap();
        let run = push(&stage, &image, |it| {
            it.env("DOCKER_AUTH_CONFIG", &config);
        });
        pushed_in_silence(run.await, &stage);
        let run = push(&stage, &image, |it| {
            it.env("REGISTRY_AUTH_FILE", given);
        });
        pushed_in_silence(run.await, &stage);
        let run = push(&stage, &image, |it| {
            it.args(["--authfile", given]);
        });
        pushed_in_silence(run.await, &stage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_stops_the_push_before_its_first_request() {
    let (stage, image) = stage(Auth::basic("someone", PASSWORD)).await;
    fs::write(
        stage.path("auth.json"),
        format!("{{\n\"auths\": \"{PASSWORD}\"}}"),
    )
    .unwrap();
    for (file, words) in [
        ("auth.json", "line 2, column"),
        ("missing.json", "No such file"),
    ] {
        let path = stage.path(file);
        let run = push(&stage, &image, |it| {
            it.args(["--authfile", path.to_str().unwrap()]);
        });
        let run = run.await;
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(
            run.stderr.contains(file) && run.stderr.contains(words),
            "{run:#?}"
        );
        assert!(!run.stderr.contains(PASSWORD) && !run.stdout.contains(PASSWORD));
        assert_eq!(stage.server.log().requests(), 0);
    }
}

/// A directory for `PATH` with a credential helper `test` that is this shell script.
#[cfg(unix)]
fn helper(stage: &Stage, script: &str) -> std::path::PathBuf {
    let directory = stage.path("bin");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("docker-credential-test");
    write_program(&path, &format!("#!/bin/sh\n{script}\n"));
    fs::create_dir_all(stage.path(".docker")).unwrap();
    fs::write(
        stage.path(".docker/config.json"),
        r#"{"credsStore": "test"}"#,
    )
    .unwrap();
    directory
}

/// `PATH` with that directory first.
#[cfg(unix)]
fn path_with(directory: &std::path::Path) -> std::ffi::OsString {
    let system = ["/usr/bin", "/bin"].map(std::path::PathBuf::from);
    std::env::join_paths([directory.to_owned()].into_iter().chain(system)).unwrap()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn r9_a_password_comes_from_a_credential_helper_on_the_path() {
    for auth in ways() {
        let (stage, image) = stage(auth).await;
        let script = format!(r#"echo '{{"Username":"someone","Secret":"{PASSWORD}"}}'"#);
        let directory = helper(&stage, &script);
        let run = push(&stage, &image, |it| {
            it.env("PATH", path_with(&directory));
        });
        pushed_in_silence(run.await, &stage);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn p16_a_helper_that_hangs_or_is_not_there_ends_with_exit_code_3_and_its_name() {
    let (stage, image) = stage(Auth::basic("someone", PASSWORD)).await;
    let directory = helper(&stage, "exec sleep 1000");
    for (path, words) in [
        (path_with(&directory), "gave no answer within 200ms"),
        ("/nowhere".into(), "was not found"),
    ] {
        let run = push(&stage, &image, |it| {
            it.env("PATH", path).args(["--helper-timeout", "200ms"]);
        });
        let run = run.await;
        assert_eq!(run.code, Some(3), "{run:#?}");
        let named = format!("docker-credential-test {words}");
        assert!(run.stderr.contains(&named), "{}", run.stderr);
    }
}

/// Everything that can be logged is, and of the secrets there is nothing in it: of those that were
/// taken, those that were refused, and those that go along.
#[tokio::test(flavor = "multi_thread")]
async fn r10_no_log_report_or_error_shows_a_secret() {
    for auth in ways() {
        let (stage, image) = stage(auth).await;
        let registry = stage.server.registry().to_string();
        for (password, code) in [(PASSWORD, 0), ("canary-wrong", 3)] {
            let config = serde_json::json!({
                "auths": { &*registry: { "username": "someone", "password": password } },
                "HttpHeaders": { "X-Meta": "canary-header" },
            });
            let run = push(&stage, &image, |it| {
                it.env("DOCKER_AUTH_CONFIG", config.to_string());
            });
            let run = run.await;
            assert_eq!(run.code, Some(code), "{run:#?}");
            assert!(stage.server.log().saw_secret("canary-header"));
            for entry in stage.server.log().entries() {
                let agent = entry.headers.user_agent.unwrap_or_default();
                assert!(agent.starts_with("longshore/"), "{agent}");
            }
            let told = run.stdout + &run.stderr;
            assert!(told.contains("DEBUG"), "{told}");
            assert!(!told.contains("canary"), "{told}");
        }
    }
}

/// An entry for another port of the same host is an entry for another registry.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_for_another_port_is_not_used() {
    let (stage, image) = stage(Auth::basic("someone", PASSWORD)).await;
    let config = serde_json::json!({ "auths": { "127.0.0.1:1": {
        "username": "someone", "password": PASSWORD,
    }}});
    fs::create_dir(stage.path(".docker")).unwrap();
    fs::write(stage.path(".docker/config.json"), config.to_string()).unwrap();
    let run = push(&stage, &image, |_| {}).await;
    assert_eq!(run.code, Some(3), "{run:#?}");
    let entries = stage.server.log().entries();
    let mut sent = entries.iter().map(|it| it.headers.authorization);
    assert!(sent.all(|it| it == Authorization::None));
}
