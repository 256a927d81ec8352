//! Bytes off the wire, as hostile as chance makes them: nothing panics, nothing
//! grows, and what was understood is understood the same when it is written again.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::prelude::*;

use super::{
    ByteRange, Challenge, ChunkRange, ContentRange, ErrorBody, Scope, ScopeSet, UploadedRange,
    challenge, error,
};
use crate::{Digest, MediaType, Platform, Reference, Repository, Tag};

/// A grammar's value prints as a text that is read as the same value; an error
/// holds no more of a foreign text than a line or two.
fn reads<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(it) => prop_assert_eq!(it.to_string().parse::<T>().ok(), Some(it)),
        Err(error) => prop_assert!(error.to_string().len() < 8 * 1024),
    }
    Ok(())
}

fn everything(text: &str) -> Result<(), TestCaseError> {
    reads::<UploadedRange>(text)?;
    reads::<ChunkRange>(text)?;
    reads::<ByteRange>(text)?;
    reads::<ContentRange>(text)?;
    reads::<Scope>(text)?;
    reads::<ScopeSet>(text)?;
    reads::<Digest>(text)?;
    reads::<Platform>(text)?;
    reads::<Tag>(text)?;
    reads::<Repository>(text)?;
    if let Ok(challenges) = Challenge::parse(text) {
        prop_assert!(challenges.len() <= challenge::MAX_HEADER_BYTES);
        let written: Vec<String> = challenges.iter().map(ToString::to_string).collect();
        prop_assert_eq!(Challenge::parse(&written.join(", ")), Ok(challenges));
    }
    let body = ErrorBody::parse(text.as_bytes());
    let again = serde_json::to_vec(&body).map(|it| ErrorBody::parse(&it));
    prop_assert_eq!(
        again.ok().map(|it| it.errors.len()),
        Some(body.errors.len())
    );
    prop_assert!(body.mentioned_digests().len() <= text.len() / 71);
    let _ = MediaType::from_header(text).is_foreign();
    let _ = text.parse::<Reference>();
    Ok(())
}

/// Words of every grammar, in no order.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[ -~]{0,3}",
        Just("bytes".to_owned()),
        Just("Bearer realm=\"https://a/t\"".to_owned()),
        Just(",scope=\"repository:a:pull\"".to_owned()),
        Just("Basic realm=\"".to_owned()),
        Just("{\"errors\":[".to_owned()),
        Just("{\"code\":\"DENIED\",\"message\":\"".to_owned()),
        Just("\"detail\":".to_owned()),
        Just("repository:".to_owned()),
        Just(Digest::of(b"").to_string()),
        Just("18446744073709551615".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("\u{202e}\u{0}\u{1b}[".to_owned()),
    ];
    let glue = prop_oneof![
        Just(""),
        Just("-"),
        Just("="),
        Just(":"),
        Just(","),
        Just("/"),
        Just(" "),
        Just("\""),
        Just("}")
    ];
    proptest::collection::vec((word, glue), 0..10).prop_map(|words| {
        let words: Vec<String> = words.into_iter().map(|(a, b)| a + b).collect();
        words.concat()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        everything(&String::from_utf8_lossy(&bytes))?;
        let latin: String = bytes.iter().copied().map(char::from).collect();
        everything(&latin)?;
        let _ = ErrorBody::parse(&bytes);
    }

    #[test]
    fn any_words_of_the_grammars_are_read_or_refused(text in words()) {
        everything(&text)?;
    }
}

#[test]
fn bodies_and_headers_of_any_length_take_no_more_than_their_share() {
    for piece in [
        "sha", "sha256:", "[", "{\"a\":", "\"", "\\", "Basic, ", "a:b:c ", "\u{e9}", " ",
    ] {
        let text = piece.repeat(2_000_000 / piece.len());
        let body = ErrorBody::parse(text.as_bytes());
        assert!(body.errors.len() <= 1024, "{piece}");
        assert!(Challenge::parse(&text).is_err(), "{piece}");
        let quoted = serde_json::json!({"errors": [{"message": text, "detail": text}]}).to_string();
        let body = ErrorBody::parse(quoted.as_bytes());
        assert!(body.errors.is_empty(), "{piece}: cut off in its only error");
        let within = &text[..text.floor_char_boundary(error::MAX_BODY_BYTES / 4)];
        let quoted = serde_json::json!({"errors": [{"message": within}]}).to_string();
        assert!(
            ErrorBody::parse(quoted.as_bytes())
                .mentioned_digests()
                .is_empty()
        );
    }
}
