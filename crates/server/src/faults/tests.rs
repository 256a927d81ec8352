use super::*;

fn asked(endpoint: Endpoint) -> Asked<'static> {
    Asked {
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
        seen.push((plan.refuse_mount, plan.accept_sparse));
    }
    let expected = [(false, true), (false, true), (true, true), (false, false)];
    assert_eq!(seen, expected);
    assert_eq!((second.hits(), firsts.hits()), (1, 3));
    faults.clear();
    assert!(!faults.plan(asked(Endpoint::Ping)).accept_sparse);
}

#[test]
fn of_two_that_answer_the_first_does_and_others_join_in() {
    use plan::{Change, Instead};
    use std::time::Duration;
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
