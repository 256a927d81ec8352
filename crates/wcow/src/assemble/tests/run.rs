//! `RUN` through its port: what reaches a runner, and what becomes of what it gives back.

use std::{
    io::Cursor,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use oci::Digest;
use serde_json::{Value, json};

use super::{
    FROM, OLD, bases, config, one,
    stage::{Stage, of, releases},
};
use crate::{
    BuildError, BuildEvent, BuiltPart, Compression, CompressionFormat, LayerError, LayerOptions,
    LayerSource, LayerTree, Meta, RunStream,
    base::tests::stand_in::{StandIn, diff_id, layer, nanoserver_config},
    dockerfile::{Command, DockerfileErrorKind, NotSupported, TargetOs},
    run::{CommittedLayer, NoRunner, RunError, RunJob, RunLayer, RunOutput, Runner},
    write_layer,
};

/// A runner that runs nothing: it notes what it is asked for, and answers what it was told to.
#[derive(Debug)]
struct Double {
    jobs: Arc<Mutex<Vec<RunJob>>>,
    prints: &'static [(RunStream, &'static str)],
    answer: Answer,
}

#[derive(Clone, Debug)]
enum Answer {
    Layer(Vec<u8>),
    Exit(i64),
    Never,
}

#[async_trait]
impl Runner for Double {
    fn check(&self, os: TargetOs) -> Result<(), RunError> {
        match os {
            TargetOs::Windows => Ok(()),
            TargetOs::Linux => Err(RunError::NotSupported(os)),
        }
    }

    async fn run(&self, job: RunJob, output: &mut RunOutput) -> Result<CommittedLayer, RunError> {
        self.jobs.lock().unwrap().push(job);
        for (stream, text) in self.prints {
            output.write(*stream, text.as_bytes());
        }
        match &self.answer {
            Answer::Layer(tar) => Ok(CommittedLayer::new(Cursor::new(tar.clone()))),
            Answer::Exit(code) => Err(RunError::Exited(*code)),
            Answer::Never => std::future::pending().await,
        }
    }
}

/// The tar of a layer for Windows with this file.
fn tar(path: &str) -> Vec<u8> {
    let mut tree = LayerTree::windows();
    let body = b"left by RUN".as_slice().into();
    tree.file(&path.parse().unwrap(), body, Meta::default())
        .unwrap();
    let options = LayerOptions {
        compression: Compression::new(CompressionFormat::None),
        ..LayerOptions::default()
    };
    let mut tar = Vec::new();
    write_layer(&tree, &options, &mut tar).unwrap();
    tar
}

fn with(mut stage: Stage, answer: Answer) -> (Stage, Arc<Mutex<Vec<RunJob>>>) {
    let jobs = Arc::<Mutex<Vec<RunJob>>>::default();
    stage.runner = Some(Arc::new(Double {
        jobs: Arc::clone(&jobs),
        prints: &[
            (RunStream::Stdout, "hel"),
            (RunStream::Stdout, "lo\r\nmore\n"),
            (RunStream::Stderr, "odd"),
        ],
        answer,
    }));
    (stage, jobs)
}

fn on_nanoserver(answer: Answer) -> (Stage, Arc<Mutex<Vec<RunJob>>>) {
    with(one(StandIn::nanoserver(OLD)), answer)
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
    list.iter().map(owned).collect()
}

fn history(part: &BuiltPart) -> Vec<(Value, bool)> {
    let it = config(part);
    let entries = it["history"].as_array().unwrap().iter();
    let entry = |it: &Value| (it["created_by"].clone(), it["empty_layer"] != true);
    entries.map(entry).collect()
}

