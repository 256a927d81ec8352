//! Which base an image has for each release of Windows, and what images of several releases share.

use futures_util::TryStreamExt as _;
use oci::{Digest, MediaType, Source as _};
use serde_json::json;

use super::{
    FROM, NEW, OLD, OLDEST, TEXT, bases, config, image, json_of,
    stage::{Stage, releases},
};
use crate::{
    BuildError, BuildEvent, Built,
    base::tests::stand_in::{StandIn, StandIns, layer, nanoserver_config},
};

#[tokio::test]
async fn b2_a_rule_for_from_is_followed_and_told_and_none_is_there_unless_given() {
    let mut stage = Stage::new(bases());
    let text = "FROM node:20\nCOPY b.txt /app\n";
    let error = stage.run(text, &releases(&["ltsc2022"])).await.error();
    assert!(
        matches!(&error, BuildError::Base { reference, .. } if reference == "node:ltsc2022"),
        "{error}"
    );
    stage
        .options
        .from_map
        .add("node=mcr.test/windows/nanoserver:{version}")
        .unwrap();
    let ran = stage.run(text, &releases(&["ltsc2022"])).await;
    let mapped = BuildEvent::Mapped {
        from: "node:20".into(),
        to: "mcr.test/windows/nanoserver:ltsc2022".into(),
    };
    assert_eq!(ran.events[0], mapped);
    assert_eq!(config(&ran.built().parts()[0])["os.version"], OLD);
}

#[tokio::test]
async fn b2_a_rule_sees_the_tag_that_is_written_if_it_says_itself_where_the_version_goes() {
    for (from, version, to) in [
        ("node:20", "ltsc2022", "r.test/node:20-ltsc2022"),
        // A rule that says nothing of the version has it in the place of the tag.
        ("nano:ltsc2022", "ltsc2025", "r.test/nano:ltsc2025"),
    ] {
        let mut stage = Stage::new(StandIns::one(to, StandIn::nanoserver(OLD)));
        for rule in ["node=r.test/node:{tag}-{version}", "nano=r.test/nano:{tag}"] {
            stage.options.from_map.add(rule).unwrap();
        }
        let text = format!("FROM {from}\nCOPY b.txt /app\n");
        let ran = stage.run(&text, &releases(&[version])).await;
        let told = ran.events.clone();
        ran.built();
        assert!(
            matches!(&told[0], BuildEvent::Mapped { to: it, .. } if it == to),
            "{told:?}"
        );
    }
    // A version that is no tag is none to be put in the place of one, and need not be.
    let mut stage = Stage::new(StandIns::one("r.test/win/2022:a", StandIn::nanoserver(OLD)));
    let rule = "node=r.test/{version}:a";
    stage.options.from_map.add(rule).unwrap();
    let ran = stage.run("FROM node:20\n", &releases(&["win/2022"])).await;
    ran.built();
}

#[tokio::test]
async fn p29_several_releases_share_one_layer_and_their_index_has_the_newest_first() {
    let mut servercore = nanoserver_config(OLD);
    servercore["os.features"] = json!(["win32k"]);
    let mut stage = Stage::new(bases());
    stage.bases.0.insert(
        "mcr.test/windows/nanoserver:core".into(),
        StandIn::image(&servercore, &[layer(OLD)]),
    );
    let ran = stage
        .run(TEXT, &releases(&["1809", "ltsc2025", "core"]))
        .await;
    let events = ran.events.clone();
    let built = ran.built();
    let index = json_of(built.index().unwrap().bytes());
    assert_eq!(index["mediaType"], MediaType::DOCKER_LIST.as_str());
    let platforms: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["platform"].clone())
        .collect();
    let of =
        |version: &str| json!({"architecture": "amd64", "os": "windows", "os.version": version});
    let mut core = of(OLD);
    core["os.features"] = json!(["win32k"]);
    assert_eq!(platforms, [of(NEW), core, of(OLDEST)]);
    // The same layers on each, written once: the working directory's, and the copy's.
    let new: Vec<Vec<_>> = built
        .parts()
        .iter()
        .map(|it| it.image().layers()[1..].to_vec())
        .collect();
    assert!(
        new.iter().all(|it| *it == new[0]) && new[0].len() == 2,
        "{new:?}"
    );
    assert_eq!(stage.spooled(), 2);
    let written = events
        .iter()
        .filter(|it| matches!(it, BuildEvent::Layer { .. }))
        .count();
    let shared = events
        .iter()
        .filter(|it| matches!(it, BuildEvent::Shared { .. }))
        .count();
    assert_eq!((written, shared), (2, 4));
    reads_everything_that_is_new(&built).await;
}

/// It is a source: every document, and every layer that is new.
async fn reads_everything_that_is_new(built: &Built) {
    assert_eq!(built.root().await.unwrap(), *built.index().unwrap());
    for part in built.parts() {
        let descriptor = part.image().manifest().descriptor();
        assert_eq!(
            built.document(descriptor).await.unwrap(),
            *part.image().manifest()
        );
        let config = part.image().config_descriptor();
        let bytes: Vec<_> = built
            .open(config, 0)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(bytes.concat(), *part.image().config());
        for layer in &part.image().layers()[1..] {
            built.check_blob(&layer.descriptor()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn two_bases_of_one_build_are_refused() {
    let mut stage = Stage::new(bases());
    stage.bases.0.insert(
        "mcr.test/windows/nanoserver:again".into(),
        StandIn::nanoserver("10.0.20348.1"),
    );
    let ran = stage.run(TEXT, &releases(&["ltsc2022", "again"])).await;
    assert!(matches!(ran.error(), BuildError::SameBuild { .. }));
    assert_eq!(stage.spooled(), 0, "no layer stays behind");
}

#[tokio::test]
async fn a_release_is_an_argument_if_the_dockerfile_says_so_else_the_tag_of_the_last_base() {
    let stage = Stage::new(bases());
    let declared = "ARG BASE_VERSION=1809\nFROM mcr.test/windows/nanoserver:${BASE_VERSION}\n\
        ARG BASE_VERSION\nLABEL of=$BASE_VERSION\n";
    let built = stage.run(declared, &releases(&["ltsc2025"])).await.built();
    let it = config(&built.parts()[0]);
    assert_eq!(
        (&it["os.version"], &it["config"]["Labels"]["of"]),
        (&json!(NEW), &json!("ltsc2025"))
    );
    assert_eq!(config(&image(&stage, declared).await)["os.version"], OLDEST);
    // A stage that is only copied from keeps its base.
    let text = format!(
        "{FROM}COPY b.txt /x\n{}",
        TEXT.replace("# escape=`\n", "").replace('\\', "/")
    );
    let built = stage.run(&text, &releases(&["ltsc2025"])).await.built();
    assert_eq!(config(&built.parts()[0])["os.version"], NEW);
    let digest = Digest::of(b"x");
    let text = format!("FROM mcr.test/windows/nanoserver@{digest}\n");
    let error = stage.run(&text, &releases(&["ltsc2025"])).await.error();
    assert!(
        error
            .to_string()
            .starts_with("Dockerfile:1: --base-version ltsc2025"),
        "{error}"
    );
}
