//! Images, index, events and refusals of a build.

use std::fs;

use futures_util::TryStreamExt as _;
use oci::{Digest, Document, MediaType, Source as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    BaseError, LayerSource,
    base::tests::stand_in::{StandIn, StandIns, layer, nanoserver_config},
    dockerfile::{DockerfileErrorKind, NotSupported},
};
use stage::{Stage, of, releases};

mod directories;
mod inherited;
mod stage;
mod triggers;

const FROM: &str = "FROM mcr.test/windows/nanoserver:ltsc2022\n";
const TEXT: &str = "# escape=`\n\
    FROM mcr.test/windows/nanoserver:ltsc2022\n\
    ENV MODE=release\n\
    WORKDIR C:\\app\n\
    COPY app.exe C:\\app\\\n\
    ENTRYPOINT [\"C:\\\\app\\\\app.exe\"]\n";
const NEW: &str = "10.0.26100.32995";
const OLD: &str = "10.0.20348.5256";
const OLDEST: &str = "10.0.17763.6054";

fn bases() -> StandIns {
    let of = |tag: &str, version| {
        (
            format!("mcr.test/windows/nanoserver:{tag}"),
            StandIn::nanoserver(version),
        )
    };
    StandIns([of("ltsc2025", NEW), of("ltsc2022", OLD), of("1809", OLDEST)].into())
}

