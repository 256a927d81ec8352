//! Dockerfiles, translated: fixtures of each package manager, what is refused, and what is left
//! alone.

use proptest::prelude::*;

use super::*;

fn with(text: &str, options: &TranslateOptions) -> Result<Translation, PackagesError> {
    translate(text.as_bytes(), "Dockerfile", options)
}

fn translated(text: &str) -> Translation {
    with(text, &TranslateOptions::default()).unwrap()
}

/// What is wrong in a file, with its lines.
fn problems(text: &str) -> Vec<(usize, ProblemKind)> {
    let error = with(text, &TranslateOptions::default()).unwrap_err();
    let problems = error.problems().iter();
    problems.map(|it| (it.line, it.kind.clone())).collect()
}

const CORE: &str = "FROM mcr.microsoft.com/windows/servercore:ltsc2022\n";
const NANO: &str = "FROM mcr.microsoft.com/windows/nanoserver:ltsc2022\n";

/// What becomes of one `RUN` on servercore.
fn run(line: &str) -> String {
    let text = translated(&format!("{CORE}{line}")).text;
    text.strip_prefix(CORE).unwrap().to_owned()
}

fn refused(line: &str) -> ProblemKind {
    let mut found = problems(&format!("{CORE}{line}"));
    assert_eq!(found.len(), 1, "{line}: {found:?}");
    assert_eq!(found[0].0, 2, "{line}");
    found.remove(0).1
}

/// A file, and what it and the notes on it have to be.
fn fixture(from: &str, to: &str, notes: &str) {
    let found = translated(from);
    assert_eq!(found.text, to);
    let told: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
    assert_eq!(told.join("\n"), notes.trim_end());
    // What was translated once has nothing left to translate.
    assert_eq!(translated(to).text, to);
}

#[test]
fn b16_apt_becomes_choco() {
    fixture(
        include_str!("tests/apt.Dockerfile"),
        include_str!("tests/apt.windows.Dockerfile"),
        include_str!("tests/apt.notes"),
    );
}

#[test]
fn b16_apk_becomes_choco() {
    fixture(
        include_str!("tests/apk.Dockerfile"),
        include_str!("tests/apk.windows.Dockerfile"),
        include_str!("tests/apk.notes"),
    );
}

#[test]
fn b16_yum_becomes_choco() {
    fixture(
        include_str!("tests/yum.Dockerfile"),
        include_str!("tests/yum.windows.Dockerfile"),
        include_str!("tests/yum.notes"),
    );
}

#[test]
fn b16_dnf_becomes_choco() {
    let from = include_str!("tests/dnf.Dockerfile");
    let to = include_str!("tests/dnf.windows.Dockerfile");
    let found = translated(from);
    assert_eq!(found.text, to);
    let told: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
    assert_eq!(told.join("\n"), include_str!("tests/dnf.notes").trim_end());
    // The stage for Linux still has its own.
    assert_eq!(found.changed, 3);
}

#[test]
fn b16_a_package_that_nobody_knows_is_named_with_its_line_and_all_of_them_at_once() {
    let text = format!(
        "{CORE}RUN apt-get update && \\\n    apt-get install -y curl libpq5 \\\n      foo-bar=1.2\nRUN apk add nothing\n"
    );
    let failed = |it: &str| ProblemKind::ChocoResolutionFailed {
        package: it.to_owned(),
    };
    assert_eq!(
        problems(&text),
        [
            (3, failed("libpq5")),
            (3, failed("foo-bar")),
            (5, failed("nothing"))
        ]
    );
    let error = with(&text, &TranslateOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the package lines of Dockerfile cannot be translated"
    );
    assert_eq!(
        error.problems()[0].to_string(),
        "Dockerfile:3: no choco package is known for libpq5: name one in the map (--map), \
         \"libpq5\" = \"ID\", or leave it out with \"libpq5\" = false"
    );
}

#[test]
fn b16_a_users_map_names_packages_versions_and_what_is_left_out() {
    let map = "[packages]\nlibpq5 = false\n\"foo-bar\" = \"foo\"\ncurl = { id = \"curl\", version = \"8.10.1\" }\n";
    let options = TranslateOptions {
        map: PackageMap::parse(map, "map.toml").unwrap(),
        ..TranslateOptions::default()
    };
    let text = format!("{CORE}RUN apt-get install -y curl=7.* libpq5 foo-bar jq\n");
    let found = with(&text, &options).unwrap();
    let expected = "RUN choco install -y foo jq && choco install -y curl --version 8.10.1\n";
    assert_eq!(found.text, format!("{CORE}{expected}"));
    let skipped = NoteKind::Skipped {
        package: "libpq5".to_owned(),
        reason: Reason::Map,
    };
    assert!(found.notes.iter().any(|it| it.kind == skipped));
}

