//! A blob that is being read for several: a task reads it, and whoever has a seat takes its pieces.
//!
//! The task is one of its own, because nobody's upload may stand still while it has the source in
//! its hands. It ends when the last seat is given up.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{BlobStream, Descriptor, Hasher, SourceError};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::hub::Hub;
use crate::{
    source::blocking,
    verify::{check, wrong_size},
};

/// Up to how many bytes are hashed where they are read: waking a thread costs as much.
const INLINE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Group {
    blob: Descriptor,
    state: Mutex<State>,
    /// There is more to take, or there will be none.
    grown: Notify,
    /// There is room again, or somebody left.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What not everybody has taken; the first begins at `base`.
    pieces: VecDeque<Piece>,
    base: u64,
    /// What has seen all before `base`, where the reading is hashed.
    seen: Option<Hasher>,
    /// Where the next piece goes.
    head: u64,
    seats: HashMap<u64, Place>,
    /// Those that have lost their place and do not know yet, with what has seen all they took.
    lost: HashMap<u64, Option<Hasher>>,
    /// How many read on by themselves, and wait to hear whether what they took here was right.
    waiting: usize,
    next_seat: u64,
    /// The source came to its end, or failed.
    ended: Option<Result<(), SourceError>>,
    task: Option<AbortHandle>,
}

/// What was read at once.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// What has seen all up to its end, where the reading is hashed.
    after: Option<Hasher>,
}

/// How far somebody is.
#[derive(Debug)]
struct Place {
    destination: usize,
    at: u64,
    /// When it took its last piece.
    moved: Instant,
    /// How long the others waited for it.
    held_up: Duration,
}

/// Those who are behind the others.
struct Last {
    /// How far they are.
    at: u64,
    /// How long the one was waited for already that was waited for longest.
    held_up: Duration,
    seats: Vec<u64>,
}

/// The right to the pieces of a blob, from some place on. Dropped, nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Arc<Hub>,
    group: Arc<Group>,
    number: u64,
    /// How far it is, also when it has lost its place.
    at: u64,
    /// It counts among those that wait for the end of the reading.
    waits: bool,
}

/// What there is for a seat.
pub(super) enum Next {
    Piece(Bytes),
    End,
    /// It did not keep up: it has to read on by itself, from here. Where the reading is hashed, with
    /// what has seen all before that.
    Lost {
        at: u64,
        seen: Option<Hasher>,
    },
}

impl Group {
    /// One that begins at `offset`; if it is to be `hashed`, at 0.
    pub(super) fn new(blob: &Descriptor, offset: u64, hashed: bool) -> Self {
        Self {
            blob: blob.clone(),
            state: Mutex::new(State {
                base: offset,
                seen: hashed.then(|| Hasher::for_digest(&blob.digest)),
                head: offset,
                ..State::default()
            }),
            grown: Notify::new(),
            room: Notify::new(),
        }
    }

    pub(super) fn blob(&self) -> &Descriptor {
        &self.blob
    }

    /// Whether somebody is still concerned with it, and it has not failed.
    pub(super) fn is_open(&self) -> bool {
        let state = self.state();
        !state.seats.is_empty() && !matches!(state.ended, Some(Err(_)))
    }

    /// Takes the first seat, and begins.
    pub(super) fn start(group: &Arc<Self>, hub: &Arc<Hub>, at: usize, offset: u64) -> Seat {
        let number = group.state().seat(at, offset);
        let reading = tokio::spawn(read(Arc::clone(hub), Arc::clone(group)));
        group.state().task = Some(reading.abort_handle());
        Seat {
            hub: Arc::clone(hub),
            group: Arc::clone(group),
            number,
            at: offset,
            waits: false,
        }
    }

