//! Users and rules that change while `serve` runs.

use std::{fs, io::Write as _, path::Path};

use crate::{
    longshore::longshore,
    served::{SERVE, Served, read},
};

/// Ann's password is `canary-ann`, Bob's `canary-bob`.
const ANN: &str = "ann:$2y$04$tY92Hx0vSQ0WDlI5jLBZ7.46w1Dh5avIzEVxZR54upxNRk4zPFi0G\n";
const BOB: &str = "bob:$2y$04$M9MShkXq0YcqrgRTKdAYAe3r4.mYnqthLNJ1Bi9gyRMgZDbCcfAyy\n";
const AS_ANN: &str = "authorization: Basic YW5uOmNhbmFyeS1hbm4=\r\n";
const AS_BOB: &str = "authorization: Basic Ym9iOmNhbmFyeS1ib2I=\r\n";
const READ_AGAIN: &str = "were read again";

fn rule(repository: &str, users: &str) -> String {
    format!(
        "[[rule]]\nrepositories = [\"{repository}\"]\nusers = [{users}]\nactions = [\"push\"]\n"
    )
}

fn start(home: &Path) -> Served {
    let files = ["--htpasswd", "users", "--access", "access.toml"];
    let mut command = longshore(home);
    Served::of(command.current_dir(home).args(SERVE).args(files))
}

fn status(served: &Served, method: &str, target: &str, headers: &str) -> String {
    let headers = format!("{headers}content-length: 0\r\n");
    let answer = served.answer(method, target, &headers);
    answer.split(' ').nth(1).expect("a status").to_owned()
}

/// On SIGHUP, at once: who is new gets in, who is gone does not, though right a moment ago, and
/// an upload that is under way goes on.
#[test]
fn users_and_rules_are_read_again_on_a_signal() {
    let home = tempfile::tempdir().unwrap();
    let (users, access) = (home.path().join("users"), home.path().join("access.toml"));
    fs::write(&users, [ANN, BOB].concat()).unwrap();
    fs::write(&access, rule("team/*", "\"ann\", \"bob\"")).unwrap();
    let mut served = start(home.path());
    let open = "/v2/team/app/blobs/uploads/";
    let opened = served.answer("POST", open, &format!("{AS_ANN}content-length: 0\r\n"));
    let location = opened.lines().find_map(|it| it.strip_prefix("location: "));
    let location = location.unwrap().to_owned();
    assert_eq!(status(&served, "POST", open, AS_BOB), "202");
    let mut upload = served.ask(
        "PATCH",
        &location,
        &format!("{AS_ANN}content-length: 9\r\nconnection: close\r\n"),
    );
    upload.write_all(b"told").unwrap();

    fs::write(&users, ANN).unwrap();
    fs::write(
        &access,
        rule("team/*", "\"ann\"") + &rule("new/*", "\"ann\""),
    )
    .unwrap();
    served.signal_by("-HUP");
    served.says(READ_AGAIN);
    assert_eq!(status(&served, "POST", open, AS_BOB), "401");
    let newer = "/v2/new/app/blobs/uploads/";
    assert_eq!(status(&served, "POST", newer, AS_ANN), "202");
    upload.write_all(b" this").unwrap();
    let answer = read(&mut upload);
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(answer.contains("range: 0-8\r\n"), "{answer}");

    // What cannot be used changes nothing, be it the one file or the other.
    for (file, broken, told) in [
        (
            &access,
            "[[rule]]\nusers =".to_owned(),
            "access.toml, line 2: ",
        ),
        (&users, "bob:plain\n".to_owned(), "users, line 1: "),
        (&users, String::new(), "are none: "),
    ] {
        let good = fs::read(file).unwrap();
        fs::write(file, broken).unwrap();
        served.signal_by("-HUP");
        let said = served.says("warning: users and access rules stay as they were: ");
        assert!(said.contains(told), "{said}");
        assert_eq!(status(&served, "POST", newer, AS_ANN), "202");
        assert_eq!(status(&served, "POST", newer, AS_BOB), "401");
        fs::write(file, good).unwrap();
        served.signal_by("-HUP");
        served.says(READ_AGAIN);
    }
    served.signal();
    served.ended().succeeded();
}

/// Without a signal, as soon as it is noticed; also where another file takes the place.
#[test]
fn users_are_read_again_when_their_file_changes() {
    let home = tempfile::tempdir().unwrap();
    let users = home.path().join("users");
    fs::write(&users, ANN).unwrap();
    fs::write(home.path().join("access.toml"), rule("team/*", "\"ann\"")).unwrap();
    let mut served = start(home.path());
    assert_eq!(status(&served, "GET", "/v2/", AS_BOB), "401");
    let next = home.path().join("next");
    fs::write(&next, [ANN, BOB].concat()).unwrap();
    fs::rename(&next, &users).unwrap();
    served.says(READ_AGAIN);
    assert_eq!(status(&served, "GET", "/v2/", AS_BOB), "200");
}
