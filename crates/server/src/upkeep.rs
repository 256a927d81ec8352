//! What a server does without being asked: garbage collection, and keeping up to date
//! what other programs read of its store.

use std::{
    io,
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    Collection,
    app::App,
    store::{self, Collected, Rules, Store},
};

/// How long after a change a view is renewed: changes come in bursts.
const VIEW_DELAY: Duration = Duration::from_millis(250);
/// A view that takes long to renew is renewed after a pause of so many times that.
const VIEW_SHARE: u32 = 10;
/// How long it takes until what could not be renewed is tried again.
const VIEW_RETRY: Duration = Duration::from_secs(30);
/// Garbage collection in a server rests after so many steps, each a file or a few.
const STEPS_AT_ONCE: u32 = 64;
/// How long it rests.
const REST: Duration = Duration::from_millis(2);

/// Begins what goes on until the server stops.
pub(crate) fn begin(app: &Arc<App>, collection: Collection, stopping: &CancellationToken) {
    let collecting = collect(Arc::clone(app), collection, stopping.clone());
    app.tasks.spawn(collecting);
    let renewing = renew_views(Arc::clone(app), stopping.clone());
    app.tasks.spawn(renewing);
}

/// Collects garbage every so often, until the server stops.
async fn collect(app: Arc<App>, collection: Collection, stopping: CancellationToken) {
    let Some(interval) = collection.interval else {
        return;
    };
    let rules = Rules {
        untagged: collection.untagged,
        dry_run: false,
        idle: app.limits.session_idle,
    };
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stopping.cancelled() => return,
        }
        app.sessions.sweep().await;
        let (store, rules, stopping) = (Arc::clone(&app.store), rules.clone(), stopping.clone());
        let work = move || run(&*store, &rules, &stopping);
        if let Err(error) = app.memory.collector.run(work).await.flatten() {
            tracing::warn!(%error, "garbage collection stopped; it is tried again later");
        }
    }
}

/// One run, slowly, so that requests are not held up.
fn run(store: &dyn Store, rules: &Rules, stopping: &CancellationToken) -> io::Result<()> {
    let Some(garbage) = store.garbage() else {
        return Ok(());
    };
    let mut steps: u32 = 0;
    let mut pause = || {
        steps = steps.wrapping_add(1);
        if stopping.is_cancelled() {
            return ControlFlow::Break(());
        }
        if steps.is_multiple_of(STEPS_AT_ONCE) {
            thread::sleep(REST);
        }
        ControlFlow::Continue(())
    };
    let mut collected = Collected::default();
    let ran = store::collect(garbage, rules, &mut collected, &mut pause);
    tracing::info!(
        blobs = collected.blobs,
        manifests = collected.manifests,
        bytes = collected.contents.bytes + collected.leftovers.bytes,
        "garbage was collected"
    );
    match ran {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        ran => ran,
    }
}

/// Renews what other programs read of the store, a moment after it changed, until the server stops.
async fn renew_views(app: Arc<App>, stopping: CancellationToken) {
    let Some(changes) = app.store.view_changes() else {
        return;
    };
    loop {
        tokio::select! {
            () = changes.notified() => {}
            () = stopping.cancelled() => return,
        }
        let mut rest = VIEW_DELAY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // The last time is when all requests have ended.
                () = stopping.cancelled() => return,
            }
            let began = Instant::now();
            match renew_once(&app).await {
                Ok(()) => {
                    rest = VIEW_DELAY.max(began.elapsed() * VIEW_SHARE);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "could not renew a repository's layout; it is tried again");
                    rest = VIEW_RETRY;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stopping.cancelled() => return,
        }
    }
}

pub(crate) async fn renew_once(app: &App) -> io::Result<()> {
    let store = Arc::clone(&app.store);
    app.memory.viewer.run(move || store.renew_views()).await?
}
