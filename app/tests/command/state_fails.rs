//! A state file that cannot be used, or not as it should be: the push succeeds, and one warning says so,
//! however many destinations there are and whatever would have been kept.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use longshore::push::source::sample::SampleOptions;

use crate::{
    longshore::{Run, finished, longshore},
    stage::{Image, Stage, small},
};

/// A layer large enough for its upload to be kept, so that journal and index both have something to write.
fn large(stage: &Stage) -> Image {
    stage.image(&SampleOptions {
        layers: 1,
        layer_bytes: 9 << 20,
        ..small()
    })
}

fn warnings(run: &Run) -> Vec<&str> {
    let lines = run.stderr.lines();
    lines.filter(|it| it.starts_with("warning: ")).collect()
}

/// As whoever runs the tests, or as nobody if that is root: no mode keeps root from anything.
fn unprivileged(stage: &Stage) -> std::process::Command {
    use std::os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    };
    const NOBODY: u32 = 65534;
    let home = stage.home();
    // Beside the state: where the program was built nobody may be allowed to look.
    let program = home.join("longshore");
    if !program.exists() {
        if fs::metadata(home).unwrap().uid() != 0 {
            return longshore(home);
        }
        // By a process of its own: what this one has open for writing, whatever another thread
        // starts has open too for a moment, and nobody can run it meanwhile.
        let mut copy = std::process::Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_longshore")).arg(&program);
        assert!(copy.status().unwrap().success());
        chown(home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = std::process::Command::new(program);
    command.env_clear().env("HOME", home);
    command.uid(NOBODY).gid(NOBODY);
    command
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A file of 16 KiB and more can be opened and made; what comes after that does not fit, be it a
/// table, a session or where a blob was seen.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn i5_a_state_file_that_is_full_is_one_warning_and_the_push_succeeds() {
    let stage = Stage::new().await;
    let image = large(&stage);
    let (mut unopened, mut unwritten) = (0, 0);
    for blocks in [0, 33, 64, 72, 80, 84, 88, 92, 96, 100, 104, 112, 120] {
        let file = stage.path(&format!("state-{blocks}/state.db"));
        let to = ["one", "two"].map(|it| stage.reference(&format!("team/{it}{blocks}:1")));
        let args = [
            "copy",
            image.path(),
            &to[0],
            &to[1],
            "--state",
            file.to_str().unwrap(),
        ];
        let run = crate::longshore::run_on_full_disk(stage.home(), blocks, args)
            .await
            .succeeded();
        let told = warnings(&run);
        assert!(told.len() <= 1, "{blocks}: {run:#?}");
        unopened += told
            .iter()
            .filter(|it| it.contains(" is not used, "))
            .count();
        unwritten += told
            .iter()
            .filter(|it| it.contains("is not kept for later runs"))
            .count();
    }
    assert!(unopened > 0 && unwritten > 0, "{unopened} {unwritten}");
}

/// A command that is about what is kept does not say that nothing is, where it could not look.
#[tokio::test(flavor = "multi_thread")]
async fn i5_a_command_about_the_state_fails_where_the_file_cannot_be_used() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let directory = stage.path("state");
    let file = directory.join("state.db");
    let facts = stage.path("facts");
    fs::write(&facts, "").unwrap();
    let commands: [&[&str]; 8] = [
        &["index", "show"],
        &["index", "export"],
        &["index", "forget", "--all"],
        &["index", "prune"],
        &["index", "import", facts.to_str().unwrap()],
        &["session", "list"],
        &["profile", "show"],
        &["profile", "forget", "--all"],
    ];
    let run = async |args: &[&str]| {
        let mut command = unprivileged(&stage);
        command.args(args).arg("--state").arg(&file);
        let run = tokio::task::spawn_blocking(move || command.output());
        finished(run.await.unwrap().unwrap())
    };
    run(&["push", image.path(), &stage.reference("app:1")])
        .await
        .succeeded();
    for args in commands {
        assert_eq!(warnings(&run(args).await.succeeded()), [""; 0]);
    }
    run(&["push", image.path(), &stage.reference("app:1")])
        .await
        .succeeded();
    // The file's rights, the directory's.
    for (of_file, of_directory) in [(0o000, 0o700), (0o600, 0o000)] {
        allow(&file, of_file);
        allow(&directory, of_directory);
        for args in commands {
            let run = run(args).await;
            assert_eq!(run.code, Some(5), "{args:?}: {run:#?}");
            assert_eq!(run.stdout, "", "{args:?}");
            let expected = format!("error: could not open {}\n", file.display());
            assert!(run.stderr.starts_with(&expected), "{args:?}: {run:#?}");
            assert_eq!(warnings(&run), [""; 0]);
        }
        allow(&directory, 0o700);
        allow(&file, 0o600);
    }
    let shown = run(&["index", "show"]).await.succeeded().stdout;
    assert!(shown.contains("/app  "), "nothing is lost: {shown}");
}

/// What is in it is still used; nothing is added to it.
#[tokio::test(flavor = "multi_thread")]
async fn i5_a_state_file_that_is_read_only_or_unreadable_is_one_warning_and_the_push_succeeds() {
    let stage = Stage::new().await;
    let image = large(&stage);
    let other = stage.other_image();
    let directory = stage.path("state");
    let file = directory.join("state.db");
    let push = async |image: &Image, to: &str| {
        stage.server.log().clear();
        let mut command = unprivileged(&stage);
        let to = stage.reference(to);
        command
            .args(["push", image.path(), &to, "--json", "--state"])
            .arg(&file);
        let run = tokio::task::spawn_blocking(move || command.output());
        finished(run.await.unwrap().unwrap()).succeeded()
    };
    let first = push(&image, "team/first:1").await;
    assert_eq!(warnings(&first), [""; 0]);
    assert_eq!(first.json()["bytes"]["uploaded"], image.blob_bytes());

    let rights = [
        // The file's, the directory's, whether it can be read.
        (0o400, 0o700, true),
        (0o400, 0o500, true),
        (0o000, 0o700, false),
    ];
    for (number, (of_file, of_directory, readable)) in rights.into_iter().enumerate() {
        for beside in ["", "-wal", "-shm"] {
            let path = directory.join(format!("state.db{beside}"));
            if path.exists() {
                allow(&path, of_file);
            }
        }
        allow(&directory, of_directory);
        let known = push(&image, &format!("team/known{number}:1")).await;
        let kept = if readable { "mounted" } else { "uploaded" };
        assert_eq!(
            known.json()["bytes"][kept],
            image.blob_bytes(),
            "{known:#?}"
        );
        let new = push(&other, &format!("team/new{number}:1")).await;
        for run in [&known, &new] {
            let told = warnings(run);
            assert_eq!(told.len(), 1, "{number}: {run:#?}");
            let why = if readable {
                "is not kept for later runs"
            } else {
                " is not used, "
            };
            assert!(told[0].contains(why), "{number}: {told:?}");
        }
        allow(&directory, 0o700);
    }
}
