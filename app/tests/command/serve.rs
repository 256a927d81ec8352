//! `serve`, `demo` and `completions`.

mod access;
mod faults;
#[cfg(unix)]
mod reload;
mod validation;

use crate::{
    longshore::{run, run_beside},
    served::Served,
    stage::{Stage, small},
};

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_serve_took_is_there_after_a_restart() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let store = stage.path("store");
    let mut present = Vec::new();
    for _ in 0..2 {
        let served = Served::start(stage.home(), &["--store", store.to_str().unwrap()]);
        let reference = format!("{}/team/app:1", served.address);
        let pushed = run_beside(stage.home(), ["push", image.path(), &reference, "--json"]).await;
        present.push(
            pushed.succeeded().json()["bytes"]["present"]
                .as_u64()
                .unwrap(),
        );
        served.signal();
        let ended = tokio::task::spawn_blocking(move || served.ended());
        ended.await.unwrap().succeeded();
    }
    assert_eq!(present, [0, image.blob_bytes()]);
    // What is left when nobody serves it is a layout.
    let layout = store.join("repositories/team/app/_layout");
    let reference = stage.reference("team/copy:1");
    let layout = layout.to_str().unwrap();
    let args = ["push", layout, &reference, "--image", "1", "--json"];
    let copied = run_beside(stage.home(), args).await.succeeded().json();
    assert_eq!(
        copied["bytes"]["uploaded"].as_u64(),
        Some(image.blob_bytes())
    );
}

#[test]
fn garbage_is_collected_on_demand_and_said() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let path = store.to_str().unwrap();
    let mistaken = run(home.path(), ["serve", "--store", path, "--gc"]);
    assert_eq!(mistaken.code, Some(4), "{mistaken:?}");
    assert!(mistaken.stderr.contains(path), "{mistaken:?}");
    assert!(!store.exists(), "a name that is mistaken makes no store");
    std::fs::create_dir(&store).unwrap();
    let serve = |more: &[&'static str]| {
        let args = ["serve", "--store", path, "--gc"].into_iter();
        run(home.path(), args.chain(more.iter().copied())).succeeded()
    };
    let nothing = serve(&[]);
    let blobs = store.join("blobs/sha256");
    std::fs::write(blobs.join("a".repeat(64)), "nobody holds this").unwrap();
    let dry = serve(&["--gc-dry-run"]);
    assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 1);
    let collected = serve(&[]);
    assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 0);
    let said = |verb: &str, contents: &str| {
        format!(
            "{verb} from {path}:\nblobs no manifest refers to: 0\nmanifests no tag leads to: 0\n\
             contents no repository holds: {contents} bytes)\n\
             abandoned uploads and leftovers: 0 (0 bytes)\n"
        )
    };
    assert_eq!(nothing.stdout, said("removed", "0 (0"));
    assert_eq!(dry.stdout, said("would go", "1 (17"));
    assert_eq!(collected.stdout, said("removed", "1 (17"));
    let without_a_store = run(home.path(), ["serve", "--gc"]);
    assert_eq!(without_a_store.code, Some(2), "{without_a_store:?}");
    let said = &without_a_store.stderr;
    assert!(said.contains("there is none without --store DIR"), "{said}");
}

#[test]
fn a_store_that_is_in_use_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let path = store.to_str().unwrap();
    let _first = Served::start(home.path(), &["--store", path]);
    for more in [&["--listen", "127.0.0.1:0"][..], &["--gc"][..]] {
        let second = ["serve", "--store", path].into_iter();
        let second = run(home.path(), second.chain(more.iter().copied()));
        assert_eq!(second.code, Some(2), "{second:?}");
        let said = format!("error: the store at {path} is in use by another process\n  hint: end ");
        assert!(second.stderr.starts_with(&said), "{second:?}");
        assert_eq!(second.stdout, "");
    }
}

#[test]
fn a_directory_of_something_else_is_not_served_as_a_store() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("letter.txt"), "dear").unwrap();
    let path = home.path().to_str().unwrap();
    let refused = run(
        home.path(),
        ["serve", "--store", path, "--listen", "127.0.0.1:0"],
    );
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let said = format!("error: {path} is not a store that can be read");
    assert!(refused.stderr.starts_with(&said), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("hint: give --store a directory that is empty"),
        "{refused:?}"
    );
}

#[test]
fn the_demonstration_shows_three_pushes_and_their_requests() {
    let home = tempfile::tempdir().unwrap();
    let shown = run(home.path(), ["demo"]).succeeded().stdout;
    let bytes: Vec<&str> = shown
        .lines()
        .filter(|it| it.starts_with("blob bytes sent: "))
        .collect();
    assert_eq!(bytes.len(), 3, "{shown}");
    assert!(!bytes[0].starts_with("blob bytes sent: 0 "), "{shown}");
    assert_eq!(bytes[1..], ["blob bytes sent: 0 (0 B)"; 2], "{shown}");
    assert_eq!(shown.matches("\nplan:\n").count(), 3);
    assert_eq!(shown.matches("\nrequests:\n").count(), 3);
    // As the command does it: what one push saw, the next knows.
    let requests: Vec<&str> = shown
        .lines()
        .map(str::trim_start)
        .filter(|it| it.contains(" requests: ") || it.starts_with("1 request: "))
        .collect();
    assert_eq!(
        requests[1..],
        ["1 request: HEAD 1", "5 requests: POST 4, PUT 1"]
    );
    assert!(!shown.contains("--mount-from"), "{shown}");
    assert!(shown.contains("skopeo copy --src-tls-verify=false docker://127.0.0.1:"));
}

#[test]
fn completions_come_for_every_shell() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(home.path(), ["completions", shell]).succeeded().stdout;
        assert!(script.contains("max-upload-bytes"), "{shell}");
    }
}
