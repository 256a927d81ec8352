//! What is kept between runs: where, for whom, and what a person can do about it.

use std::{fs, path::Path};

#[cfg(target_os = "linux")]
use longshore::push::source::sample::SampleOptions;
use longshore::push::{Journal as _, State, journal::BlobKey};
use longshore::registry::Client;
use oci::{Digest, PushTarget as _, UploadSession};

use crate::{
    longshore::{finished, longshore, run},
    stage::{Stage, small},
};

fn blob(name: &str) -> BlobKey {
    BlobKey {
        repository: "registry.test/team/app".parse().unwrap(),
        digest: Digest::of(name.as_bytes()),
    }
}

/// A state with an upload of `x` that was interrupted, and one of `y` that goes on as long as
/// what comes back lives.
async fn two_uploads(path: &Path) -> State {
    let (gone, notice) = State::open(path);
    assert!(notice.is_none());
    let (state, _) = State::open(path);
    for (state, name) in [(&gone, "x"), (&state, "y")] {
        let claim = state.claim(blob(name), 10 << 30);
        let session = UploadSession::new("https://registry.test/upload?_state=canary");
        let session = session.with_acknowledged(3 << 30);
        state.store(&claim, &session).await.unwrap();
    }
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_sessions_can_be_listed_and_dropped_and_their_addresses_are_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state.db");
    let going_on = two_uploads(&path).await;
    let state = path.to_str().unwrap().to_owned();
    let session = |args: &[&str]| {
        let mut all = vec!["session", "--state", &state];
        all.extend(args);
        run(home.path(), all)
    };
    let listed = session(&["list"]).succeeded();
    let digests = ["x", "y"].map(|it| Digest::of(it.as_bytes()));
    for (digest, end) in digests.iter().zip(["just now\n", "just now, in use\n"]) {
        let short = &digest.encoded()[..12];
        let expected = format!("{short}    3.0 GiB of   10.0 GiB  registry.test/team/app  {end}");
        assert!(listed.stdout.contains(&expected), "{listed:#?}");
    }
    let json = session(&["list", "--json"]).succeeded();
    let uploads = json.json().as_array().unwrap().clone();
    assert_eq!(uploads.len(), 2);
    assert!(uploads.iter().all(|it| it["acknowledged"] == 3_u64 << 30));
    assert!(!format!("{listed:?}{json:?}").contains("canary"));

    let unknown = session(&["drop", "0123456789"]);
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    assert!(
        unknown.stderr.contains("longshore session list"),
        "{unknown:#?}"
    );
    let dropped = session(&["drop", "--local", &digests[0].encoded()[..12]]).succeeded();
    assert_eq!(dropped.stdout, "dropped 1\n");
    let dropped = session(&["drop", "--local", "--all"]).succeeded();
    assert_eq!(
        dropped.stdout,
        "dropped 0; 1 in use by a running push stay\n"
    );
    drop(going_on);
    assert_eq!(
        session(&["drop", "--local", "--all"]).succeeded().stdout,
        "dropped 1\n"
    );
    assert_eq!(
        session(&["list"]).succeeded().stdout,
        "no unfinished uploads\n"
    );
}

