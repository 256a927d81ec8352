//! Scopes as token services and registries write them.

use proptest::prelude::*;

use super::{Action, Scope, ScopeSet};

fn scope(text: &str) -> Scope {
    text.parse().expect(text)
}

fn set(text: &str) -> ScopeSet {
    text.parse().expect(text)
}

#[test]
fn the_first_and_the_last_colon_divide() {
    for (text, kind, name, actions) in [
        ("repository:team/app:pull", "repository", "team/app", "pull"),
        (
            "repository:team/app:push,pull",
            "repository",
            "team/app",
            "pull,push",
        ),
        (
            "repository:host:5000/team/app:pull",
            "repository",
            "host:5000/team/app",
            "pull",
        ),
        (
            "repository:[::1]:5000/a:pull",
            "repository",
            "[::1]:5000/a",
            "pull",
        ),
        (
            "repository(plugin):a/b:pull",
            "repository(plugin)",
            "a/b",
            "pull",
        ),
        ("registry:catalog:*", "registry", "catalog", "*"),
        ("repository:a:", "repository", "a", ""),
        ("repository:a:pull,,pull", "repository", "a", "pull"),
        (
            "repository:a:x,delete,push,pull",
            "repository",
            "a",
            "pull,push,delete,x",
        ),
    ] {
        let it = scope(text);
        let printed = it.to_string();
        assert_eq!((it.kind(), it.name()), (kind, name), "{text}");
        assert_eq!(printed, format!("{kind}:{name}:{actions}"), "{text}");
        assert_eq!(
            it.actions().len(),
            actions.split(',').filter(|it| !it.is_empty()).count()
        );
    }
    for text in [
        "",
        ":",
        "::",
        "repository",
        "repository:a",
        "repository::pull",
        ":a:pull",
        "repository:a b:pull",
        "repository:a:pull\n",
    ] {
        assert!(text.parse::<Scope>().is_err(), "{text:?}");
    }
}

#[test]
fn two_scopes_in_one_text_are_two() {
    let it = set("repository:a:pull,push  repository:b:pull ");
    let printed: Vec<String> = it.iter().map(ToString::to_string).collect();
    assert_eq!(printed, ["repository:a:pull,push", "repository:b:pull"]);
    assert_eq!(it.to_string(), "repository:a:pull,push repository:b:pull");
    assert!(set("").is_empty());
    assert!("repository:a:pull nonsense".parse::<ScopeSet>().is_err());
}

#[test]
fn the_destination_stays_first_and_no_resource_stands_twice() {
    let it = set("repository:dst:pull,push")
        .union(&set("repository:src:pull repository:dst:pull"))
        .union(&set("repository:dst:delete"));
    assert_eq!(
        it.to_string(),
        "repository:dst:pull,push,delete repository:src:pull"
    );
    let kinds = set("repository:a:pull repository(plugin):a:pull");
    assert_eq!(kinds.iter().count(), 2);
}

#[test]
fn a_set_covers_what_it_allows() {
    let have = set("repository:a:pull,push repository:b:pull registry:catalog:*");
    for wanted in [
        "",
        "repository:a:pull",
        "repository:b:pull repository:a:push,pull",
        "registry:catalog:anything",
        "repository:b:",
    ] {
        assert!(have.covers(&set(wanted)), "{wanted}");
    }
    for wanted in [
        "repository:b:push",
        "repository:c:pull",
        "repository(plugin):a:pull",
        "repository:a:*",
        "repository:a:delete",
        "repository:A:pull",
    ] {
        assert!(!have.covers(&set(wanted)), "{wanted}");
    }
}

#[test]
fn a_repository_is_named_by_its_path() {
    let repository: crate::Repository = "h.io:5000/team/app".parse().expect("a repository");
    assert_eq!(
        Scope::push(&repository).to_string(),
        "repository:team/app:pull,push"
    );
    assert_eq!(
        Scope::pull(&repository).to_string(),
        "repository:team/app:pull"
    );
    let delete = Scope::repository(&repository, [Action::Delete]);
    assert_eq!(delete.to_string(), "repository:team/app:delete");
}

fn any_set() -> impl Strategy<Value = ScopeSet> {
    let one = (
        "[a-c]",
        proptest::sample::subsequence(vec!["pull", "push", "delete", "x"], 0..=4),
    )
        .prop_map(|(name, actions)| scope(&format!("repository:{name}:{}", actions.join(","))));
    proptest::collection::vec(one, 0..5).prop_map(|scopes| scopes.into_iter().collect())
}

proptest! {
    #[test]
    fn scopes_print_as_they_parse(text in "[a-z]{1,9}(\\([a-z]{1,4}\\))?:[a-z0-9:/._-]{1,20}:[a-z*,]{0,12}") {
        let it = scope(&text);
        prop_assert_eq!(it.to_string().parse(), Ok(it.clone()));
        prop_assert!(it.covers(&it));
    }

    #[test]
    fn a_union_covers_both_sides_and_prints_as_it_parses(a in any_set(), b in any_set()) {
        let union = a.clone().union(&b);
        prop_assert!(union.covers(&a) && union.covers(&b) && union.covers(&union));
        prop_assert_eq!(&union.to_string().parse::<ScopeSet>(), &Ok(union.clone()));
        let first = |it: &ScopeSet| it.iter().next().map(|it| it.name().to_owned());
        prop_assert!(a.is_empty() || first(&union) == first(&a));
        prop_assert_eq!(&union.clone().union(&a), &union);
    }

    #[test]
    fn any_text_is_a_scope_set_or_an_error(text in "\\PC{0,60}|[a-z:, ]{0,40}") {
        if let Ok(it) = text.parse::<ScopeSet>() {
            prop_assert_eq!(it.to_string().parse(), Ok(it));
        }
    }
}
