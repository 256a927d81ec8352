//! The gates: each says no by its own kind, in the right line, and only where it must.

use oci::Platform;

use super::{Base, PlanOptions};
use crate::dockerfile::{
    BuildArguments, CopySource, Dockerfile, DockerfileErrorKind as Kind, NotSupported, Plan,
    Predefined, TargetOs,
};

fn options(os: TargetOs) -> PlanOptions {
    let mut target = Platform::new("windows", "amd64");
    target.os_version = Some("10.0.20348.2113".to_owned());
    let predefined = Predefined {
        target,
        build: Platform::new("linux", "arm64"),
        stage: None,
    };
    PlanOptions::new(os, predefined)
}

fn windows() -> PlanOptions {
    options(TargetOs::Windows)
}

fn plan(text: &str, options: &PlanOptions) -> Result<Plan, (usize, Kind)> {
    let file = Dockerfile::parse(text.as_bytes(), "Dockerfile").unwrap();
    file.plan(options).map_err(|it| (it.line, it.kind))
}

fn indices(plan: &Plan) -> Vec<usize> {
    plan.stages().iter().map(|it| it.index).collect()
}

const THREE: &str = "FROM golang AS build\nRUN go build\nFROM base AS other\nCOPY a b\n\
                     FROM other\nCOPY --from=other a b\nCOPY --from=1 a c\n";

#[test]
fn b1_stages_are_chosen_from_the_target_backwards() {
    let found = plan(THREE, &windows()).unwrap();
    assert_eq!(indices(&found), [1, 2]);
    let last = &found.stages()[1];
    assert_eq!(last.base, Base::Stage(1));
    assert_eq!(last.from_of(6), Some(&CopySource::Stage(1)));
    assert_eq!(last.from_of(7), Some(&CopySource::Stage(1)));
    assert_eq!(last.from_of(4), None);
    assert_eq!(found.stages()[0].base, Base::Image("base".to_owned()));
    for (target, expected) in [("other", vec![1]), ("OTHER", vec![1]), ("2", vec![1, 2])] {
        let target = Some(target.to_owned());
        let found = plan(
            THREE,
            &PlanOptions {
                target,
                ..windows()
            },
        )
        .unwrap();
        assert_eq!(indices(&found), expected);
    }
}

#[test]
fn b1_gates_say_no_each_by_its_own_kind() {
    let target = Some("prod".to_owned());
    let unknown = plan(
        THREE,
        &PlanOptions {
            target,
            ..windows()
        },
    )
    .unwrap_err();
    let known = vec!["build".to_owned(), "other".to_owned()];
    assert_eq!(
        unknown.1,
        Kind::UnknownStage {
            name: "prod".to_owned(),
            known
        }
    );
    assert_eq!(
        unknown.1.to_string(),
        "there is no stage \"prod\": the file has build, other"
    );
    let nothing = Dockerfile::parse(b"ARG a", "d").unwrap_err();
    assert_eq!(nothing.kind, Kind::NoStage);

    let scratch = "FROM scratch AS files\nCOPY a b\nFROM files\nCOPY c d";
    assert_eq!(
        plan(scratch, &windows()).unwrap_err(),
        (1, Kind::ScratchBase)
    );
    let below = "FROM scratch AS files\nCOPY a b\nFROM nano\nCOPY --from=files b c";
    let found = plan(below, &windows()).unwrap();
    assert_eq!(found.stages()[0].base, Base::Scratch);
    assert!(plan(scratch, &options(TargetOs::Linux)).is_ok());
    // A stage's own platform goes before the image's.
    let linux = "FROM --platform=linux/amd64 scratch\nCOPY a b";
    assert!(plan(linux, &windows()).is_ok());
    let other = "FROM --platform=windows(10.0.20348)/amd64 scratch\nCOPY a b";
    assert_eq!(
        plan(other, &options(TargetOs::Linux)).unwrap_err(),
        (1, Kind::ScratchBase)
    );

    let later = "FROM a\nCOPY --from=next x y\nFROM b AS next";
    let target = Some("0".to_owned());
    let later = plan(
        later,
        &PlanOptions {
            target,
            ..windows()
        },
    )
    .unwrap_err();
    assert_eq!(later, (2, Kind::LaterStage("next".to_owned())));
    let itself = plan("FROM a\nCOPY --from=0 x y", &windows()).unwrap_err();
    assert_eq!(itself, (2, Kind::LaterStage("0".to_owned())));
}

