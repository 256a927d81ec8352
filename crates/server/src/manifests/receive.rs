//! Manifests on their way in.
//!
//! One is parsed whole, so it has to be in memory then; not while it comes. What is longer than
//! a little waits in memory if there is room and it is not very long, else in a file like an upload. So no client that
//! sends slowly holds up another one. Parsing takes a multiple of the manifest's length: of all
//! that are parsed at the same time the lengths together are bounded.

use std::{io, sync::Arc};

use bytes::Bytes;
use oci::{Algorithm, Document, DocumentError, MediaType, TagOrDigest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refuse;
use crate::{
    allowance::{FREE_BYTES, Taken},
    answer::Refusal,
    body,
    exchange::Exchange,
    log::text,
    route::Name,
    secret,
    store::{self, Content, Staged, Ticket},
};

/// A manifest up to this length waits in memory if there is room, in bytes.
const HELD_BYTES: usize = 256 * 1024;
/// How much is gathered before it is written to a file, in bytes.
const WRITTEN_BYTES: usize = 32 * 1024;

/// What a manifest takes of the memory there is for manifests, until this is dropped.
pub(super) struct Room {
    _taken: Option<Taken>,
    _turn: Option<OwnedSemaphorePermit>,
}

/// A body that is coming.
#[derive(Default)]
struct Coming {
    bytes: Vec<u8>,
    taken: Option<Taken>,
    /// Where the rest went, and how much that is.
    file: Option<Box<dyn Staged>>,
}

/// The body, as the document it is.
pub(super) async fn receive(
    x: &mut Exchange,
    name: &Name,
    which: &TagOrDigest,
) -> Result<(Document, Room), Refusal> {
    let limit = x.app.limits.manifest_bytes;
    let declared = body::declared_length(&x.headers);
    if declared.is_some_and(|declared| declared > limit as u64) {
        return Err(body::too_large(limit as u64));
    }
    let mut coming = Coming::default();
    let parsed = match coming.receive(x, name, limit).await {
        Ok(()) => coming.parse(x, which).await,
        Err(refusal) => Err(refusal),
    };
    coming.discard(&x.app.turns.writing).await;
    let (document, turn) = parsed?;
    let room = Room {
        _taken: coming.taken,
        _turn: turn,
    };
    Ok((document, room))
}

/// How a body becomes a document.
fn parser(
    x: &Exchange,
    which: &TagOrDigest,
) -> impl FnOnce(Bytes) -> Result<Document, DocumentError> + Send + 'static {
    let declared = text(&x.headers, axum::http::header::CONTENT_TYPE);
    let declared = declared.map(|it| MediaType::from_header(&it));
    let which = which.clone();
    move |bytes| match which {
        TagOrDigest::Tag(_) => Document::new(bytes, declared.as_ref()),
        TagOrDigest::Digest(digest) => Document::with_digest(bytes, declared.as_ref(), &digest),
    }
}

impl Coming {
    async fn receive(
        &mut self,
        x: &mut Exchange,
        name: &Name,
        limit: usize,
    ) -> Result<(), Refusal> {
        x.intake.limit(limit as u64);
        let declared = body::declared_length(&x.headers);
        let longest = declared.and_then(|it| usize::try_from(it).ok());
        let longest = longest.unwrap_or(limit);
        while let Some(piece) = x.intake.next().await? {
            let whole = self.bytes.len() + piece.len();
            let is_free = self.file.is_none() && whole <= FREE_BYTES;
            if !is_free && self.taken.is_none() && self.file.is_none() {
                let fits = longest <= HELD_BYTES;
                self.taken = fits.then(|| x.app.memory.allowance.take(longest)).flatten();
                if self.taken.is_some() {
                    // Growing would take up to twice as much.
                    self.bytes.reserve_exact(longest - self.bytes.len());
                } else {
                    let _turn = Arc::clone(&x.app.turns.writing).acquire_owned().await;
                    self.file = Some(stage(x, name).await?);
                }
            }
            if self.file.is_some() && whole > WRITTEN_BYTES {
                self.write(&piece, &x.app.turns.writing).await?;
            } else {
                self.bytes.extend_from_slice(&piece);
            }
        }
        self.write(&Bytes::new(), &x.app.turns.writing).await
    }

    /// Moves what was gathered, and a piece that comes after it, to the file, if there is one.
    async fn write(&mut self, piece: &Bytes, turns: &Arc<Semaphore>) -> Result<(), Refusal> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        // Nobody closes the semaphore.
        let _turn = Arc::clone(turns).acquire_owned().await;
        let (mut bytes, piece) = (std::mem::take(&mut self.bytes), piece.clone());
        let (file, bytes, written) = tokio::task::spawn_blocking(move || {
            let written = file.append(&bytes).and_then(|()| file.append(&piece));
            bytes.clear();
            (file, bytes, written)
        })
        .await
        .map_err(io::Error::other)?;
        (self.file, self.bytes) = (Some(file), bytes);
        Ok(written?)
    }

    /// The document, and the turn to have it in memory.
    async fn parse(
        &mut self,
        x: &Exchange,
        which: &TagOrDigest,
    ) -> Result<(Document, Option<OwnedSemaphorePermit>), Refusal> {
        let length = match &self.file {
            Some(file) => usize::try_from(file.length()).map_err(io::Error::other)?,
            None => self.bytes.len(),
        };
        let turns = u32::try_from(length).unwrap_or(u32::MAX);
        let parsing = Arc::clone(&x.app.turns.parsing);
        // Nobody closes the semaphore.
        let turn = parsing.acquire_many_owned(turns).await.ok();
        let parse = parser(x, which);
        let parsed = if let Some(file) = &self.file {
            let mut content = file.read()?;
            let work = move || Ok::<_, io::Error>(parse(whole(&mut *content, length)?));
            x.app.memory.parser.run(work).await??
        } else {
            parse(std::mem::take(&mut self.bytes).into())
        };
        Ok((parsed.map_err(|error| refuse(&error))?, turn))
    }

    /// Drops the file.
    async fn discard(&mut self, turns: &Arc<Semaphore>) {
        let Some(mut file) = self.file.take() else {
            return;
        };
        // Nobody closes the semaphore.
        let _turn = Arc::clone(turns).acquire_owned().await;
        if let Err(error) = store::blocking(move || file.discard()).await {
            tracing::warn!(%error, "could not remove what a manifest left behind");
        }
    }
}

fn whole(content: &mut dyn Content, length: usize) -> io::Result<Bytes> {
    let mut whole = Vec::with_capacity(length);
    loop {
        let piece = content.read(WRITTEN_BYTES)?;
        if piece.is_empty() {
            return Ok(whole.into());
        }
        whole.extend_from_slice(&piece);
    }
}

/// A file for a manifest that comes.
async fn stage(x: &Exchange, name: &Name) -> Result<Box<dyn Staged>, Refusal> {
    let (store, id) = (Arc::clone(&x.app.store), secret::random_hex()?);
    let ticket = Ticket {
        name: name.clone(),
        owner: x.principal.user.clone(),
        algorithm: Algorithm::Sha256,
    };
    Ok(store::blocking(move || store.stage(&id, &ticket)).await?)
}
