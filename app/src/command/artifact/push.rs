//! `artifact push`: files into a registry, and a manifest made for them.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use oci::{Document, Repository, Source, SourceError, TagOrDigest};
use push::source::artifact::{Artifact, ArtifactBuilder, ArtifactFile, CREATED, WASM, WASM_CONFIG};
use registry::Client;

use super::{
    annotations::{Annotation, Annotations},
    named::NamedFile,
};
use crate::{
    command::{
        plan,
        push::{ImageArgs, carry_out, prepare_from},
        run::RunArgs,
        transfer::{ForeignPolicy, TransferArgs},
    },
    env::Environment,
    error::AppError,
    open::{self, course::Course},
    timestamp,
};

/// Push files as an artifact
///
/// Makes a manifest of the files, in order, and pushes it as `longshore push` does an image: what is
/// there is not sent, the manifest goes last. The same files, types and annotations make the same
/// manifest, wherever and whenever.
#[derive(Args, Clone, Debug)]
// Whatever type a file has, it is to be pushed; and files hold nothing about one another.
#[command(
    mut_arg("foreign", |it| it.hide(true)),
    mut_arg("allow_foreign_fetch", |it| it.hide(true)),
    mut_arg("foreign_host", |it| it.hide(true)),
    mut_arg("referrers", |it| it.hide(true))
)]
#[command(override_usage = "longshore artifact push [OPTIONS] [FILE[:TYPE]]... <REFERENCE>")]
pub(crate) struct ArtifactPushArgs {
    /// The files, each as FILE or `FILE:TYPE/SUBTYPE` [default type:
    /// application/vnd.oci.image.layer.v1.tar], and last where they go:
    /// registry/repository[:tag]. Without a file the artifact is its annotations
    #[arg(value_name = "FILE[:TYPE]... REFERENCE", required = true, num_args = 1..)]
    given: Vec<String>,

    /// What kind of artifact it is, as a media type; needed unless there is a --config
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,

    /// A file that is the artifact's config, and its type [default: the empty config, {}]
    #[arg(long, value_name = "FILE:TYPE")]
    config: Option<NamedFile>,

    /// Types that are not given are those of a WebAssembly module and its config
    #[arg(long, requires = "config")]
    wasm: bool,

    /// An annotation of the manifest; may be given several times
    #[arg(long = "annotation", short, value_name = "KEY=VALUE")]
    annotations: Vec<Annotation>,

    /// An annotation of one file, named by its name or its path as given; may be given several
    /// times
    #[arg(long, value_names = ["FILE", "KEY=VALUE"], num_args = 2)]
    file_annotation: Vec<String>,

    /// A JSON file with annotations: an object by file, and by $manifest and $config
    #[arg(long, value_name = "FILE")]
    annotation_file: Option<PathBuf>,

    /// What it is about: a manifest of the same repository, by tag, digest or reference. Without a
    /// tag of its own it then gets none
    #[arg(long, value_name = "REFERENCE")]
    subject: Option<String>,

    /// When it was made, as an annotation: 2026-11-22T08:00:00Z, or seconds since 1970
    /// [default: `SOURCE_DATE_EPOCH`; without it there is no such annotation]
    #[arg(long, value_name = "TIME", value_parser = timestamp::parse)]
    created: Option<String>,

    /// Write the manifest into this file as well, before anything is sent
    #[arg(long, value_name = "FILE")]
    export_manifest: Option<PathBuf>,

    #[command(flatten)]
    transfer: TransferArgs,

    #[command(flatten)]
    run: RunArgs,
}

pub(crate) async fn push(
    args: &ArtifactPushArgs,
    environment: &Environment,
) -> Result<(), AppError> {
    let (destination, files) = destination_and_files(&args.given)?;
    let builder = builder(args, &files, environment)?;
    let named = open::reference(destination)?;
    let subject = args.subject.as_deref();
    let subject = subject
        .map(|text| at(text, named.repository()))
        .transpose()?;
    let image = ImageArgs {
        destination: destination.to_owned(),
        transfer: TransferArgs {
            foreign: ForeignPolicy::Include,
            ..args.transfer.clone()
        },
        ..ImageArgs::default()
    };
    let state = args.run.open_state(environment).await?;
    let sessions = args.run.unfinished.sessions(&state);
    let progress = Arc::new(args.run.progress());
    let open = async |course: &Course, client: &Client| {
        let builder = match &subject {
            Some(at) => {
                let there = course.destination(0).unwrap_or(&named);
                builder.subject(&subject_of(client, there.repository(), at).await?)
            }
            None => builder,
        };
        let artifact = builder.build().await?;
        export(args, &artifact)?;
        Ok(Box::new(artifact) as Box<dyn Source>)
    };
    let kept = (state, sessions);
    let preparing = prepare_from(
        &image,
        &args.run.connection,
        environment,
        kept,
        progress.clone(),
        open,
    );
    let mut job = Box::pin(preparing)
        .await
        .inspect_err(|_| progress.finish())?;
    if subject.is_some() && named.tag().is_none() {
        // What is about an image is found by that; `latest` is the image's.
        job.destination.tags.clone_from(&args.transfer.tags);
    }
    if args.run.dry_run {
        return plan::show(&job, args.run.output.json).await;
    }
    carry_out(&job, &progress, &args.run.output).await
}

