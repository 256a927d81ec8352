//! What a stage takes over from the stage it is built on, and what a stage of another system is.

use oci::Digest;
use serde_json::{Value, json};

use super::{
    FROM, OLD, config, image, one,
    stage::{Stage, of},
};
use crate::{
    LayerSource,
    base::tests::stand_in::{StandIn, StandIns, layer, nanoserver_config},
    os_version::Chosen,
};

#[tokio::test]
async fn b14_arguments_of_a_stage_are_known_in_what_is_built_on_it() {
    let mut stage = one(StandIn::nanoserver(OLD));
    let text = "FROM mcr.test/windows/nanoserver:ltsc2022 AS x\nARG D=app\nARG E\n\
        FROM x AS y\nLABEL d=$D e=$E\n\
        FROM y\nARG D=other\nLABEL again=$D\n";
    stage.options.arguments.set("E", "given");
    let it = config(&image(&stage, text).await);
    assert_eq!(
        it["config"]["Labels"],
        json!({"d": "app", "e": "given", "again": "other"})
    );
    // What stands beside it knows nothing of them.
    let text = format!("{FROM}ARG D=app\n{FROM}LABEL d=$D\n");
    let it = config(&image(&stage, &text).await);
    assert_eq!(it["config"]["Labels"], json!({"d": ""}));
}

#[tokio::test]
async fn an_entrypoint_takes_the_cmd_of_an_earlier_stage_away() {
    let stage = one(StandIn::nanoserver(OLD));
    let text = "FROM mcr.test/windows/nanoserver:ltsc2022 AS a\nCMD [\"x\"]\n\
        FROM a\nENTRYPOINT [\"y\"]\n";
    let it = config(&image(&stage, text).await);
    assert_eq!(it["config"]["Entrypoint"], json!(["y"]));
    assert_eq!(it["config"]["Cmd"], Value::Null);
    // One of the stage's own stays, wherever it stands.
    let text = text.replace("FROM a\n", "FROM a\nCMD [\"z\"]\n");
    let it = config(&image(&stage, &text).await);
    assert_eq!(it["config"]["Cmd"], json!(["z"]));
}

#[tokio::test]
async fn an_image_says_no_version_of_windows_if_that_is_chosen() {
    let mut base = nanoserver_config(OLD);
    base.as_object_mut().unwrap().remove("os.version");
    let hostprocess = StandIn::image(&base, &[layer(OLD)]);
    for (base, forced) in [(hostprocess, false), (StandIn::nanoserver(OLD), true)] {
        let mut stage = one(base);
        stage.options.os_version = Some(Chosen {
            version: None,
            forced,
        });
        let part = image(&stage, &format!("{FROM}COPY b.txt /x\n")).await;
        assert_eq!(part.platform().to_string(), "windows/amd64");
        assert!(config(&part).get("os.version").is_none(), "{forced}");
        assert_eq!(config(&part)["os"], "windows");
    }
    // Beside one that says it, the index says it of that one only.
    let mut base = nanoserver_config(OLD);
    base.as_object_mut().unwrap().remove("os.version");
    base["architecture"] = json!("arm64");
    let mut stage = one(StandIn::image(&base, &[layer(OLD)]));
    stage.options.os_version = Some(Chosen {
        version: None,
        forced: false,
    });
    let linux = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
    });
    let linux = StandIn::image(&linux, &[]);
    stage.bases.0.insert("r.test/linux".into(), linux);
    let text = "ARG TARGETOS\nARG BASE=r.test/${TARGETOS}\n\
        FROM ${BASE}\nCOPY b.txt /x\n";
    let windows = stage.bases.0.remove("mcr.test/windows/nanoserver:ltsc2022");
    stage
        .bases
        .0
        .insert("r.test/windows".into(), windows.unwrap());
    let both = [of("windows/arm64"), of("linux/amd64")].concat();
    let built = stage.run(text, &both).await.built();
    let index: Value = serde_json::from_slice(built.index().unwrap().bytes()).unwrap();
    assert_eq!(
        [
            &index["manifests"][0]["platform"],
            &index["manifests"][1]["platform"]
        ],
        [
            &json!({"architecture": "amd64", "os": "linux"}),
            &json!({"architecture": "arm64", "os": "windows"}),
        ]
    );
}

#[tokio::test]
async fn a_stage_of_another_system_follows_that_systems_rules() {
    let base = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Env": ["PATH=/usr/bin"]},
    });
    let linux = || StandIns::one("distroless.test/static", StandIn::image(&base, &[]));
    let text = "FROM --platform=linux/amd64 distroless.test/static\n\
        ENV Path=/app\nLABEL path=$PATH\nCOPY b.txt /x\nCOPY c.txt /x\n";
    for squash in [false, true] {
        let mut stage = Stage::new(linux());
        stage.options.squash = squash;
        let part = image(&stage, text).await;
        let it = config(&part);
        assert_eq!(it["config"]["Env"], json!(["PATH=/usr/bin", "Path=/app"]));
        assert_eq!(it["config"]["Labels"]["path"], "/usr/bin");
        for layer in part.image().layers() {
            let LayerSource::File(path) = &layer.source else {
                panic!("{layer:?}")
            };
            let bytes = std::fs::read(path).unwrap();
            assert_eq!(Digest::of(&bytes), layer.digest);
            let mut names = Vec::new();
            let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(&bytes[..]));
            for entry in archive.entries().unwrap() {
                names.push(entry.unwrap().path().unwrap().display().to_string());
            }
            assert!(
                names.iter().any(|it| it.starts_with("x/"))
                    && names.iter().all(|it| it.starts_with('x')),
                "{squash}: {names:?}"
            );
        }
    }
}
