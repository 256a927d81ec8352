//! A repository's tags: what each is, for which platforms, how large, and how to pull it.

use std::{io, sync::Arc};

use askama::Template;
use oci::{Digest, Tag};

use super::{
    Frame, ROWS,
    image::{Budget, Image},
    link, next,
    words::{Moment, size},
};
use crate::{
    answer::Refusal,
    exchange::Exchange,
    route::Name,
    store::{self, Store},
};

/// Platforms that are named.
const PLATFORMS_SHOWN: usize = 12;

#[derive(Template)]
#[template(path = "repository.html")]
pub(super) struct Repository {
    frame: Frame,
    name: String,
    count: usize,
    tags: Vec<Row>,
    continued: bool,
    first: String,
    next: Option<String>,
}

struct Row {
    name: String,
    digest: String,
    kind: String,
    /// Nothing where it is not known.
    size: Option<String>,
    platforms: Vec<String>,
    /// Platforms that are not named.
    hidden: usize,
    /// What the image says of itself.
    words: Option<String>,
    pushed: Option<Moment>,
    commands: Vec<Command>,
}

struct Command {
    tool: &'static str,
    text: String,
}

/// The page; none if there is no such repository for the asker.
pub(super) async fn page(
    x: &Exchange,
    name: Name,
    frame: Frame,
) -> Result<Option<Repository>, Refusal> {
    if !x.principal.may_pull(&name) {
        return Ok(None);
    }
    let last = x.query.get("last").unwrap_or_default().to_owned();
    let (store, wanted, shown) = (Arc::clone(&x.app.store), name.clone(), frame.clone());
    let after = last.clone();
    let found = store::blocking(move || {
        let Some(all) = store.tags(&wanted)? else {
            return Ok(None);
        };
        let count = all.len();
        let mut rest = all.into_iter().filter(|it| it.as_str() > after.as_str());
        let mut budget = Budget::default();
        let mut rows = Vec::new();
        let mut more = None;
        for tag in rest.by_ref().take(ROWS) {
            rows.extend(row(&*store, &wanted, &tag, &shown, &mut budget)?);
            more = Some(tag);
        }
        let more = more.filter(|_| rest.next().is_some());
        Ok(Some((rows, count, more)))
    });
    Ok(found.await?.map(|(tags, count, more)| Repository {
        first: link(name.as_str()),
        next: more.map(|it| next(&link(name.as_str()), "", it.as_str())),
        name: name.to_string(),
        continued: !last.is_empty(),
        frame,
        count,
        tags,
    }))
}

/// A tag; none if it was removed meanwhile.
fn row(
    store: &dyn Store,
    name: &Name,
    tag: &Tag,
    frame: &Frame,
    budget: &mut Budget,
) -> io::Result<Option<Row>> {
    let Some(digest) = store.tag(name, tag)? else {
        return Ok(None);
    };
    let image = Image::read(store, name, &digest, budget)?;
    let mut platforms = image.platforms;
    let hidden = platforms.len().saturating_sub(PLATFORMS_SHOWN);
    platforms.truncate(PLATFORMS_SHOWN);
    Ok(Some(Row {
        name: tag.to_string(),
        commands: commands(frame, name, tag, &digest),
        digest: digest.to_string(),
        kind: image.kind,
        size: image.bytes.map(size),
        platforms,
        hidden,
        words: image.words,
        pushed: store.tagged_at(name, tag)?.map(Moment::of),
    }))
}

fn commands(frame: &Frame, name: &Name, tag: &Tag, digest: &Digest) -> Vec<Command> {
    let reference = format!("{}/{name}:{tag}", frame.registry);
    let pinned = format!("{}/{name}@{digest}", frame.registry);
    let plain = |flag: &'static str| if frame.plain { flag } else { "" };
    [
        ("docker", format!("docker pull {reference}")),
        (
            "podman",
            format!("podman pull{} {reference}", plain(" --tls-verify=false")),
        ),
        (
            "skopeo",
            format!(
                "skopeo copy{} docker://{reference} oci:image",
                plain(" --src-tls-verify=false")
            ),
        ),
        (
            "crane",
            format!("crane pull{} {reference} image.tar", plain(" --insecure")),
        ),
        ("by digest", format!("docker pull {pinned}")),
    ]
    .into_iter()
    .map(|(tool, text)| Command { tool, text })
    .collect()
}
