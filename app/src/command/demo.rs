//! `demo`: the main job from end to end, on this machine alone.

use std::{io::Write, path::Path, sync::Arc};

use clap::Args;
use oci::Reference;
use push::{ByteSize, Destination, Engine, LayerRepos, Options, State, source};
use registry::Client;
use server::{RunningServer, Server};

use crate::{
    env::Environment,
    error::AppError,
    interrupt::{self, CLOSING},
    open,
    profiles::StateProfiles,
    render::human,
    state::StateArgs,
};

/// Push a sample image to an embedded registry, and show what that takes
///
/// Makes a small image, starts the embedded registry on loopback, pushes the image, pushes
/// it again, and pushes it to a sibling repository. Nothing else is needed, and nothing is
/// left behind.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Leave the registry running until Ctrl-C, to pull from it
    #[arg(long)]
    keep: bool,
}

/// One push of the demonstration.
struct Act {
    title: &'static str,
    repository: &'static str,
}

const ACTS: [Act; 3] = [
    Act {
        title: "1. A cold push: the registry holds nothing",
        repository: "demo/app",
    },
    Act {
        title: "2. The same push again: nothing moves",
        repository: "demo/app",
    },
    Act {
        title: "3. To a sibling repository: the registry links what it holds",
        repository: "demo/sibling",
    },
];

pub(crate) async fn demo(args: &DemoArgs, environment: &Environment) -> Result<(), AppError> {
    let work = async {
        let directory = tempfile::tempdir().map_err(|error| AppError::Io {
            attempted: "make a temporary directory".into(),
            error,
        })?;
        let image = directory.path().join("image");
        make_image(&image).await?;
        let server = Server::builder()
            .memory()
            .start()
            .await
            .map_err(AppError::Serve)?;
        let state = StateArgs::at(Some(directory.path().join("state.db")));
        let state = state.open(environment).await?;
        for act in &ACTS {
            perform(act, &image, &server, &state).await?;
        }
        closing_words(&server, args.keep)?;
        if args.keep {
            std::future::pending::<()>().await;
        }
        server.shutdown().await;
        Ok(())
    };
    match interrupt::until_interrupted(None, work).await {
        // With --keep, Ctrl-C is how it is meant to end.
        Err(AppError::Interrupted) if args.keep => Ok(()),
        other => other,
    }
}

async fn make_image(directory: &Path) -> Result<(), AppError> {
    let options = source::sample::SampleOptions::default();
    let written = tokio::task::spawn_blocking({
        let directory = directory.to_owned();
        move || source::sample::write_layout(&directory, &options)
    });
    let failed = |error| AppError::Io {
        attempted: "write the sample image".into(),
        error,
    };
    let written = written.await.map_err(std::io::Error::other);
    written.and_then(|it| it).map_err(failed)?;
    say(&format!(
        "a sample image, written as an OCI layout: {}\n",
        directory.display()
    ))
}

/// One push: what is planned, what went over the wire, what it came to.
async fn perform(
    act: &Act,
    image: &Path,
    server: &RunningServer,
    state: &State,
) -> Result<(), AppError> {
    let registry = server.registry();
    let reference = open::reference(&format!("{registry}/{}:1.0", act.repository))?;
    let destination = Destination {
        tags: reference.tag_or_latest().into_iter().collect(),
        mount_from: Vec::new(),
    };
    say(&format!("\n{}\n", act.title))?;
    say(&format!(
        "$ longshore push {} {reference}\n",
        image.display(),
    ))?;
    let source = source::open(image, &source::Selection::default()).await?;
    let planner = engine_and_client(state)?;
    let target = planner.1.push_target(reference.repository());
    let plan = planner.0.plan(&*source, &target, &destination).await?;
    planner.1.close(CLOSING).await;
    say(&format!("\nplan:\n{}", indented(&plan.to_string())))?;

    server.log().clear();
    let (engine, client) = engine_and_client(state)?;
    let target = client.push_target(reference.repository());
    let report = engine.push(&*source, &target, &destination, &()).await?;
    client.close(CLOSING).await;
    let lines = server.log().lines();
    say(&format!(
        "\nrequests:\n{}",
        indented(&shortened(&lines.join("\n")))
    ))?;
    say(&format!(
        "\nblob bytes sent: {} ({})\n",
        report.bytes_sent(),
        ByteSize(report.bytes_sent())
    ))?;
    say(&format!(
        "\nreport:\n{}",
        indented(&human::report(&report, Some(&client.traffic()), false))
    ))
}

/// What a process of its own has each time, with the state that they share.
fn engine_and_client(state: &State) -> Result<(Engine, Client), AppError> {
    let client = Client::builder()
        .profiles(StateProfiles(state.clone()))
        .build()
        .map_err(AppError::Client)?;
    let layers = LayerRepos::builder().index(Arc::new(state.clone()));
    let engine = Engine::builder()
        .options(Options::default())
        .layers(Arc::new(layers.build()))
        .sightings(state)
        .journal(Arc::new(state.clone()))
        .build();
    Ok((engine, client))
}

fn closing_words(server: &RunningServer, keep: bool) -> Result<(), AppError> {
    let reference: Reference = open::reference(&format!("{}/demo/app:1.0", server.registry()))?;
    let when = if keep {
        "Pull it while this runs (Ctrl-C ends it):"
    } else {
        "With --keep the registry stays, so that you can pull the image:"
    };
    say(&format!(
        "\n{when}\n  docker pull {reference}\n  podman pull --tls-verify=false {reference}\n  \
         skopeo copy --src-tls-verify=false docker://{reference} oci:pulled\n"
    ))
}

/// The same with digests cut to what a person compares.
fn shortened(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("sha256:") {
        let (before, digest) = rest.split_at(at);
        let end = digest
            .char_indices()
            .skip(7)
            .find(|(_, c)| !c.is_ascii_hexdigit());
        let end = end.map_or(digest.len(), |(at, _)| at);
        short.push_str(before);
        short.push_str(&digest[..end.min(19)]);
        rest = &digest[end..];
    }
    short.push_str(rest);
    short
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

fn say(text: &str) -> Result<(), AppError> {
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(AppError::Output)
}
