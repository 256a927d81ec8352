//! Where credentials come from, and that they show up nowhere else.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use server::{Auth, Authorization, Bearer, Server};

use crate::{
    longshore::{Run, finished, longshore},
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
