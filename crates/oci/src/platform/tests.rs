//! Which platform matches which, and the text of one.

use proptest::prelude::*;

use super::Platform;
use crate::{Descriptor, Document, MediaType};

fn platform(text: &str) -> Platform {
    text.parse().expect(text)
}

#[test]
fn a_platform_matches_by_os_and_architecture_under_any_name() {
    for (asked, offered) in [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64", "linux/amd64/v3"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v6"),
        ("linux/arm/v7", "linux/arm"),
        ("linux/arm/7", "linux/armhf"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("Linux/AMD64", "linux/amd64"),
    ] {
        assert!(
            platform(asked).matches(&platform(offered)),
            "{asked} {offered}"
        );
    }
    for (asked, offered) in [
        ("linux/amd64", "linux/arm64"),
        ("linux/amd64", "windows/amd64"),
        ("linux/amd64/v2", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v3"),
        ("linux/arm64/v9", "linux/arm64"),
        ("linux/arm/v6", "linux/arm/v7"),
        ("linux/arm/v7", "linux/arm64"),
        ("linux/armhf", "linux/arm/v6"),
        ("linux/arm", "linux/arm64"),
        ("linux/riscv64/a", "linux/riscv64"),
    ] {
        assert!(
            !platform(asked).matches(&platform(offered)),
            "{asked} {offered}"
        );
    }
}

#[test]
fn a_windows_version_matches_whole_components_only() {
    let asked = |version: &str| platform(&format!("windows/amd64:{version}"));
    let image = asked("10.0.20348.2113");
    for version in ["10.0.20348.2113", "10.0.20348", "10.0", "10"] {
        assert!(asked(version).matches(&image), "{version}");
    }
    assert!(platform("windows/amd64").matches(&image));
    for version in [
        "10.0.2034",
        "10.0.20348.211",
        "10.0.20348.2113.1",
        "10.0.20349",
        "1",
    ] {
        assert!(!asked(version).matches(&image), "{version}");
    }
    assert!(!asked("10.0.20348").matches(&asked("10.0.203480.1")));
    assert!(!asked("10.0.20348").matches(&platform("windows/amd64")));
}

#[test]
fn each_feature_asked_for_must_be_offered() {
    let plain = platform("windows/amd64");
    let mut with_features = plain.clone();
    with_features.os_features = vec!["win32k".into(), "other".into()];
    assert!(plain.matches(&with_features));
    assert!(!with_features.matches(&plain));
    assert!(with_features.matches(&with_features));
}

#[test]
fn an_index_gives_the_image_of_just_that_variant_before_another() {
    let index = |platforms: &[&str]| {
        let manifests: Vec<_> = platforms
            .iter()
            .map(|text| {
                let mut child = Descriptor::of(MediaType::OCI_MANIFEST, text.as_bytes());
                child.platform = Some(platform(text));
                child
            })
            .collect();
        let text = serde_json::json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        Document::new(text.into(), None).expect("an index")
    };
    let chosen = |platforms: &[&str], asked: &str| {
        let document = index(platforms);
        let child = document.as_index()?.child_for(&platform(asked))?;
        child.platform.as_ref().map(ToString::to_string)
    };
    let amd64 = [
        "linux/amd64/v3",
        "linux/amd64",
        "linux/arm/v6",
        "linux/arm/v7",
    ];
    assert_eq!(
        chosen(&amd64, "linux/amd64").as_deref(),
        Some("linux/amd64")
    );
    assert_eq!(
        chosen(&amd64, "linux/amd64/v3").as_deref(),
        Some("linux/amd64/v3")
    );
    assert_eq!(chosen(&amd64, "linux/arm").as_deref(), Some("linux/arm/v7"));
    assert_eq!(
        chosen(&amd64[2..3], "linux/arm").as_deref(),
        Some("linux/arm/v6")
    );
    assert_eq!(chosen(&amd64, "linux/s390x"), None);
    let builds = [
        "windows/amd64:10.0.17763.1",
        "windows/amd64:10.0.20348.5",
        "unknown/unknown",
    ];
    assert_eq!(
        chosen(&builds, "windows/amd64:10.0.20348").as_deref(),
        Some("windows/amd64:10.0.20348.5")
    );
    assert_eq!(chosen(&builds, "windows/amd64").as_deref(), Some(builds[0]));
    let document = index(&[builds[0], builds[1], builds[0], builds[2]]);
    let there: Vec<_> = document.as_index().expect("an index").platforms();
    assert_eq!(there, [&platform(builds[0]), &platform(builds[1])]);
}

#[test]
fn what_is_not_a_platform_is_an_error() {
    for text in [
        "",
        "linux",
        "linux/",
        "/amd64",
        "a/b/c/d",
        "linux/amd64:",
        "linux/am d64",
        "linux//v8",
        "linux/amd64/",
        "linux/amd64:1:2",
        "linux/amd\u{e9}",
    ] {
        let error = text.parse::<Platform>().expect_err(text);
        assert!(
            error.to_string().contains("expected os/architecture"),
            "{error}"
        );
    }
}

#[test]
fn json_has_the_specifications_keys_and_leaves_empty_ones_out() {
    let mut it = platform("windows/amd64:10.0.20348.1");
    it.os_features = vec!["win32k".into()];
    let json = serde_json::to_value(&it).expect("json");
    let expected = serde_json::json!({"architecture": "amd64", "os": "windows",
        "os.version": "10.0.20348.1", "os.features": ["win32k"]});
    assert_eq!(json, expected);
    assert_eq!(
        serde_json::from_value::<Platform>(json).expect("a platform"),
        it
    );
}

fn any_platform() -> impl Strategy<Value = Platform> {
    let name = prop_oneof![
        Just("amd64"),
        Just("x86_64"),
        Just("arm64"),
        Just("aarch64"),
        Just("arm"),
        Just("armhf"),
        Just("armel"),
        Just("386"),
        Just("s390x"),
    ];
    let os = prop_oneof![Just("linux"), Just("windows")];
    let variant = prop_oneof![
        Just(""),
        Just("/v6"),
        Just("/v7"),
        Just("/8"),
        Just("/v8"),
        Just("/V1")
    ];
    let version = prop_oneof![Just(String::new()), "(:[0-9]{1,2}(\\.[0-9]{1,5}){0,3})"];
    (os, name, variant, version).prop_map(|(os, name, variant, version)| {
        platform(&format!("{os}/{name}{variant}{version}"))
    })
}

proptest! {
    #[test]
    fn a_platform_prints_as_it_parses_and_matches_itself(it in any_platform()) {
        prop_assert_eq!(it.to_string().parse(), Ok(it.clone()));
        prop_assert!(it.matches(&it));
    }

    #[test]
    fn asking_for_less_matches_no_less(asked in any_platform(), offered in any_platform()) {
        if asked.matches(&offered) {
            let less = Platform { variant: None, os_version: None, ..asked.clone() };
            prop_assert!(less.matches(&offered));
            prop_assert_eq!(asked.os, offered.os);
        }
    }

    #[test]
    fn any_text_is_a_platform_or_an_error(text in "\\PC{0,40}|[a-z0-9/:._-]{0,40}") {
        if let Ok(it) = text.parse::<Platform>() {
            prop_assert_eq!(it.to_string().parse(), Ok(it));
        }
    }
}
