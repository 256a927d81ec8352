//! What lands where, and what is refused.

#[cfg(unix)]
use std::fs;

use super::*;
use crate::EntryKind;
pub(super) use bench::{Bench, content, files};

mod bench;
mod download;
mod ownership;

const FILES: &[&str] = &[
    "a.txt",
    "b.txt",
    "c.log",
    "d/x",
    "d/e/y",
    "d/e/z.txt",
    "empty/",
];

/// The reference's cases, for Windows: working directory, line, what comes of it.
const CASES: &[(&str, &str, &[&str])] = &[
    // A file to a name, and into a directory by a slash.
    ("", r"COPY a.txt C:\app\b", &["app/b=a.txt"]),
    ("", r"COPY a.txt c:/app/", &["app/a.txt=a.txt"]),
    // A directory: what is in it, itself not.
    (
        "",
        r"COPY d \app",
        &["app/e/y=d/e/y", "app/e/z.txt=d/e/z.txt", "app/x=d/x"],
    ),
    // All of the context.
    ("", "COPY empty /e", &["e/"]),
    // Several sources into a directory, a source's directory melting into it.
    (
        "",
        r"COPY a.txt d/e /app/",
        &["app/a.txt=a.txt", "app/y=d/e/y", "app/z.txt=d/e/z.txt"],
    ),
    // Relative to the working directory.
    (r"C:\w", "COPY a.txt b", &["w/b=a.txt"]),
    (r"C:\w", "COPY a.txt .", &["w/a.txt=a.txt"]),
    (r"C:\w", r"COPY a.txt sub\", &["w/sub/a.txt=a.txt"]),
    (r"C:\w\v", r"COPY a.txt ..\b", &["w/b=a.txt"]),
    // A leading slash is the context's root, and both slashes part a source's names.
    ("", r"COPY /d\e\y C:\", &["y=d/e/y"]),
    // Patterns, name by name.
    (
        "",
        "COPY *.txt /app/",
        &["app/a.txt=a.txt", "app/b.txt=b.txt"],
    ),
    (
        "",
        "COPY ?.[a-l]* d/*/z* /app/",
        &["app/c.log=c.log", "app/z.txt=d/e/z.txt"],
    ),
    // JSON, for blanks.
    (
        "",
        r#"COPY ["a.txt", "/Program Files/a b"]"#,
        &["Program Files/a b=a.txt"],
    ),
    // A directory that every image has.
    (
        "",
        r"COPY a.txt C:\Windows\System32",
        &["Windows/System32/a.txt=a.txt"],
    ),
];

#[test]
fn b5_copy_puts_things_where_the_reference_says() {
    for (working_directory, line, expected) in CASES {
        let bench = Bench {
            working_directory,
            ..Bench::windows().with_all(FILES)
        };
        assert_eq!(bench.run(line), *expected, "{line}");
    }
}

#[test]
fn b5_what_the_stage_made_a_directory_takes_files_in() {
    let mut bench = Bench::windows().with_all(FILES);
    assert_eq!(bench.run("COPY a.txt /app"), ["app=a.txt"]);
    let mut there = LayerTree::windows();
    there
        .directory(&"App".parse().unwrap(), Meta::default())
        .unwrap();
    bench.there = there.into();
    assert_eq!(bench.run("COPY a.txt /app"), ["app/a.txt=a.txt"]);
}

#[test]
fn b5_the_working_directory_takes_files_in_whatever_its_case() {
    let mut bench = Bench {
        working_directory: r"C:\App",
        ..Bench::windows().with_all(FILES)
    };
    assert_eq!(bench.run(r"COPY a.txt c:\app"), ["app/a.txt=a.txt"]);
    assert_eq!(bench.run("COPY *.txt /APP").len(), 2);
    bench.os = TargetOs::Linux;
    bench.working_directory = "/App";
    assert_eq!(bench.run("COPY a.txt /app"), ["app=a.txt"]);
    assert_eq!(bench.run("COPY a.txt /App"), ["App/a.txt=a.txt"]);
}

#[test]
fn b5_two_stars_are_one_name_without_parents() {
    let bench = Bench::windows().with_all(FILES);
    // One name deep: d/e is a directory, d/x is none and d/e/z.txt is too deep for both.
    assert_eq!(bench.run("COPY **/x /a/"), ["a/x=d/x"]);
    assert!(matches!(
        bench.error("COPY **/z.txt /a/"),
        CopyError::NothingMatches(_)
    ));
    assert!(matches!(
        bench.error("ADD **/z.txt /a/"),
        CopyError::NothingMatches(_)
    ));
    assert_eq!(
        bench.run("COPY --parents **/z.txt /a/"),
        ["a/d/e/z.txt=d/e/z.txt"]
    );
}

#[test]
fn b7_a_context_that_leaves_everything_out_is_still_there() {
    let bench = Bench::windows()
        .with_all(FILES)
        .with(".dockerignore", b"*\n!d\n");
    let tree = bench.tree(r"COPY . C:\app\");
    let all = ["app/d/e/y=d/e/y", "app/d/e/z.txt=d/e/z.txt", "app/d/x=d/x"];
    assert_eq!(files(&tree), all);
    let app = tree.get(&"app".parse().unwrap()).unwrap();
    let is_explicit = matches!(app.kind(), EntryKind::Directory { implicit: false });
    assert!(is_explicit, "{app:?}");
    let bench = bench.with(".dockerignore", b"*\n");
    assert_eq!(bench.run(r"COPY . C:\app\"), ["app/"]);
}

#[test]
fn b5_sources_that_are_not_there_or_need_a_slash_are_refused() {
    let bench = Bench::windows()
        .with_all(FILES)
        .with(".dockerignore", b"c.log");
    let cases = [
        (
            "COPY nothing /a",
            "\"nothing\" is not in the context: paths are relative to its root",
        ),
        (
            "COPY c.log /a",
            "\"c.log\" is left out by .dockerignore: take it back there with !",
        ),
        (
            "COPY *.md /a",
            "nothing matches \"*.md\": mend the pattern, or allow it with --allow-empty-wildcard",
        ),
        (
            "COPY a.txt b.txt /a",
            "several sources need a directory: end \"/a\" with a slash",
        ),
        (
            "COPY *.txt /a",
            "\"*.txt\" matches 2 files, which need a directory: end the destination with a slash",
        ),
        (
            "COPY ../secret /a",
            "\"../secret\" leads above the root of what is copied from: nothing outside it can be copied",
        ),
        (
            "COPY a.txt D:/a",
            "destination \"D:/a\" is not on drive C:, the only one a container has: write C:\\…",
        ),
        (
            "COPY https://a.example/b /a",
            "COPY takes no URL (https://a.example/b): use ADD",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(bench.error(line).to_string(), expected, "{line}");
    }
    let mut bench = bench;
    bench.options.allows_empty_wildcard = true;
    assert_eq!(bench.run("COPY *.md /a/"), Vec::<String>::new());
    assert!(matches!(
        bench.error("COPY nothing /a"),
        CopyError::NotFound(_)
    ));
}

#[cfg(unix)]
#[test]
fn b6_no_link_takes_a_copy_out_of_the_context() {
    use std::os::unix::fs::symlink;
    let bench = Bench::windows().with_all(FILES);
    fs::write(bench.root.path().join("secret"), "s").unwrap();
    symlink("../secret", bench.context().join("out")).unwrap();
    symlink("../../secret", bench.context().join("d/out")).unwrap();
    for line in [
        "COPY out /a",
        "COPY d /a",
        "COPY . /a",
        "ADD o* /a",
        "COPY d/o* /a",
    ] {
        let error = bench.error(line);
        let is_it = matches!(
            error,
            CopyError::Context(crate::context::ContextError::Leaves(_))
        );
        assert!(is_it, "{line}: {error}");
    }
}

#[test]
fn b7_excludes_keep_files_out_of_one_copy() {
    let bench = Bench::windows().with_all(FILES);
    assert_eq!(
        bench.run("COPY --exclude=**/*.txt d /a"),
        ["a/e/y=d/e/y", "a/x=d/x"]
    );
    let back = "COPY --exclude=e --exclude=!e/y d /a";
    assert_eq!(bench.run(back), ["a/e/y=d/e/y", "a/x=d/x"]);
    assert_eq!(bench.run("COPY --exclude=b* *.txt /a/"), ["a/a.txt=a.txt"]);
    assert!(matches!(
        bench.error("COPY --exclude=[ d /a"),
        CopyError::Exclude(_)
    ));
}

#[test]
fn parents_keep_a_sources_path() {
    let bench = Bench::windows().with_all(FILES);
    let run = |line: &str| bench.run(line);
    assert_eq!(
        run("COPY --parents d/e/y a.txt /a"),
        ["a/a.txt=a.txt", "a/d/e/y=d/e/y"]
    );
    assert_eq!(run("COPY --parents d/./e/y /a/"), ["a/e/y=d/e/y"]);
    assert_eq!(
        run("COPY --parents d/e /a/"),
        ["a/d/e/y=d/e/y", "a/d/e/z.txt=d/e/z.txt"]
    );
    let all = ["a/a.txt=a.txt", "a/b.txt=b.txt", "a/d/e/z.txt=d/e/z.txt"];
    assert_eq!(run("COPY --parents **/*.txt /a/"), all);
}

#[test]
fn here_documents_are_files() {
    let bench = Bench::windows().with_all(FILES);
    assert_eq!(bench.run("COPY <<EOF /a/b.txt\nhi\nEOF"), ["a/b.txt=hi\n"]);
    let two = "COPY <<one a.txt <<\"two\" /a/\n1\none\n$x\ntwo";
    assert_eq!(bench.run(two), ["a/a.txt=a.txt", "a/one=1\n", "a/two=$x\n"]);
}

#[test]
fn b10_copy_from_takes_what_another_stage_copied() {
    let bench = Bench::windows().with_all(FILES);
    let stage = bench.tree("COPY d /Out/");
    let run = |line: &str| bench.carry_out(line, Some(&stage)).map(|it| files(&it.0));
    assert_eq!(run("COPY --from=x /out/X C:/app/").unwrap(), ["app/X=d/x"]);
    assert_eq!(
        run(r"COPY --from=x C:\out\e\*.txt \a\").unwrap(),
        ["a/z.txt=d/e/z.txt"]
    );
    let all = ["a/e/y=d/e/y", "a/e/z.txt=d/e/z.txt", "a/x=d/x"];
    assert_eq!(run("COPY --from=x /out /a").unwrap(), all);
    let error = run(r"COPY --from=x C:\Windows\System32\netapi32.dll /a").unwrap_err();
    assert!(matches!(error, CopyError::NotInStage(_)), "{error}");
}

#[test]
fn a_name_that_windows_does_not_take_is_named_by_its_source() {
    let bench = Bench::windows().with("src/CON", b"");
    let error = bench.error("COPY src /a").to_string();
    assert!(error.starts_with("src/CON: the name \"CON\""), "{error}");
}
