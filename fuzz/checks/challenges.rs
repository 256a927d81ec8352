//! What is said about access: challenges, scopes, error bodies and token answers.
//!
//! A challenge that is understood prints as one that is understood the same way; a set
//! of scopes names each resource once; an error body keeps its bounds.

use oci::wire::{Challenge, ErrorBody, Scope, ScopeSet};

pub(crate) fn check(data: &[u8]) {
    let errors = ErrorBody::parse(data);
    let printed = serde_json::to_vec(&errors).unwrap_or_default();
    // What is escaped grows, and of what is too long only the beginning is read.
    if printed.len() <= oci::wire::error::MAX_BODY_BYTES {
        let again = ErrorBody::parse(&printed);
        assert_eq!(again.errors.len(), errors.errors.len());
        assert_eq!(again.mentioned_digests(), errors.mentioned_digests());
    }
    registry::fuzzing::token_answer(data);

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for challenge in Challenge::parse(text).unwrap_or_default() {
        challenge_reads_back(&challenge);
    }
    if let Ok(scope) = text.parse::<Scope>() {
        assert_eq!(scope.to_string().parse().as_ref(), Ok(&scope));
        assert!(scope.covers(&scope));
    }
    if let Ok(scopes) = text.parse::<ScopeSet>() {
        assert_eq!(scopes.to_string().parse().as_ref(), Ok(&scopes));
        assert!(scopes.covers(&scopes));
        let named: Vec<_> = scopes.iter().map(|it| (it.kind(), it.name())).collect();
        let mut once = named.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), named.len());
        assert_eq!(scopes.clone().union(&scopes), scopes);
    }
}

fn challenge_reads_back(challenge: &Challenge) {
    let printed = challenge.to_string();
    let Ok(again) = Challenge::parse(&printed) else {
        // A header has a longest form, and quoting makes texts longer.
        assert!(
            printed.len() > oci::wire::challenge::MAX_HEADER_BYTES,
            "{printed:?}"
        );
        return;
    };
    // Tabs may stand inside quotes, and are left out of what is printed.
    if !format!("{challenge:?}").contains("\\t") {
        let expected = std::slice::from_ref(challenge);
        assert_eq!(again, expected, "{printed:?}");
    }
    let reprinted: Vec<String> = again.iter().map(ToString::to_string).collect();
    assert_eq!(reprinted, [printed]);
}
