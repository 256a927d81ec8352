//! Upload sessions: who has one open, how many there may be, and for how long.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::http::StatusCode;
use oci::wire::ErrorCode;
use tokio::sync::OwnedMutexGuard;
use tokio_util::task::TaskTracker;

use crate::{
    Limits,
    answer::Refusal,
    secret,
    store::{self, Leftover, Staged, Store, Ticket},
};

mod progress;

use progress::Room;
pub(crate) use progress::{Progress, gone};

/// How long a request waits for another one to let go of a session.
const CLAIM_WAIT: Duration = Duration::from_secs(2);
/// How long a body that is coming in may stand still before nobody waits for its end.
const STIR: Duration = Duration::from_millis(200);
/// How often sessions are looked through for forgotten ones.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// All sessions that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
    /// How many are being opened.
    opening: Arc<AtomicUsize>,
    swept: Mutex<Instant>,
    limit: usize,
    idle: Duration,
    age: Duration,
    /// What has to end before the server is gone.
    tasks: TaskTracker,
    room: Room,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    id: String,
    ticket: Ticket,
    length: Arc<AtomicU64>,
    room: Room,
    opened: SystemTime,
    touched: Mutex<Instant>,
    progress: Arc<tokio::sync::Mutex<Progress>>,
}

/// A session that is being opened, as long as this lives.
struct Opening(Arc<AtomicUsize>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Sessions ===

impl Sessions {
    pub(crate) fn new(limits: &Limits, leftovers: Vec<Leftover>, tasks: &TaskTracker) -> Self {
        let sessions = Self {
            open: Mutex::default(),
            opening: Arc::default(),
            swept: Mutex::new(Instant::now()),
            limit: limits.sessions,
            idle: limits.session_idle,
            age: limits.session_age,
            tasks: tasks.clone(),
            room: Room::default(),
        };
        for it in leftovers {
            sessions.insert(it.id, it.ticket, it.staged, it.opened);
        }
        sessions
    }

    fn open_ones(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(
        &self,
        id: String,
        ticket: Ticket,
        staged: Box<dyn Staged>,
        opened: SystemTime,
    ) -> Arc<Session> {
        let session = Arc::new(Session {
            id: id.clone(),
            length: Arc::new(AtomicU64::new(staged.length())),
            room: self.room.clone(),
            opened,
            touched: Mutex::new(Instant::now()),
            progress: Arc::new(tokio::sync::Mutex::new(Progress::new(
                staged,
                ticket.algorithm,
            ))),
            ticket,
        });
        self.open_ones().insert(id, Arc::clone(&session));
        session
    }

    /// Opens a session.
    pub(crate) async fn open(
        &self,
        store: &Arc<dyn Store>,
        ticket: Ticket,
    ) -> Result<Arc<Session>, Refusal> {
        self.sweep().await;
        let _place = self.place().ok_or_else(|| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests)
                .message("too many upload sessions are open")
                .header(axum::http::header::RETRY_AFTER, 5)
        })?;
        let id = secret::random_hex()?;
        let staged = {
            let (store, id, ticket) = (Arc::clone(store), id.clone(), ticket.clone());
            store::blocking(move || store.stage(&id, &ticket)).await?
        };
        Ok(self.insert(id, ticket, staged, SystemTime::now()))
    }

    /// A place for one more, if there is one; to be kept until it is among those that are open.
    fn place(&self) -> Option<Opening> {
        let open = self.open_ones();
        let opening = self.opening.fetch_add(1, Ordering::AcqRel);
        let place = Opening(Arc::clone(&self.opening));
        (open.len() + opening < self.limit).then_some(place)
    }

    /// The session with this id, unless it is too old. Being looked for keeps it alive.
    pub(crate) async fn find(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.open_ones().get(id).cloned()?;
        if session.age() > self.age {
            self.close(&session).await;
            return None;
        }
        session.touch();
        Some(session)
    }

    /// Ends a session; what it staged and did not commit is dropped.
    pub(crate) async fn close(&self, session: &Arc<Session>) {
        self.open_ones().remove(&session.id);
        let progress = Arc::clone(&session.progress);
        // A request that is still writing ends first; nobody waits for it here.
        if let Ok(progress) = Arc::clone(&progress).try_lock_owned() {
            Progress::discard(progress).await;
        } else {
            let discarding = async move { Progress::discard(progress.lock_owned().await).await };
            self.tasks.spawn(discarding);
        }
    }

    /// Forgets all sessions, as a registry does that lost its memory.
    pub(crate) async fn lose_all(&self) {
        let all: Vec<_> = self.open_ones().values().cloned().collect();
        for session in all {
            self.close(&session).await;
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open_ones().len()
    }

    /// Ends the sessions nobody asked for in a long time, and those that are too old.
    pub(crate) async fn sweep(&self) {
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.elapsed() < SWEEP_INTERVAL.min(self.idle).min(self.age) {
                return;
            }
            *swept = Instant::now();
        }
        let stale: Vec<_> = self
            .open_ones()
            .values()
            .filter(|it| it.idle() > self.idle || it.age() > self.age)
            .filter(|it| it.progress.try_lock().is_ok())
            .cloned()
            .collect();
        for session in stale {
            self.close(&session).await;
        }
    }
}

// === impl Session ===

impl Session {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    pub(crate) fn set_length(&self, length: u64) {
        self.length.store(length, Ordering::Release);
    }

    /// A request for it came, or ended.
    pub(crate) fn touch(&self) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        *touched = Instant::now();
    }

    /// How long ago it was opened; a clock that was set back makes it young.
    fn age(&self) -> Duration {
        self.opened.elapsed().unwrap_or_default()
    }

    fn idle(&self) -> Duration {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.elapsed()
    }

    /// Waits a moment for the request that is writing to it, if there is one: who asks how far
    /// the session is wants to go on, mostly after a client that has just died, and what of its
    /// body is still on the way would be sent again or be in the way.
    pub(crate) async fn settled(&self) {
        let begun = Instant::now();
        while begun.elapsed() < CLAIM_WAIT {
            let before = self.length();
            if tokio::time::timeout(STIR, self.progress.lock())
                .await
                .is_ok()
            {
                return;
            }
            // Whoever writes and gets no further is not about to end.
            if self.length() == before {
                return;
            }
        }
    }

    /// The right to write to it: one request has it at a time, others wait a moment
    /// and are then refused with 409.
    pub(crate) async fn claim(
        &self,
        limits: &Limits,
    ) -> Result<OwnedMutexGuard<Progress>, Refusal> {
        let wait = CLAIM_WAIT.min(limits.body_idle);
        tokio::time::timeout(wait, Arc::clone(&self.progress).lock_owned())
            .await
            .map_err(|_| {
                Refusal::new(StatusCode::CONFLICT, ErrorCode::BlobUploadInvalid)
                    .message("another request is writing to this upload session")
            })
    }
}
