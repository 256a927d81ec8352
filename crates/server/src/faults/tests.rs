use std::time::Duration;

use super::*;
use crate::options::Validation;

fn asked(endpoint: Endpoint) -> Asked<'static> {
    static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
    Asked {
        headers: &NONE,
        endpoint,
        method: "PUT",
        path: "/v2/team/app/manifests/x",
        query: "tag=a:b",
    }
}

fn fits(rule: &Rule) -> bool {
    rule.fits(asked(Endpoint::ManifestPut))
}

#[test]
fn a_rule_fits_where_all_it_says_holds() {
    use axum::http::Method;
    assert!(fits(&Rule::any()));
    assert!(fits(&Rule::on(Endpoint::ManifestPut)));
    assert!(fits(&Rule::on(Endpoint::Ping).or(Endpoint::ManifestPut)));
    assert!(!fits(&Rule::on(Endpoint::Ping)));
    assert!(fits(&Rule::any().method(Method::PUT)));
    assert!(!fits(&Rule::any().method(Method::GET)));
    assert!(fits(&Rule::any().path_contains("team/app")));
    assert!(!fits(&Rule::any().path_contains("other")));
    assert!(fits(&Rule::any().query_contains("a:b")));
    assert!(!fits(&Rule::any().query_contains("c")));
    let narrow = Rule::on(Endpoint::ManifestPut).path_contains("other");
    assert!(!fits(&narrow));
}

#[test]
fn turns_are_counted_from_one_and_only_where_the_rule_fits() {
    let faults = Faults::new();
    let second = faults.add(Rule::on(Endpoint::Ping).nth(2).act(Action::RefuseMount));
    let firsts = faults.add(Rule::any().first(3).act(Action::AcceptSparse));
    let mut seen = Vec::new();
    for endpoint in [
        Endpoint::Ping,
        Endpoint::Token,
        Endpoint::Ping,
        Endpoint::Ping,
    ] {
        let plan = faults.plan(asked(endpoint));
        seen.push((plan.refuse_mount, plan.validation.is_some()));
    }
    let expected = [(false, true), (false, true), (true, true), (false, false)];
    assert_eq!(seen, expected);
    assert_eq!((second.hits(), firsts.hits()), (1, 3));
    faults.clear();
    assert!(faults.plan(asked(Endpoint::Ping)).validation.is_none());
}

#[test]
fn of_two_that_answer_the_first_does_and_others_join_in() {
    use plan::{Change, Instead};
    let faults = Faults::new();
    let delay = Duration::from_millis(5);
    for action in [
        Action::Answer(Answer::new(503)),
        Action::Delay(delay),
        Action::ResetBefore,
        Action::OmitHeader("etag".to_owned()),
        Action::Delay(delay),
    ] {
        faults.add(Rule::any().act(action));
    }
    let plan = faults.plan(asked(Endpoint::Ping));
    assert!(matches!(&plan.instead, Some(Instead::Answer(it)) if it.status == 503));
    assert_eq!(plan.delay, 2 * delay);
    assert!(matches!(plan.changes.as_slice(), [Change::Omit(_)]));
}

#[test]
fn a_rule_may_want_a_header_or_a_query_without_a_text() {
    let mut with = asked(Endpoint::Ping);
    let headers = HeaderMap::from_iter([(
        axum::http::header::CONTENT_RANGE,
        axum::http::HeaderValue::from_static("0-1"),
    )]);
    let rule = Rule::any().with_header(axum::http::header::CONTENT_RANGE);
    assert!(!rule.fits(with));
    with.headers = &headers;
    assert!(rule.fits(with));
    assert!(!Rule::any().query_lacks("a:b").fits(with));
    assert!(Rule::any().query_lacks("from=").fits(with));
}

/// Which of 200 requests a rule of this seed hits.
fn struck(seed: u64) -> Vec<usize> {
    let faults = Faults::new();
    let rule = Rule::any().with_probability(0.05, seed);
    let installed = faults.add(rule.act(Action::RefuseMount));
    let hits: Vec<usize> = (0..200)
        .filter(|_| faults.plan(asked(Endpoint::Ping)).refuse_mount)
        .collect();
    assert_eq!(installed.hits(), hits.len() as u64);
    hits
}

#[test]
fn chance_is_the_same_for_the_same_seed_and_order() {
    assert_eq!(struck(7), struck(7));
    assert_ne!(struck(7), struck(8));
    let all: usize = (0..50).map(|seed| struck(seed).len()).sum();
    // Of 10,000 requests 500 are expected; five standard deviations either way are 109.
    assert!((391..=609).contains(&all), "{all}");
    let never = Rule::any().with_probability(0.0, 7);
    let always = Rule::any().with_probability(1.0, 7);
    assert!((1..1000).all(|n| !never.strikes(n) && always.strikes(n)));
}

#[test]
fn latencies_are_drawn_within_their_bounds_and_alike() {
    let latency = Latency {
        from: Duration::from_millis(10),
        to: Duration::from_millis(30),
        seed: 3,
    };
    let draw = || {
        (1..500)
            .map(|n| chance::wait(&latency, n))
            .collect::<Vec<_>>()
    };
    assert_eq!(draw(), draw());
    assert!(
        draw()
            .iter()
            .all(|it| (latency.from..=latency.to).contains(it))
    );
    let distinct: std::collections::BTreeSet<_> = draw().into_iter().collect();
    assert!(distinct.len() > 400);
}

#[test]
fn a_limit_leaves_a_body_of_its_length_alone() {
    let faults = Faults::new();
    faults.add(Rule::any().act(Action::LimitBody(10, Answer::new(413))));
    let plan = faults.plan(asked(Endpoint::UploadPut));
    assert!(matches!(plan.body, Some((11, BodyFault::Answer(_)))));
    // What strikes earlier strikes first.
    let faults = Faults::new();
    faults.add(Rule::any().act(Action::LimitBody(10, Answer::new(413))));
    faults.add(Rule::any().act(Action::ResetAtByte(4)));
    let plan = faults.plan(asked(Endpoint::UploadPut));
    assert!(matches!(plan.body, Some((4, BodyFault::Reset))));
    assert_eq!(plan.names, ["limit-body", "reset-at-byte"]);
}

#[test]
fn of_two_validations_the_first_stands() {
    let faults = Faults::new();
    faults.add(Rule::any().act(Action::Validate(Validation::First)));
    faults.add(Rule::any().act(Action::AcceptSparse));
    let plan = faults.plan(asked(Endpoint::ManifestPut));
    assert_eq!(plan.validation, Some(Validation::First));
}