    /// Takes a seat, if what is at `offset` is still there or to come.
    pub(super) fn join(group: &Arc<Self>, hub: &Arc<Hub>, at: usize, offset: u64) -> Option<Seat> {
        let mut state = group.state();
        if offset < state.base || offset > state.head {
            return None;
        }
        let number = state.seat(at, offset);
        drop(state);
        Some(Seat {
            hub: Arc::clone(hub),
            group: Arc::clone(group),
            number,
            at: offset,
            waits: false,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another piece beside `kept` bytes that nobody can take yet.
    /// Whoever holds the others up for too long loses its seat.
    async fn has_room(&self, hub: &Hub, kept: u64) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let last = {
                let mut state = self.state();
                // Read to its end for those who wait for that, and kept for nobody.
                if state.seats.is_empty() {
                    state.trim();
                }
                let kept = state.head - state.base + kept;
                if kept < hub.window() as u64 || state.pieces.is_empty() {
                    return;
                }
                state.last()
            };
            let Some(last) = last else {
                // All are as far: nobody holds up anybody.
                room.await;
                continue;
            };
            let begun = Instant::now();
            let left = hub.options.patience.saturating_sub(last.held_up);
            let _ = timeout(left, room).await;
            let late = self.state().blame(&last, begun, hub.options.patience);
            for destination in late {
                hub.leave_behind(destination);
                self.grown.notify_waiters();
            }
        }
    }
}

/// Reads the blob, as fast as those who take it allow.
async fn read(hub: Arc<Hub>, group: Arc<Group>) {
    hub.all_decided(&group.blob.digest).await;
    let _counted = Counted::new(&hub);
    let result = group.read(&hub).await;
    group.state().ended = Some(result);
    group.grown.notify_waiters();
}

impl Group {
    /// Reads to the end. Where it is hashed, the last piece is given out when all is known to be
    /// right: hashed once for all, each piece while those before it are being taken.
    async fn read(&self, hub: &Hub) -> Result<(), SourceError> {
        let (start, seen) = {
            let state = self.state();
            (state.head, state.seen.clone())
        };
        let mut body = hub.source.open(&self.blob, start).await?;
        let Some(mut hasher) = seen else {
            while let Some(bytes) = self.next(hub, &mut body, None).await? {
                self.give(Piece { bytes, after: None });
            }
            return Ok(());
        };
        let place = hub.source.place(&self.blob);
        let mut last: Option<Piece> = None;
        while let Some(bytes) = self.next(hub, &mut body, last.as_ref()).await? {
            if hasher.bytes() + bytes.len() as u64 > self.blob.size {
                let read = hasher.bytes() + bytes.len() as u64;
                return Err(wrong_size(&self.blob, &place, read));
            }
            hasher = hashed(hasher, &bytes).await?;
            let after = Some(hasher.clone());
            if let Some(ready) = last.replace(Piece { bytes, after }) {
                self.give(ready);
            }
        }
        if hasher.bytes() != self.blob.size {
            return Err(wrong_size(&self.blob, &place, hasher.bytes()));
        }
        check(hasher, &self.blob, &place)?;
        if let Some(last) = last {
            self.give(last);
        }
        Ok(())
    }

    /// Waits until there is room, and reads the next piece after the `last`, which is kept.
    async fn next(
        &self,
        hub: &Hub,
        body: &mut BlobStream,
        last: Option<&Piece>,
    ) -> Result<Option<Bytes>, SourceError> {
        let kept = last.map_or(0, |it| it.bytes.len() as u64);
        self.has_room(hub, kept).await;
        body.next().await.transpose()
    }

    /// Has everybody take a piece.
    fn give(&self, piece: Piece) {
        let mut state = self.state();
        state.head += piece.bytes.len() as u64;
        state.pieces.push_back(piece);
        drop(state);
        self.grown.notify_waiters();
    }
}

/// The hasher after it has seen a piece: on the blocking pool, if that is worth it.
async fn hashed(mut hasher: Hasher, piece: &Bytes) -> Result<Hasher, SourceError> {
    if piece.len() <= INLINE {
        hasher.update(piece);
        return Ok(hasher);
    }
    let piece = piece.clone();
    blocking(move || {
        hasher.update(&piece);
        hasher
    })
    .await
}

/// A group that reads.
struct Counted<'a>(&'a Hub);

