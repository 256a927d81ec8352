//! What `ONBUILD` of a base, or of an earlier stage, does to what is built on it.

use serde_json::{Value, json};

use super::{
    FROM, OLD, config, image, one,
    stage::{Stage, of},
};
use crate::{
    BuildError, BuiltPart, LayerSource,
    base::tests::stand_in::{StandIn, StandIns, layer, nanoserver_config},
    dockerfile::DockerfileErrorKind,
};

/// A build on nanoserver with these triggers.
fn with(triggers: &[&str]) -> Stage {
    let mut base = nanoserver_config(OLD);
    base["config"]["OnBuild"] = json!(triggers);
    one(StandIn::image(&base, &[layer(OLD)]))
}

/// The bytes of the last layer, decompressed.
fn last_layer(part: &BuiltPart) -> Vec<u8> {
    let Some(LayerSource::File(path)) = part.image().layers().last().map(|it| &it.source) else {
        panic!("{part:?}")
    };
    let bytes = std::fs::read(path).unwrap();
    let mut plain = Vec::new();
    let mut gunzip = flate2::read::MultiGzDecoder::new(&bytes[..]);
    std::io::Read::read_to_end(&mut gunzip, &mut plain).unwrap();
    plain
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
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
async fn a_trigger_copies_out_of_the_stage_it_names() {
    let stage = || {
        let mut stage = with(&["COPY --from=build out/b.txt /app"]);
        // What the context has at that place is another file.
        let files = &mut stage.files.0;
        files.insert("out/b.txt".into(), "of the context".into());
        files.insert("b.txt".into(), "of the stage".into());
        stage
    };
    let used = "COPY --from=build out/b.txt /once\n";
    for after in [used, ""] {
        let text = format!("FROM scratch AS build\nCOPY b.txt /out\n{FROM}{after}");
        let stage = stage();
        let bytes = last_layer(&image(&stage, &text).await);
        assert!(has(&bytes, "of the stage"), "{text}");
        assert!(!has(&bytes, "of the context"), "{text}");
    }
    // A stage that is only reached that way may take others.
    let text = format!(
        "FROM scratch AS first\nCOPY b.txt /a\nFROM scratch AS unused\nRUN dir\n\
         FROM first AS build\nCOPY --from=first a/b.txt /out\n{FROM}"
    );
    let stage = stage();
    assert!(has(
        &last_layer(&image(&stage, &text).await),
        "of the stage"
    ));
}

#[tokio::test]
async fn a_trigger_that_copies_from_nowhere_is_an_error_and_takes_nothing_of_the_context() {
    let stage = with(&["COPY --from=build b.txt /app"]);
    let error = stage.run(FROM, &of("windows/amd64")).await.error();
    assert!(
        matches!(&error, BuildError::CopiedImage { line: 1, reference, .. } if reference == "build"),
        "{error:?}"
    );
    let text = format!("{FROM}FROM scratch AS build\nCOPY b.txt /\n");
    let mut stage = with(&["COPY --from=build b.txt /app"]);
    stage.options.target = Some("0".into());
    let error = stage.run(&text, &of("windows/amd64")).await.error();
    assert!(
        matches!(&error, BuildError::Dockerfile(it) if matches!(it.kind, DockerfileErrorKind::LaterStage(_))),
        "{error:?}"
    );
    let text = format!("FROM scratch AS build\nRUN dir\n{FROM}");
    stage.options.target = None;
    let error = stage.run(&text, &of("windows/amd64")).await.error();
    assert!(error.to_string().starts_with("Dockerfile:2: "), "{error}");
}

#[tokio::test]
async fn triggers_fail_at_the_line_of_from_and_say_that_they_are_triggers() {
    let stage = with(&["ENV A=b", "COPY missing /x"]);
    let text = format!("# one\n# two\n{FROM}");
    let error = stage.run(&text, &of("windows/amd64")).await.error();
    let text = error.to_string();
    assert!(
        text.starts_with("Dockerfile:3: ONBUILD COPY missing /x"),
        "{text}"
    );
}

#[tokio::test]
async fn two_triggers_are_two_instructions() {
    // One more after them, whose line is that of none of them.
    for (text, layers) in [(FROM, 3), (&format!("{FROM}COPY b.txt /x\n"), 4)] {
        let mut stage = with(&["COPY b.txt /x", "COPY B.TXT /x"]);
        stage.files.0.insert("B.TXT".into(), "later".into());
        let part = image(&stage, text).await;
        assert_eq!(part.image().layers().len(), layers, "{text}");
    }
}

#[tokio::test]
async fn triggers_of_a_stage_on_scratch_are_carried_out_in_what_is_built_on_it() {
    let stage = Stage::new(StandIns::default());
    let text = "FROM scratch AS b\nONBUILD ENV A=1\nONBUILD COPY b.txt /\nFROM b\n";
    let built = stage.run(text, &of("linux/amd64")).await.built();
    let part = &built.parts()[0];
    let it = config(part);
    assert_eq!(
        (&it["config"]["Env"], &it["config"]["OnBuild"]),
        (&json!(["A=1"]), &Value::Null)
    );
    assert_eq!(part.image().layers().len(), 1);
    // The stage itself hands them on.
    let stage = Stage::new(StandIns::default());
    let text = "FROM scratch AS b\nONBUILD ENV A=1\n";
    let built = stage.run(text, &of("linux/amd64")).await.built();
    let it = config(&built.parts()[0]);
    assert_eq!(
        (&it["config"]["Env"], &it["config"]["OnBuild"]),
        (&Value::Null, &json!(["ENV A=1"]))
    );
}
