//! What each instruction sees of what went before it.

use std::fmt::Write as _;

use oci::Platform;
use proptest::prelude::*;

use super::{BuildArguments, Predefined, Scope, TargetOs};
use crate::dockerfile::{Dockerfile, Instruction, PlanOptions, SourcePath};

fn options(os: TargetOs, arguments: &[(&str, &str)]) -> PlanOptions {
    let name = os.name().to_lowercase();
    let predefined = Predefined {
        target: Platform::new(name, "amd64"),
        build: Platform::new("linux", "amd64"),
        stage: None,
    };
    PlanOptions {
        arguments: arguments.iter().copied().collect::<BuildArguments>(),
        ..PlanOptions::new(os, predefined)
    }
}

/// Goes through the last stage, and says what its last instruction became.
fn last(text: &str, options: &PlanOptions, environment: &[&str]) -> (Instruction, Scope) {
    let file = Dockerfile::parse(text.as_bytes(), "d").unwrap();
    let plan = file.plan(options).unwrap();
    let environment: Vec<String> = environment.iter().map(|it| (*it).to_owned()).collect();
    let mut scope = plan.scope(&environment);
    let steps = &plan.stages().last().unwrap().stage.steps;
    let found = steps.iter().map(|it| scope.expand(it).unwrap()).last();
    (found.unwrap(), scope)
}

/// Build arguments.
type Given = &'static [(&'static str, &'static str)];