fn one(base: StandIn) -> Stage {
    Stage::new(StandIns::one("mcr.test/windows/nanoserver:ltsc2022", base))
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn config(part: &BuiltPart) -> Value {
    json_of(part.image().config())
}

fn manifest(part: &BuiltPart) -> Value {
    json_of(part.image().manifest().bytes())
}

async fn image(stage: &Stage, text: &str) -> BuiltPart {
    let ran = stage.run(text, &of("windows/amd64")).await;
    ran.built().parts()[0].clone()
}

#[tokio::test]
async fn e1_golden_configs_for_windows_on_amd64_and_arm64() {
    for (architecture, version, golden) in [
        ("amd64", OLD, include_str!("tests/golden-amd64.json")),
        ("arm64", NEW, include_str!("tests/golden-arm64.json")),
    ] {
        let mut base = nanoserver_config(version);
        base["architecture"] = json!(architecture);
        let stage = one(StandIn::image(&base, &[layer(version)]));
        let ran = stage
            .run(TEXT, &of(&format!("windows/{architecture}")))
            .await;
        let built = ran.built();
        let actual = std::str::from_utf8(built.parts()[0].image().config()).unwrap();
        assert_eq!(actual, golden.trim_end());
    }
}

#[tokio::test]
async fn only_manifests_and_configs_of_bases_are_opened_while_assembling() {
    let stage = Stage::new(bases());
    let built = stage
        .run(TEXT, &releases(&["ltsc2025", "ltsc2022"]))
        .await
        .built();
    for (part, tag) in built.parts().iter().zip(["ltsc2025", "ltsc2022"]) {
        let base = &stage.bases.0[&format!("mcr.test/windows/nanoserver:{tag}")];
        let manifest = part.base().unwrap().manifest();
        let config = manifest.as_manifest().unwrap().config.digest.clone();
        assert_eq!(base.opened(), [config], "{tag}");
    }
}

#[tokio::test]
async fn e4_a_manifest_has_one_family_of_media_types_and_the_bases_descriptors_byte_for_byte() {
    let odd = json!({
        "urls": [], "x-unknown": {"kept": [null]}, "annotations": {"b": "2", "a": "1"},
        "mediaType": MediaType::DOCKER_LAYER_GZIP, "size": 7, "digest": Digest::of(b"odd"),
    });
    let foreign = json!({
        "mediaType": MediaType::DOCKER_FOREIGN_LAYER, "size": 102_144_333,
        "digest": Digest::of(b"foreign"), "urls": ["https://mcr.test/v2/blobs/x"],
    });
    let mut base = nanoserver_config(OLD);
    base["rootfs"]["diff_ids"] = json!([Digest::of(b"1"), Digest::of(b"2")]);
    base["history"] = json!([{"created_by": "a"}, {"created_by": "b"}]);
    let stand_in = StandIn::image(&base, &[foreign.clone(), odd.clone()]);
    let of_base = stand_in.manifest_at(0).clone();
    let mut stage = one(stand_in);
    let part = image(&stage, TEXT).await;
    let it = manifest(&part);
    assert_eq!(it["mediaType"], MediaType::DOCKER_MANIFEST.as_str());
    assert_eq!(it["config"]["mediaType"], MediaType::DOCKER_CONFIG.as_str());
    assert_eq!(it["layers"][0], foreign);
    assert_eq!(it["layers"][1], odd);
    assert_eq!(
        it["layers"][2]["mediaType"],
        MediaType::DOCKER_LAYER_GZIP.as_str()
    );
    assert!(it.get("annotations").is_none());
    // Byte for byte: what stands between the brackets there begins what stands there here.
    let text = |it: &Document| String::from_utf8(it.bytes().to_vec()).unwrap();
    let (theirs, ours) = (text(&of_base), text(part.image().manifest()));
    let layers = theirs
        .split("\"layers\":[")
        .nth(1)
        .unwrap()
        .split("],\"mediaType\"")
        .next();
    assert!(ours.contains(layers.unwrap()), "{ours}");

    stage = one(StandIn::image(&base, &[foreign, odd]));
    stage.options.oci = true;
    let it = manifest(&image(&stage, TEXT).await);
    assert_eq!(it["mediaType"], MediaType::OCI_MANIFEST.as_str());
    assert_eq!(it["config"]["mediaType"], MediaType::OCI_CONFIG.as_str());
    let types: Vec<_> = it["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["mediaType"])
        .collect();
    assert_eq!(
        types,
        [
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ]
    );
    assert_eq!(it["layers"][1]["x-unknown"], json!({"kept": [null]}));
}

#[tokio::test]
async fn e4_a_base_of_two_families_is_refused_unless_it_is_converted() {
    let mut mixed = layer(OLD);
    mixed["mediaType"] = json!(MediaType::OCI_LAYER_ZSTD);
    let stand_in = || StandIn::image(&nanoserver_config(OLD), std::slice::from_ref(&mixed));
    let error = one(stand_in())
        .run(TEXT, &of("windows/amd64"))
        .await
        .error();
    assert!(
        matches!(error, BuildError::MixedMediaTypes { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--oci"), "{error}");
    let mut stage = one(stand_in());
    stage.options.oci = true;
    let it = manifest(&image(&stage, TEXT).await);
    assert_eq!(it["layers"][0], mixed, "zstd stays zstd");
}

#[tokio::test]
async fn e5_diff_ids_are_of_what_is_uncompressed() {
    let stage = one(StandIn::nanoserver(OLD));
    let part = image(&stage, TEXT).await;
    let inherited = nanoserver_config(OLD)["rootfs"]["diff_ids"].clone();
    let it = config(&part);
    let diff_ids = it["rootfs"]["diff_ids"].as_array().unwrap();
    assert_eq!(diff_ids[0], inherited[0]);
    let layers = part.image().layers();
    assert_eq!(diff_ids.len(), layers.len());
    for (layer, diff_id) in layers.iter().zip(diff_ids).skip(1) {
        let LayerSource::File(path) = &layer.source else {
            panic!("{layer:?}")
        };
        let bytes = fs::read(path).unwrap();
        assert_eq!(Digest::of(&bytes), layer.digest);
        let mut plain = Vec::new();
        let mut gunzip = flate2::read::MultiGzDecoder::new(&bytes[..]);
        std::io::Read::read_to_end(&mut gunzip, &mut plain).unwrap();
        assert_eq!(*diff_id, Digest::of(&plain).to_string());
        assert_ne!(*diff_id, layer.digest.to_string());
    }
}

#[tokio::test]
async fn e6_history_has_an_entry_for_each_instruction_as_it_is_written() {
    let stage = one(StandIn::nanoserver(OLD));
    let it = config(&image(&stage, TEXT).await);
    let by: Vec<_> = it["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["created_by"])
        .collect();
    assert_eq!(
        by,
        [
            &format!("Apply image {OLD}"),
            "ENV MODE=release",
            r"WORKDIR C:\app",
            r"COPY app.exe C:\app\",
            r#"ENTRYPOINT ["C:\\app\\app.exe"]"#,
        ]
    );
    let empty: Vec<_> = it["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["empty_layer"] == true)
        .collect();
    assert_eq!(empty, [false, true, false, false, true]);
}

#[tokio::test]
async fn b14_arg_adds_no_history_and_b15_build_arguments_reach_from_and_instructions() {
    let mut stage = Stage::new(bases());
    let text = "ARG TAG=none\nARG UNUSED\nFROM mcr.test/windows/nanoserver:${TAG}\n\
        ENV A=$TAG\nARG TAG\nARG NAME=default\nENV B=$TAG C=$NAME\n";
    for (name, value) in [("TAG", "1809"), ("NAME", "given")] {
        stage.options.arguments.set(name, value);
    }
    let part = image(&stage, text).await;
    let it = config(&part);
    // Before the stage declares it, it is not there.
    assert_eq!(it["config"]["Env"], json!(["A=", "B=1809", "C=given"]));
    assert_eq!(it["os.version"], OLDEST);
    assert_eq!(
        it["history"].as_array().unwrap().len(),
        3,
        "the base's and two of ENV"
    );
}

#[tokio::test]
async fn b1_what_cannot_be_built_is_refused_before_anything_is_asked_or_told() {
    let stage = Stage::new(bases());
    for (text, is_it) in [
        (
            "FROM scratch\nCOPY app.exe /\n",
            (|it| matches!(it, DockerfileErrorKind::ScratchBase)) as fn(&_) -> bool,
        ),
        (
            "FROM mcr.test/windows/nanoserver:ltsc2022\nRUN dir\n",
            |it| matches!(it, DockerfileErrorKind::NotSupported(NotSupported::Run(_))),
        ),
    ] {
        let ran = stage.run(text, &of("windows/amd64")).await;
        let told: Vec<_> = ran.events.clone();
        let error = ran.error();
        assert!(
            matches!(&error, BuildError::Dockerfile(it) if is_it(&it.kind)),
            "{error}"
        );
        assert!(error.to_string().starts_with("Dockerfile:"), "{error}");
        assert!(matches!(told[..], [BuildEvent::Failed { .. }]), "{told:?}");
    }
    let mut stage = stage;
    stage.options.target = Some("nowhere".to_owned());
    let error = stage.run(TEXT, &of("windows/amd64")).await.error();
    let unknown = |it: &DockerfileErrorKind| matches!(it, DockerfileErrorKind::UnknownStage { .. });
    assert!(
        matches!(&error, BuildError::Dockerfile(it) if unknown(&it.kind)),
        "{error}"
    );
    for base in stage.bases.0.values() {
        assert_eq!(base.opened(), []);
    }
    // In a stage that is not reached RUN does no harm.
    stage.options.target = None;
    let text = format!("FROM mcr.test/none AS tests\nRUN dir\n{FROM}COPY b.txt /\n");
    assert_eq!(image(&stage, &text).await.image().layers().len(), 2);
}

#[tokio::test]
async fn files_come_out_of_stages_and_stages_are_built_on() {
    let stage = Stage::new(bases());
    let text = "FROM scratch AS files\nCOPY b.txt /out\n\
        FROM mcr.test/windows/nanoserver:ltsc2022 AS common\nENV A=b\nCOPY app.exe /app\n\
        FROM common\nCOPY --from=files out/b.txt /\n";
    let part = image(&stage, text).await;
    assert_eq!(part.image().layers().len(), 3);
    assert_eq!(config(&part)["config"]["Env"], json!(["A=b"]));
    let by: Vec<_> = config(&part)["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["created_by"].clone())
        .collect();
    assert_eq!(
        by[1..],
        [
            "ENV A=b",
            "COPY app.exe /app",
            "COPY --from=files out/b.txt /"
        ]
    );
}

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

#[tokio::test]
async fn squashed_all_that_is_new_is_one_layer() {
    let mut stage = one(StandIn::nanoserver(OLD));
    stage.options.squash = true;
    let text = format!("{TEXT}COPY b.txt C:\\data\\\n");
    let part = image(&stage, &text).await;
    assert_eq!(part.image().layers().len(), 2);
    let empty: Vec<_> = config(&part)["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["empty_layer"] == true)
        .collect();
    assert_eq!(empty, [false, true, true, true, true, false]);
}

#[tokio::test]
async fn an_image_for_linux_has_ordinary_layers() {
    let base = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Env": ["PATH=/usr/bin"], "User": "65532"},
    });
    let stage = Stage::new(StandIns::one(
        "distroless.test/static",
        StandIn::image(&base, &[]),
    ));
    let text = "FROM distroless.test/static\nENV PATH=/app:$PATH\nCOPY app.exe /app\nCMD app.exe\n";
    let built = stage.run(text, &of("linux/amd64")).await.built();
    let it = config(&built.parts()[0]);
    assert_eq!(it["config"]["Env"], json!(["PATH=/app:/usr/bin"]));
    assert_eq!(it["config"]["Cmd"], json!(["/bin/sh", "-c", "app.exe"]));
    assert!(it.get("os.version").is_none());
    let scratch = Stage::new(StandIns::default());
    let scratch = scratch
        .run("FROM scratch\nCOPY b.txt /\n", &of("linux/arm64"))
        .await
        .built();
    let it = manifest(&scratch.parts()[0]);
    assert_eq!(it["mediaType"], MediaType::OCI_MANIFEST.as_str());
    assert_eq!(config(&scratch.parts()[0])["architecture"], "arm64");
    let error = stage.run(text, &of("plan9/amd64")).await.error();
    assert!(matches!(error, BuildError::Platform(_)), "{error}");
}

#[tokio::test]
async fn a_path_that_hides_the_system_is_an_error_unless_the_default_stands_for_it() {
    let mut stage = one(StandIn::nanoserver(OLD));
    let text =
        "# escape=`\nFROM mcr.test/windows/nanoserver:ltsc2022\nENV PATH=\"C:\\app;${PATH}\"\n";
    let error = stage.run(text, &of("windows/amd64")).await.error();
    assert!(
        matches!(error, BuildError::Instruction { line: 3, .. }),
        "{error}"
    );
    stage.options.path_default = true;
    let it = config(&image(&stage, text).await);
    assert_eq!(
        it["config"]["Env"],
        json!([r"PATH=C:\app;C:\Windows\system32;C:\Windows;"])
    );
}

#[tokio::test]
async fn onbuild_of_a_base_is_carried_out_once_and_not_handed_on() {
    let mut base = nanoserver_config(OLD);
    base["config"]["OnBuild"] = json!(["ENV A=b", "COPY b.txt /x"]);
    let stage = one(StandIn::image(&base, &[layer(OLD)]));
    let part = image(&stage, FROM).await;
    let it = config(&part);
    assert_eq!(
        (&it["config"]["Env"], &it["config"]["OnBuild"]),
        (&json!(["A=b"]), &Value::Null)
    );
    assert_eq!(part.image().layers().len(), 2);
    base["config"]["OnBuild"] = json!(["RUN dir"]);
    let stage = one(StandIn::image(&base, &[layer(OLD)]));
    let error = stage.run(FROM, &of("windows/amd64")).await.error();
    assert!(error.to_string().contains("RUN dir"), "{error}");
}

#[tokio::test]
async fn b17_every_failure_is_told_once_and_leaves_no_layer() {
    let stage = Stage::new(bases());
    let cases = [
        "FROM mcr.test/none\n".to_owned(),
        format!("{FROM}COPY app.exe /app\nCOPY missing /app\n"),
        format!("{FROM}COPY app.exe /app\nSTOPSIGNAL 9\n"),
        format!("{FROM}COPY app.exe /CON\n"),
        format!("{FROM}RUN x\n"),
        format!("{FROM}ENV A=${{B:?needed}}\n"),
    ];
    for text in cases {
        let ran = stage.run(&text, &of("windows/amd64")).await;
        let failed = |it: &&BuildEvent| matches!(it, BuildEvent::Failed { .. });
        assert_eq!(
            ran.events.iter().filter(failed).count(),
            1,
            "{text}: {:?}",
            ran.events
        );
        assert!(ran.events.last().iter().all(failed), "{text}");
        let error = ran.error();
        assert!(error.to_string().starts_with("Dockerfile:"), "{error}");
        assert_eq!(stage.spooled(), 0, "{text}");
    }
    let error = stage
        .run("FROM mcr.test/none\n", &of("windows/amd64"))
        .await
        .error();
    assert!(
        matches!(&error, BuildError::Base { error, .. } if matches!(**error, BaseError::Source { .. }))
    );
}

#[tokio::test]
async fn e10_the_same_inputs_make_the_same_digest() {
    let mut digests = Vec::new();
    for threads in [1, 2, 7] {
        let mut stage = Stage::new(bases());
        stage.options.threads = std::num::NonZeroUsize::new(threads);
        stage.options.created = "2023-11-14T22:13:20Z".into();
        stage.options.timestamps = Timestamps::Fixed(1_700_000_000);
        let ran = stage.run(TEXT, &releases(&["ltsc2022", "ltsc2025"])).await;
        digests.push(ran.built().digest().unwrap().clone());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn layers_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = one(StandIn::nanoserver(OLD));
    let part = image(&stage, TEXT).await;
    let LayerSource::File(path) = &part.image().layers()[1].source else {
        panic!()
    };
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn e9_layers_are_the_bases_first_and_then_as_instructions_stand(
        of_base in 0_usize..4,
        copies in proptest::collection::vec(0_usize..3, 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let layers: Vec<Value> = (0..of_base).map(|it| layer(&it.to_string())).collect();
        let mut base = nanoserver_config(OLD);
        let ids: Vec<_> = (0..of_base).map(|it| Digest::of(it.to_string().as_bytes())).collect();
        base["rootfs"]["diff_ids"] = json!(ids);
        base["history"] = json!([]);
        let stage = one(StandIn::image(&base, &layers));
        let names = ["app.exe", "b.txt", "c.txt"];
        let mut text = FROM.to_owned();
        for (at, &copy) in copies.iter().enumerate() {
            text.extend(["COPY ", names[copy], " /", &at.to_string(), "\n"]);
        }
        let part = runtime.block_on(image(&stage, &text));
        let it = manifest(&part);
        prop_assert_eq!(&it["layers"].as_array().unwrap()[..of_base], &layers[..]);
        let in_image: Vec<String> = part.image().layers().iter().map(|it| it.digest.to_string()).collect();
        let in_manifest: Vec<&str> = it["layers"].as_array().unwrap().iter().map(|it| it["digest"].as_str().unwrap()).collect();
        prop_assert_eq!(in_image, in_manifest);
        let it = config(&part);
        let history = it["history"].as_array().unwrap();
        let making = history.iter().filter(|it| it["empty_layer"] != true).count();
        let total = of_base + copies.len();
        prop_assert_eq!((making, it["rootfs"]["diff_ids"].as_array().unwrap().len()), (total, total));
        for (at, &copy) in copies.iter().enumerate() {
            let expected = format!("COPY {} /{at}", names[copy]);
            prop_assert_eq!(&history[of_base + at]["created_by"], &json!(expected));
        }
    }
}
