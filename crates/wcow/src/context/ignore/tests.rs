//! What matches, by the vectors of the rules' reference.

use proptest::prelude::*;

use super::*;

fn matches(patterns: &[&str], path: &str) -> bool {
    Ignore::patterns(patterns).unwrap().matches(path)
}

#[test]
fn b7_one_pattern_matches_as_in_the_reference() {
    for (pattern, path, expected) in [
        ("**", "file", true),
        ("**/", "file", true),
        ("**", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/**", "dir/dir2/dir3/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**file", "dir/xfile", true),
        ("**/file", "dir/dir/file", true),
        ("**/file", "dir/xfile", false),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("a\\\\", "a\\", true),
        ("a\\*b", "a*b", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (
            "dist/*.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            true,
        ),
        // Anchored at the root; slashes around it and steps in it mean nothing.
        ("file", "dir/file", false),
        ("/file", "file", true),
        ("dir/", "dir/file", true),
        ("./dir/../other//x", "other/x", true),
        ("../file", "file", false),
    ] {
        assert_eq!(matches(&[pattern], path), expected, "{pattern} {path}");
    }
}

#[test]
fn b7_the_last_pattern_that_matches_wins() {
    for (patterns, path, expected) in [
        (&["*.go", "!fileutils.go"][..], "fileutils.go", false),
        (&["!fileutils.go", "*.go"], "fileutils.go", true),
        (&["**", "!util/docker/web"], "util/docker/web/foo", false),
        (&["**", "!util/docker/web"], "util/docker/other", true),
        (
            &["**", "!util/docker/web", "util/docker/web/foo"],
            "util/docker/web/foo",
            true,
        ),
        (&["**", "!dist/*.whl"], "dist/a.whl", false),
        (&["docs", "!docs/README.md"], "docs/README.md", false),
        (&["docs", "!docs/README.md"], "docs/other.md", true),
        (&["docs", "  !docs/README.md  "], "docs/README.md", false),
    ] {
        assert_eq!(matches(patterns, path), expected, "{patterns:?} {path}");
    }
}

#[test]
fn b7_a_file_has_comments_blank_lines_and_a_byte_order_mark() {
    let text = "\u{feff}# not *.md\r\n\r\n  *.md  \n #kept\n! README.md\n/bin/\n";
    let ignore = Ignore::parse(text.as_bytes()).unwrap();
    assert!(ignore.takes_back());
    for (path, expected) in [
        ("a.md", true),
        ("README.md", false),
        ("#kept", true),
        ("bin/x", true),
        ("not a.txt", false),
    ] {
        assert_eq!(ignore.matches(path), expected, "{path}");
    }
}

#[test]
fn what_is_no_pattern_is_said_with_its_line() {
    let text = |bytes: &[u8]| Ignore::parse(bytes).unwrap_err().to_string();
    assert_eq!(
        text(b"a\n!\n"),
        "line 2: ! takes back nothing: write a pattern behind it"
    );
    assert!(text(b"# x\na[\n").starts_with("line 2: \"a[\" is no pattern"));
    assert_eq!(Ignore::parse(b"\xff").unwrap_err(), IgnoreError::NotUtf8);
    let many = "a\n".repeat(MAX_PATTERNS + 1);
    assert_eq!(
        Ignore::parse(many.as_bytes()).unwrap_err(),
        IgnoreError::TooLarge
    );
}

#[test]
fn b7_no_pattern_leaves_the_root_out() {
    for patterns in [&["*"][..], &["**"], &["."], &["*", "!app"], &[".*"]] {
        assert!(!matches(patterns, ""), "{patterns:?}");
    }
    assert!(matches(&["*"], "app") && matches(&["*", "!app"], "other"));
}

proptest! {
    #[test]
    fn no_patterns_make_it_panic(
        lines in prop::collection::vec("[]a-b*?^!#\\\\ ./\\[-]{0,12}", 0..5),
        path in "[a-b]{1,3}(/[a-b]{1,3}){0,3}",
    ) {
        if let Ok(ignore) = Ignore::parse(lines.join("\n").as_bytes()) {
            let _ = ignore.matches(&path);
        }
    }
}
