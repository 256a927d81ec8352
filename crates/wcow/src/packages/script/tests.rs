//! Texts for a shell, and what stands where.

use super::*;

fn pieces(text: &str) -> Vec<(Option<Joint>, &str)> {
    let pieces = read(text).unwrap();
    let of = |it: &Piece| (it.joint.as_ref().map(|it| it.0), &text[it.range.clone()]);
    pieces.iter().map(of).collect()
}

fn words(text: &str) -> Vec<(String, bool)> {
    let pieces = read(text).unwrap();
    assert_eq!(pieces.len(), 1, "{text}");
    let words = pieces[0].words.iter();
    words.map(|it| (it.text.clone(), it.is_dynamic)).collect()
}

#[test]
fn b16_a_list_falls_into_its_commands() {
    let text = "set -eux; apt-get update && echo 'a && b; c' || true\nx | y \\\n z # rest && no";
    let expected = [
        (None, "set -eux"),
        (Some(Joint::Then), "apt-get update"),
        (Some(Joint::And), "echo 'a && b; c'"),
        (Some(Joint::Or), "true"),
        (Some(Joint::Line), "x"),
        (Some(Joint::Pipe), "y \\\n z"),
    ];
    assert_eq!(pieces(text), expected);
    assert_eq!(
        pieces("\n a &&\n\n b;\n"),
        [(None, "a"), (Some(Joint::And), "b")]
    );
    assert_eq!(
        pieces("(cd /x; make \")\") && b"),
        [(None, "(cd /x; make \")\")"), (Some(Joint::And), "b")]
    );
    assert_eq!(pieces(""), []);
    assert_eq!(pieces(" # nothing"), []);
}

#[test]
fn b16_words_are_what_the_shell_would_make_of_them() {
    let word = |text: &str| (text.to_owned(), false);
    assert_eq!(
        words(r#"a'b c'"d \" e"\ f g++ 7.*"#),
        [word(r#"ab cd " e f"#), word("g++"), word("7.*")]
    );
    for dynamic in ["$A", "${A:-b c}", "\"$A\"", "$(ls; (x))", "`ls`", "{a,b}"] {
        assert!(words(dynamic)[0].1, "{dynamic}");
    }
    assert_eq!(words("'$A'"), [word("$A")]);
}

#[test]
fn b16_redirections_are_no_words() {
    for (text, expected) in [
        ("a >/dev/null 2>&1 b", Redirected::Away),
        ("a b &>/dev/null", Redirected::Away),
        ("a </dev/null b", Redirected::Away),
        ("a 2> x b", Redirected::File),
        ("a b <<EOF", Redirected::Heredoc),
        ("a b", Redirected::No),
    ] {
        let found = read(text).unwrap();
        assert_eq!(found[0].redirected, expected, "{text}");
        let words: Vec<_> = found[0].words.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(words, ["a", "b"], "{text}");
    }
}

#[test]
fn b16_what_is_no_list_is_said_to_be_none() {
    for text in [
        "if a; then b; fi",
        "for i in a b; do c; done",
        "case a in b) c;; esac",
        "{ a; }",
        "! a",
        "f() { a; }",
        "a &",
        "a & b",
        "a 'b",
        "a \"b",
        "a $(b",
        "a `b",
        "(a",
        "a)",
        "&& a",
        "a &&",
        "a ;; b",
        "a > >(b)",
        "(a) b",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    // These are words like any other where no command begins.
    assert!(read("echo if then { }").is_ok());
}