#[tokio::test]
async fn b12_env_workdir_user_shell_and_the_time_limit_reach_the_port() {
    let (mut stage, jobs) = on_nanoserver(Answer::Layer(tar("made.txt")));
    stage.options.run_limit = Duration::from_secs(77);
    stage.options.arguments.set("TOKEN", "given");
    let text = format!(
        "# escape=`\n{FROM}ARG TOKEN\nARG Mode=hidden\nENV MODE=release Greeting=hi\n\
         RUN first \"%MODE%\" $MODE\n\
         WORKDIR C:\\app\nUSER ContainerAdministrator\n\
         SHELL [\"powershell\", \"-Command\"]\nENV greeting=bye\n\
         RUN Write-Host 'a  b'\nRUN [\"tool.exe\", \"a b\"]\n"
    );
    stage.run(&text, &of("windows/amd64")).await.built();
    let jobs = jobs.lock().unwrap();
    let [first, second, third] = &jobs[..] else {
        panic!("{jobs:?}")
    };
    let text = |it: &str| Command::Shell(it.to_owned());
    // The text is as it is written: its variables are the shell's.
    assert_eq!(first.command, text("first \"%MODE%\" $MODE"));
    assert_eq!(first.shell, ["cmd", "/S", "/C"]);
    let env = [("TOKEN", "given"), ("MODE", "release"), ("Greeting", "hi")];
    assert_eq!(first.env, pairs(&env), "an ENV hides the ARG of its name");
    assert_eq!(first.working_dir, "");
    assert_eq!(first.user, "ContainerUser", "the base's");
    assert_eq!(first.limit, Duration::from_secs(77));
    assert_eq!(first.platform.os_version.as_deref(), Some(OLD));

    assert_eq!(second.command, text("Write-Host 'a  b'"));
    assert_eq!(second.shell, ["powershell", "-Command"]);
    let env = [("TOKEN", "given"), ("MODE", "release"), ("Greeting", "bye")];
    assert_eq!(second.env, pairs(&env));
    assert_eq!(second.working_dir, r"C:\app");
    assert_eq!(second.user, "ContainerAdministrator");

    let exec = vec!["tool.exe".to_owned(), "a b".to_owned()];
    assert_eq!(third.command, Command::Exec(exec));
    let told = format!("{third:?}");
    assert!(told.contains("TOKEN") && !told.contains("given"), "{told}");
}

#[tokio::test]
async fn b12_the_layers_under_a_command_reach_the_port_those_of_the_base_unread() {
    let (stage, jobs) = on_nanoserver(Answer::Layer(tar("made.txt")));
    let text = format!("{FROM}COPY b.txt /b\nRUN one\nENV A=b\nRUN two\nCOPY c.txt /c\n");
    let ran = stage.run(&text, &of("windows/amd64")).await;
    let part = ran.built().parts()[0].clone();
    let jobs = jobs.lock().unwrap();
    let under = |job: &RunJob| -> Vec<(Digest, Digest)> {
        let layers = job.layers.iter().map(|it| match it {
            RunLayer::Base { layer, diff_id, .. } => (layer.digest.clone(), diff_id.clone()),
            RunLayer::New {
                path,
                digest,
                diff_id,
                size,
            } => {
                let bytes = std::fs::read(path).unwrap();
                assert_eq!((&Digest::of(&bytes), bytes.len() as u64), (digest, *size));
                (digest.clone(), diff_id.clone())
            }
        });
        layers.collect()
    };
    let it = config(&part);
    let diff_ids = it["rootfs"]["diff_ids"].as_array().unwrap().iter();
    let diff_ids = diff_ids.map(|it| it.as_str().unwrap().parse().unwrap());
    let digests = part.image().layers().iter().map(|it| it.digest.clone());
    let all: Vec<(Digest, Digest)> = digests.zip(diff_ids).collect();
    assert_eq!(all.len(), 5);
    assert_eq!(all[0].1, diff_id(OLD));
    assert_eq!(under(&jobs[0]), all[..2], "the base's and the copy's");
    assert_eq!(under(&jobs[1]), all[..3], "and what the first RUN left");
    assert!(matches!(jobs[0].layers[0], RunLayer::Base { .. }));
    // Whoever needs the base's layers opens them: the assembler opened its config alone.
    let base = stage.bases.0.values().next().unwrap();
    assert_eq!(base.opened().len(), 1);
}

#[tokio::test]
async fn b12_what_a_command_prints_is_told_before_its_layer_is() {
    let (stage, _) = on_nanoserver(Answer::Layer(tar("made.txt")));
    let text = format!("{FROM}RUN build.cmd\n");
    let ran = stage.run(&text, &of("windows/amd64")).await;
    let printed = |stream, text: &str| BuildEvent::Output {
        line: 2,
        stream,
        text: text.to_owned(),
    };
    let expected = [
        printed(RunStream::Stdout, "hello"),
        printed(RunStream::Stdout, "more"),
        printed(RunStream::Stderr, "odd"),
    ];
    assert_eq!(ran.events[1..4], expected);
    assert!(
        matches!(&ran.events[4], BuildEvent::Layer { instruction, .. } if instruction == "RUN build.cmd"),
        "{:?}",
        ran.events
    );
    assert_eq!(ran.events.len(), 6, "and the image: {:?}", ran.events);
}

