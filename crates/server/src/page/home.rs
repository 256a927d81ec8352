//! The list of repositories.

use std::{io, sync::Arc, time::SystemTime};

use askama::Template;
use oci::Tag;

use super::{Frame, ROWS, link, next, words::Moment};
use crate::{
    answer::Refusal,
    exchange::Exchange,
    route::Name,
    store::{self, Store},
};

/// Tags that a row shows.
const TAGS_SHOWN: usize = 4;
/// Tags of a repository whose time is looked at.
const TAGS_TIMED: usize = 200;
/// The longest name that can be found, in characters.
const MAX_SEARCH: usize = 255;

#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct Home {
    frame: Frame,
    search: String,
    rows: Vec<Row>,
    continued: bool,
    first: String,
    next: Option<String>,
}

struct Row {
    link: String,
    /// The name up to its last slash, with it.
    folder: String,
    /// The rest of the name.
    leaf: String,
    /// The tags that came last.
    tags: Vec<String>,
    /// How many others there are.
    more: usize,
    pushed: Option<Moment>,
}

/// The repositories that the asker may pull from and that have the text in their name.
pub(super) async fn page(x: &Exchange, frame: Frame) -> Result<Home, Refusal> {
    let search: String = x.query.get("q").unwrap_or_default().trim().into();
    let search: String = search.replace('+', " ").chars().take(MAX_SEARCH).collect();
    let last = x.query.get("last").unwrap_or_default().to_owned();
    let (store, principal) = (Arc::clone(&x.app.store), x.principal.clone());
    let (wanted, after) = (search.to_lowercase(), last.clone());
    let (rows, more) = store::blocking(move || {
        let all = store.repositories()?;
        let mut found = all.into_iter().filter(|it| {
            it.as_str() > after.as_str() && it.as_str().contains(&wanted) && principal.may_pull(it)
        });
        let names: Vec<Name> = found.by_ref().take(ROWS).collect();
        let more = names.last().cloned().filter(|_| found.next().is_some());
        let rows: io::Result<Vec<Row>> = names.iter().map(|it| row(&*store, it)).collect();
        Ok((rows?, more))
    })
    .await?;
    Ok(Home {
        first: if search.is_empty() {
            "/".to_owned()
        } else {
            next("/", &search, "")
        },
        next: more.map(|it| next("/", &search, it.as_str())),
        continued: !last.is_empty(),
        frame,
        search,
        rows,
    })
}

fn row(store: &dyn Store, name: &Name) -> io::Result<Row> {
    let text = name.as_str();
    let (folder, leaf) = text.split_at(text.rfind('/').map_or(0, |at| at + 1));
    let tags = store.tags(name)?.unwrap_or_default();
    let count = tags.len();
    let mut timed: Vec<(Option<SystemTime>, Tag)> = Vec::new();
    for tag in tags.into_iter().take(TAGS_TIMED) {
        timed.push((store.tagged_at(name, &tag)?, tag));
    }
    // The newest first; without times, as they are sorted.
    timed.sort_by_key(|it| std::cmp::Reverse(it.0));
    timed.truncate(TAGS_SHOWN);
    Ok(Row {
        link: link(text),
        folder: folder.to_owned(),
        leaf: leaf.to_owned(),
        more: count - timed.len(),
        pushed: timed.first().and_then(|it| it.0).map(Moment::of),
        tags: timed.into_iter().map(|it| it.1.to_string()).collect(),
    })
}