/// The registry need not keep what nobody goes on with; one that is not there is no reason to stop.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_registry_is_told_of_a_session_that_is_dropped() {
    let stage = Stage::new().await;
    let path = stage.path("state.db");
    let file = path.to_str().unwrap();
    let opened = async |name: &str| {
        let here = stage.server.registry().repository("team/app").unwrap();
        let client = Client::builder().build().unwrap();
        let layer = oci::Descriptor::of(oci::MediaType::OCI_LAYER, name.as_bytes());
        let target = client.push_target(&here);
        let outcome = target.mount_blob(&layer, &here).await.unwrap();
        let oci::MountOutcome::Refused(Some(session)) = outcome else {
            panic!("{outcome:?}")
        };
        let (kept, _) = State::open(&path);
        let (repository, digest) = (here.clone(), layer.digest.clone());
        let claim = kept.claim(BlobKey { repository, digest }, 10 << 20);
        kept.store(&claim, &session).await.unwrap();
    };
    for (name, local, left) in [("x", &["--local"][..], 1), ("y", &[], 1)] {
        opened(name).await;
        let drop = [&["session", "--state", file, "drop", "--all"][..], local].concat();
        let dropped = stage.longshore(&drop).await.succeeded();
        assert_eq!((&*dropped.stdout, &*dropped.stderr), ("dropped 1\n", ""));
        // The first one stays with the registry, of which it was not told.
        assert_eq!(stage.server.open_sessions(), left, "{name}");
    }

    drop(two_uploads(&path).await);
    let unreachable = ["session", "--state", file, "drop", "--all"];
    let unreachable = stage.longshore(&unreachable).await.succeeded();
    assert_eq!(unreachable.stdout, "dropped 2\n");
    let warning = "warning: registry.test was not told";
    assert!(unreachable.stderr.contains(warning), "{unreachable:#?}");
    assert!(!unreachable.stderr.contains("canary"), "{unreachable:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_the_file_is_where_it_was_said_to_be_and_a_plan_makes_none() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let (reference, default) = (
        stage.reference("team/app:1"),
        stage.path(".local/state/longshore/state.db"),
    );
    let chosen = stage.path("chosen.db");
    let push = |command: &str, args: &[&str]| {
        let mut it = longshore(stage.home());
        it.args([command, image.path(), &reference]).args(args);
        it
    };
    let done = |mut it: std::process::Command| finished(it.output().unwrap()).succeeded();
    done(push("plan", &[]));
    done(push("push", &["--dry-run"]));
    done(push("push", &["--no-state"]));
    assert!(!default.exists());
    let mut named = push("push", &[]);
    named.env("LONGSHORE_STATE", &chosen);
    done(named);
    assert!(chosen.exists() && !default.exists());
    let second = stage.path("other.db");
    let mut flagged = push("push", &["--state", second.to_str().unwrap()]);
    flagged.env("LONGSHORE_STATE", stage.path("unused.db"));
    done(flagged);
    assert!(second.exists() && !stage.path("unused.db").exists());
    let settings = stage.path("settings.toml");
    let third = stage.path("file.db");
    fs::write(&settings, format!("state = {third:?}\n")).unwrap();
    let mut configured = push("push", &[]);
    configured.env("LONGSHORE_CONFIG", &settings);
    done(configured);
    assert!(third.exists() && !default.exists());
    done(push("push", &[]));
    assert!(default.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_file_that_cannot_be_used_is_a_warning() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let path = stage.path("state.db");
    let damaged = path.to_str().unwrap();
    let push = [
        "push",
        image.path(),
        &stage.reference("team/app:1"),
        "--quiet",
        "--state",
        damaged,
    ];
    stage.longshore(&push).await.succeeded();
    fs::write(&path, b"this is no database\n".repeat(300)).unwrap();
    let anew = stage.longshore(&push).await.succeeded();
    let expected = format!(
        "warning: the state file was damaged: {damaged} is begun anew, the old one is kept as {damaged}.damaged\n"
    );
    assert_eq!(anew.stderr, expected);
    assert_eq!(stage.longshore(&push).await.succeeded().stderr, "");
    let file = stage.path("image/index.json/state.db");
    let unusable = [
        "push",
        image.path(),
        &stage.reference("team/app:1"),
        "--quiet",
        "--state",
        file.to_str().unwrap(),
    ];
    let run = stage.longshore(&unusable).await.succeeded();
    assert!(
        run.stderr.starts_with("warning: the state file "),
        "{run:#?}"
    );
    assert!(
        run.stderr
            .contains("a push that is interrupted starts anew: it cannot be opened"),
        "{run:#?}"
    );
}