#[test]
fn b11_run_in_a_stage_that_is_reached_is_refused_with_its_line() {
    let file = Dockerfile::parse(b"FROM nano\nUSER me\nRUN dir\n", "Dockerfile").unwrap();
    let error = file.plan(&windows()).unwrap_err();
    assert_eq!(error.line, 3);
    assert_eq!(error.kind, Kind::NotSupported(NotSupported::Run("Windows")));
    assert_eq!(
        error.to_string(),
        "Dockerfile:3: RUN is not possible when assembling a Windows image without Windows. \
         Pre-build the file and COPY it, or build this stage on a Windows host"
    );
    // For Linux nothing is run either, and a host that has it changes nothing.
    let linux = Kind::NotSupported(NotSupported::Run("Linux")).to_string();
    assert!(
        linux.starts_with("RUN is not possible") && !linux.contains("Linux"),
        "{linux}"
    );
    // By way of COPY --from as well, and not where nothing leads.
    let used = "FROM go AS build\nRUN go\nFROM nano\nCOPY --from=build a b";
    let run = Kind::NotSupported(NotSupported::Run("Windows"));
    assert_eq!(plan(used, &windows()).unwrap_err(), (2, run));
    assert_eq!(indices(&plan(THREE, &windows()).unwrap()), [1, 2]);
}

#[test]
fn b10_copy_from_what_is_no_stage_is_an_image() {
    let image = "mcr.microsoft.com/windows/servercore:ltsc2022".to_owned();
    let text = format!("FROM nano\nCOPY --from={image} a b");
    let planned = plan(&text, &windows()).unwrap();
    let from = planned.stages()[0].from_of(2);
    assert_eq!(from, Some(&CopySource::Image(image)));
    let nothing = plan("FROM nano\nCOPY --from=Scratch a b", &windows()).unwrap_err();
    assert_eq!(nothing, (2, Kind::FromNothing("Scratch".into())));
    // A number is never an image.
    let number = plan("FROM nano\nCOPY --from=7 a b", &windows()).unwrap_err();
    assert!(matches!(number.1, Kind::UnknownStage { .. }));
}

#[test]
fn b15_build_arguments_reach_from() {
    let text = "ARG VERSION=ltsc2022\nARG BASE=nano:$VERSION\n\
                FROM --platform=windows($TARGETOSVERSION)/$TARGETARCH ${BASE}\n";
    let found = plan(text, &windows()).unwrap();
    assert_eq!(
        found.stages()[0].base,
        Base::Image("nano:ltsc2022".to_owned())
    );
    let platform = found.stages()[0].platform.as_deref();
    assert_eq!(platform, Some("windows(10.0.20348.2113)/amd64"));

    let arguments = BuildArguments::from_iter([("VERSION", "ltsc2025"), ("TARGETARCH", "arm64")]);
    let found = plan(
        text,
        &PlanOptions {
            arguments,
            ..windows()
        },
    )
    .unwrap();
    assert_eq!(
        found.stages()[0].base,
        Base::Image("nano:ltsc2025".to_owned())
    );
    let platform = found.stages()[0].platform.as_deref();
    assert_eq!(platform, Some("windows(10.0.20348.2113)/arm64"));
    assert!(found.warnings().is_empty());

    let build = plan("FROM --platform=$BUILDPLATFORM x", &windows()).unwrap();
    assert_eq!(build.stages()[0].platform.as_deref(), Some("linux/arm64"));
    let target = plan("FROM --platform=$TARGETPLATFORM x", &windows()).unwrap();
    assert_eq!(
        target.stages()[0].platform.as_deref(),
        Some("windows(10.0.20348.2113)/amd64")
    );
}

#[test]
fn b15_an_argument_that_nothing_declares_is_a_warning_and_an_empty_base_an_error() {
    let arguments = BuildArguments::from_iter([("NOPE", "1"), ("HTTP_PROXY", "x"), ("a", "2")]);
    let found = plan(
        "FROM x\nARG a\n",
        &PlanOptions {
            arguments,
            ..windows()
        },
    )
    .unwrap();
    let warnings: Vec<String> = found.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["Dockerfile: build argument NOPE is not used: no ARG declares it"]
    );
    let blank = plan("ARG BASE\nFROM $BASE", &windows()).unwrap_err();
    assert_eq!(blank, (2, Kind::BlankBase("$BASE".to_owned())));
}
