//! Manifests on their way in.
//!
//! One is parsed whole, so it has to be in memory then; not while it comes. What is longer than
//! a little waits in memory if there is room and it is not very long, else in a file like an
//! upload. So no client that sends slowly holds up another one.

use std::{io, sync::Arc};

use axum::http::StatusCode;
use bytes::Bytes;
use oci::{Algorithm, Document, DocumentError, MediaType, TagOrDigest, wire::ErrorCode};
use tokio::sync::Semaphore;

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
/// A manifest up to this length is short, in bytes, inclusive.
const SHORT_BYTES: usize = 64 * 1024;
/// The most strings of a manifest, inclusive: an index of 4 MiB with nothing but the shortest
/// descriptors has fewer.
const MAX_STRINGS: usize = 250_000;
/// How much is gathered before it is written to a file, in bytes.
const WRITTEN_BYTES: usize = 32 * 1024;

/// A body that is coming.
#[derive(Default)]
struct Coming {
    bytes: Vec<u8>,
    taken: Option<Taken>,
    /// Where the rest went, and how much that is.
    file: Option<Box<dyn Staged>>,
}

/// What `work` makes of the body, as the document it is; on a thread that may block.
pub(super) async fn receive<T: Send + 'static>(
    x: &mut Exchange,
    name: &Name,
    which: &TagOrDigest,
    work: impl FnOnce(Document) -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let limit = x.app.limits.manifest_bytes;
    let declared = body::declared_length(&x.headers);
    if declared.is_some_and(|declared| declared > limit as u64) {
        return Err(body::too_large(limit as u64));
    }
    let mut coming = Coming::default();
    let done = match coming.receive(x, name, limit).await {
        Ok(()) => coming.work(x, which, work).await,
        Err(refusal) => Err(refusal),
    };
    coming.discard(&x.app.turns.writing).await;
    done
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

    /// Parses it, and does the work. Parsing takes many times the memory of what is parsed: of
    /// short ones the lengths together are bounded, long ones come one after the other.
    async fn work<T: Send + 'static>(
        &mut self,
        x: &Exchange,
        which: &TagOrDigest,
        work: impl FnOnce(Document) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let parse = parser(x, which);
        let parsed = move |bytes: Bytes| -> Result<T, Refusal> {
            check_weight(&bytes)?;
            Ok(work(parse(bytes).map_err(|error| refuse(&error))?)?)
        };
        if let Some(file) = &self.file {
            let length = usize::try_from(file.length()).map_err(io::Error::other)?;
            let mut content = file.read()?;
            let work = move || parsed(whole(&mut *content, length)?);
            return x.app.memory.parser.run(work).await?;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        if bytes.len() > SHORT_BYTES {
            return x.app.memory.parser.run(move || parsed(bytes)).await?;
        }
        let turns = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // Nobody closes the semaphore.
        let _turn = Arc::clone(&x.app.turns.parsing)
            .acquire_many_owned(turns)
            .await;
        let done = tokio::task::spawn_blocking(move || parsed(bytes)).await;
        done.map_err(io::Error::other)?
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

/// Refuses what would take far more memory than its length says: very many strings, each of
/// next to nothing.
fn check_weight(bytes: &[u8]) -> Result<(), Refusal> {
    let strings = strings(bytes);
    if strings <= MAX_STRINGS {
        return Ok(());
    }
    let message = format!("the manifest has {strings} strings, {MAX_STRINGS} are taken");
    Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid).message(message))
}

/// How many strings there are in JSON, names of fields included.
fn strings(json: &[u8]) -> usize {
    let (mut quotes, mut escaped, mut inside) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => {
                quotes += 1;
                inside = !inside;
            }
            _ => {}
        }
    }
    quotes.div_ceil(2)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_counted_whatever_stands_in_them() {
        let counted = |json: &str| strings(json.as_bytes());
        assert_eq!(counted(r#"{"a":"b","c":[1,"",{}]}"#), 4);
        assert_eq!(counted(r#"["\"\"\"","\\","x"]"#), 3);
        assert_eq!(counted(r#"{"cut":"of"#), 2);
        assert_eq!(counted(""), 0);
    }

    #[test]
    fn an_index_of_the_shortest_descriptors_is_taken_at_its_longest() {
        let digest = "a".repeat(64);
        let one = format!(r#"{{"mediaType":"a/b","digest":"sha256:{digest}","size":0}}"#);
        let of_4_mib = oci::MAX_MANIFEST_BYTES / (one.len() + 1) * strings(one.as_bytes());
        assert!(of_4_mib < MAX_STRINGS, "{of_4_mib}");
        let empty = r#""","#.repeat(MAX_STRINGS);
        assert!(check_weight(empty.as_bytes()).is_ok());
        assert!(check_weight(format!(r#"{empty}"""#).as_bytes()).is_err());
    }
}
