//! The grammar of references: what holds for any text.

use proptest::prelude::*;

use super::{
    super::{MAX_NAME_BYTES, Parts, Reference, Registry, Repository, TagOrDigest, grammar},
    DIGEST, parse,
};

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9]{1,6}(-[a-z0-9]{1,4})?\\.[a-z]{2,3}",
        Just("localhost".to_owned()),
        Just("LOCALHOST".to_owned()),
        Just("index.docker.io".to_owned()),
        Just("docker.io".to_owned()),
        Just("127.0.0.1".to_owned()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ]
}

fn port() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(":443".to_owned()),
        Just(":80".to_owned()),
        (1..=u16::MAX).prop_map(|port| format!(":{port}")),
    ]
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-z0-9]{1,5}(([._]|__|-{1,3})[a-z0-9]{1,5}){0,2}", 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn suffix() -> impl Strategy<Value = String> {
    let tag = proptest::option::of("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}");
    let digest = proptest::option::of(prop_oneof!["sha256:[0-9a-f]{64}", "sha512:[0-9a-f]{128}"]);
    (tag, digest).prop_map(|(tag, digest)| {
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = digest.map(|it| format!("@{it}")).unwrap_or_default();
        format!("{tag}{digest}")
    })
}

fn text() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![
        Just(""),
        Just("docker://"),
        Just("https://"),
        Just("http://")
    ];
    (
        scheme,
        proptest::option::of((host(), port())),
        path(),
        suffix(),
    )
        .prop_map(|(scheme, registry, path, suffix)| match registry {
            Some((host, port)) => format!("{scheme}{host}{port}/{path}{suffix}"),
            // After a scheme the first part is a registry, so there is one.
            None if scheme.starts_with("http") => format!("{scheme}{path}/x{suffix}"),
            None => format!("{scheme}{path}{suffix}"),
        })
}

fn any_parts() -> impl Strategy<Value = Parts> {
    proptest::sample::subsequence(
        vec![
            Parts::SCHEME,
            Parts::REGISTRY,
            Parts::REPOSITORY,
            Parts::TAG,
            Parts::DIGEST,
        ],
        0..=5,
    )
    .prop_map(|parts| parts.into_iter().fold(Parts::NONE, |all, one| all | one))
}

proptest! {
    #[test]
    fn r1_what_is_printed_parses_back(text in text()) {
        // A host such as `a__b` comes up where a scheme makes the first part one.
        let Ok(it) = text.parse::<Reference>() else {
            prop_assert!(text.starts_with("http"), "{}", text);
            return Ok(());
        };
        let json = serde_json::to_string(&it).expect("json");
        prop_assert_eq!(&serde_json::from_str::<Reference>(&json).expect("a reference"), &it);
        if it.scheme().is_none() {
            prop_assert_eq!(it.to_string().parse::<Reference>(), Ok(it.clone()));
            let repository = it.repository();
            prop_assert_eq!(repository.to_string().parse(), Ok(repository.clone()));
            let registry = repository.registry();
            prop_assert_eq!(registry.to_string().parse(), Ok(registry.clone()));
        }
        if let Some(tag) = it.tag() {
            prop_assert_eq!(tag.to_string().parse(), Ok(tag.clone()));
        }
        prop_assert_eq!(it.tag_or_digest().to_string().parse(), Ok(it.tag_or_digest()));
    }

    #[test]
    fn r1_any_text_gives_a_reference_that_prints_or_a_bounded_error(text in "\\PC{0,40}|[a-zA-Z0-9:/@.\\[\\]_-]{0,60}") {
        match text.parse::<Reference>() {
            Ok(it) => prop_assert!(it.repository().to_string().len() <= MAX_NAME_BYTES),
            Err(error) => prop_assert!(error.to_string().len() < 4096),
        }
        let _ = text.parse::<Registry>();
        let _ = text.parse::<Repository>();
        let _ = text.parse::<TagOrDigest>();
    }

    #[test]
    fn r1_paths_by_the_specifications_expression_are_accepted(
        path in "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*",
        tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
        wrong in "[A-Z._/-]|__|[.][.]|___|[.]_|-[.]",
    ) {
        prop_assert!(grammar::check_path(&path).is_ok(), "{}", path);
        prop_assert!(grammar::is_tag(&tag), "{}", tag);
        let (start, end) = (format!("{wrong}{path}"), format!("{path}{wrong}"));
        prop_assert!(grammar::check_path(&start).is_err(), "{}", start);
        prop_assert!(grammar::check_path(&end).is_err(), "{}", end);
    }

    #[test]
    fn r2_matching_is_reflexive_and_symmetric(a in text(), b in text(), parts in any_parts()) {
        let (Ok(a), Ok(b)) = (a.parse::<Reference>(), b.parse::<Reference>()) else {
            return Ok(());
        };
        prop_assert!(a.agrees(&a, parts));
        prop_assert_eq!(a.agrees(&b, parts), b.agrees(&a, parts));
    }

    #[test]
    fn r2_each_part_is_independent(a in text(), b in text(), parts in any_parts()) {
        let (Ok(a), Ok(b)) = (a.parse::<Reference>(), b.parse::<Reference>()) else {
            return Ok(());
        };
        let each = [Parts::SCHEME, Parts::REGISTRY, Parts::REPOSITORY, Parts::TAG, Parts::DIGEST];
        let one_by_one = each
            .into_iter()
            .filter(|&part| parts.contains(part))
            .all(|part| a.agrees(&b, part));
        prop_assert_eq!(a.agrees(&b, parts), one_by_one);
    }

    #[test]
    fn r2_a_change_of_one_part_is_seen_in_that_part_only(path in path(), tag in "[a-z]{1,5}") {
        let a = parse(&format!("h.io/{path}:{tag}"));
        let changed = [
            (format!("http://h.io/{path}:{tag}"), Parts::SCHEME),
            (format!("h.io:5000/{path}:{tag}"), Parts::REGISTRY),
            (format!("h.io/{path}/x:{tag}"), Parts::REPOSITORY),
            (format!("h.io/{path}:{}", tag.to_ascii_uppercase()), Parts::TAG),
            (format!("h.io/{path}:{tag}@{DIGEST}"), Parts::DIGEST),
        ];
        for (text, part) in &changed {
            for (_, asked) in &changed {
                prop_assert_eq!(a.agrees(&parse(text), *asked), asked != part, "{}", text);
            }
        }
    }
}
