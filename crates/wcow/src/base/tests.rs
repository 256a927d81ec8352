//! Which base it is, what is read of it, and what is refused.

use std::error::Error as _;

use serde_json::json;

use super::*;
use crate::{VersionError, configure::ConfigureError};
use stand_in::{StandIn, StandIns, diff_id, layer, nanoserver_config};

pub(crate) mod stand_in;

const BASE: &str = "mcr.test/windows/nanoserver:ltsc2022";

fn wanted(platform: &str) -> Wanted {
    Wanted {
        platform: platform.parse().unwrap(),
        os_version: None,
    }
}

async fn read(base: &StandIn, platform: &str) -> Result<Base, BaseError> {
    read_as(base, &wanted(platform)).await
}

async fn read_as(base: &StandIn, wanted: &Wanted) -> Result<Base, BaseError> {
    let os = match wanted.platform.os.as_str() {
        "windows" => TargetOs::Windows,
        _ => TargetOs::Linux,
    };
    Base::read(&StandIns::one(BASE, base.clone()), BASE, os, wanted).await
}

fn entry(platform: &str, version: Option<&str>) -> (Value, Value, Vec<Value>) {
    let platform: Platform = platform.parse().unwrap();
    let mut config = nanoserver_config(version.unwrap_or("none"));
    config["os"] = json!(platform.os);
    config["architecture"] = json!(platform.architecture);
    let mut described = json!({"os": platform.os, "architecture": platform.architecture});
    match version {
        Some(version) => described["os.version"] = json!(version),
        None => drop(config.as_object_mut().unwrap().remove("os.version")),
    }
    (described, config, vec![layer(version.unwrap_or("none"))])
}

/// Three builds of Windows, two of them in several revisions, and Linux.
fn several() -> StandIn {
    StandIn::index(&[
        entry("linux/amd64", None),
        entry("windows/amd64", Some("10.0.17763.6054")),
        entry("windows/amd64", Some("10.0.20348.997")),
        entry("windows/amd64", Some("10.0.20348.5256")),
        entry("windows/amd64", Some("10.0.203480.1")),
        entry("windows/arm64", Some("10.0.26100.1")),
    ])
}

#[tokio::test]
async fn b3_of_several_builds_the_exact_one_else_the_highest_revision_of_the_build() {
    for (asked, expected) in [
        ("windows/amd64:10.0.20348.997", "10.0.20348.997"),
        ("windows/amd64:10.0.20348.1", "10.0.20348.5256"),
        ("windows/amd64:10.0.20348", "10.0.20348.5256"),
        ("windows/amd64:10.0.17763.9999", "10.0.17763.6054"),
        ("windows/arm64", "10.0.26100.1"),
    ] {
        let base = read(&several(), asked).await.unwrap();
        assert_eq!(
            base.platform().os_version.as_deref(),
            Some(expected),
            "{asked}"
        );
        assert_eq!(base.configuration().diff_ids(), [json!(diff_id(expected))]);
    }
}

