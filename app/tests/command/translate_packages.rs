//! `translate-packages`, as somebody with a Dockerfile for Linux runs it.

use std::{io::Write as _, process::Stdio};

use tempfile::TempDir;

use crate::longshore::{Run, finished, longshore, run};

const FILE: &str = "FROM mcr.microsoft.com/windows/servercore:ltsc2022\n\
    # tools\n\
    RUN apt-get update && apt-get install -y curl gcc git=1:2.39.2-1.1 && app\n\
    COPY . C:\\app\n";
const TRANSLATED: &str = "FROM mcr.microsoft.com/windows/servercore:ltsc2022\n\
    # tools\n\
    RUN choco install -y curl && choco install -y git --version 2.39.2 && app\n\
    COPY . C:\\app\n";

fn stage(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

fn translate(directory: &TempDir, args: &[&str]) -> Run {
    let mut command = longshore(directory.path());
    command.current_dir(directory.path());
    finished(
        command
            .arg("translate-packages")
            .args(args)
            .output()
            .unwrap(),
    )
}

#[test]
fn b16_the_translation_is_on_standard_output_and_notes_are_not() {
    let directory = stage(&[("Dockerfile", FILE)]);
    let run = translate(&directory, &[]).succeeded();
    assert_eq!(run.stdout, TRANSLATED);
    assert_eq!(
        run.stderr,
        "note: Dockerfile:1: choco is not part of mcr.microsoft.com/windows/servercore:ltsc2022, \
         most likely: install it in a line before, as https://docs.chocolatey.org/en-us/choco/setup says\n\
         note: Dockerfile:3: `apt-get update` is left out: choco has no need of it\n\
         note: Dockerfile:3: the package gcc is left out: it belongs to compilers for Linux\n\
         note: Dockerfile:3: git is asked for in version 2.39.2, the part of 1:2.39.2-1.1 that is \
         not the distribution's: see that there is such a package\n\
         note: Dockerfile:3: `apt-get install -y curl gcc git=1:2.39.2-1.1` is `choco install -y \
         curl && choco install -y git --version 2.39.2` now\n\
         note: Dockerfile:3: `app` stays as it is: see that it works on Windows\n\
         Dockerfile: 1 instruction has changed\n"
    );
    let quiet = translate(&directory, &["--quiet"]).succeeded();
    assert_eq!(
        (quiet.stdout.as_str(), quiet.stderr.as_str()),
        (TRANSLATED, "")
    );
}

#[test]
fn b16_it_reads_standard_input_and_writes_files_the_dockerfile_itself_too() {
    let directory = stage(&[("Dockerfile", FILE)]);
    let mut command = longshore(directory.path());
    command.args(["translate-packages", "-f", "-", "-q"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(FILE.as_bytes())
        .unwrap();
    let run = finished(child.wait_with_output().unwrap()).succeeded();
    assert_eq!(run.stdout, TRANSLATED);

    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    for name in ["Dockerfile.windows", "Dockerfile"] {
        let run = translate(&directory, &["--output", name]).succeeded();
        assert_eq!(run.stdout, "");
        let end = format!("Dockerfile: 1 instruction has changed; the result is in {name}\n");
        assert!(run.stderr.ends_with(&end), "{}", run.stderr);
        assert_eq!(read(name), TRANSLATED);
    }
    // Nothing is left beside them, and what was translated stays as it is.
    let names = std::fs::read_dir(directory.path()).unwrap();
    assert_eq!(names.count(), 2);
    let again = translate(&directory, &[]).succeeded();
    assert_eq!(again.stdout, TRANSLATED);
    let none = "Dockerfile: no instruction installs packages: nothing has changed\n";
    assert_eq!(again.stderr, none);
}

#[test]
fn b16_json_has_the_file_or_where_it_is_and_the_notes() {
    let directory = stage(&[("Dockerfile", FILE)]);
    let run = translate(&directory, &["--json"]).succeeded();
    assert_eq!(run.stderr, "");
    let json = run.json();
    assert_eq!(json["dockerfile"], TRANSLATED);
    assert_eq!(
        (&json["changed"], &json["cause"]),
        (&1.into(), &"done".into())
    );
    let codes: Vec<_> = json["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["code"])
        .collect();
    assert_eq!(
        codes,
        [
            "no-choco", "dropped", "skipped", "pinned", "replaced", "kept"
        ]
    );
    let json = translate(&directory, &["--json", "-o", "out"])
        .succeeded()
        .json();
    assert_eq!(json["output"], "out");
    assert!(json.get("dockerfile").is_none());
}

#[test]
fn b16_what_cannot_be_translated_is_all_told_and_nothing_is_written() {
    let text = "FROM mcr.microsoft.com/windows/nanoserver:ltsc2022\nRUN apt-get install -y libpq5\nRUN choco install git\n";
    let directory = stage(&[("Dockerfile", text)]);
    let run = translate(&directory, &["-o", "out"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(5), ""));
    assert_eq!(
        run.stderr,
        "error: the package lines of Dockerfile cannot be translated\n  \
         because Dockerfile:2: no choco package is known for libpq5: name one in the map (--map), \
         \"libpq5\" = \"ID\", or leave it out with \"libpq5\" = false\n  \
         because Dockerfile:3: choco does not run on mcr.microsoft.com/windows/nanoserver:ltsc2022: \
         nanoserver has neither PowerShell nor the .NET Framework. Install on \
         mcr.microsoft.com/windows/servercore and COPY --from that stage, or build on servercore\n"
    );
    assert!(!directory.path().join("out").exists());
    let json = translate(&directory, &["--json"]).json();
    let problems = json["error"]["problems"].as_array().unwrap();
    let told: Vec<_> = problems
        .iter()
        .map(|it| (&it["line"], &it["code"]))
        .collect();
    let (first, second) = (
        (2.into(), "choco-resolution-failed".into()),
        (3.into(), "choco-on-nanoserver".into()),
    );
    assert_eq!(told, [(&first.0, &first.1), (&second.0, &second.1)]);
}

#[test]
fn b16_a_map_is_the_users_and_its_bad_lines_are_told() {
    let text = "ARG BASE\nFROM $BASE\nRUN apt-get install -y libpq5 libfoo\n";
    let map = "[packages]\nlibpq5 = \"postgresql\"\nlibfoo = false\n";
    let bad = "[packages]\nlibpq5 = 1\n\n[apk]\nx = \"a b\"\n";
    let directory = stage(&[("Dockerfile", text), ("map.toml", map), ("bad.toml", bad)]);
    let base = ["--build-arg", "BASE=r.test/windows:1"];
    let with_map = [&base[..], &["--map", "map.toml"]].concat();
    let run = translate(&directory, &with_map).succeeded();
    let expected = "ARG BASE\nFROM $BASE\nRUN choco install -y postgresql\n";
    assert_eq!(run.stdout, expected);

    let run = translate(&directory, &["--map", "bad.toml"]);
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.stderr,
        "error: bad.toml is no map of packages\n  \
         because line 2: libpq5: expected \"ID\", false, or { id = \"ID\", version = \"1.2.3\" }\n  \
         because line 5: x: \"a b\" is no choco package: letters, digits and . - _, at most 100\n"
    );
    for (args, code) in [
        (&["--map", "none.toml"][..], 4),
        (&["-f", "None"], 4),
        (&["--build-arg", "=x"], 2),
        (&[], 5),
    ] {
        let run = translate(&directory, args);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(code), ""),
            "{args:?}: {run:?}"
        );
    }
}

/// Nobody asked: a build says of such a line what it says of any `RUN`.
#[test]
fn b16_a_build_translates_nothing() {
    let directory = stage(&[("Dockerfile", FILE)]);
    let context = directory.path().to_str().unwrap();
    let output = directory.path().join("out");
    let run = run(
        directory.path(),
        ["build", context, "--output", output.to_str().unwrap()],
    );
    assert_eq!(run.code, Some(5));
    assert!(
        run.stderr.contains("Dockerfile:3: RUN is not possible"),
        "{}",
        run.stderr
    );
    assert!(!output.exists());
}