/// What a `USER` at the end of the stage is.
fn user(text: &str, os: TargetOs, arguments: &[(&str, &str)], environment: &[&str]) -> String {
    let text = format!("{text}\nUSER \"$x|$y|$TARGETOS|$PATH\"");
    match last(&text, &options(os, arguments), environment).0 {
        Instruction::User(it) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn b15_arguments_are_seen_where_they_are_declared() {
    use TargetOs::Linux;
    let cases: &[(&str, Given, &str)] = &[
        // Before FROM: not in the stage, unless it is declared there again.
        ("ARG x=1\nFROM b", &[], "|||"),
        ("ARG x=1\nFROM b\nARG x", &[], "1|||"),
        ("ARG x=1\nFROM b\nARG x=2", &[], "2|||"),
        ("ARG x=1\nFROM b\nARG x", &[("x", "3")], "3|||"),
        ("FROM b\nARG x=1", &[("x", "3")], "3|||"),
        ("FROM b\nARG x", &[], "|||"),
        ("FROM b", &[("x", "3")], "|||"),
        // One stage's are not another's.
        ("FROM a\nARG x=1\nFROM b", &[], "|||"),
        // A later one sees an earlier one.
        ("FROM b\nARG x=1 y=$x", &[], "1|1||"),
        // ENV hides ARG, wherever it stands.
        ("FROM b\nENV x=e\nARG x=1", &[("x", "3")], "e|||"),
        ("FROM b\nARG x=1\nENV x=e$x", &[], "e1|||"),
        // All of one ENV see what was before it.
        ("FROM b\nENV x=1\nENV x=2 y=$x", &[], "2|1||"),
        ("FROM b\nARG TARGETOS", &[], "||linux|"),
        ("FROM b", &[], "|||"),
    ];
    for (text, arguments, expected) in cases {
        assert_eq!(user(text, Linux, arguments, &[]), *expected, "{text}");
    }
    assert_eq!(
        user("FROM b", Linux, &[], &["PATH=/bin", "x=="]),
        "=|||/bin"
    );
}

#[test]
fn b14_names_on_windows_are_the_same_whatever_their_case() {
    let text = "FROM b\nENV PATH=\"C:/app;${PATH}\" X=1";
    let environment = ["Path=C:/Windows"];
    let (_, scope) = last(text, &options(TargetOs::Windows, &[]), &environment);
    let kept = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        scope.environment(),
        [kept("Path", "C:/app;C:/Windows"), kept("X", "1")]
    );
    let (_, scope) = last(text, &options(TargetOs::Linux, &[]), &environment);
    assert_eq!(
        scope.environment(),
        [
            kept("Path", "C:/Windows"),
            kept("PATH", "C:/app;"),
            kept("X", "1")
        ]
    );
}

#[test]
fn b14_only_what_the_reference_names_is_expanded() {
    let kept = [
        "RUN $x",
        "CMD $x",
        "CMD [\"$x\"]",
        "ENTRYPOINT $x",
        "SHELL [\"$x\"]",
        "HEALTHCHECK CMD $x",
        "ONBUILD USER $x",
        "MAINTAINER $x",
    ];
    for line in kept {
        let text = format!("FROM b\nENV x=1\n{line}");
        let file = Dockerfile::parse(text.as_bytes(), "d").unwrap();
        let plain = Dockerfile::parse(b"FROM b", "d").unwrap();
        let mut scope = plain
            .plan(&options(TargetOs::Linux, &[]))
            .unwrap()
            .scope(&[]);
        let steps = &file.stages()[0].steps;
        scope.expand(&steps[0]).unwrap();
        assert_eq!(
            scope.expand(&steps[1]).unwrap(),
            steps[1].instruction,
            "{line}"
        );
    }
    let expanded = |line: &str| {
        let text = format!("FROM b\nENV x=1 y=\"2 3\"\n{line}");
        format!("{:?}", last(&text, &options(TargetOs::Linux, &[]), &[]).0)
    };
    assert_eq!(expanded("EXPOSE $y/tcp"), r#"Expose(["2", "3/tcp"])"#);
    assert_eq!(expanded("VOLUME /$x /b"), r#"Volume(["/1", "/b"])"#);
    assert_eq!(expanded("WORKDIR /$x"), r#"Workdir("/1")"#);
    assert_eq!(expanded("STOPSIGNAL $x"), r#"StopSignal("1")"#);
    assert_eq!(
        expanded("LABEL a$x=$y"),
        r#"Label([Pair { name: "a1", value: "2 3" }])"#
    );
    assert!(expanded("COPY --chown=$x a$x /$x").contains(r#"[Path("a1")], destination: "/1""#));
    assert!(expanded("ADD --checksum=$x a /b").contains(r#"checksum: Some("1")"#));
}

#[test]
fn here_documents_expand_unless_their_name_is_quoted() {
    let content = |text: &str| {
        let options = options(TargetOs::Windows, &[]);
        let Instruction::Copy(copy) = last(text, &options, &[]).0 else {
            panic!("no COPY");
        };
        match copy.sources.into_iter().next().unwrap() {
            SourcePath::Heredoc(it) => it.content,
            other @ SourcePath::Path(_) => panic!("{other:?}"),
        }
    };
    let body = "\"$x\" 'it\\$x'\n";
    let start = "FROM b\nENV x=1\nCOPY";
    assert_eq!(
        content(&format!("{start} <<E /a\n{body}E")),
        "\"1\" 'it$x'\n"
    );
    assert_eq!(content(&format!("{start} <<'E' /a\n{body}E")), body);
}

#[test]
fn variables_that_double_each_other_meet_a_bound() {
    let mut text = "FROM b\nENV x=0123456789abcdef\n".to_owned();
    text.push_str(&"ENV x=$x$x\n".repeat(60));
    let file = Dockerfile::parse(text.as_bytes(), "d").unwrap();
    let plan = file.plan(&options(TargetOs::Linux, &[])).unwrap();
    let mut scope = plan.scope(&[]);
    let steps = plan.stages()[0].stage.steps.iter();
    let error = steps
        .map(|it| scope.expand(it))
        .find_map(Result::err)
        .unwrap();
    assert_eq!(
        error.to_string(),
        "d:15: the text is longer than 65536 bytes once its variables are replaced: \
         shorten what they hold"
    );
    // Many of the longest meet one, too.
    let mut text = format!("FROM b\nENV x={}\n", "y".repeat(60_000));
    for name in 0..40 {
        writeln!(text, "ENV x{name}=$x").unwrap();
    }
    let file = Dockerfile::parse(text.as_bytes(), "d").unwrap();
    let plan = file.plan(&options(TargetOs::Linux, &[])).unwrap();
    let mut scope = plan.scope(&[]);
    let steps = plan.stages()[0].stage.steps.iter();
    let error = steps
        .map(|it| scope.expand(it))
        .find_map(Result::err)
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("more than 1048576 bytes together"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn no_file_that_is_read_makes_expansion_panic(
        lines in prop::collection::vec("(ENV|ARG|USER|EXPOSE|COPY) [ -~]{1,24}", 0..8),
    ) {
        let text = format!("FROM b\n{}", lines.join("\n"));
        let Ok(file) = Dockerfile::parse(text.as_bytes(), "d") else {
            return Ok(());
        };
        let Ok(plan) = file.plan(&options(TargetOs::Windows, &[])) else {
            return Ok(());
        };
        let mut scope = plan.scope(&["a=b".to_owned()]);
        for step in &plan.stages()[0].stage.steps {
            let _ = scope.expand(step);
        }
    }
}