#[tokio::test]
async fn b3_where_none_or_several_builds_fit_the_candidates_are_listed() {
    for asked in [
        "windows/amd64:10.0.26100",
        "windows/amd64:10.0.2034",
        "windows/arm64:10.0.20348",
    ] {
        let error = read(&several(), asked).await.unwrap_err();
        assert!(matches!(error, BaseError::NoPlatform { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(asked) && text.contains("windows/amd64:10.0.20348.997"),
            "{text}"
        );
    }
    let error = read(&several(), "windows/amd64").await.unwrap_err();
    assert!(matches!(error, BaseError::SeveralBuilds { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("10.0.17763.6054") && text.contains("--platform windows/amd64:VERSION"),
        "{text}"
    );
    // Revisions of one build are no choice to be made.
    let revisions = StandIn::index(&[
        entry("windows/amd64", Some("10.0.20348.5256")),
        entry("windows/amd64", Some("10.0.20348.997")),
    ]);
    let base = read(&revisions, "windows/amd64").await.unwrap();
    assert_eq!(
        base.platform().os_version.as_deref(),
        Some("10.0.20348.5256")
    );
}

#[tokio::test]
async fn only_the_manifest_and_the_config_of_a_base_are_read() {
    let base = StandIn::nanoserver("10.0.20348.2582");
    let read = read(&base, "windows/amd64").await.unwrap();
    let config = &read.manifest().as_manifest().unwrap().config;
    assert_eq!(base.opened(), std::slice::from_ref(&config.digest));
    assert_eq!(read.layers().len(), 1);
}

#[tokio::test]
async fn e2_the_index_goes_before_the_config_and_the_users_word_before_both() {
    let (mut platform, mut config, layers) = entry("windows/amd64", Some("10.0.20348.2"));
    config["os.version"] = json!("10.0.20348.1");
    config["os.features"] = json!(["of-config"]);
    platform["os.features"] = json!(["win32k"]);
    let base = StandIn::index(&[(platform, config.clone(), layers.clone())]);
    let it = read(&base, "windows/amd64").await.unwrap();
    assert_eq!(it.platform().os_version.as_deref(), Some("10.0.20348.2"));
    assert_eq!(it.platform().os_features, ["win32k"]);
    let chosen = |version: &str, forced| Wanted {
        os_version: Some(Chosen {
            version: Some(version.parse().unwrap()),
            forced,
        }),
        ..wanted("windows/amd64")
    };
    let it = read_as(&base, &chosen("10.0.20348.3", false))
        .await
        .unwrap();
    assert_eq!(it.platform().os_version.as_deref(), Some("10.0.20348.3"));
    let error = read_as(&base, &chosen("10.0.26100.1", false))
        .await
        .unwrap_err();
    assert!(
        matches!(error, BaseError::Version(VersionError::OtherBuild { .. })),
        "{error}"
    );
    let it = read_as(&base, &chosen("10.0.26100.1", true)).await.unwrap();
    assert_eq!(it.platform().os_version.as_deref(), Some("10.0.26100.1"));
    // Without an index the config is asked.
    let it = read(&StandIn::image(&config, &layers), "windows/amd64")
        .await
        .unwrap();
    assert_eq!(it.platform().os_version.as_deref(), Some("10.0.20348.1"));
    assert_eq!(it.platform().os_features, ["of-config"]);
    // It may be of another build than was asked for.
    let error = read(
        &StandIn::image(&config, &layers),
        "windows/amd64:10.0.26100",
    )
    .await;
    assert!(matches!(error.unwrap_err(), BaseError::NoPlatform { .. }));
}

#[tokio::test]
async fn the_variant_is_the_configs_and_where_that_is_blank_the_indexs() {
    let of = |architecture: &str, described: Value, configured: Value| {
        let platform = json!({"os": "linux", "architecture": architecture, "variant": described});
        let config = json!({
            "architecture": architecture, "os": "linux", "variant": configured,
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        (platform, config, Vec::new())
    };
    let blank = || json!("");
    for (image, asked, expected) in [
        (of("arm", json!("v6"), blank()), "linux/arm/v6", Some("v6")),
        (
            of("arm", json!("v6"), Value::Null),
            "linux/arm/v6",
            Some("v6"),
        ),
        (of("arm64", json!("v8"), blank()), "linux/arm64", Some("v8")),
        (of("arm", Value::Null, json!("v5")), "linux/arm", Some("v5")),
        (of("arm64", Value::Null, blank()), "linux/arm64", None),
    ] {
        let it = read(&StandIn::index(&[image]), asked).await.unwrap();
        assert_eq!(it.platform().variant.as_deref(), expected, "{asked}");
        let config = it.configuration().finish("1970-01-01T00:00:00Z");
        let config: Value = serde_json::from_slice(&config).unwrap();
        if let Some(expected) = expected {
            assert_eq!(config["variant"], expected, "{asked}");
        }
    }
}

#[tokio::test]
async fn e3_a_base_that_nobody_says_the_version_of_is_refused() {
    let (_, config, layers) = entry("windows/amd64", None);
    let error = read(&StandIn::image(&config, &layers), "windows/amd64")
        .await
        .unwrap_err();
    let unresolved = VersionError::OsVersionUnresolved {
        base: BASE.to_owned(),
    };
    assert!(
        matches!(&error, BaseError::Version(it) if *it == unresolved),
        "{error}"
    );
    // On Linux there is none to be told.
    let (_, config, layers) = entry("linux/amd64", None);
    let it = read(&StandIn::image(&config, &layers), "linux/amd64")
        .await
        .unwrap();
    assert_eq!(it.platform().to_string(), "linux/amd64");
}

#[tokio::test]
async fn a_base_for_another_platform_is_refused_and_says_what_it_is_for() {
    let (platform, config, layers) = entry("linux/amd64", None);
    for base in [
        StandIn::image(&config, &layers),
        StandIn::index(&[(platform, config, layers)]),
    ] {
        let text = read(&base, "windows/amd64").await.unwrap_err().to_string();
        assert!(text.contains("not made for windows/amd64"), "{text}");
        assert!(text.contains("it is for linux/amd64"), "{text}");
    }
    let nothing = StandIn::index(&[]);
    let text = read(&nothing, "windows/amd64")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.ends_with("it is for no platform that it names"),
        "{text}"
    );
}

#[tokio::test]
async fn a_base_that_is_broken_is_refused_for_what_is_broken() {
    let (_, config, layers) = entry("windows/amd64", Some("10.0.20348.1"));
    let of = |config: &Value| StandIn::image(config, &layers);
    let refused = async |base: StandIn| read(&base, "windows/amd64").await.unwrap_err();
    for text in ["", "[]", "{", "null", "\u{feff}{}"] {
        let error = refused(StandIn::of_text(text.to_owned(), &layers)).await;
        assert!(
            matches!(error, BaseError::ConfigMalformed { .. }),
            "{text}: {error}"
        );
    }
    let mut odd = config.clone();
    odd["rootfs"] = json!(7);
    let error = refused(of(&odd)).await;
    let source = error.source().unwrap().downcast_ref::<ConfigureError>();
    assert!(
        matches!(source, Some(ConfigureError::Base { key: "rootfs", .. })),
        "{error}"
    );
    let mut fewer = config.clone();
    fewer["rootfs"]["diff_ids"] = json!([]);
    assert!(matches!(
        refused(of(&fewer)).await,
        BaseError::Inconsistent { diff_ids: 0, .. }
    ));
    let mut more = config.clone();
    more["history"] = json!([{"created_by": "a"}, {"created_by": "b"}]);
    assert!(matches!(
        refused(of(&more)).await,
        BaseError::Inconsistent { steps: 2, .. }
    ));
    let error = refused(of(&config).altered()).await;
    assert!(matches!(error, BaseError::ConfigAltered { .. }), "{error}");
    let (nowhere, wanted) = (StandIns::default(), wanted("windows/amd64"));
    let missing = Base::read(&nowhere, BASE, TargetOs::Windows, &wanted).await;
    assert!(matches!(missing.unwrap_err(), BaseError::Source { .. }));
}

#[tokio::test]
async fn a_config_larger_than_any_is_not_read() {
    let (_, config, layers) = entry("windows/amd64", Some("10.0.20348.1"));
    let base = StandIn::image(&config, &layers);
    let mut manifest: Value = serde_json::from_slice(base.manifest_at(0).bytes()).unwrap();
    manifest["config"]["size"] = json!(MAX_CONFIG_BYTES + 1);
    let base = StandIn::manifest(&manifest, &config);
    let error = read(&base, "windows/amd64").await.unwrap_err();
    assert!(matches!(error, BaseError::ConfigTooLarge { .. }), "{error}");
    assert_eq!(base.opened(), []);
    // What says less than it gives is stopped on the way.
    let endless = StandIn::of_text("x".repeat(5 << 20), &layers);
    let mut manifest: Value = serde_json::from_slice(endless.manifest_at(0).bytes()).unwrap();
    manifest["config"]["size"] = json!(10);
    let root = Document::new(manifest.to_string().into(), None).unwrap();
    let error = read(&endless.rooted(root), "windows/amd64")
        .await
        .unwrap_err();
    assert!(matches!(error, BaseError::ConfigTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn an_artifact_is_no_base() {
    let (_, config, layers) = entry("windows/amd64", Some("10.0.20348.1"));
    let base = StandIn::image(&config, &layers);
    let mut manifest: Value = serde_json::from_slice(base.manifest_at(0).bytes()).unwrap();
    manifest["config"]["mediaType"] = json!("application/x");
    let error = read(&StandIn::manifest(&manifest, &config), "windows/amd64")
        .await
        .unwrap_err();
    assert!(matches!(error, BaseError::NotAnImage { .. }), "{error}");
}

#[tokio::test]
async fn e6_a_base_without_history_gets_a_step_for_each_layer() {
    let (_, mut config, layers) = entry("windows/amd64", Some("10.0.20348.1"));
    config["history"] = Value::Null;
    let base = read(&StandIn::image(&config, &layers), "windows/amd64")
        .await
        .unwrap();
    assert_eq!(base.configuration().steps_with_layer(), 1);
}
