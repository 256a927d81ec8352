//! Passwords, checked: one bcrypt for many requests, and none on an async thread.
//!
//! ```text
//!   name, password ─▶ keyed hash ─▶ known to be right? ─▶ yes
//!                                   being checked?     ─▶ wait for that
//!                                   otherwise          ─▶ a turn, a thread, bcrypt
//! ```
//!
//! A wrong password costs the same for every name, known or not, so that time does not
//! tell names: 2^c rounds for the user's own hash, and then hashes of the costs c, c+1, …
//! up to the highest in the file: all together the rounds of that highest one. Right
//! passwords are remembered by a hash under a key of this process; wrong ones are not.

use std::{
    collections::HashMap,
    hint, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use aws_lc_rs::{hmac, rand::SystemRandom};
use axum::http::{StatusCode, header};
use oci::wire::ErrorCode;
use tokio::sync::{OnceCell, Semaphore};

use super::{Users, users::Password};
use crate::{answer::Refusal, secret::Secret};

/// How many right passwords are remembered; the one that was not used longest makes room.
const MAX_REMEMBERED: usize = 1024;
/// How many checks may wait for a turn; one more is refused with 429.
const MAX_WAITING: usize = 256;
/// The most threads that hash at once.
const MAX_TURNS: usize = 4;

/// Checks passwords.
#[derive(Debug)]
pub(crate) struct Verifier {
    known: RwLock<Arc<Known>>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// How many checks were hashed, for tests.
    hashed: AtomicU64,
}

/// The users, and what was found out about their passwords: both go when there are other users,
/// so that no password is right for having been right before.
#[derive(Debug)]
struct Known {
    users: Users,
    /// The highest cost there is; none if nothing has to be hashed.
    highest: Option<u32>,
    key: hmac::Key,
    memory: Mutex<Memory>,
}

/// A name and a password under a key of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fingerprint([u8; 32]);

#[derive(Debug, Default)]
struct Memory {
    clock: u64,
    right: HashMap<Fingerprint, u64>,
    pending: HashMap<Fingerprint, Arc<OnceCell<bool>>>,
}

/// A check that others with the same fingerprint wait for; over when this is dropped.
struct Pending<'a>(&'a Known, Fingerprint);

/// A place in the queue, left when this is dropped.
struct Waiting<'a> {
    queue: &'a AtomicUsize,
    others: usize,
}

// === impl Verifier ===

impl Verifier {
    pub(crate) fn new(users: Users) -> io::Result<Self> {
        let turns = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            known: RwLock::new(Arc::new(Known::of(users)?)),
            turns: Arc::new(Semaphore::new(turns.min(MAX_TURNS))),
            waiting: AtomicUsize::new(0),
            hashed: AtomicU64::new(0),
        })
    }

    /// Knows these users instead of all before; those whose password is no longer what it was.
    pub(crate) fn replace(&self, users: Users) -> io::Result<Vec<String>> {
        let next = Arc::new(Known::of(users)?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *known, Arc::clone(&next));
        Ok(before.users.changed_in(&next.users))
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this is the user's password.
    pub(crate) async fn check(&self, user: &str, password: &str) -> Result<bool, Refusal> {
        // bcrypt ends at a zero byte, so what follows it would not count.
        if password.contains('\0') {
            return Ok(false);
        }
        let known = self.known();
        let Some(highest) = known.highest else {
            return Ok(is_plain(known.users.password(user), password));
        };
        let fingerprint = known.fingerprint(user, password);
        let cell = {
            let mut memory = known.memory();
            if memory.recall(fingerprint) {
                return Ok(true);
            }
            Arc::clone(memory.pending.entry(fingerprint).or_default())
        };
        let _pending = Pending(&known, fingerprint);
        let right = cell
            .get_or_try_init(|| self.hash(&known, user, password, highest))
            .await
            .copied();
        if matches!(right, Ok(true)) {
            known.memory().remember(fingerprint);
        }
        right
    }

    /// Waits for a turn and hashes on a thread that may block.
    async fn hash(
        &self,
        known: &Arc<Known>,
        user: &str,
        password: &str,
        highest: u32,
    ) -> Result<bool, Refusal> {
        let waiting = Waiting::begin(&self.waiting);
        if waiting.others >= MAX_WAITING {
            return Err(busy());
        }
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        drop(waiting);
        let turn = turn.map_err(io::Error::other)?;
        self.hashed.fetch_add(1, Ordering::Relaxed);
        let known = Arc::clone(known);
        let (user, password) = (user.to_owned(), Secret::from(password));
        let checked = tokio::task::spawn_blocking(move || {
            let checked = prove(known.users.password(&user), password.expose(), highest);
            drop(turn);
            checked
        });
        Ok(checked.await.map_err(io::Error::other)?.0)
    }
}