#[tokio::test]
async fn b12_a_committed_layer_is_compressed_and_stands_in_config_and_history() {
    let left = tar("made.txt");
    let (stage, _) = on_nanoserver(Answer::Layer(left.clone()));
    let text = format!("{FROM}RUN build.cmd /x\nENV A=b\n");
    let ran = stage.run(&text, &of("windows/amd64")).await;
    let part = ran.built().parts()[0].clone();
    assert_eq!(
        history(&part)[1..],
        [(json!("RUN build.cmd /x"), true), (json!("ENV A=b"), false)]
    );
    let it = config(&part);
    let diff_id = Digest::of(&left).to_string();
    assert_eq!(it["rootfs"]["diff_ids"][1], diff_id);
    let layer = &part.image().layers()[1];
    let LayerSource::File(path) = &layer.source else {
        panic!("{layer:?}")
    };
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(Digest::of(&bytes), layer.digest);
    let mut plain = Vec::new();
    let mut gunzip = flate2::read::MultiGzDecoder::new(&bytes[..]);
    std::io::Read::read_to_end(&mut gunzip, &mut plain).unwrap();
    assert!(plain == left);
}

#[tokio::test]
async fn b13_a_committed_layer_that_breaks_the_rules_is_refused() {
    // What a tar of Linux has: nothing of it is under Files.
    let mut linux = Vec::new();
    let mut tree = LayerTree::linux();
    let body = b"x".as_slice().into();
    tree.file(&"app/a.exe".parse().unwrap(), body, Meta::default())
        .unwrap();
    let mut options = LayerOptions {
        compression: Compression::new(CompressionFormat::None),
        ..LayerOptions::default()
    };
    write_layer(&tree, &options, &mut linux).unwrap();
    // Two times the same name, in a layer that is well otherwise.
    let one = tar("made.txt");
    let twice: Vec<u8> = [&one[..one.len() - 1024], &one[..]].concat();
    options.compression = Compression::new(CompressionFormat::Gzip);
    let mut gzip = Vec::new();
    write_layer(&LayerTree::windows(), &options, &mut gzip).unwrap();
    for (name, left) in [
        ("linux", linux),
        ("twice", twice),
        ("nothing", Vec::new()),
        ("compressed", gzip),
    ] {
        let (stage, _) = on_nanoserver(Answer::Layer(left));
        let text = format!("{FROM}COPY b.txt /b\nRUN build.cmd\n");
        let ran = stage.run(&text, &of("windows/amd64")).await;
        let is_last = matches!(ran.events.last(), Some(BuildEvent::Failed { .. }));
        assert!(is_last, "{name}: {:?}", ran.events);
        let error = ran.error();
        assert!(
            matches!(&error, BuildError::Layer { line: 3, error, .. } if matches!(**error, LayerError::Committed(_))),
            "{name}: {error:?}"
        );
        assert_eq!(stage.spooled(), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn b12_a_command_that_does_not_end_is_ended_at_its_limit_and_what_it_printed_is_told() {
    let (mut stage, jobs) = on_nanoserver(Answer::Never);
    stage.options.run_limit = Duration::from_mins(90);
    let begun = tokio::time::Instant::now();
    let text = format!("{FROM}RUN forever\nRUN never\n");
    let ran = stage.run(&text, &of("windows/amd64")).await;
    assert_eq!(begun.elapsed().as_secs(), 5400);
    let printed = ran
        .events
        .iter()
        .filter(|it| matches!(it, BuildEvent::Output { .. }))
        .count();
    assert_eq!(printed, 3, "{:?}", ran.events);
    let error = ran.error();
    let BuildError::Run {
        line: 2,
        error: RunError::TooLong(limit),
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(limit.as_secs(), 5400);
    assert_eq!(jobs.lock().unwrap().len(), 1, "nothing comes after it");
    assert_eq!(stage.spooled(), 0);
}

#[tokio::test]
async fn b12_a_command_that_fails_ends_the_build_with_its_code() {
    let (stage, _) = on_nanoserver(Answer::Exit(-1_073_741_515));
    let text = format!("{FROM}COPY b.txt /b\nRUN missing.dll.exe\n");
    let ran = stage.run(&text, &of("windows/amd64")).await;
    let Some(BuildEvent::Failed { causes }) = ran.events.last() else {
        panic!("{:?}", ran.events)
    };
    let expected = [
        "Dockerfile:3: RUN missing.dll.exe cannot be followed",
        "it ended with exit code -1073741515: its output says why",
    ];
    assert_eq!(causes, &expected);
    assert_eq!(stage.spooled(), 0);
}

#[tokio::test]
async fn b12_each_release_runs_its_own_and_a_stage_that_is_built_on_runs_once() {
    let (stage, jobs) = with(Stage::new(bases()), Answer::Layer(tar("made.txt")));
    let text = format!("{FROM}COPY b.txt /b\nRUN build\n");
    let ran = stage.run(&text, &releases(&["ltsc2022", "ltsc2025"])).await;
    ran.built();
    assert_eq!(jobs.lock().unwrap().len(), 2);

    let (stage, jobs) = on_nanoserver(Answer::Layer(tar("made.txt")));
    let text = format!(
        "{} AS common\nRUN build\nFROM common AS a\nCOPY b.txt /b\nFROM common\nCOPY --from=a b/b.txt /c\n",
        FROM.trim_end()
    );
    let error = stage.run(&text, &of("windows/amd64")).await.error();
    assert_eq!(jobs.lock().unwrap().len(), 1);
    // What a command made is not among the files that are known of a stage.
    assert!(
        matches!(&error, BuildError::Copy { line: 6, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn b12_onbuild_of_a_base_is_run_where_there_is_a_runner() {
    let mut base = nanoserver_config(OLD);
    base["config"]["OnBuild"] = json!(["RUN of the base"]);
    let base = StandIn::image(&base, &[layer(OLD)]);
    let (stage, jobs) = with(one(base), Answer::Layer(tar("made.txt")));
    let part = stage.run(FROM, &of("windows/amd64")).await.built().parts()[0].clone();
    assert_eq!(part.image().layers().len(), 2);
    let jobs = jobs.lock().unwrap();
    assert_eq!(jobs[0].command, Command::Shell("of the base".to_owned()));
}

#[tokio::test]
async fn b12_what_a_runner_cannot_follow_is_refused_before_anything_is_asked() {
    let (mut stage, jobs) = on_nanoserver(Answer::Layer(tar("made.txt")));
    let cases = [
        (format!("{FROM}RUN --mount=type=cache,target=/c x\n"), 2),
        (format!("{FROM}COPY b.txt /\nRUN <<EOF\ndir\nEOF\n"), 3),
        // A runner for Windows is none for Linux.
        (
            format!(
                "FROM --platform=linux/amd64 busybox AS a\nRUN true\n{FROM}COPY --from=a /x /y\n"
            ),
            2,
        ),
    ];
    for (text, line) in cases {
        let ran = stage.run(&text, &of("windows/amd64")).await;
        assert!(
            matches!(ran.events[..], [BuildEvent::Failed { .. }]),
            "{text}"
        );
        let error = ran.error();
        let BuildError::Dockerfile(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.line, line, "{error}");
        let kind = &error.kind;
        assert!(
            matches!(kind, DockerfileErrorKind::NotSupported(_)),
            "{error}"
        );
    }
    stage.options.squash = true;
    let text = format!("{FROM}RUN build\n");
    let error = stage.run(&text, &of("windows/amd64")).await.error();
    assert!(matches!(error, BuildError::SquashedRun { line: 2, .. }));
    assert_eq!(jobs.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn b12_without_a_runner_run_is_refused_with_its_line_before_anything_is_asked() {
    let stage = one(StandIn::nanoserver(OLD));
    let text = format!("{FROM}COPY b.txt /\nRUN dir\n");
    let ran = stage.run(&text, &of("windows/amd64")).await;
    assert!(matches!(ran.events[..], [BuildEvent::Failed { .. }]));
    let error = ran.error();
    let BuildError::Dockerfile(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        error.kind,
        DockerfileErrorKind::NotSupported(NotSupported::Run("Windows"))
    );
    assert!(
        error
            .to_string()
            .starts_with("Dockerfile:3: RUN is not possible")
    );
    assert!(stage.bases.0.values().all(|it| it.opened().is_empty()));
    // The port itself says so of every system.
    for os in [TargetOs::Windows, TargetOs::Linux] {
        let answer = NoRunner.check(os);
        assert!(matches!(answer, Err(RunError::NotSupported(it)) if it == os));
    }
}
