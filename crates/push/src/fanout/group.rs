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
use oci::{Descriptor, SourceError};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::hub::Hub;
use crate::verify::copy;

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
    pieces: VecDeque<Bytes>,
    base: u64,
    /// Where the next piece goes.
    head: u64,
    seats: HashMap<u64, Place>,
    next_seat: u64,
    /// The source came to its end, or failed.
    ended: Option<Result<(), SourceError>>,
    task: Option<AbortHandle>,
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
}

/// What there is for a seat.
pub(super) enum Next {
    Piece(Bytes),
    End,
    /// It did not keep up: it has to read on by itself, from here.
    Lost {
        at: u64,
    },
}

impl Group {
    pub(super) fn new(blob: &Descriptor, offset: u64) -> Self {
        Self {
            blob: blob.clone(),
            state: Mutex::new(State {
                base: offset,
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

    /// Whether somebody is still concerned with it.
    pub(super) fn is_open(&self) -> bool {
        !self.state().seats.is_empty()
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
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another piece. Whoever holds the others up for too long loses
    /// its seat.
    async fn has_room(&self, hub: &Hub) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let last = {
                let state = self.state();
                if state.head - state.base < hub.window() as u64 || state.pieces.is_empty() {
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
    let start = group.state().head;
    let result = match hub.source.open(&group.blob, start).await {
        Err(error) => Err(error),
        Ok(mut body) => loop {
            group.has_room(&hub).await;
            match body.next().await {
                Some(Ok(piece)) => {
                    let mut state = group.state();
                    state.head += piece.len() as u64;
                    state.pieces.push_back(piece);
                    drop(state);
                    group.grown.notify_waiters();
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        },
    };
    group.state().ended = Some(result);
    group.grown.notify_waiters();
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
            }
        }
        self.trim();
        late
    }

    /// Lets go of what everybody has taken.
    fn trim(&mut self) {
        let base = self.base_of_all();
        while let Some(first) = self.pieces.front() {
            let end = self.base + first.len() as u64;
            if end > base {
                break;
            }
            self.base = end;
            self.pieces.pop_front();
        }
    }

    /// The piece at `at`, or the rest of it.
    fn piece(&self, at: u64) -> Option<Bytes> {
        let mut start = self.base;
        for piece in &self.pieces {
            let end = start + piece.len() as u64;
            if at < end {
                let skipped = usize::try_from(at.checked_sub(start)?).ok()?;
                return Some(piece.slice(skipped..));
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
                if !state.seats.contains_key(&self.number) {
                    return Ok(Next::Lost { at: self.at });
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
                    Some(Err(error)) => return Err(copy(error)),
                    None => {}
                }
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
            state.trim();
            if state.seats.is_empty() {
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