#[test]
fn b16_neither_choco_nor_winget_runs_on_nanoserver() {
    let on = |command, base: &str| ProblemKind::ChocoOnNanoserver {
        command,
        base: base.to_owned(),
    };
    let nano = "mcr.microsoft.com/windows/nanoserver:ltsc2022";
    for (line, command) in [
        ("RUN apt-get install -y curl", "choco"),
        ("RUN choco install -y git", "choco"),
        (
            "RUN powershell -NoProfile -Command \"choco.exe install git\"",
            "choco",
        ),
        (
            "RUN [\"C:\\\\ProgramData\\\\chocolatey\\\\bin\\\\choco.exe\", \"install\"]",
            "choco",
        ),
        ("RUN cd app && winget install jq", "winget"),
        ("ONBUILD RUN apk add jq", "choco"),
    ] {
        let found = problems(&format!("{NANO}{line}\n"));
        assert_eq!(found, [(2, on(command, nano))], "{line}");
    }
    // Through a stage, a variable and a tag.
    let golang = "golang:1.23-nanoserver-ltsc2022";
    let text = format!("ARG GO={golang}\nFROM ${{GO}} AS a\nFROM a\nRUN apk add jq\n");
    assert_eq!(problems(&text), [(4, on("choco", golang))]);
    // What is left of a line may be nothing, and what only names choco does not run it.
    let left = format!("{NANO}RUN apt-get update && apt-get install -y gcc ca-certificates\n");
    assert_eq!(translated(&left).text, NANO);
    let named = format!("{NANO}RUN echo choco install\nCOPY choco.exe C:\\\n");
    assert_eq!(translated(&named).text, named);
    // And where it runs it stays.
    let core = format!("{CORE}RUN choco install -y git\n");
    assert_eq!(translated(&core).text, core);
}

#[test]
fn b16_nanoserver_may_come_by_a_build_argument() {
    let text = "ARG BASE\nFROM ${BASE}\nRUN apk add jq\n";
    let error = with(text, &TranslateOptions::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Dockerfile:2: FROM \"${BASE}\" names no image"),
        "{error}"
    );
    let mut options = TranslateOptions::default();
    options.arguments.set("BASE", "r.test/nanoserver:1");
    let error = with(text, &options).unwrap_err();
    assert_eq!(error.problems()[0].kind.code(), "choco-on-nanoserver");
}

