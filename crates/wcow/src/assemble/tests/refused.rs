//! What is no image, and what is told of it.

use serde_json::json;

use super::{
    FROM, OLD, TEXT, bases, config, image, one,
    stage::{Stage, of},
};
use crate::{
    BaseError, BuildError, BuildEvent,
    base::tests::stand_in::StandIn,
    dockerfile::{DockerfileErrorKind, NotSupported},
};

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
