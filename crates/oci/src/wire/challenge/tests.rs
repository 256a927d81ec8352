//! Challenges as registries write them, and as they should not.

use proptest::prelude::*;

use super::{Challenge, ChallengeError, MAX_HEADER_BYTES};
use crate::wire::ScopeSet;

fn parse(header: &str) -> Vec<Challenge> {
    Challenge::parse(header).expect(header)
}

fn bearer(realm: &str, service: Option<&str>, scope: &str, error: Option<&str>) -> Challenge {
    Challenge::Bearer {
        realm: realm.into(),
        service: service.map(Into::into),
        scope: scope.parse().expect(scope),
        error: error.map(Into::into),
    }
}

fn basic(realm: &str) -> Challenge {
    Challenge::Basic {
        realm: realm.into(),
    }
}

#[test]
fn a_bearer_challenge_is_read_whole() {
    let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push",error="insufficient_scope""#;
    let expected = bearer(
        "https://auth.docker.io/token",
        Some("registry.docker.io"),
        "repository:library/alpine:pull,push",
        Some("insufficient_scope"),
    );
    assert_eq!(parse(header), [expected]);
}

#[test]
fn forms_that_the_grammar_allows_are_read() {
    let plain = bearer("https://a/t", Some("s"), "", None);
    for header in [
        r#"Bearer realm="https://a/t",service="s""#,
        r#"bearer realm="https://a/t", service=s"#,
        r#"BEARER REALM="https://a/t" , Service="s""#,
        r#"  Bearer realm="https://a/t",service="s"  "#,
        r#"Bearer service="s",x="a,b=\"c",realm="https://a/t""#,
        r#"Bearer realm="https://a/t",,service="s","#,
        r#"Bearer realm = "https://a/t",service= "s""#,
        r#"Bearer realm="https:\/\/a/t",service="s""#,
        r#"Bearer realm="https://a/t",service="s",scope="""#,
    ] {
        assert_eq!(parse(header), std::slice::from_ref(&plain), "{header}");
    }
    assert_eq!(parse("Basic"), [basic("")]);
    assert_eq!(parse(r#"Basic realm="a \"b\\ c""#), [basic(r#"a "b\ c"#)]);
}

#[test]
fn forms_that_only_mean_one_thing_are_read_too() {
    let plain = bearer("https://a/t?x=y&z=", Some("s"), "", None);
    for header in [
        "Bearer realm=https://a/t?x=y&z=,service=s",
        "Bearer realm=https://a/t?x=y&z= service=s",
        r#"Bearer realm="https://a/t?x=y&z=" service="s""#,
        "Bearer realm='https://a/t?x=y&z=',service='s'",
        r#"Bearer   realm="https://a/t?x=y&z=";service="s""#,
        r#", Bearer ,realm="https://a/t?x=y&z=" ,, service="s","#,
        r#"Bearer realm="https://a/t?x=y&z=",realm="https://evil/t",service="s""#,
    ] {
        assert_eq!(parse(header), std::slice::from_ref(&plain), "{header}");
    }
    let scope = r#"Bearer realm="https://a/t",scope=repository:a:pull"#;
    let expected = bearer("https://a/t", None, "repository:a:pull", None);
    assert_eq!(parse(scope), [expected]);
    assert_eq!(parse("Basic realm=\"caf\u{e9}\""), [basic("caf\u{e9}")]);
}

#[test]
fn a_token_after_a_scheme_is_no_parameter_and_hides_nothing() {
    let other = |scheme: &str| Challenge::Other {
        scheme: scheme.into(),
    };
    let after = bearer("https://a/t", None, "", None);
    for token in ["dG9rZW4=", "dG9rZW4==", "a+/b~._-c", "TlRMTVNTUAAB"] {
        let header = format!(r#"Negotiate {token}, Bearer realm="https://a/t""#);
        let expected = [other("Negotiate"), after.clone()];
        assert_eq!(parse(&header), expected, "{header}");
        assert_eq!(parse(&format!("NTLM {token}")), [other("NTLM")]);
    }
    assert_eq!(
        parse(r#"Negotiate, NTLM, Basic realm="b""#),
        [other("Negotiate"), other("NTLM"), basic("b")]
    );
}

#[test]
fn several_schemes_in_one_header_are_read_in_order() {
    let header = r#"Negotiate, Basic realm="a, Bearer realm=\"x\"", Bearer realm="https://a/t",scope="repository:a:pull,push", Digest realm="d", nonce="n""#;
    let other = |scheme: &str| Challenge::Other {
        scheme: scheme.into(),
    };
    let expected = [
        other("Negotiate"),
        basic(r#"a, Bearer realm="x""#),
        bearer("https://a/t", None, "repository:a:pull,push", None),
        other("Digest"),
    ];
    assert_eq!(parse(header), expected);
}

#[test]
fn two_scopes_divided_by_a_space_are_two() {
    let scope = "repository:a:pull,push repository:h:5000/b:pull";
    let header = format!(r#"Bearer realm="https://a/t",scope="{scope}""#);
    let [Challenge::Bearer { scope: read, .. }] = &parse(&header)[..] else {
        panic!("not one Bearer challenge");
    };
    assert_eq!(read.iter().count(), 2);
    assert_eq!(read.to_string(), scope);
}

#[test]
fn an_unreadable_scope_is_no_scope_and_no_error() {
    for scope in ["pull", "repository", ":", "repository:a:pull nonsense"] {
        let header = format!(r#"Bearer realm="https://a/t",scope="{scope}""#);
        assert_eq!(
            parse(&header),
            [bearer("https://a/t", None, "", None)],
            "{scope}"
        );
    }
}

#[test]
fn a_bearer_challenge_without_realm_is_left_out_or_an_error() {
    for header in ["Bearer", r#"Bearer service="s""#, r#"Bearer realm="""#] {
        assert_eq!(
            Challenge::parse(header),
            Err(ChallengeError::NoRealm),
            "{header}"
        );
        let with_basic = format!(r#"{header}, Basic realm="b""#);
        assert_eq!(parse(&with_basic), [basic("b")], "{with_basic}");
    }
}

#[test]
fn broken_headers_are_errors() {
    for header in [
        "",
        " ",
        ",",
        "=",
        r#"Bearer realm="https://a/t"#,
        r#"Bearer realm="https://a/t\"#,
        r#"realm="a""#,
        "Bearer realm=\"a\nb\"",
        "<html>",
    ] {
        let error = Challenge::parse(header).expect_err(header);
        assert!(
            matches!(error, ChallengeError::Malformed(_)),
            "{header:?}: {error}"
        );
    }
    let long = format!("Basic realm=\"{}\"", "a".repeat(MAX_HEADER_BYTES));
    assert_eq!(
        Challenge::parse(&long),
        Err(ChallengeError::TooLong(long.len()))
    );
    let most = format!("Basic realm=\"{}\"", "a".repeat(MAX_HEADER_BYTES - 14));
    assert_eq!((most.len(), parse(&most).len()), (MAX_HEADER_BYTES, 1));
    let text = Challenge::parse(&"\u{e9}".repeat(4000))
        .expect_err("not ASCII")
        .to_string();
    assert!(text.len() < 1000, "{text}");
}

fn any_challenge() -> impl Strategy<Value = Challenge> {
    let text = "[ -~]{0,20}";
    let scope = proptest::collection::vec("repository:[a-z/]{1,8}:pull(,push)?", 0..3)
        .prop_map(|scopes| scopes.join(" ").parse::<ScopeSet>().expect("scopes"));
    let bearer = (
        "[ -~]{1,20}",
        proptest::option::of(text),
        scope,
        proptest::option::of(text),
    )
        .prop_map(|(realm, service, scope, error)| Challenge::Bearer {
            realm,
            service,
            scope,
            error,
        });
    prop_oneof![
        text.prop_map(|realm| Challenge::Basic { realm }),
        bearer,
        "Digest|Negotiate|X-[a-z]{1,8}".prop_map(|scheme| Challenge::Other { scheme }),
    ]
}

proptest! {
    #[test]
    fn challenges_print_as_they_parse(challenges in proptest::collection::vec(any_challenge(), 1..4)) {
        let header: Vec<String> = challenges.iter().map(ToString::to_string).collect();
        prop_assert_eq!(Challenge::parse(&header.join(", ")), Ok(challenges));
    }

    #[test]
    fn any_text_gives_challenges_or_an_error(
        text in "\\PC{0,80}|(Bearer|Basic)?[ ,=\"\\\\a-z:/]{0,80}",
        control in "[\\x00-\\xff]{0,10}",
    ) {
        for header in [text.clone(), format!("Bearer realm=\"{control}\",{text}")] {
            match Challenge::parse(&header) {
                Ok(challenges) => {
                    prop_assert!(!challenges.is_empty());
                    for it in challenges {
                        prop_assert!(!it.to_string().contains(char::is_control));
                    }
                }
                Err(error) => prop_assert!(error.to_string().len() < 2000),
            }
        }
    }
}

#[test]
fn a_realm_of_control_characters_is_none() {
    assert_eq!(
        Challenge::parse("Bearer realm=\"\t\""),
        Err(ChallengeError::NoRealm)
    );
}
