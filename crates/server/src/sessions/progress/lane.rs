//! Hashing and writing one body: each on a side of its own, while more arrives.
//!
//! So one stream runs at the speed of the slower of the two, and no async thread ever
//! hashes or writes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use oci::Hasher;

use super::{
    batch::{Batch, Gathering, Room},
    side::{Side, Work},
};
use crate::{answer::Refusal, body::Intake, log::Record, store::Staged};

/// One body on its way.
pub(super) struct Lane {
    hashing: Side<Hasher>,
    writing: Side<Writer>,
    gathering: Gathering,
    /// Whether any batch was given to the two sides.
    flows: bool,
}

/// What the lane leaves behind.
pub(super) struct Landed {
    /// None if a thread died over it.
    pub(super) staged: Option<Box<dyn Staged>>,
    /// Over all that is staged; none if that is not known.
    pub(super) hasher: Option<Hasher>,
    pub(super) result: io::Result<()>,
}

struct Writer {
    staged: Box<dyn Staged>,
    /// Where others look how far it is.
    length: Arc<AtomicU64>,
}

impl Lane {
    pub(super) fn new(
        staged: Box<dyn Staged>,
        hasher: Hasher,
        length: Arc<AtomicU64>,
        room: &Room,
    ) -> Self {
        Self {
            hashing: Side::new(hasher),
            writing: Side::new(Writer { staged, length }),
            gathering: Gathering::new(room),
            flows: false,
        }
    }

    /// Takes the pieces of a body until it ends. After a failure of the body the pieces before
    /// it are still good; [`Lane::land`] sees to them.
    pub(super) async fn run(
        &mut self,
        first: Bytes,
        intake: &mut Intake,
        record: &Record,
    ) -> Result<(), Refusal> {
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            record.uploaded(bytes.len());
            self.gathering.make_room_for(bytes.len());
            if self.gathering.has_no_room_for(bytes.len()) {
                self.hand_over().await?;
                self.gathering.make_room_for(bytes.len());
            }
            self.gathering.push(&bytes);
            drop(bytes);
            piece = intake.next().await?;
        }
        Ok(())
    }

    /// Gives what was gathered to both sides. Fails if something before it could not be written.
    async fn hand_over(&mut self) -> io::Result<()> {
        self.flows = true;
        let batch = Arc::new(self.gathering.batch().await);
        self.writing.push(Arc::clone(&batch)).await?;
        self.hashing.push(batch).await
    }

    /// Writes what is left, and waits for both sides.
    pub(super) async fn land(mut self) -> Landed {
        let mut result = Ok(());
        if !self.gathering.is_empty() {
            if !self.flows {
                return self.land_at_once().await;
            }
            result = self.hand_over().await;
        }
        let both = tokio::join!(self.writing.rest(), self.hashing.rest());
        let result = result.and(both.0).and(both.1);
        let staged = self.writing.into_work().map(|it| it.staged);
        let hasher = self.hashing.into_work();
        Landed {
            // The hasher may know bytes that are not there, or not know some that are.
            hasher: hasher.filter(|it| result.is_ok() && is_over(it, staged.as_deref())),
            staged,
            result,
        }
    }

    /// A body too small to be worth two threads.
    async fn land_at_once(mut self) -> Landed {
        let batch = self.gathering.small_batch();
        let both = self.hashing.into_work().zip(self.writing.into_work());
        let work = tokio::task::spawn_blocking(move || {
            let (mut hasher, mut writer) = both.ok_or_else(super::died)?;
            let result = hasher.take(&batch).and_then(|()| writer.take(&batch));
            Ok(Landed {
                hasher: result.is_ok().then_some(hasher),
                staged: Some(writer.staged),
                result,
            })
        });
        let landed = work.await.map_err(io::Error::other);
        landed.flatten().unwrap_or_else(|error| Landed {
            staged: None,
            hasher: None,
            result: Err(error),
        })
    }
}

fn is_over(hasher: &Hasher, staged: Option<&dyn Staged>) -> bool {
    staged.is_some_and(|it| it.length() == hasher.bytes())
}

impl Work for Hasher {
    fn take(&mut self, batch: &Batch) -> io::Result<()> {
        self.update(batch.bytes());
        Ok(())
    }
}

impl Work for Writer {
    fn take(&mut self, batch: &Batch) -> io::Result<()> {
        let written = self.staged.append(batch.bytes());
        self.length.store(self.staged.length(), Ordering::Release);
        written
    }
}
