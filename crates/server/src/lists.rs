//! Lists as bodies: in one piece if there is room for it in memory, else piece by piece.
//!
//! A list may have megabytes, and its reader may take his time. So one that does not fit into
//! the [`Allowance`](crate::allowance::Allowance) is read again for each of its pieces, from
//! where the last one ended to where the page ends. What changes meanwhile may be seen or not,
//! as between two pages.

use std::{fmt, io, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::Semaphore;

use crate::{
    allowance::held_with,
    answer::{self, Refusal},
    app::App,
};

/// How much is sent at a time of a list that there is no room for, in bytes, about.
const PIECE_BYTES: usize = 16 * 1024;

/// Something that can be listed in order, from anywhere on.
pub(crate) trait Listing: Send + Sync + 'static {
    /// What its items are ordered by.
    type Key: Clone + Ord + Send + Sync + 'static;

    /// Writes the items of a stretch as JSON, with commas between them. Blocks.
    fn write(&self, stretch: &Stretch<Self::Key>, into: &mut Items<Self::Key>) -> io::Result<()>;
}

/// Which items are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Stretch<K> {
    /// Those after this one,
    pub(crate) after: Option<K>,
    /// up to this one, inclusive.
    pub(crate) until: Option<K>,
    /// So many at most.
    pub(crate) most: usize,
}

/// Items that were written.
#[derive(Debug)]
pub(crate) struct Items<K> {
    json: String,
    last: Option<K>,
    count: usize,
    most: usize,
    most_bytes: usize,
    /// There is one more, which did not fit.
    more: bool,
}

/// A page of a list.
pub(crate) struct Page<L: Listing> {
    pub(crate) listing: L,
    /// What stands before the items and after them.
    pub(crate) frame: (String, &'static str),
    pub(crate) media_type: &'static str,
    pub(crate) after: Option<L::Key>,
    /// So many items at most,
    pub(crate) items: usize,
    /// and so many bytes of them, about.
    pub(crate) bytes: usize,
}

// === impl Items ===

impl<K> Items<K> {
    fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            json: String::new(),
            last: None,
            count: 0,
            most,
            most_bytes,
            more: false,
        }
    }

    /// Adds an item. False if there is no room for it, nor for any after it.
    pub(crate) fn push(&mut self, key: K, item: &impl serde::Serialize) -> io::Result<bool> {
        if self.count >= self.most {
            self.more = true;
            return Ok(false);
        }
        let item = serde_json::to_string(item)?;
        if self.count > 0 && self.json.len() + item.len() > self.most_bytes {
            self.more = true;
            return Ok(false);
        }
        if self.count > 0 {
            self.json.push(',');
        }
        self.json.push_str(&item);
        self.last = Some(key);
        self.count += 1;
        Ok(true)
    }
}

// === impl Page ===

impl<L: Listing> Page<L> {
    /// The answer with this page, and the key of its last item if there are more after it.
    pub(crate) async fn answer(
        self,
        app: &Arc<App>,
    ) -> Result<(Response, Option<L::Key>), Refusal> {
        let Self {
            listing,
            frame: (opening, closing),
            media_type,
            after,
            items,
            bytes,
        } = self;
        let listing = Arc::new(listing);
        let stretch = Stretch {
            after,
            until: None,
            most: items,
        };
        let first = write(app, &listing, stretch.clone(), items, bytes).await?;
        let next = first.last.clone().filter(|_| first.more);
        let length = opening.len() + first.json.len() + closing.len();
        let mut response = if let Some(taken) = app.memory.allowance.take(length) {
            let mut whole = opening;
            whole.reserve_exact(length - whole.len());
            whole.push_str(&first.json);
            whole.push_str(closing);
            answer::with_body(StatusCode::OK, taken.hold(whole.into()))
        } else {
            let rest = Rest {
                app: Arc::clone(app),
                listing,
                stretch: Stretch {
                    until: first.last,
                    ..stretch
                },
                frame: Some((opening, closing)),
                written: 0,
                places: Arc::new(Semaphore::new(1)),
            };
            Response::new(rest.body())
        };
        let media_type = HeaderValue::from_static(media_type);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        Ok((response, next))
    }
}

/// Writes a stretch, when it is its turn.
async fn write<L: Listing>(
    app: &App,
    listing: &Arc<L>,
    stretch: Stretch<L::Key>,
    items: usize,
    bytes: usize,
) -> io::Result<Items<L::Key>> {
    let listing = Arc::clone(listing);
    let work = move || {
        let mut written = Items::new(items, bytes);
        listing.write(&stretch, &mut written)?;
        Ok(written)
    };
    app.memory.lister.run(work).await?
}

/// What is still to be sent of a page.
struct Rest<L: Listing> {
    app: Arc<App>,
    listing: Arc<L>,
    stretch: Stretch<L::Key>,
    /// None when all was sent.
    frame: Option<(String, &'static str)>,
    written: usize,
    places: Arc<Semaphore>,
}

impl<L: Listing> Rest<L> {
    fn body(self) -> Body {
        Body::from_stream(stream::try_unfold(self, Self::next))
    }

    /// The next piece, when the one before it has left.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let Some((opening, closing)) = self.frame.take() else {
            return Ok(None);
        };
        // Nobody closes the semaphore.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let left = self.stretch.most.saturating_sub(self.written);
        let stretch = self.stretch.clone();
        let piece = write(&self.app, &self.listing, stretch, left, PIECE_BYTES).await?;
        let mut text = opening;
        if self.written > 0 && piece.count > 0 {
            text.push(',');
        }
        text.push_str(&piece.json);
        self.written += piece.count;
        if piece.more && left > piece.count {
            self.stretch.after = piece.last;
            self.frame = Some((String::new(), closing));
        } else {
            text.push_str(closing);
        }
        Ok(Some((held_with(text.into(), place), self)))
    }
}

impl<L: Listing> fmt::Debug for Page<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}