/// What was given is files, and a reference last.
fn destination_and_files(given: &[String]) -> Result<(&str, Vec<NamedFile>), AppError> {
    let Some((destination, files)) = given.split_last() else {
        return Err(AppError::Usage("there is no reference to push to".into()));
    };
    Ok((
        destination,
        files.iter().map(|it| NamedFile::of(it)).collect(),
    ))
}

/// The artifact to be, as far as the command line says.
fn builder(
    args: &ArtifactPushArgs,
    files: &[NamedFile],
    environment: &Environment,
) -> Result<ArtifactBuilder, AppError> {
    let mut annotations = match &args.annotation_file {
        Some(path) => Annotations::read(path)?,
        None => Annotations::default(),
    };
    annotations.add(&args.annotations, &args.file_annotation)?;
    let mut builder = match &args.artifact_type {
        Some(it) => ArtifactBuilder::new(it),
        None => ArtifactBuilder::default(),
    };
    if let Some(named) = &args.config {
        let default = args.wasm.then_some(WASM_CONFIG);
        let Some(media_type) = named.media_type.as_deref().or(default) else {
            return Err(AppError::Usage(format!(
                "the config {:?} needs a type, which says what the artifact is: {}:application/vnd.example.config.v1+json",
                named.text, named.text
            )));
        };
        let config = ArtifactFile::new(&named.path).media_type(media_type);
        builder = builder.config(annotations.config(config));
    }
    for named in files {
        let mut file = ArtifactFile::new(&named.path);
        let default = args.wasm.then_some(WASM);
        if let Some(media_type) = named.media_type.as_deref().or(default) {
            file = file.media_type(media_type);
        }
        builder = builder.file(annotations.file(named, file));
    }
    let created = match (&args.created, &environment.source_date_epoch) {
        (Some(it), _) => Some(it.clone()),
        (None, Some(text)) => {
            let created = timestamp::parse(text).map_err(|error| {
                AppError::Usage(format!("SOURCE_DATE_EPOCH is {text:?}: {error}"))
            })?;
            Some(created)
        }
        (None, None) => None,
    };
    if let Some(created) = created {
        builder = builder.annotation(CREATED, created);
    }
    for (key, value) in annotations.of_manifest() {
        builder = builder.annotation(key, value);
    }
    annotations.all_used()?;
    Ok(builder)
}

/// Where the subject is within the repository.
fn at(text: &str, repository: &Repository) -> Result<TagOrDigest, AppError> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let reference = open::reference(text)?;
    if reference.repository() != repository {
        return Err(AppError::Usage(format!(
            "the subject is in {}, and what is about it goes to {repository}: a registry finds it only in the subject's own repository",
            reference.repository()
        )));
    }
    Ok(reference.tag_or_digest())
}

async fn subject_of(
    client: &Client,
    repository: &Repository,
    at: &TagOrDigest,
) -> Result<Document, AppError> {
    let place = match at {
        TagOrDigest::Tag(tag) => format!("{repository}:{tag}"),
        TagOrDigest::Digest(digest) => format!("{repository}@{digest}"),
    };
    let found = client.repository(repository).manifest(at).await;
    let found = match found {
        Ok(Some(document)) => Ok(document),
        Ok(None) => Err(SourceError::NotFound {
            place: place.clone(),
        }),
        Err(error) => Err(SourceError::unreadable(&place, error)),
    };
    found.map_err(|error| AppError::Source {
        place: format!("{place}, the subject"),
        error,
    })
}

fn export(args: &ArtifactPushArgs, artifact: &Artifact) -> Result<(), AppError> {
    let Some(path) = &args.export_manifest else {
        return Ok(());
    };
    std::fs::write(path, artifact.manifest().bytes()).map_err(|error| AppError::Io {
        attempted: format!("write the manifest into {}", path.display()),
        error,
    })
}