/// A wrong name: nothing is sent, and the file is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_file_that_is_no_state_file_is_an_error_that_names_it_and_stays_as_it_is() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let path = stage.path("holiday.jpg");
    fs::write(&path, b"this is no database\n".repeat(300)).unwrap();
    let before = fs::read(&path).unwrap();
    let reference = stage.reference("team/app:1");
    let file = path.to_str().unwrap();
    for command in [
        &["push", image.path(), &reference][..],
        &["plan", image.path(), &reference],
        &["index", "show"],
        &["index", "import", "/dev/null"],
        &["index", "forget", "--all"],
        &["profile", "show"],
        &["session", "list"],
    ] {
        let run = stage
            .longshore(&[command, &["--state", file]].concat())
            .await;
        assert_eq!(run.code, Some(2), "{command:?}: {run:#?}");
        let expected = format!("error: {file} is not a state file of longshore\n");
        assert!(run.stderr.starts_with(&expected), "{run:#?}");
        assert!(run.stderr.contains("--state"), "{run:#?}");
        assert_eq!(stage.server.log().requests(), 0);
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    let names = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
    assert!(!names.any(|it| it.starts_with("holiday.jpg.")));
}

/// What only looks neither moves a damaged file nor makes another.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_damaged_file_is_left_to_the_next_push_by_what_only_looks() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let path = stage.path("state.db");
    let file = path.to_str().unwrap();
    let reference = stage.reference("team/app:1");
    let push = ["push", image.path(), &reference, "--quiet", "--state", file];
    stage.longshore(&push).await.succeeded();
    let junk = b"this is no database\n".repeat(300);
    fs::write(&path, &junk).unwrap();
    // Those that are about what is in it have nothing to go on with; a plan goes on without.
    for (command, code) in [
        (&["index", "show"][..], 5),
        (&["profile", "show"], 5),
        (&["session", "list"], 5),
        (&["plan", image.path(), &reference], 0),
    ] {
        let run = stage
            .longshore(&[command, &["--state", file]].concat())
            .await;
        assert_eq!(run.code, Some(code), "{command:?}: {run:#?}");
        assert!(
            run.stderr.contains("it is damaged, and left as it is"),
            "{run:#?}"
        );
        assert_eq!(fs::read(&path).unwrap(), junk);
    }
    let run = stage.longshore(&push).await.succeeded();
    assert!(run.stderr.contains("begun anew"), "{run:#?}");
    let aside = fs::read(format!("{file}.damaged")).unwrap();
    assert_eq!(aside, junk);
}

/// No file may grow over so many blocks: the writes that are too many fail, whichever they are, as
/// on a disk that is full.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_state_file_that_cannot_grow_costs_what_it_would_keep_and_nothing_else() {
    let stage = Stage::new().await;
    let image = stage.image(&SampleOptions {
        layers: 1,
        // Large enough for its upload to be kept.
        layer_bytes: 9 << 20,
        ..small()
    });
    let mut warned = 0;
    for blocks in [
        0, 1, 2, 7, 8, 9, 16, 33, 56, 64, 65, 72, 80, 96, 128, 200, 400,
    ] {
        let file = stage.path(&format!("state-{blocks}/state.db"));
        let reference = stage.reference(&format!("team/app{blocks}:1"));
        let args = [
            "push",
            image.path(),
            &reference,
            "--json",
            "--state",
            file.to_str().unwrap(),
        ];
        let run = crate::longshore::run_on_full_disk(stage.home(), blocks, args)
            .await
            .succeeded();
        assert_eq!(run.json()["digest"], image.digest().to_string(), "{blocks}");
        assert_eq!(run.json()["bytes"]["uploaded"], image.blob_bytes());
        warned += usize::from(run.stderr.contains("warning: "));
        // What is there of the file is one that can be used, or begun anew.
        let (after, notice) = State::open(&file);
        assert!(after.lasts(), "{blocks}: {notice:?}");
    }
    // It did fail, and it did not always.
    assert!((1..17).contains(&warned), "{warned}");
}