// === impl Known ===

impl Known {
    fn of(users: Users) -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("no random numbers"))?;
        Ok(Self {
            highest: users.highest_cost(),
            users,
            key,
            memory: Mutex::default(),
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fingerprint(&self, user: &str, password: &str) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(user.len() as u64).to_be_bytes());
        context.update(user.as_bytes());
        context.update(password.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.sign().as_ref());
        Fingerprint(fingerprint)
    }
}

fn busy() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests)
        .message("too many passwords are being checked")
        .header(header::RETRY_AFTER, 1)
}

/// Compares a password that was not hashed; an absent one in the same time.
fn is_plain(password: Option<&Password>, given: &str) -> bool {
    if let Some(Password::Plain(password)) = password {
        return password.is(given);
    }
    hint::black_box(Secret::from("").is(given));
    false
}

/// Whether the password is right, and how many rounds of bcrypt it took to say so.
fn prove(password: Option<&Password>, given: &str, highest: u32) -> (bool, u64) {
    let mut rounds = 0;
    let mut hash = |cost: u32, hash: &str| {
        rounds += 1 << cost;
        hint::black_box(bcrypt::verify(given, hash).unwrap_or(false))
    };
    let (right, spent) = match password {
        Some(Password::Bcrypt(it)) => (hash(it.cost, it.text.expose()), Some(it.cost)),
        other => (is_plain(other, given), None),
    };
    if !right {
        for cost in padding(spent, highest) {
            hash(cost, &nobodys_hash(cost));
        }
    }
    (right, rounds)
}

/// The costs that, hashed after one of the cost `spent`, add up to the rounds of `highest`.
fn padding(spent: Option<u32>, highest: u32) -> std::ops::Range<u32> {
    match spent {
        // 2^c + (2^c + 2^(c+1) + … + 2^(h-1)) = 2^h
        Some(spent) => spent..highest,
        None => highest..highest + 1,
    }
}

/// A hash of no password that anybody could find.
fn nobodys_hash(cost: u32) -> String {
    format!("$2b${cost:02}${}", ".".repeat(53))
}

// === impl Pending, Waiting ===

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.memory().pending.remove(&self.1);
    }
}

impl<'a> Waiting<'a> {
    fn begin(queue: &'a AtomicUsize) -> Self {
        let others = queue.fetch_add(1, Ordering::AcqRel);
        Self { queue, others }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Memory ===

impl Memory {
    fn recall(&mut self, fingerprint: Fingerprint) -> bool {
        self.clock += 1;
        let used = self.right.get_mut(&fingerprint);
        used.map(|used| *used = self.clock).is_some()
    }

    fn remember(&mut self, fingerprint: Fingerprint) {
        self.clock += 1;
        if self.right.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.right.iter().min_by_key(|it| it.1).map(|it| *it.0)
        {
            self.right.remove(&oldest);
        }
        self.right.insert(fingerprint, self.clock);
    }
}

#[cfg(test)]
mod tests;
