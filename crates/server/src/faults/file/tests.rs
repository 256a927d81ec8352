use super::*;
use crate::{Action, Answer, Endpoint, RetryAfter};

fn refusal(text: &str) -> String {
    let error = text.parse::<FaultsFile>().unwrap_err();
    error.to_string()
}

fn rule(lines: &str) -> String {
    format!("version = 1\n[[rule]]\n{lines}\n")
}

#[test]
fn what_is_unknown_is_refused_with_its_place_and_what_is_known() {
    let unknown = refusal("version = 1\n\n[[rules]]\naction = \"stall\"\n");
    assert!(
        unknown.starts_with("line 3, column 3: unknown field `rules`"),
        "{unknown}"
    );
    assert!(
        unknown.contains("`version`, `imitate`, `rule`"),
        "{unknown}"
    );
    let key = refusal(&rule("action = \"stall\"\npath = \"x\""));
    assert!(
        key.starts_with("line 4, column 1: unknown field `path`"),
        "{key}"
    );
    assert!(key.contains("`path-contains`"), "{key}");
    let action = refusal(&rule("action = \"explode\""));
    assert!(
        action.starts_with("line 3, column 10: unknown variant `explode`"),
        "{action}"
    );
    assert!(action.contains("`reset-at-byte`"), "{action}");
    let endpoint = refusal(&rule("on = [\"upload\"]\naction = \"stall\""));
    assert!(
        endpoint.starts_with("line 3, column 7: unknown variant `upload`"),
        "{endpoint}"
    );
    assert!(endpoint.contains("`upload-patch`"), "{endpoint}");
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (lines, wanted) in [
        ("nth = 0\naction = \"stall\"", "counted from 1"),
        ("nth = 1\nfirst = 2\naction = \"stall\"", "one at most"),
        (
            "numbers = [3, 2]\naction = \"stall\"",
            "the first before the last",
        ),
        (
            "probability = 1.5\naction = \"stall\"",
            "not within 0 and 1",
        ),
        ("seed = 1\naction = \"stall\"", "needs a probability"),
        ("method = \"A B\"\naction = \"stall\"", "not a method"),
        ("action = { delay = \"5 x\" }", "is not a time"),
        ("action = { delay = \"61m\" }", "at most one hour"),
        (
            "action = { answer = { status = 99 } }",
            "not one of 200 to 599",
        ),
        (
            "action = { answer = { status = 400, code = \"A\", body = \"b\" } }",
            "not both",
        ),
        (
            "action = { set-header = { name = \"a b\", value = \"c\" } }",
            "not a header",
        ),
        ("action = { huge-header = 99999999 }", "at most 16777216"),
        (
            "action = { delay-within = { from = \"2s\", to = \"1s\" } }",
            "longer than to",
        ),
    ] {
        let text = refusal(&rule(lines));
        assert!(
            text.contains(wanted) && text.starts_with("line "),
            "{lines}: {text}"
        );
    }
    assert!(refusal("version = 2").contains("only version 1"));
    assert!(refusal("").contains("missing field `version`"));
    assert!(refusal(&" ".repeat(MAX_BYTES + 1)).contains("at most"));
    let many = rule("action = \"stall\"").replacen("version = 1\n", "", 1);
    let many = format!("version = 1\n{}", many.repeat(MAX_RULES + 1));
    assert!(refusal(&many).contains("1001 rules"));
}

#[test]
fn a_file_means_the_rules_that_rust_would_say() {
    let text = r#"
        version = 1
        imitate = "distribution-2.8"
        [[rule]]
        on = ["token", "ping"]
        path-contains = "app"
        first = 3
        probability = 0.5
        seed = 9
        action = { answer = { status = 429, retry-after = { date-in = "5s" }, headers = [["x-a", "b"]] } }
        [[rule]]
        action = { limit-body = { bytes = 10, answer = { status = 413, code = "SIZE_INVALID", message = "no" } } }
    "#;
    let file: FaultsFile = text.parse().unwrap();
    let date = RetryAfter::DateIn(std::time::Duration::from_secs(5));
    let busy = Answer::new(429).header("x-a", "b").retry_after(date);
    let first = Rule::on(Endpoint::Token)
        .or(Endpoint::Ping)
        .path_contains("app")
        .first(3)
        .with_probability(0.5, 9)
        .act(Action::Answer(busy));
    let refusal = Answer::error(413, "SIZE_INVALID", "no");
    let second = Rule::any().act(Action::LimitBody(10, refusal));
    assert_eq!(file.rules(), [first, second]);
    assert_eq!(file.profile(), Some(Profile::Distribution2));
    let rules = file.rules().len() + Profile::Distribution2.rules().len();
    assert_eq!(file.faults().count(), rules);
    let spelled_out = file.spelled_out();
    assert_eq!(
        (spelled_out.rules().len(), spelled_out.profile()),
        (rules, None)
    );
    assert_eq!(file.to_string().parse::<FaultsFile>().unwrap(), file);
}

#[test]
fn every_profile_is_a_file_and_prints_as_its_name() {
    for profile in Profile::ALL {
        let text = format!("version = 1\nimitate = \"{profile}\"\n");
        let file: FaultsFile = text.parse().unwrap();
        assert_eq!(file.profile(), Some(profile));
        // Its rules can be written down as well.
        let rules = FaultsFile {
            version: VERSION,
            imitate: None,
            rules: profile.rules(),
        };
        assert_eq!(rules.to_string().parse::<FaultsFile>().unwrap(), rules);
    }
}
