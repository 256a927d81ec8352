//! Every form, with both escape characters, and what no input may do.

use proptest::prelude::*;

use super::{ExpandError, Lexer, MAX_EXPANDED_BYTES, Variables};

struct Known;

impl Variables for Known {
    fn get(&self, name: &str) -> Option<&str> {
        Some(match name {
            "PWD" => "/home",
            "SHELL" => "bash",
            "NULL" => "",
            "TWO" => "one  two",
            "FILE" => "a.tar.gz.tar",
            "DOTS" => "a/b.c/d.e",
            "WIN" => r"C:\app\bin",
            "LONG" => "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            _ => return None,
        })
    }
}

fn word(text: &str) -> Result<String, ExpandError> {
    Lexer::new(text, '\\', &Known).word()
}

#[test]
fn b14_every_form_of_a_variable_expands_as_in_the_reference() {
    let cases = [
        ("plain", "plain"),
        ("$PWD", "/home"),
        ("he$PWD.", "he/home."),
        ("${PWD}x", "/homex"),
        ("he$unset.", "he."),
        ("$.", "$."),
        ("a$", "a$"),
        ("he$1x", "hex"),
        ("$999aaa", "aaa"),
        ("$@@@", "@@"),
        ("$$x", "x"),
        ("${#}", ""),
        ("${x:-y}", "y"),
        ("${NULL:-y}", "y"),
        ("${PWD:-y}", "/home"),
        ("${x-y}", "y"),
        ("${NULL-y}", ""),
        ("${x:+y}", ""),
        ("${NULL:+y}", ""),
        ("${PWD:+y}", "y"),
        ("${x+y}", ""),
        ("${NULL+y}", "y"),
        ("${PWD:?gone}", "/home"),
        ("${NULL?gone}", ""),
        ("${x:-$PWD}", "/home"),
        ("${x:-${y:-z}}", "z"),
        ("${x:-\\$PWD:}", "$PWD:"),
        ("${x:-\\${PWD}z}", "${PWDz}"),
        ("${x:-b {c}", "b {c"),
        ("${a}}", "}"),
        ("${FILE#*.}", "tar.gz.tar"),
        ("${FILE##*.}", "tar"),
        ("${FILE%.*}", "a.tar.gz"),
        ("${FILE%%.*}", "a"),
        ("${FILE%.t?r}", "a.tar.gz"),
        ("${FILE#nothing}", "a.tar.gz.tar"),
        ("${FILE/tar/zip}", "a.zip.gz.tar"),
        ("${FILE//tar/zip}", "a.zip.gz.zip"),
        ("${FILE//.}", "error"),
        ("${DOTS//\\//-}", "a-b.c-d.e"),
        ("${DOTS//./}", "a/bc/de"),
        ("${x#y}", ""),
        ("${x/y/z}", ""),
        ("${x:?}", "error"),
        ("${x?}", "error"),
        ("${NULL:?}", "error"),
        ("${x:=y}", "error"),
        ("${x:YYY}", "error"),
        ("${PWD", "error"),
        ("${}", "error"),
        ("${:-x}", "error"),
        ("${{a}", "error"),
        ("he${.}", "error"),
        ("${a:-b ${c}", "error"),
    ];
    for (text, expected) in cases {
        let found = word(text).unwrap_or_else(|_| "error".to_owned());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn quotes_and_escapes_keep_variables_out() {
    let cases = [
        ("'he$PWD'", "he$PWD"),
        ("\"he$PWD\"", "he/home"),
        ("\"he'$PWD'\"", "he'/home'"),
        ("'\"hello\"'", "\"hello\""),
        ("he\\$PWD", "he$PWD"),
        ("he\\\\$PWD", "he\\/home"),
        ("\"he\\$PWD\"", "he$PWD"),
        ("'he\\$PWD'", "he\\$PWD"),
        ("abc\\tdef", "abctdef"),
        ("\"abc\\tdef\"", "abc\\tdef"),
        ("\"abc\\\\tdef\"", "abc\\tdef"),
        ("'abc\\\\tdef'", "abc\\\\tdef"),
        ("hello\\", "hello"),
        ("\"''\"", "''"),
        ("안\\'녕", "안'녕"),
        ("he'llo", "error"),
        ("\"hello", "error"),
        ("\"hello\\\"", "error"),
    ];
    for (text, expected) in cases {
        let found = word(text).unwrap_or_else(|_| "error".to_owned());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_backtick_that_escapes_leaves_backslashes_alone() {
    let cases = [
        (r"C:\app\$SHELL", r"C:\app\bash"),
        (r"C:\app\`$SHELL", r"C:\app\$SHELL"),
        ("\"C:\\a`\"b\"", "C:\\a\"b"),
        (r"$WIN\x", r"C:\app\bin\x"),
        (r"${WIN%\\*}", r"C:\app"),
    ];
    for (text, expected) in cases {
        let found = Lexer::new(text, '`', &Known).word();
        assert_eq!(found.as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn values_fall_into_words_and_quotes_hold_together() {
    let words = |it: &str| Lexer::new(it, '\\', &Known).words();
    assert_eq!(words("a $TWO").unwrap(), ["a", "one", "two"]);
    assert_eq!(words("a \"$TWO\" ''").unwrap(), ["a", "one  two"]);
    assert_eq!(words("80  443/tcp").unwrap(), ["80", "443/tcp"]);
}

#[test]
fn an_error_says_what_is_missing_where() {
    let text = |it: &str| word(it).unwrap_err().to_string();
    assert_eq!(
        text("${x:?set it with --build-arg}"),
        "variable x: set it with --build-arg"
    );
    assert_eq!(text("${x?}"), "variable x: is not allowed to be unset");
    assert_eq!(
        text("a'b"),
        "' is not closed in \"a'b\": add another one, or escape it"
    );
    assert!(text("${PWD^}").starts_with("\"^\" is not known behind a variable's name"));
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("{}{}", "${a:-".repeat(40), "}".repeat(40));
    assert_eq!(word(&deep), Err(ExpandError::TooDeep));
    let long = "$LONG".repeat(1025);
    assert_eq!(word(&long), Err(ExpandError::TooLong(MAX_EXPANDED_BYTES)));
    let many = format!("${{LONG//x/{}}}", "y".repeat(2000));
    assert_eq!(word(&many), Err(ExpandError::TooLong(MAX_EXPANDED_BYTES)));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_grow(text in "[ -~]{0,60}", escape in "[`\\\\]") {
        let escape = escape.chars().next().unwrap();
        if let Ok(found) = Lexer::new(&text, escape, &Known).word() {
            prop_assert!(found.len() <= MAX_EXPANDED_BYTES * 2);
        }
        let _ = Lexer::new(&text, escape, &Known).words();
        let _ = Lexer::heredoc(&text, &Known).word();
        let _ = Lexer::raw(&text).words();
    }

    #[test]
    fn forms_put_together_at_random_do_not_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "${", "}", "$", ":-", ":+", ":?", "#", "##", "%", "%%", "/", "//", "*", "?",
                "\\", "`", "'", "\"", "PWD", "x", " ", "<<", "é",
            ]),
            0..24,
        ),
    ) {
        let text = parts.concat();
        let _ = word(&text);
        let _ = Lexer::unset(&text).words();
    }
}