impl<'a> Counted<'a> {
    fn new(hub: &'a Hub) -> Self {
        hub.reading.fetch_add(1, Ordering::Relaxed);
        Self(hub)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    fn seat(&mut self, destination: usize, at: u64) -> u64 {
        let number = self.next_seat;
        self.next_seat += 1;
        let place = Place {
            destination,
            at,
            moved: Instant::now(),
            held_up: Duration::ZERO,
        };
        self.seats.insert(number, place);
        number
    }

    /// How far the last of them is.
    fn base_of_all(&self) -> u64 {
        let places = self.seats.values().map(|it| it.at);
        places.min().unwrap_or(self.head)
    }

    /// Those who are behind the others; nothing if nobody is.
    fn last(&self) -> Option<Last> {
        let at = self.base_of_all();
        let (last, others): (Vec<_>, Vec<_>) = self.seats.iter().partition(|(_, it)| it.at == at);
        let held_up = last.iter().map(|(_, it)| it.held_up).max()?;
        (!others.is_empty()).then(|| Last {
            at,
            held_up,
            seats: last.into_iter().map(|(number, _)| *number).collect(),
        })
    }

    /// Counts for each of them how long it was waited for since `begun`. Who has not moved in all
    /// its time loses its seat; says who that is.
    fn blame(&mut self, last: &Last, begun: Instant, patience: Duration) -> Vec<usize> {
        let now = Instant::now();
        let mut late = Vec::new();
        for number in &last.seats {
            let Some(place) = self.seats.get_mut(number) else {
                continue;
            };
            let moved = place.at > last.at;
            let until = if moved { place.moved } else { now };
            place.held_up += until.saturating_duration_since(begun);
            if !moved && place.held_up >= patience {
                late.push(place.destination);
                self.seats.remove(number);
                let seen = self.seen_before(last.at);
                self.waiting += usize::from(seen.is_none());
                self.lost.insert(*number, seen);
            }
        }
        self.trim();
        late
    }

    /// What has seen all before `at`, where a piece begins or ends; none if nothing is hashed here.
    fn seen_before(&self, at: u64) -> Option<Hasher> {
        let ends = self.pieces.iter().filter_map(|it| it.after.as_ref());
        let mut states = self.seen.iter().chain(ends);
        states.find(|it| it.bytes() == at).cloned()
    }

    /// Lets go of what everybody has taken.
    fn trim(&mut self) {
        let base = self.base_of_all();
        while let Some(first) = self.pieces.front() {
            let end = self.base + first.bytes.len() as u64;
            if end > base {
                break;
            }
            self.base = end;
            self.seen = self.pieces.pop_front().and_then(|it| it.after);
        }
    }

    /// The piece at `at`, or the rest of it.
    fn piece(&self, at: u64) -> Option<Bytes> {
        let mut start = self.base;
        for piece in &self.pieces {
            let end = start + piece.bytes.len() as u64;
            if at < end {
                let skipped = usize::try_from(at.checked_sub(start)?).ok()?;
                return Some(piece.bytes.slice(skipped..));
            }
            start = end;
        }
        None
    }
}

impl Seat {
    /// Waits for what is next.
    pub(super) async fn next(&mut self) -> Result<Next, SourceError> {
        loop {
            let grown = self.group.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            {
                let mut state = self.group.state();
                if let Some(seen) = state.lost.remove(&self.number) {
                    self.waits = seen.is_none();
                    return Ok(Next::Lost { at: self.at, seen });
                }
                if let Some(piece) = state.piece(self.at) {
                    self.at += piece.len() as u64;
                    if let Some(place) = state.seats.get_mut(&self.number) {
                        place.at = self.at;
                        place.moved = Instant::now();
                    }
                    state.trim();
                    // Also if nothing was let go of: now it shows who is behind.
                    self.group.room.notify_waiters();
                    return Ok(Next::Piece(piece));
                }
                match &state.ended {
                    Some(Ok(())) => return Ok(Next::End),
                    Some(Err(error)) => return Err(error.again()),
                    None => {}
                }
            }
            grown.await;
        }
    }
}

impl Seat {
    /// Waits for the end of the reading, and whether it ended well: what was taken here is right then.
    pub(super) async fn ended_well(&self) -> Result<(), SourceError> {
        loop {
            let grown = self.group.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            match &self.group.state().ended {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(error.again()),
                None => {}
            }
            grown.await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let abandoned = {
            let mut state = self.group.state();
            state.seats.remove(&self.number);
            // Dropped before it knew, it would have waited.
            let unknowing = matches!(state.lost.remove(&self.number), Some(None));
            state.waiting -= usize::from(self.waits || unknowing);
            state.trim();
            if state.seats.is_empty() && state.waiting == 0 {
                state.pieces.clear();
                state.task.take()
            } else {
                None
            }
        };
        self.group.room.notify_waiters();
        if let Some(task) = abandoned {
            task.abort();
            self.hub.close(&self.group);
        }
    }
}
