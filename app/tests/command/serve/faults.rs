//! `serve --faults`: a file, what it does, and what is said of it.

use std::{fs, path::Path};

use crate::{longshore::run, served::Served};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.toml");

fn write(home: &Path, text: &str) -> String {
    let path = home.join("faults.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_example_of_the_documentation_can_be_used_and_prints_as_a_file() {
    let home = tempfile::tempdir().unwrap();
    let check = |path: &str| run(home.path(), ["serve", "--faults", path, "--check-faults"]);
    let shown = check(EXAMPLE).succeeded().stdout;
    assert!(shown.contains("reset-at-byte = 1000"), "{shown}");
    assert!(
        shown.contains("one-more"),
        "what quay does is spelled out: {shown}"
    );
    assert!(!shown.contains("imitate"), "{shown}");
    let again = check(&write(home.path(), &shown)).succeeded().stdout;
    assert_eq!(again, shown);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_file_line_column_and_what_is_known() {
    let home = tempfile::tempdir().unwrap();
    let file = write(home.path(), "version = 1\n\n[[rule]]\nacton = \"stall\"\n");
    let refused = run(home.path(), ["serve", "--faults", &file]);
    assert_eq!(refused.code, Some(2));
    let text = &refused.stderr;
    let place =
        format!("error: the faults file {file} cannot be used\n  because line 4, column 1: ");
    assert!(text.starts_with(&place), "{text}");
    assert!(
        text.contains("unknown field `acton`") && text.contains("`action`"),
        "{text}"
    );
    let absent = run(home.path(), ["serve", "--faults", "/absent/faults.toml"]);
    assert_eq!(absent.code, Some(2));
    assert!(
        absent
            .stderr
            .contains("could not read the faults file /absent/faults.toml")
    );
    let alone = run(home.path(), ["serve", "--check-faults"]);
    assert_eq!(alone.code, Some(2));
}

/// A refusal names all there is; the documentation has a row for each.
#[test]
fn the_documentation_has_every_action_endpoint_and_imitation() {
    let home = tempfile::tempdir().unwrap();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/serve.md");
    let page = fs::read_to_string(page).unwrap();
    for (lines, least) in [
        ("[[rule]]\naction = \"?\"", 40),
        ("[[rule]]\non = [\"?\"]\naction = \"stall\"", 20),
        ("imitate = \"?\"", 8),
    ] {
        let file = write(home.path(), &format!("version = 1\n{lines}\n"));
        let refused = run(home.path(), ["serve", "--faults", &file]);
        let (_, known) = refused.stderr.split_once("expected one of ").unwrap();
        let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(names.len() >= least, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_faults_file_without_end_is_not_read_to_it() {
    let home = tempfile::tempdir().unwrap();
    let refused = run(home.path(), ["serve", "--faults", "/dev/zero"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("at most 4 MiB are read"),
        "{refused:?}"
    );
}

#[test]
fn a_server_with_faults_says_so_and_logs_what_it_did() {
    let home = tempfile::tempdir().unwrap();
    let rule = "[[rule]]\non = [\"ping\"]\nnth = 1\naction = { answer = { status = 503, retry-after = { seconds = 9 } } }\n";
    let file = write(home.path(), &format!("version = 1\n{rule}"));
    let mut served = Served::start(home.path(), &["--faults", &file]);
    let ask = || served.answer("GET", "/v2/", "");
    let (first, second) = (ask(), ask());
    assert!(
        first.starts_with("HTTP/1.1 503") && first.contains("retry-after: 9"),
        "{first}"
    );
    assert!(second.starts_with("HTTP/1.1 200"), "{second}");
    let mut line = || served.says("").trim().to_owned();
    assert_eq!(
        line(),
        "FAULTS ARE ON, rules: 1; answers are wrong on purpose"
    );
    assert!(line().starts_with("serving memory at "));
    assert!(line().ends_with(" faults=answer"));
    assert!(!line().contains("faults="));
}
