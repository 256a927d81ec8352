//! `lint-windows-layer`, run on layers of others.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::longshore::{Run, finished, longshore, run};

/// A tar of empty files and directories (those whose name ends in a slash).
fn layer(path: &Path, names: &[&str]) {
    let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
    for name in names {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let directory = name.ends_with('/');
        header.set_entry_type(if directory {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        header.set_size(0);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
    }
    tar.finish().unwrap();
}

fn lint(names: &[&str], flags: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.tar");
    layer(&path, names);
    let mut args = vec!["lint-windows-layer", path.to_str().unwrap()];
    args.extend(flags);
    let mut run = run(directory.path(), args);
    for text in [&mut run.stdout, &mut run.stderr] {
        *text = text.replace(path.to_str().unwrap(), "layer.tar");
    }
    run
}

const GOOD: [&str; 4] = ["Files/", "Files/app/", "Files/app/a.exe", "Hives/"];

#[test]
fn b13_a_layer_that_windows_takes_is_said_to_be_one() {
    let run = lint(&GOOD, &[]).succeeded();
    assert_eq!(
        run.stdout,
        "warning: 4 entries have no file attributes\n\
         warning: 4 entries have no time of creation\n\
         warning: 2 entries have no security descriptor: who may do what is left to Windows\n\
         layer.tar: Windows takes it (4 entries, 3072 bytes)\n"
    );
    assert_eq!(run.stderr, "");
}

#[test]
fn b13_a_layer_that_windows_does_not_take_says_why() {
    let names = [
        "Files/",
        "Files/App/",
        "Files/app/",
        "Files/CON",
        "Files/x/y",
    ];
    let run = lint(&names, &[]);
    assert_eq!(run.code, Some(5));
    let errors: Vec<_> = run
        .stdout
        .lines()
        .filter(|it| it.starts_with("error"))
        .collect();
    assert_eq!(
        errors,
        [
            r#"error: entry 3, "Files/app/": differs from "Files/App" by case only, and is the same"#,
            r#"error: entry 4, "Files/CON": the name "CON" is a device on Windows, whatever its extension"#,
            r#"error: there is no directory "Hives""#,
            r#"error: entry 5, "Files/x/y": there is no directory entry for "Files/x""#,
        ]
    );
    assert_eq!(
        run.stderr,
        "error: layer.tar is not a layer that Windows takes\n"
    );
}

#[test]
fn b13_the_same_is_told_as_json() {
    let run = lint(&["Files/", "Files/nul.txt"], &["--json"]);
    assert_eq!(run.code, Some(5));
    let json = run.json();
    assert_eq!(json["accepted"], false);
    assert_eq!(json["entries"], 2);
    assert_eq!(
        json["errors"],
        serde_json::json!([
            {
                "entry": 2, "name": "Files/nul.txt", "code": "reserved-name",
                "message": r#"the name "nul.txt" is a device on Windows, whatever its extension"#,
            },
            {
                "entry": null, "name": null, "code": "no-hives",
                "message": r#"there is no directory "Hives""#,
            },
        ])
    );
    let names = ["Files/", "Files/nul.txt", "Hives/"];
    let json = lint(&names, &["--json", "--windows-names", "warn"])
        .succeeded()
        .json();
    assert_eq!(json["warnings"][0]["code"], "reserved-name");
    let late = lint(&GOOD, &["--json", "--epoch", "1699999999"]).json();
    assert_eq!(late["errors"][3]["code"], "too-late");
}

#[test]
fn a_layer_comes_from_standard_input_or_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.tar");
    layer(&path, &GOOD);
    let mut command: Command = longshore(directory.path());
    let mut child = command
        .args(["lint-windows-layer", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&std::fs::read(&path).unwrap()).unwrap();
    drop(input);
    let run = finished(child.wait_with_output().unwrap()).succeeded();
    assert!(
        run.stdout.contains("standard input: Windows takes it"),
        "{run:#?}"
    );

    let missing = run_at(directory.path(), "/no/such/layer");
    assert_eq!(missing.code, Some(4));
    let a_directory = run_at(directory.path(), directory.path().to_str().unwrap());
    assert_eq!(a_directory.code, Some(5));
    // A gzip that ends early is not a layer without an end.
    std::fs::write(&path, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1]).unwrap();
    let cut = run_at(directory.path(), path.to_str().unwrap());
    assert_eq!(cut.code, Some(5));
    assert!(
        cut.stderr.contains("could not look at the layer"),
        "{cut:#?}"
    );
}

fn run_at(home: &Path, layer: &str) -> Run {
    run(home, ["lint-windows-layer", layer, "--json"])
}
