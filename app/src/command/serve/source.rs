//! Serving a layout or an archive: what is in it, at names made of its own.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;
use push::source::{self, Spool};
use server::{Image, ReadOnly, Server};

use crate::{error::AppError, interrupt};

mod names;

use names::Naming;

/// How many lines of one kind are printed; what is more is counted.
const SHOWN: usize = 20;

#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Serve what these hold, read-only: OCI layouts, OCI archives, docker-save archives
    ///
    /// Plain, gzip or zstd. NAME is the repository that everything of this file is served in,
    /// under its tags. Without it names that stand in the file count, and whatever has none is
    /// served in a repository called after the file: image.tar in `image`. A path with an equals
    /// sign in it is written ./so=that.
    #[arg(value_name = "[NAME=]PATH", conflicts_with = "store")]
    sources: Vec<String>,
}

/// A file to serve, and the repository it was given.
struct Given<'a> {
    repository: Option<&'a str>,
    path: PathBuf,
}

impl SourceArgs {
    /// What is served, for a person; none if nothing is.
    pub(crate) fn places(&self) -> Option<String> {
        (!self.sources.is_empty()).then(|| self.sources.join(", "))
    }
}

impl<'a> Given<'a> {
    fn parse(text: &'a str) -> Self {
        let is_path = text.starts_with(['.', '/']);
        match text.split_once('=').filter(|_| !is_path) {
            Some((repository, path)) => Self {
                repository: Some(repository),
                path: path.into(),
            },
            None => Self {
                repository: None,
                path: text.into(),
            },
        }
    }
}

/// Opens all that is to be served; none if nothing is. Says on standard error what takes
/// long and what is not there.
pub(crate) async fn open(args: &SourceArgs) -> Result<Option<ReadOnly>, AppError> {
    if args.sources.is_empty() {
        return Ok(None);
    }
    let opening = async {
        let mut images = ReadOnly::new();
        for text in &args.sources {
            add(&mut images, &Given::parse(text)).await?;
        }
        Ok(images)
    };
    interrupt::until_interrupted(None, opening).await.map(Some)
}

/// The lines that say what can be pulled.
pub(crate) fn tags(images: &ReadOnly) -> Vec<String> {
    let tags = images
        .tags()
        .map(|(name, digest)| format!("{name}@{digest}"));
    bounded(tags.collect(), "tags")
}

async fn add(images: &mut ReadOnly, given: &Given<'_>) -> Result<(), AppError> {
    let path = &given.path;
    if path.as_os_str().is_empty() {
        return Err(AppError::Usage(
            "what is to be served has no path: expected PATH or NAME=PATH".into(),
        ));
    }
    if Server::is_store(path) {
        let path = path.display();
        return Err(AppError::Usage(format!(
            "{path} is a store of this registry, not an image: longshore serve --store {path}"
        )));
    }
    announce(path).await;
    let contents = source::open_all(path, &Spool::default()).await?;
    let naming = match given.repository {
        Some(name) => Naming::all_in(name),
        None => Naming::by_names(&resolved(path)),
    };
    let (places, mut notes) = naming.places(&contents.images);
    let mut absent = HashSet::new();
    for (listed, names) in contents.images.iter().zip(places) {
        let mut image = Image::new(contents.source.clone(), listed.root.clone());
        for (repository, tags) in names {
            image = image.named(repository, tags);
        }
        for flaw in images.add(image).await? {
            let text = flaw.to_string();
            if absent.insert(text.clone()) {
                notes.push(text);
            }
        }
    }
    for note in bounded(notes, "notes") {
        interrupt::say(&format!("note: {}: {note}", path.display()));
    }
    Ok(())
}

/// Says why it takes long until an archive that is compressed is served.
async fn announce(path: &Path) {
    if let Ok(Some(compression)) = source::compression(path).await {
        let path = path.display();
        interrupt::say(&format!(
            "decompressing {path} ({compression}) into a temporary file"
        ));
    }
}

/// The path with a last part that names something, for `.` and the like.
fn resolved(path: &Path) -> PathBuf {
    match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    }
}

fn bounded(mut lines: Vec<String>, what: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        lines.truncate(SHOWN);
        lines.push(format!("and {more} more {what}"));
    }
    lines
}
