//! Ctrl-C and termination: what runs is dropped, and what it left open is closed.

use std::{future::Future, time::Duration};

use crate::error::AppError;

/// How long the sessions that are open get to be closed. The process ends within two seconds.
pub(crate) const CLOSING: Duration = Duration::from_millis(1500);

/// Runs `work` until it is done, a signal comes, or `limit` has passed.
pub(crate) async fn until_interrupted<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, AppError>>,
) -> Result<T, AppError> {
    let late = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = work => done,
        () = signal() => Err(AppError::Interrupted),
        () = late => Err(AppError::Timeout),
    }
}

/// Waits for Ctrl-C, or on Unix for SIGTERM.
pub(crate) async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = async {
            match signal(SignalKind::terminate()) {
                Ok(mut signals) => {
                    signals.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! { () = interrupt => {}, () = terminate => {} }
    }
    #[cfg(not(unix))]
    interrupt.await;
}
