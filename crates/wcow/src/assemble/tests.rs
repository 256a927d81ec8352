//! Images of a build: their manifests, configs and layers.

use std::fs;

use oci::{Digest, Document, MediaType};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    LayerSource,
    base::tests::stand_in::{StandIn, StandIns, layer, nanoserver_config},
};
use stage::{Stage, of, releases};

mod directories;
mod inherited;
mod refused;
mod releases;
mod run;
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
async fn e10_the_same_inputs_make_the_same_digest() {
    let mut digests = Vec::new();
    for threads in [1, 2, 7] {
        let mut stage = Stage::new(bases());
        stage.options.threads = NonZeroUsize::new(threads);
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
