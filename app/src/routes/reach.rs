//! The way that is taken: the first that is there.
//!
//! A single way is taken unasked. Of several, each but the last is asked once, anonymously; the last
//! is taken unasked, so that what is wrong with it is told as of any registry. Whoever is passed
//! over is told of.

use std::error::Error;

use registry::Client;

use super::way::{Route, Way};
use crate::warning::warn;

/// The way to take; `client` makes a client for one.
pub(crate) async fn first_reachable<E>(
    route: &Route,
    client: impl Fn(&Way) -> Result<Client, E>,
) -> Result<Way, E> {
    let (last, others) = route.in_order();
    for way in others {
        let reached = client(way)?.reachable(way.registry()).await;
        let Err(error) = reached else {
            return Ok(way.clone());
        };
        let because = Error::source(&error).map_or_else(|| error.to_string(), told);
        let url = way.endpoint.url(false);
        warn(format_args!("{url} is passed over: {because}"));
    }
    Ok(last.clone())
}

/// The error and its causes, without what is told twice.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    texts.dedup();
    texts.join(": ")
}
