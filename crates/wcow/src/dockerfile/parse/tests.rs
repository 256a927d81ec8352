//! What is read, and what is said about what cannot be.

use std::time::Duration;

use proptest::prelude::*;

use crate::dockerfile::{
    AddInstruction, Argument, Command, CopyInstruction, Dockerfile, DockerfileErrorKind as Kind,
    Healthcheck, Heredoc, Instruction, MAX_HEREDOC_BYTES, MAX_INSTRUCTIONS, MAX_LINE_BYTES,
    MAX_STAGES, Pair, SourcePath,
};

fn read(text: &str) -> Dockerfile {
    Dockerfile::parse(text.as_bytes(), "Dockerfile").unwrap()
}

fn error(text: &str) -> String {
    let error = Dockerfile::parse(text.as_bytes(), "Dockerfile").unwrap_err();
    error.to_string()
}

/// The instructions of the one stage of `FROM x` and what follows.
fn steps(text: &str) -> Vec<Instruction> {
    let file = read(&format!("FROM x\n{text}"));
    assert_eq!(file.stages().len(), 1);
    let steps = file.stages()[0].steps.iter();
    steps.map(|it| it.instruction.clone()).collect()
}

fn one(text: &str) -> Instruction {
    let mut steps = steps(text);
    assert_eq!(steps.len(), 1, "{text}");
    steps.remove(0)
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

fn pair(name: &str, value: &str) -> Pair {
    let (name, value) = (name.to_owned(), value.to_owned());
    Pair { name, value }
}

fn paths(all: &[&str]) -> Vec<SourcePath> {
    all.iter()
        .map(|it| SourcePath::Path((*it).to_owned()))
        .collect()
}

fn copy(sources: Vec<SourcePath>, destination: &str) -> CopyInstruction {
    CopyInstruction {
        sources,
        destination: destination.to_owned(),
        from: None,
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        excludes: Vec::new(),
    }
}

#[test]
fn escape_is_chosen_by_a_directive_in_the_first_lines_only() {
    for (text, escape) in [
        ("FROM x", '\\'),
        ("# escape=`\nFROM x", '`'),
        ("#ESCAPE = `  \nFROM x", '`'),
        (
            "# syntax=docker/dockerfile:1\n# check=skip=all\n# escape=`\nFROM x",
            '`',
        ),
        ("\u{feff}# escape=`\r\nFROM x", '`'),
        ("# a comment\n# escape=`\nFROM x", '\\'),
        ("# unknown=directive\n# escape=`\nFROM x", '\\'),
        ("\n# escape=`\nFROM x", '\\'),
        ("FROM x\n# escape=`\n", '\\'),
    ] {
        assert_eq!(read(text).escape(), escape, "{text:?}");
    }
    assert_eq!(
        error("# escape=^\nFROM x"),
        "Dockerfile:1: the escape character \"^\" is neither \\ nor `"
    );
    assert_eq!(
        error("# escape=`\n# Escape=\\\nFROM x"),
        "Dockerfile:2: parser directive \"escape\" is given twice: keep one"
    );
}

#[test]
fn lines_go_on_behind_the_escape_character() {
    let file = read("FROM x\nENV a=1 \\\n  # between\n\n  b=2 \\ \t\n c=3\nUSER me\n");
    let steps = &file.stages()[0].steps;
    let pairs = vec![pair("a", "1"), pair("b", "2"), pair("c", "3")];
    assert_eq!(steps[0].instruction, Instruction::Env(pairs));
    assert_eq!((steps[0].line, steps[1].line), (2, 7));
    assert_eq!(file.warnings().len(), 1);
    assert_eq!(
        file.warnings()[0].to_string(),
        "Dockerfile:2: an empty line stands between continued lines: remove it"
    );
    // With the other one, a backslash at the end of a line is a letter.
    let file = read("# escape=`\nFROM x\nWORKDIR C:\\\nENV a=1 `\n b=2\n");
    let steps = &file.stages()[0].steps;
    assert_eq!(
        steps[0].instruction,
        Instruction::Workdir("C:\\".to_owned())
    );
    assert_eq!(steps[1].original, "ENV a=1  b=2");
    assert!(file.warnings().is_empty());
    // Twice it is itself, and the line ends.
    let steps = self::steps("WORKDIR C:\\\\\nUSER me");
    assert_eq!(steps[0], Instruction::Workdir("C:\\\\".to_owned()));
}

#[test]
fn here_documents_are_read_with_their_names_and_kept_with_their_line_ends() {
    let text = "COPY --chmod=755 <<EOF other <<-\"TAB\" <<'X y' /d/\na $b\r\n\tkept\nEOF\n\t\tgone\n\tTAB\nz\nX y\nUSER me";
    // A quoted name with a blank is two words for what splits sources, so it is no name.
    assert!(error(&format!("FROM x\n{text}")).contains("COPY has <<'X, which is no"));
    let text = text.replace("'X y'", "'X'").replace("X y", "X");
    let steps = steps(&text);
    let heredoc = |name: &str, content: &str, expand| {
        SourcePath::Heredoc(Heredoc {
            name: name.to_owned(),
            content: content.to_owned(),
            expand,
        })
    };
    let expected = CopyInstruction {
        chmod: Some("755".to_owned()),
        ..copy(
            vec![
                heredoc("EOF", "a $b\r\n\tkept\n", true),
                SourcePath::Path("other".to_owned()),
                heredoc("TAB", "gone\n", false),
                heredoc("X", "z\n", false),
            ],
            "/d/",
        )
    };
    assert_eq!(steps[0], Instruction::Copy(expected));
    assert_eq!(steps[1], Instruction::User("me".to_owned()));
}

#[test]
fn what_run_is_fed_is_not_read_as_instructions() {
    let steps = steps("RUN <<EOF cat && cat 3<<MORE\nFROM nowhere\nEOF\nNONSENSE\nMORE\nUSER me");
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1], Instruction::User("me".to_owned()));
    // A quote that is not closed, or a here-string, announces nothing.
    let text = "RUN echo don't <<EOF\nUSER me";
    assert_eq!(self::steps(text).len(), 2);
    assert_eq!(self::steps("RUN cat <<< word\nUSER me").len(), 2);
}

