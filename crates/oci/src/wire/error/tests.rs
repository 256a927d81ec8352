//! Error bodies as registries, proxies and token services write them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ErrorBody, ErrorCode, ErrorEntry, MAX_BODY_BYTES};
use crate::{Algorithm, Digest};

fn parse(body: &str) -> ErrorBody {
    ErrorBody::parse(body.as_bytes())
}

/// Code and message of every error.
fn said(body: &str) -> Vec<(String, Option<String>)> {
    let entries = parse(body).errors.into_iter();
    entries
        .map(|it| (it.code.to_string(), it.message))
        .collect()
}

fn digest(of: u64) -> Digest {
    Digest::of(&of.to_be_bytes())
}

#[test]
fn the_specifications_form_is_read_whole_and_written_the_same() {
    let value = json!({"errors": [
        {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": digest(1).to_string()},
        {"code": "DENIED"},
    ]});
    let body = parse(&value.to_string());
    let expected = [
        ErrorEntry::new(ErrorCode::ManifestBlobUnknown)
            .message("blob unknown")
            .detail(digest(1).to_string()),
        ErrorEntry::new(ErrorCode::Denied),
    ];
    assert_eq!(body.errors, expected);
    assert_eq!(serde_json::to_value(&body).expect("json"), value);
    assert!(body.has(&ErrorCode::Denied) && !body.has(&ErrorCode::Unknown));
}

#[test]
fn every_code_of_the_specification_is_known_by_name() {
    for code in [
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
    ] {
        let it = ErrorCode::from(code);
        assert!(!matches!(it, ErrorCode::Other(_)), "{code}");
        assert_eq!(it.as_str(), code);
    }
    assert_eq!(
        ErrorCode::from("TAG_IMMUTABLE"),
        ErrorCode::Other("TAG_IMMUTABLE".into())
    );
    let escaped: ErrorCode =
        serde_json::from_reader(r#""\u0044ENIED""#.as_bytes()).expect("a code");
    assert_eq!(escaped, ErrorCode::Denied);
}

#[test]
fn other_forms_are_read_for_what_they_say() {
    let message = |code: &str, text: &str| vec![(code.to_owned(), Some(text.to_owned()))];
    for (body, expected) in [
        (
            r#"{"message":"Not Found"}"#,
            message("UNKNOWN", "Not Found"),
        ),
        (
            r#"{"code":"NAME_UNKNOWN","message":"x"}"#,
            message("NAME_UNKNOWN", "x"),
        ),
        (
            r#"{"errors":[{"status":404,"message":"x"}]}"#,
            message("UNKNOWN", "x"),
        ),
        (
            r#"{"errors":[{"code":10000,"message":"x"}],"success":false}"#,
            message("10000", "x"),
        ),
        (
            r#"{"errors":{"code":"DENIED","message":"x"}}"#,
            message("DENIED", "x"),
        ),
        (r#"{"errors":["x"]}"#, message("UNKNOWN", "x")),
        (
            r#"[{"code":"DENIED","message":"x"}]"#,
            message("DENIED", "x"),
        ),
        (r#"{"error":"x y"}"#, message("UNKNOWN", "x y")),
        (
            r#"{"error":{"code":401,"message":"x"}}"#,
            message("401", "x"),
        ),
        (
            r#"{"error":"invalid_grant","error_description":"x"}"#,
            message("invalid_grant", "x"),
        ),
        (r#"{"errors":null,"message":"x"}"#, message("UNKNOWN", "x")),
        (
            "\u{feff} {\"errors\":[{\"code\":\"DENIED\",\"message\":\"x\"}]}\n",
            message("DENIED", "x"),
        ),
        (
            r#"{"errors":[{"code":null,"message":"x"}]}"#,
            message("UNKNOWN", "x"),
        ),
        (
            r#"{"errors":[{"code":"DENIED","message":{"a":1}}]}"#,
            vec![("DENIED".into(), None)],
        ),
        (
            r#"{"errors":[{"code":"DENIED","message":""}]}"#,
            vec![("DENIED".into(), None)],
        ),
    ] {
        assert_eq!(said(body), expected, "{body}");
    }
}

#[test]
fn a_detail_alone_is_an_error() {
    let docker_hub = parse(r#"{"details":"incorrect username or password"}"#);
    assert_eq!(
        docker_hub.errors[0].detail,
        "incorrect username or password"
    );
}

#[test]
fn what_says_nothing_is_no_error() {
    for body in [
        "",
        " ",
        "null",
        "true",
        "7",
        "\"text\"",
        "{}",
        "[]",
        "[null,1,[]]",
        r#"{"errors":[]}"#,
        r#"{"errors":"text"}"#,
        r#"{"errors":[{}]}"#,
        r#"{"token":"secret"}"#,
        "404 page not found",
        "<html><body>502 Bad Gateway</body></html>",
        "{",
        "{\"errors\"",
        "\u{0}",
    ] {
        assert_eq!(parse(body), ErrorBody::default(), "{body}");
    }
    assert_eq!(ErrorBody::parse(b"\xff\xfe\x00{"), ErrorBody::default());
}

#[test]
fn a_body_that_breaks_off_keeps_what_came_before() {
    let whole = json!({"errors": [
        {"code": "BLOB_UNKNOWN", "detail": digest(1).to_string()},
        {"code": "BLOB_UNKNOWN", "detail": digest(2).to_string()},
    ]})
    .to_string();
    for (end, expected) in [(whole.len() - 1, 2), (whole.len() - 3, 1), (60, 0)] {
        assert_eq!(parse(&whole[..end]).errors.len(), expected, "{end}");
    }
    let broken = br#"{"errors":[{"code":"DENIED"},{"code":"BLOB_UNKNOWN","message":"a#b"}],"#;
    assert_eq!(ErrorBody::parse(broken).errors.len(), 2);
    let mut invalid = br#"{"errors":[{"code":"DENIED","message":"a"#.to_vec();
    invalid.extend(b"\xff\"}]}");
    assert_eq!(
        ErrorBody::parse(&invalid).errors[0].message.as_deref(),
        Some("a\u{fffd}")
    );
}

#[test]
fn only_the_first_64_kib_and_1024_errors_are_read() {
    let entry = json!({"code": "BLOB_UNKNOWN", "message": "blob unknown", "detail": digest(1)});
    let entries = vec![entry; 2000];
    let body = json!({"errors": entries}).to_string();
    let read = parse(&body);
    assert!(body.len() > MAX_BODY_BYTES);
    assert!(
        (400..1024).contains(&read.errors.len()),
        "{}",
        read.errors.len()
    );
    assert_eq!(read, parse(&body[..MAX_BODY_BYTES]));

    let many = format!(
        r#"{{"errors":[{}"a"],"message":"x"}}"#,
        r#""a","#.repeat(5000)
    );
    assert_eq!(parse(&many).errors.len(), 1024);
    let deep = format!(
        r#"{{"errors":[{{"code":"DENIED"}},{{"detail":{}"#,
        "[".repeat(60_000)
    );
    assert_eq!(parse(&deep).errors.len(), 1);
}

#[test]
fn digests_are_found_wherever_registries_put_them() {
    let [a, b, c] = [
        digest(1),
        digest(2),
        Digest::of_with(Algorithm::Sha512, b""),
    ];
    let found = |entry: Value| parse(&json!({"errors": [entry]}).to_string()).mentioned_digests();
    for entry in [
        json!({"detail": a}),
        json!({"detail": {"digest": a}}),
        json!({"detail": {"Digest": {"deeper": [a]}}}),
        json!({"detail": {a.to_string(): "missing"}}),
        json!({"detail": [a, a]}),
        json!({"message": format!("blob {a}: not found")}),
        json!({"message": format!("Unknown blob `{a}`")}),
        json!({"message": format!("detail map[digest:{a}]")}),
        json!({"message": format!("the blob {a}. And so on")}),
        json!({"message": format!("xsha256:{a}")}),
        json!({"message": format!("blob {a}"), "detail": a}),
        json!(format!("unknown: {a}")),
    ] {
        assert_eq!(found(entry.clone()), std::slice::from_ref(&a), "{entry}");
    }
    let both = json!({"message": format!("Layers with digests '[{a}, {b}]'"), "detail": {"z": c}});
    assert_eq!(found(both), [a.clone(), b, c]);
    let short = &a.to_string()[..70];
    for message in [
        format!("{a}0"),
        format!("{a}g"),
        short.to_owned(),
        a.to_string().to_ascii_uppercase(),
        a.encoded().to_owned(),
        "sha256:".to_owned(),
        "sha".to_owned(),
        "shaé256".to_owned(),
    ] {
        assert_eq!(found(json!({"message": message})), [], "{message}");
    }
}

#[test]
fn a_message_that_lists_hundreds_of_digests_is_not_cut() {
    let digests: Vec<Digest> = (0..500).map(digest).collect();
    let list: Vec<String> = digests.iter().map(ToString::to_string).collect();
    let message = format!("Layers with digests '[{}]' required", list.join(", "));
    let body = parse(
        &json!({"errors": [{"code": "BLOB_UPLOAD_UNKNOWN", "message": message}]}).to_string(),
    );
    assert_eq!(body.mentioned_digests(), digests);
    assert!(
        body.errors[0].to_string().chars().count() < 1100,
        "but it is when printed"
    );
}

#[test]
fn what_is_printed_has_no_control_characters() {
    let entry = ErrorEntry::new(ErrorCode::from("A\u{1b}[31mB\u{202e}"))
        .message("line\r\nline\u{7}\u{1b}]0;title\u{2066}");
    assert_eq!(entry.to_string(), "A[31mB: line  line]0;title");
    assert_eq!(
        ErrorCode::from("é".repeat(500).as_str())
            .as_str()
            .chars()
            .count(),
        100
    );
}

/// What a person can read; blanks alone are no message.
fn message() -> impl Strategy<Value = String> {
    "\\PC{1,30}".prop_filter("blank", |it| !it.trim().is_empty())
}

fn any_entry() -> impl Strategy<Value = ErrorEntry> {
    let code = prop_oneof!["[A-Z_]{1,20}", Just("BLOB_UNKNOWN".to_owned())];
    let detail = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        proptest::collection::vec("\\PC{0,8}", 0..3).prop_map(Value::from),
    ];
    (code, proptest::option::of(message()), detail).prop_map(|(code, message, detail)| ErrorEntry {
        code: ErrorCode::from(code.as_str()),
        message,
        detail,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(errors in proptest::collection::vec(any_entry(), 1..6)) {
        let body = ErrorBody { errors };
        let bytes = serde_json::to_vec(&body).expect("json");
        prop_assert_eq!(ErrorBody::parse(&bytes), body);
    }

    #[test]
    fn a_cut_body_is_the_beginning_of_the_whole(
        errors in proptest::collection::vec(any_entry(), 1..6),
        at in any::<proptest::sample::Index>(),
    ) {
        let body = ErrorBody { errors };
        let bytes = serde_json::to_vec(&body).expect("json");
        let read = ErrorBody::parse(&bytes[..at.index(bytes.len())]).errors;
        prop_assert!(body.errors.starts_with(&read), "{:?}", read);
    }

    #[test]
    fn any_bytes_give_errors_that_print(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for entry in &ErrorBody::parse(&bytes).errors {
            prop_assert!(!entry.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn any_json_gives_errors_that_print(
        text in "[\\[{]{0,3}(\"(errors|code|message|detail|error|sha256:)\"[:,\\[{ ]{0,2}|null|1|[\\]}],?){0,12}",
    ) {
        let body = ErrorBody::parse(text.as_bytes());
        prop_assert!(body.mentioned_digests().is_empty());
        for entry in &body.errors {
            prop_assert!(!entry.to_string().contains(char::is_control));
        }
    }
}

#[test]
fn a_code_or_message_that_cannot_be_seen_is_none() {
    for body in [
        r#"{"errors":[{"code":"\u007f"}]}"#,
        r#"{"code":"\u0001","message":" \u202e "}"#,
        r#"{"error":"\u007f"}"#,
    ] {
        assert_eq!(ErrorBody::parse(body.as_bytes()).errors, [], "{body}");
    }
    let kept = ErrorBody::parse(br#"{"code":"\u007f","message":"m"}"#);
    assert_eq!(
        kept.errors,
        [ErrorEntry::new(ErrorCode::Unknown).message("m")]
    );
}

#[test]
fn a_code_that_begins_with_blanks_is_still_seen_when_it_is_cut() {
    let blanks = " ".repeat(120);
    let body = format!(r#"{{"errors":[{{"code":"{blanks}LATE"}},{{"message":"m"}}]}}"#);
    let errors = ErrorBody::parse(body.as_bytes());
    assert_eq!(errors.errors[0].code.as_str(), "LATE");
    let printed = serde_json::to_vec(&errors).unwrap();
    assert_eq!(ErrorBody::parse(&printed), errors);
}