#[test]
fn b16_what_cannot_be_taken_out_safely_is_refused() {
    for (line, command) in [
        (
            "RUN if true; then apt-get install -y curl; fi",
            "apt-get install",
        ),
        ("RUN yes | apt-get install curl", "apt-get install"),
        ("RUN apt-get install -y curl || exit 1", "apt-get install"),
        ("RUN (apt-get update; ls)", "apt-get update"),
        ("RUN bash -c \"apt-get -y install curl\"", "apt-get install"),
        ("RUN timeout 300 apk add curl", "apk add"),
        ("RUN echo $(dnf install -y curl) && x", "dnf install"),
        ("RUN apt-get install -y curl > log", "apt-get install"),
        ("RUN apt-get install -y 'curl", "apt-get install"),
        (
            "RUN bash <<EOF\napt-get install -y curl\nEOF",
            "apt-get install",
        ),
        (
            "RUN <<EOF\n#!/usr/bin/env python3\nos.system('apt-get install -y curl')\nEOF",
            "apt-get install",
        ),
        (
            "RUN [\"sh\", \"-c\", \"for i in a; do apt-get install $i; done\"]",
            "apt-get install",
        ),
    ] {
        match refused(line) {
            ProblemKind::NotSeparable { command: found, .. } => {
                assert_eq!(found, command, "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    let goes_on = refused("RUN echo a\\  && apk update\nCMD b");
    assert_eq!(goes_on.code(), "not-separable");
    let ends = "SHELL [\"sh\"]\nRUN <<EOF\napk update; EOF\nEOF\n";
    assert_eq!(
        problems(&format!("{CORE}{ends}"))[0].1.code(),
        "not-separable"
    );
    let other_order = refused("RUN apt-get install -y curl && a || b && c");
    assert_eq!(
        other_order.to_string(),
        "`apt-get install -y curl` cannot be taken out of what stands around it, `||`, which cmd \
         reads in another order: put it into a RUN of its own"
    );
}

#[test]
fn b16_names_that_only_the_shell_knows_are_refused() {
    for (line, word) in [
        ("RUN apt-get install -y curl $PACKAGES", "$PACKAGES"),
        ("RUN apt-get install -y \"curl=${CURL}\"", "curl=${CURL}"),
        ("RUN apk add $(cat packages.txt)", "$(cat packages.txt)"),
        ("RUN dnf $VERB curl", "$VERB"),
        ("RUN apt-get install -y lib{a,b}", "lib{a,b}"),
    ] {
        let word = word.to_owned();
        assert_eq!(refused(line), ProblemKind::Variable { word }, "{line}");
    }
}

#[test]
fn b16_versions_that_choco_has_no_word_for_are_refused() {
    for (line, pinned) in [
        ("RUN apt-get install -y curl=7.*", "7.*"),
        (
            "RUN apt-get install -y openssl=1.1.1n-0+deb11u5",
            "1.1.1n-0+deb11u5",
        ),
        ("RUN apk add 'curl~=8.5'", "~=8.5"),
        ("RUN apk add \"curl>8\"", ">8"),
    ] {
        match refused(line) {
            ProblemKind::VersionNotExact { pinned: found, .. } => assert_eq!(found, pinned),
            other => panic!("{line}: {other:?}"),
        }
    }
    let two = refused("RUN apt-get install -y nodejs=18.1.0 npm=9.2.0");
    let expected = "nodejs is asked for in two versions, 18.1.0 and 9.2.0: choose one";
    assert_eq!(two.to_string(), expected);
}

#[test]
fn b16_what_has_no_counterpart_is_refused_and_so_are_unknown_options() {
    for (line, command) in [
        ("RUN dpkg -i app.deb", "dpkg -i"),
        (
            "RUN add-apt-repository ppa:a/b",
            "add-apt-repository ppa:a/b",
        ),
        ("RUN apt-get build-dep curl", "apt-get build-dep"),
        ("RUN dnf module enable nodejs:18", "dnf module"),
        ("RUN yum localinstall a.rpm", "yum localinstall"),
    ] {
        let command = command.to_owned();
        assert_eq!(
            refused(line),
            ProblemKind::NoCounterpart { command },
            "{line}"
        );
    }
    for (line, command, option) in [
        (
            "RUN apt-get install --download-only curl",
            "apt-get",
            "--download-only",
        ),
        ("RUN apk add --root /x curl", "apk", "--root"),
        (
            "RUN dnf install -y --installroot=/x curl",
            "dnf",
            "--installroot=/x",
        ),
        ("RUN apt-get -ydz install curl", "apt-get", "-ydz"),
    ] {
        let (command, option) = (command.to_owned(), option.to_owned());
        let expected = ProblemKind::UnknownOption { command, option };
        assert_eq!(refused(line), expected, "{line}");
    }
}

#[test]
fn b16_what_stays_keeps_its_text_and_its_order() {
    assert_eq!(
        run(
            "RUN a  'x y' \\\n  # why\n  && apt-get update \\\n  && apt-get install -y curl && b | c; d # e\n"
        ),
        "RUN a  'x y' \\\n  && choco install -y curl && b | c & d\n"
    );
    // What went on whatever had happened still does; with `set -e` it does not.
    assert_eq!(run("RUN a; apk update && b\n"), "RUN a & b\n");
    assert_eq!(run("RUN set -e; a; apk update; b\n"), "RUN a && b\n");
    assert_eq!(run("RUN set -o errexit; a; apk update; b"), "RUN a && b");
    assert_eq!(run("RUN set -e; set +e; a; apk update; b"), "RUN a & b");
    assert_eq!(run("RUN a;apk update;b"), "RUN a & b");
    // Line ends and the escape character are the file's.
    let windows = "# escape=`\r\nFROM r.test/windows:1\r\nRUN apk update && `\r\n  apk add jq `\r\n  git\r\nCMD x\r\n";
    let expected =
        "# escape=`\r\nFROM r.test/windows:1\r\nRUN choco install -y jq git\r\nCMD x\r\n";
    assert_eq!(translated(windows).text, expected);
    let marked = format!("\u{feff}{CORE}RUN apk add jq");
    let expected = format!("\u{feff}{CORE}RUN choco install -y jq");
    assert_eq!(translated(&marked).text, expected);
}

#[test]
fn b16_other_shells_read_their_own_lists() {
    let bash = "SHELL [\"/bin/bash\", \"-c\"]\n";
    assert_eq!(
        run(&format!(
            "{bash}RUN set -e; apk update; apk add jq; a || b\n"
        )),
        format!("{bash}RUN set -e; choco install -y jq; a || b\n")
    );
    let shell = "SHELL [\"powershell\", \"-Command\"]\n";
    assert_eq!(
        run(&format!("{shell}RUN apk update && apk add jq\n")),
        format!("{shell}RUN choco install -y jq\n")
    );
    let found = problems(&format!("{CORE}{shell}RUN apk add jq && app\n"));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, found[0].1.code()), (3, "not-separable"));
}

#[test]
fn b16_a_file_that_is_no_dockerfile_is_told_as_such() {
    let error = with("FROM a\nRUM apt-get update\n", &TranslateOptions::default()).unwrap_err();
    let expected = "Dockerfile:2: unknown instruction \"RUM\": did you mean RUN?";
    assert_eq!(error.to_string(), expected);
    assert!(error.problems().is_empty());
}

/// Lines without a package manager's command, some of which look like one.
fn harmless() -> impl Strategy<Value = String> {
    let lines = [
        "RUN dotnet publish -c Release && echo 'apt-get install x'",
        "RUN if (Test-Path x) { rm x } else { echo \"apt\" }",
        "run set -e; ./adapt.sh || true; rm -rf /tmp/*",
        "RUN --mount=type=cache,target=/var/cache/apt captain --rpm",
        "RUN [\"powershell\", \"-Command\", \"echo yum\"]",
        "RUN [\"echo\", \"apt-get\", \"install\"]",
        "RUN <<EOF\n./apt\n for i in x; do y; done\nEOF",
        "RUN cat <<EOF > C:\\x\napt-get install -y curl\nEOF",
        "RUN echo \"open 'quote",
        "ONBUILD RUN mkdir apk",
        "COPY . /etc/apt/",
        "COPY <<EOF C:\\run.sh\napt-get update && apt-get install -y curl\nEOF",
        "ENV APT=\"apt-get install\"",
        "CMD apt-get install -y curl",
        "ENTRYPOINT [\"dnf\", \"install\"]",
        "# RUN apt-get install -y curl",
        "SHELL [\"cmd\", \"/S\", \"/C\"]",
        "FROM mcr.microsoft.com/windows/nanoserver:ltsc2022",
        "LABEL a=b \\\n  # c\n\n  d=e",
        "",
        "\t ",
    ];
    (
        proptest::sample::select(lines.to_vec()),
        "(\n|\r\n|\n\n|  \n)",
    )
        .prop_map(|(line, end)| {
            let heredoc = line.contains("<<");
            format!("{line}{}", if heredoc { "\n" } else { &end })
        })
}

proptest! {
    #[test]
    fn b16_a_dockerfile_without_package_lines_comes_out_byte_for_byte(
        lines in proptest::collection::vec(harmless(), 0..12),
        mark in any::<bool>(),
    ) {
        let mark = if mark { "\u{feff}" } else { "" };
        let text = format!("{mark}FROM a AS first\n{}", lines.concat());
        let found = translated(&text);
        prop_assert_eq!(found.text, text);
        prop_assert_eq!(found.changed, 0);
    }

    /// Whatever a line says: no panic, and either nothing is said to have changed and nothing has, or
    /// what comes out is a Dockerfile again.
    #[test]
    fn b16_no_line_makes_it_fall_over(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "apt-get", " ", " ", " ", "install", "update", "-y", "curl", "jq=1.2", "apk", "add",
                "rm -rf /var/lib/apt/lists/*", "&&", "||", ";", "|", "&", "(", ")", "'", "\"", "\\",
                "\\\n", "\n", "$X", "`", "#", "<<EOF", "\nEOF\n", ">", "/dev/null", "set -e", "é",
                "[\"", "\", \"", "\"]", "--mount=type=cache,target=/var/cache/apt", "\r\n", "{", "}",
            ]),
            0..24,
        ),
    ) {
        let text = format!("{CORE}RUN {}", parts.concat());
        if let Ok(found) = with(&text, &TranslateOptions::default()) {
            if found.changed == 0 {
                prop_assert_eq!(&found.text, &text);
            }
            prop_assert!(found.text.starts_with(CORE));
            let read = Dockerfile::parse(found.text.as_bytes(), "Dockerfile");
            prop_assert!(read.is_ok(), "{} -> {}: {:?}", text, found.text, read);
        }
    }
}