#[test]
fn b14_variables_and_labels_are_read() {
    let cases = [
        (
            "ARG a b=1 c=\"x y\"",
            Instruction::Arg(vec![
                Argument {
                    name: "a".to_owned(),
                    value: None,
                },
                Argument {
                    name: "b".to_owned(),
                    value: Some("1".to_owned()),
                },
                Argument {
                    name: "c".to_owned(),
                    value: Some("\"x y\"".to_owned()),
                },
            ]),
        ),
        (
            "ENV a=1 b='x y' c=d\\ e",
            Instruction::Env(vec![pair("a", "1"), pair("b", "'x y'"), pair("c", "d\\ e")]),
        ),
        (
            "env old the rest of it",
            Instruction::Env(vec![pair("old", "the rest of it")]),
        ),
        (
            "LABEL \"a b\"=c d=",
            Instruction::Label(vec![pair("\"a b\"", "c"), pair("d", "")]),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn b14_commands_are_read_in_both_forms() {
    let cases = [
        ("WORKDIR /a b", Instruction::Workdir("/a b".to_owned())),
        (
            "CMD [\"a\", \"b c\"]",
            Instruction::Cmd(Command::Exec(strings(&["a", "b c"]))),
        ),
        (
            "CMD a \"b  c\" | d",
            Instruction::Cmd(Command::Shell("a \"b  c\" | d".to_owned())),
        ),
        (
            "CMD ['a']",
            Instruction::Cmd(Command::Shell("['a']".to_owned())),
        ),
        ("CMD []", Instruction::Cmd(Command::Exec(Vec::new()))),
        (
            "ENTRYPOINT a",
            Instruction::Entrypoint(Command::Shell("a".to_owned())),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn b14_what_else_there_is_is_read() {
    let cases = [
        (
            "EXPOSE 80 443/tcp",
            Instruction::Expose(strings(&["80", "443/tcp"])),
        ),
        ("VOLUME /a /b", Instruction::Volume(strings(&["/a", "/b"]))),
        ("VOLUME [\"/a b\"]", Instruction::Volume(strings(&["/a b"]))),
        (
            "SHELL [\"pwsh\", \"-c\"]",
            Instruction::Shell(strings(&["pwsh", "-c"])),
        ),
        (
            "STOPSIGNAL SIGTERM",
            Instruction::StopSignal("SIGTERM".to_owned()),
        ),
        (
            "MAINTAINER A. Uthor",
            Instruction::Maintainer("A. Uthor".to_owned()),
        ),
        (
            "ONBUILD COPY a b",
            Instruction::OnBuild("COPY a b".to_owned()),
        ),
        (
            "ONBUILD COPY <<E /b\nx\nE",
            Instruction::OnBuild("COPY <<E /b\nx\nE".to_owned()),
        ),
        (
            "HEALTHCHECK NONE",
            Instruction::Healthcheck(Healthcheck::None),
        ),
        (
            "RUN --mount=type=cache x",
            Instruction::Run("--mount=type=cache x".to_owned()),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn flags_are_read_and_checked() {
    let flags = "COPY --from=build --chown=\"a b\" --link --parents=false --exclude=x --exclude=y -- --a /b";
    let expected = CopyInstruction {
        from: Some("build".to_owned()),
        chown: Some("a b".to_owned()),
        link: true,
        excludes: strings(&["x", "y"]),
        ..copy(paths(&["--a"]), "/b")
    };
    assert_eq!(one(flags), Instruction::Copy(expected));
    let add = "ADD --checksum=sha256:00 --unpack --keep-git-dir=false [\"https://a/b\", \"/c\"]";
    let Instruction::Add(add) = one(add) else {
        panic!("no ADD");
    };
    let AddInstruction {
        checksum,
        unpack,
        keep_git_dir,
        sources,
        ..
    } = add;
    assert_eq!(checksum.as_deref(), Some("sha256:00"));
    assert_eq!((unpack, keep_git_dir), (Some(true), Some(false)));
    assert_eq!(sources, paths(&["https://a/b"]));
    let check = "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0s --retries=3 CMD x y";
    let expected = Healthcheck::Check {
        command: Command::Shell("x y".to_owned()),
        interval: Some(Duration::from_secs(90)),
        timeout: Some(Duration::from_millis(1500)),
        start_period: None,
        start_interval: None,
        retries: Some(3),
    };
    assert_eq!(one(check), Instruction::Healthcheck(expected));
}

/// A file, and the line and text of its error.
const ERRORS: &[(&str, &str)] = &[
    (
        "",
        "1: the file has no instructions: it needs FROM at least",
    ),
    (
        "# only this",
        "1: the file has no instructions: it needs FROM at least",
    ),
    ("ARG a", "1: the file has no build stage: it needs FROM"),
    (
        "COPY a b",
        "1: COPY stands before the first FROM: only ARG may",
    ),
    (
        "FROM x\n\nCOYP a b",
        "3: unknown instruction \"COYP\": did you mean COPY?",
    ),
    (
        "FORM x",
        "1: unknown instruction \"FORM\": did you mean FROM?",
    ),
    (
        "FROM x\n{\"a\":1}",
        "2: unknown instruction \"{\\\"a\\\":1}\"",
    ),
    (
        "FROM x\nCOPY --form=y a b",
        "2: COPY has no flag --form: did you mean --from?",
    ),
    (
        "FROM x\nCOPY --checksum=y a b",
        "2: COPY has no flag --checksum",
    ),
    (
        "FROM x\nCOPY --from a b",
        "2: COPY --from needs a value: --from=…",
    ),
    (
        "FROM x\nCOPY --link=maybe a b",
        "2: COPY --link is true or false, not \"maybe\"",
    ),
    (
        "FROM x\nCOPY --from=a --from=b a b",
        "2: COPY --from is given twice: keep one",
    ),
    (
        "FROM x\nCOPY --from=$a b c",
        "2: COPY --from cannot hold variables: name a stage, FROM … AS name can hold them",
    ),
    ("FROM x\nCOPY a", "2: COPY needs a source and a destination"),
    (
        "FROM x\nCOPY a <<EOF\nEOF",
        "2: COPY cannot have a here-document as its destination",
    ),
    (
        "FROM x\nCOPY << EOF /a\nEOF",
        "2: COPY has <<, which is no here-document: its name is one word right behind <<",
    ),
    (
        "FROM x\nUSER a\nCOPY <<EOF /a\nb\n",
        "3: here-document <<EOF does not end: write EOF alone on a line below it",
    ),
    (
        "FROM x\nCMD [1]",
        "2: CMD takes an array of strings: quote each element with \"",
    ),
    (
        "FROM x\nSHELL cmd",
        "2: SHELL takes a JSON array, for instance [\"powershell\", \"-Command\"]",
    ),
    ("FROM x\nENV a", "2: ENV gives a no value: write a=value"),
    (
        "FROM x\nENV a=1 b",
        "2: ENV has \"b\" where name=value should be: quote values with blanks in them",
    ),
    ("FROM x\nWORKDIR", "2: WORKDIR needs a directory"),
    (
        "FROM x y",
        "1: FROM is written FROM image, or FROM image AS name",
    ),
    (
        "FROM x AS 1a",
        "1: FROM cannot name a stage \"1a\": a letter first, then letters, digits, - _ .",
    ),
    (
        "FROM x AS a\nFROM y AS A",
        "2: stage \"a\" has the name of the one in line 1: choose another",
    ),
    (
        "FROM x\nHEALTHCHECK --interval=5 CMD x",
        "2: HEALTHCHECK --interval is a time such as 30s, 1m30s or 500ms, not \"5\"",
    ),
    (
        "FROM x\nHEALTHCHECK --interval=1us CMD x",
        "2: HEALTHCHECK --interval is shorter than 1ms",
    ),
    ("FROM x\nONBUILD FROM y", "2: ONBUILD cannot store FROM"),
    (
        "FROM x\nONBUILD CPOY a b",
        "2: unknown instruction \"CPOY\": did you mean COPY?",
    ),
];

#[test]
fn an_error_names_file_line_and_way_out() {
    for (text, expected) in ERRORS {
        assert_eq!(error(text), format!("Dockerfile:{expected}"), "{text:?}");
    }
    let not_text = Dockerfile::parse(b"FROM x\nUSER \xff\n", "d").unwrap_err();
    assert_eq!(
        not_text.to_string(),
        "d:2: not UTF-8: save the file in that encoding"
    );
}

#[test]
fn size_is_bounded() {
    let too_large = |text: &str, line: usize, limit: usize| {
        let error = Dockerfile::parse(text.as_bytes(), "d").unwrap_err();
        let is_it = matches!(error.kind, Kind::TooLarge { limit: it, .. } if it == limit);
        assert!(is_it, "{error}");
        assert_eq!(error.line, line);
    };
    too_large(&"#".repeat((1 << 20) + 1), 1, 1 << 20);
    too_large(
        &format!("FROM x\nUSER {}", "x".repeat(MAX_LINE_BYTES)),
        2,
        MAX_LINE_BYTES,
    );
    let many = "FROM x\n".to_owned() + &"USER x\n".repeat(MAX_INSTRUCTIONS);
    too_large(&many, MAX_INSTRUCTIONS + 1, MAX_INSTRUCTIONS);
    too_large(
        &"FROM x\n".repeat(MAX_STAGES + 1),
        MAX_STAGES + 1,
        MAX_STAGES,
    );
    let heredoc = format!(
        "FROM x\nCOPY <<E /a\n{}E",
        "0123456\n".repeat(MAX_HEREDOC_BYTES / 8 + 1)
    );
    too_large(&heredoc, 2, MAX_HEREDOC_BYTES);
}

#[test]
fn paths_whose_backslashes_go_are_pointed_out() {
    let warned = |text: &str| {
        let file = read(text);
        let texts: Vec<String> = file.warnings().iter().map(ToString::to_string).collect();
        texts
    };
    let expected = "Dockerfile:2: the backslashes of \"C:\\\\app\" escape what follows them and \
                    go: write / instead, or put `# escape=`` in the file's first line";
    assert_eq!(warned("FROM x\nWORKDIR C:\\app"), [expected]);
    assert_eq!(warned("FROM x\nENV A=C:\\app"), [expected]);
    assert_eq!(warned("FROM x\nCOPY [\"a b\", \"C:\\\\app\"]"), [expected]);
    for fine in [
        "# escape=`\nFROM x\nWORKDIR C:\\app",
        "FROM x\nWORKDIR C:/app",
        "FROM x\nWORKDIR C:\\\\app",
        "FROM x\nCMD C:\\app\\a.exe",
    ] {
        assert_eq!(warned(fine), Vec::<String>::new(), "{fine}");
    }
    let lost = warned("FROM x\nCOPY <<EOF /a\nC:\\app\nEOF");
    assert!(
        lost[0].contains("write <<\"EOF\" to keep its text"),
        "{lost:?}"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Dockerfile::parse(&bytes, "d");
    }

    #[test]
    fn no_lines_make_it_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "FROM x", "COPY ", "ADD ", "ENV ", "HEALTHCHECK ", "ONBUILD ", "RUN ", "CMD ",
                "--from=", "--interval=", "--", "[", "]", "\"", "'", "\\", "`", "\n", "\r\n",
                "\t", " ", "<<", "-", "EOF", "a", "=", "# escape=`", "#", "1h", ".5s", "é", ",",
            ]),
            0..40,
        ),
    ) {
        let text = parts.concat();
        if let Err(error) = Dockerfile::parse(text.as_bytes(), "d") {
            prop_assert!(error.line >= 1 && error.line <= text.lines().count().max(1));
        }
    }
}

#[test]
fn here_documents_of_one_name_have_each_their_own_text() {
    let text = "FROM nano\nCOPY <<A b <<A <<'A' /a/\n1\nA\n2\nA\n3\nA\n";
    let file = Dockerfile::parse(text.as_bytes(), "Dockerfile").unwrap();
    let Instruction::Copy(copy) = &file.stages()[0].steps[0].instruction else {
        panic!("{file:?}");
    };
    let texts = copy.sources.iter().map(|it| match it {
        SourcePath::Heredoc(it) => (it.content.as_str(), it.expand),
        SourcePath::Path(it) => (it.as_str(), false),
    });
    let expected = [("1\n", true), ("b", false), ("2\n", true), ("3\n", false)];
    assert_eq!(texts.collect::<Vec<_>>(), expected);
}
