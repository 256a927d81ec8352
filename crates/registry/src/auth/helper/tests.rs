//! Real programs in a directory: good ones, and every kind of bad one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;

const SERVER: &str = "registry.test:5000";

/// A directory with a helper `test` that is this shell script.
struct Stage(TempDir);

impl Stage {
    fn new(script: &str) -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        let path = stage.path("docker-credential-test");
        let there = stage.0.path().display();
        write_program(&path, &format!("#!/bin/sh\ncd '{there}'\n{script}\n"));
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn helpers(&self) -> CredentialHelpers {
        CredentialHelpers::in_directories([self.0.path().to_owned()])
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// Writes a program. By a process of its own: what this one has open for writing, whatever another
/// thread starts has open too for a moment, and nobody can run it meanwhile.
fn write_program(path: &Path, script: &str) {
    let write = r#"printf %s "$1" >"$0" && chmod 755 "$0""#;
    let mut shell = std::process::Command::new("/bin/sh");
    let written = shell.args(["-c", write]).arg(path).arg(script).status();
    assert!(written.unwrap().success());
}

fn shown(answer: &Result<Option<Credentials>, HelperError>) -> String {
    match answer {
        Ok(Some(Credentials::Password { username, password })) => {
            format!("{username}:{}", password.expose_secret())
        }
        Ok(Some(Credentials::Identity(token))) => format!("identity {}", token.expose_secret()),
        other => format!("{other:?}"),
    }
}

fn program() -> String {
    "docker-credential-test".to_owned()
}

/// Whether a process is there and not merely waiting to be collected.
fn lives(id: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(id.trim()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_helper_is_asked_with_the_server_on_standard_input_and_nothing_else() {
    let stage = Stage::new(
        r#"echo "$0 $*" >>argv; cat >>stdin
        echo '{"ServerURL":"x","Username":"alice","Secret":"canary","More":1}'"#,
    );
    let answer = stage.helpers().get("test", SERVER).await;
    assert_eq!(shown(&answer), "alice:canary");
    let program = stage.path("docker-credential-test");
    assert_eq!(stage.read("argv"), format!("{} get\n", program.display()));
    assert_eq!(stage.read("stdin"), SERVER);
    assert!(!format!("{answer:?} {:?}", stage.helpers()).contains("canary"));
}

#[tokio::test]
async fn the_user_name_token_says_that_the_secret_is_a_refresh_token() {
    let stage = Stage::new(r#"echo '{"Username":"<token>","Secret":"canary"}'"#);
    let answer = stage.helpers().get("test", SERVER).await;
    assert_eq!(shown(&answer), "identity canary");
}

#[tokio::test]
async fn a_helper_that_has_nothing_says_so_in_three_ways() {
    for said in NOT_THERE {
        let stage = Stage::new(&format!("echo '{said}'; exit 1"));
        assert_eq!(
            shown(&stage.helpers().get("test", SERVER).await),
            "Ok(None)"
        );
        assert_eq!(stage.helpers().erase("test", SERVER).await, Ok(false));
        // The same words with success are an answer, and not one that is understood.
        let stage = Stage::new(&format!("echo '{said}'"));
        let error = stage.helpers().get("test", SERVER).await.unwrap_err();
        assert_eq!(error, HelperError::Answer { program: program() });
    }
    let empty = Stage::new(r#"echo '{"Username":"","Secret":""}'"#);
    assert_eq!(
        shown(&empty.helpers().get("test", SERVER).await),
        "Ok(None)"
    );
}

#[tokio::test]
async fn a_helper_that_fails_or_talks_nonsense_is_a_typed_error_without_its_words() {
    let failed = |status: &str| HelperError::Failed {
        program: program(),
        verb: "get",
        server: SERVER.to_owned(),
        status: status.to_owned(),
    };
    let answer = HelperError::Answer { program: program() };
    let cases = [
        (
            "echo canary; echo canary >&2; exit 3",
            failed("exit status: 3"),
        ),
        ("kill -TERM $$", failed("signal: 15 (SIGTERM)")),
        ("echo canary", answer.clone()),
        (":", answer.clone()),
        (r#"echo '{"Username":"canary"}'"#, answer.clone()),
        (r#"echo '{"Username":5,"Secret":"canary"}'"#, answer.clone()),
        (r#"echo '["canary"]'"#, answer),
    ];
    for (script, expected) in cases {
        let stage = Stage::new(script);
        let error = stage.helpers().get("test", SERVER).await.unwrap_err();
        assert_eq!(error, expected, "{script}");
        assert!(error.to_string().contains("docker-credential-test"));
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn what_to_run_by_hand_does_not_wait_for_input() {
    let told = |verb| {
        let failed = HelperError::Failed {
            program: program(),
            verb,
            server: SERVER.to_owned(),
            status: "exit status: 1".to_owned(),
        };
        failed.to_string()
    };
    let get = format!("run: echo {SERVER} | docker-credential-test get");
    assert!(told("get").ends_with(&get), "{}", told("get"));
    assert!(told("store").ends_with("run: docker-credential-test list"));
}

#[tokio::test]
async fn p16_a_helper_that_hangs_is_killed_at_its_limit_with_what_it_started() {
    let stage = Stage::new("sleep 1000 & echo $! >child; echo $$ >own; wait");
    // Enough to write down who is who, also on a machine that is busy.
    let limit = Duration::from_secs(3);
    let error = stage
        .helpers()
        .with_limit(limit)
        .get("test", SERVER)
        .await
        .unwrap_err();
    let program = program();
    assert_eq!(error, HelperError::TimedOut { program, limit });
    for id in [stage.read("own"), stage.read("child")] {
        assert!(!id.is_empty());
        while lives(&id) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_helper_that_is_not_waited_for_any_more_is_killed() {
    let stage = Stage::new("echo $$ >own.new; mv own.new own; exec sleep 1000");
    let helpers = stage.helpers();
    let asking = tokio::spawn(async move { helpers.get("test", SERVER).await });
    while stage.read("own").is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(lives(&stage.read("own")));
    asking.abort();
    while lives(&stage.read("own")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_helper_that_floods_is_stopped_and_one_that_does_not_read_is_heard() {
    let stage = Stage::new("echo $$ >own; exec cat /dev/zero");
    let error = stage.helpers().get("test", SERVER).await.unwrap_err();
    assert_eq!(error, HelperError::TooLong { program: program() });
    while lives(&stage.read("own")) {
        tokio::task::yield_now().await;
    }

    let deaf = Stage::new(r#"exec 0<&-; echo '{"Username":"a","Secret":"b"}'"#);
    let long = "x".repeat(1024 * 1024);
    assert_eq!(shown(&deaf.helpers().get("test", &long).await), "a:b");
}

/// An agent that is started on the way keeps the output open for as long as it lives.
#[tokio::test]
async fn a_helper_that_leaves_an_agent_behind_is_done_when_it_ends_itself() {
    let stage = Stage::new(
        r#"sleep 1000 & echo $! >agent
        echo '{"Username":"a","Secret":"b"}'"#,
    );
    assert_eq!(shown(&stage.helpers().get("test", SERVER).await), "a:b");
    let agent = stage.read("agent");
    assert!(lives(&agent));
    let agent = rustix::process::Pid::from_raw(agent.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn p16_sixteen_who_ask_at_once_are_one_run_and_a_failure_is_shared_too() {
    for (script, expected) in [
        (r#"echo '{"Username":"a","Secret":"b"}'"#, "a:b"),
        ("exit 1", "Err(Failed"),
    ] {
        let stage = Stage::new(&format!("echo run >>runs; {script}"));
        let helpers = stage.helpers();
        let asking = (0..16).map(|_| helpers.get("test", SERVER));
        for answer in join_all(asking).await {
            assert!(shown(&answer).starts_with(expected), "{answer:?}");
        }
        assert_eq!(stage.read("runs"), "run\n");
        let _ = helpers.get("test", "other.test").await;
        assert_eq!(stage.read("runs"), "run\nrun\n");
    }
}

#[tokio::test]
async fn an_answer_that_says_when_it_ends_is_asked_for_again_then() {
    for (exp, runs) in [("4102444800", "run\n"), ("1000", "run\nrun\n")] {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"exp": {exp}}}"#));
        let stage = Stage::new(&format!(
            r#"echo run >>runs; echo '{{"Username":"<token>","Secret":"e30.{claims}.s"}}'"#,
        ));
        let helpers = stage.helpers();
        for _ in 0..2 {
            assert!(shown(&helpers.get("test", SERVER).await).starts_with("identity"));
        }
        assert_eq!(stage.read("runs"), runs);
    }
}

#[tokio::test]
async fn what_is_stored_and_erased_goes_by_standard_input_and_is_not_remembered_as_it_was() {
    let stage = Stage::new(
        r#"echo "$*" >>argv
        case $1 in
            get) if [ -e kept ]; then cat kept; else echo 'credentials not found in native keychain'; exit 1; fi;;
            store) cat >kept;;
            erase) cat >erased; rm kept;;
        esac"#,
    );
    let helpers = stage.helpers();
    assert_eq!(shown(&helpers.get("test", SERVER).await), "Ok(None)");
    let secret = SecretString::from("canary \"x\"");
    helpers
        .store("test", SERVER, "alice", &secret)
        .await
        .unwrap();
    assert_eq!(
        stage.read("kept"),
        r#"{"ServerURL":"registry.test:5000","Username":"alice","Secret":"canary \"x\""}"#
    );
    assert_eq!(
        shown(&helpers.get("test", SERVER).await),
        "alice:canary \"x\""
    );
    assert_eq!(helpers.erase("test", SERVER).await, Ok(true));
    assert_eq!(stage.read("erased"), SERVER);
    assert_eq!(shown(&helpers.get("test", SERVER).await), "Ok(None)");
    assert_eq!(stage.read("argv"), "get\nstore\nget\nerase\nget\n");
}

#[tokio::test]
async fn a_name_that_is_a_path_runs_nothing() {
    let stage = Stage::new("touch ran");
    for name in [
        "",
        "../test",
        "a/b",
        "a\\b",
        "/test",
        "test\n",
        "te st",
        "tést",
        &"x".repeat(200),
    ] {
        let error = stage.helpers().get(name, SERVER).await.unwrap_err();
        assert!(matches!(error, HelperError::Name(_)), "{name:?}: {error}");
        assert!(error.to_string().len() < 300);
    }
    assert!(!stage.path("ran").exists());
}

#[tokio::test]
async fn only_programs_in_absolute_directories_are_found() {
    let stage = Stage::new(r#"echo '{"Username":"a","Secret":"b"}'"#);
    let missing = HelperError::NotInstalled { program: program() };
    let asked = |directories: Vec<PathBuf>| async move {
        let helpers = CredentialHelpers::in_directories(directories);
        helpers.get("test", SERVER).await.map(drop)
    };
    assert_eq!(asked(vec![]).await, Err(missing.clone()));
    assert_eq!(
        asked(vec![".".into(), "".into()]).await,
        Err(missing.clone())
    );
    let nowhere = stage.path("nowhere");
    assert_eq!(
        asked(vec![nowhere, stage.0.path().to_owned()]).await,
        Ok(())
    );
    let path = stage.path("docker-credential-test");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(asked(vec![stage.0.path().to_owned()]).await, Err(missing));
}
