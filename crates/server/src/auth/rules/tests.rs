use super::*;

fn parsed(text: &str) -> Result<Rules, RulesError> {
    Rules::from_toml(text, "access.toml")
}

fn refused(text: &str) -> String {
    parsed(text).unwrap_err().to_string()
}

#[test]
fn patterns_match_what_they_look_like() {
    for (pattern, yes, no) in [
        (
            "team/app",
            vec!["team/app"],
            vec!["team", "team/app/x", "team/apps"],
        ),
        (
            "team/*",
            vec!["team/app"],
            vec!["team", "team/app/x", "teams/app", "a/team/app"],
        ),
        (
            "team/**",
            vec!["team/app", "team/app/x"],
            vec!["team", "teams/app", "a/team/app"],
        ),
        ("a/b/*", vec!["a/b/c"], vec!["a/b", "a/c/b", "a/b/c/d"]),
        ("*", vec!["app"], vec!["team/app"]),
        ("**", vec!["app", "team/app/x"], vec![]),
    ] {
        let parsed: RepositoryPattern = pattern.parse().unwrap();
        assert_eq!(parsed.to_string(), pattern);
        for name in yes {
            assert!(parsed.matches(name), "{pattern} {name}");
        }
        for name in no {
            assert!(!parsed.matches(name), "{pattern} {name}");
        }
    }
    for wrong in [
        "",
        "/",
        "/*",
        "Team/*",
        "team/",
        "te*m",
        "team/*/app",
        "**/app",
        "***",
        "team**",
    ] {
        assert!(wrong.parse::<RepositoryPattern>().is_err(), "{wrong}");
    }
}

#[test]
fn what_no_rule_gives_is_not_allowed() {
    let rules = Rules::new()
        .group("team", ["ann"])
        .grant(
            Grant::on("team/*".parse().unwrap())
                .to(Who::Group("team".into()))
                .push(),
        )
        .grant(
            Grant::on("team/*".parse().unwrap())
                .to(Who::User("dan".into()))
                .delete(),
        )
        .grant(
            Grant::on("shared".parse().unwrap())
                .to(Who::Authenticated)
                .pull(),
        )
        .grant(
            Grant::on("nobodys".parse().unwrap())
                .to(Who::Group("absent".into()))
                .push(),
        );
    let all = |user, name| {
        (
            rules.may_pull(user, name),
            rules.may_push(user, name),
            rules.may_delete(user, name),
        )
    };
    assert_eq!(all(Some("ann"), "team/app"), (true, true, false));
    assert_eq!(all(Some("dan"), "team/app"), (false, false, true));
    assert_eq!(all(Some("bob"), "team/app"), (false, false, false));
    assert_eq!(all(None, "team/app"), (false, false, false));
    assert_eq!(all(Some("bob"), "shared"), (true, false, false));
    assert_eq!(all(None, "shared"), (false, false, false));
    assert_eq!(all(Some("ann"), "nobodys"), (false, false, false));
    assert_eq!(all(Some("ann"), "other"), (false, false, false));
    assert!(!rules.serve_anonymous());
    assert!(Rules::open_to_users().anonymous_pull().serve_anonymous());
    assert_eq!(rules.users().collect::<Vec<_>>(), ["ann", "dan"]);
}

/// A group's name is not a user's, whoever is called what.
#[test]
fn a_user_called_as_a_group_is_not_in_it() {
    let rules = Rules::new().group("team", ["ann"]).grant(
        Grant::on(RepositoryPattern::all())
            .to(Who::Group("team".into()))
            .pull(),
    );
    assert!(!rules.may_pull(Some("team"), "app"));
}

#[test]
fn a_file_says_what_the_types_say() {
    let text = r#"
        [groups]
        team = ["ann", "bob"]

        [[rule]]
        repositories = ["team/**", "shared"]
        users = ["dan"]
        groups = ["team"]
        actions = ["pull", "push"]

        [[rule]]
        repositories = ["**"]
        authenticated = true
        anonymous = true
        actions = ["pull", "delete"]
    "#;
    let on = |pattern: &str| Grant::on(pattern.parse().unwrap());
    let first = on("team/**").and_on("shared".parse().unwrap());
    let first = first
        .to(Who::User("dan".into()))
        .to(Who::Group("team".into()));
    let second = on("**").to(Who::Authenticated).to(Who::Everybody);
    let rules = Rules::new()
        .group("team", ["ann", "bob"])
        .grant(first.pull().push())
        .grant(second.pull().delete());
    assert_eq!(parsed(text).unwrap(), rules);
}

#[test]
fn mistakes_are_named_by_file_and_line() {
    let rule = |body: &str| format!("[groups]\nteam = [\"ann\"]\n\n[[rule]]\n{body}");
    let good = "repositories = [\"**\"]\nactions = [\"pull\"]\n";
    for (text, starts, contains) in [
        (
            rule(&format!("{good}anonymus = true\n")),
            "access.toml, line 7: ",
            "anonymus",
        ),
        (
            rule(&format!("{good}groups = [\n  \"teem\"]\n")),
            "access.toml, line 8: ",
            "no group \"teem\"",
        ),
        (rule(good), "access.toml, line 4: ", "for nobody"),
        (
            rule("anonymous = true\nactions = [\"pull\"]"),
            "access.toml, line 4: ",
            "names no repository",
        ),
        (
            rule("anonymous = true\nrepositories = [\"**\"]"),
            "access.toml, line 4: ",
            "gives nothing",
        ),
        (
            rule("anonymous = true\nrepositories = [\"**\"]\nactions = [\"write\"]"),
            "access.toml, line 7: ",
            "\"delete\"",
        ),
        (
            rule("anonymous = true\nrepositories = [\"Te*m\"]\nactions = [\"pull\"]"),
            "access.toml, line 6: ",
            "lower-case name",
        ),
        ("rule = [".to_owned(), "access.toml, line 1: ", ""),
        (
            String::new(),
            "the access rules at access.toml hold no [[rule]]",
            "add one",
        ),
    ] {
        let told = refused(&text);
        assert!(
            told.starts_with(starts) && told.contains(contains),
            "{told}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_or_too_long_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.toml");
    let absent = Rules::read(&path).unwrap_err();
    assert!(matches!(&absent, RulesError::Read { path: named, .. } if *named == path));
    std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    let long = Rules::read(&path).unwrap_err();
    assert!(matches!(&long, RulesError::TooLarge { path: named } if *named == path));
}
