//! What a service manager and this process tell each other: systemd's protocols.
//!
//! [sd_notify](https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html): it
//! serves, it stops, it is alive.
//! [sd_listen_fds](https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html):
//! the socket was opened by the service manager. Without one, all of this does nothing.

#[cfg(unix)]
use std::time::Duration;
use std::{convert::Infallible, net::TcpListener};

#[cfg(unix)]
use crate::interrupt;

/// Who started this process, as far as it said so in the environment.
#[derive(Debug)]
pub(super) struct ServiceManager {
    /// How often it wants a sign of life.
    #[cfg(unix)]
    watchdog: Option<Duration>,
}

#[cfg(unix)]
impl ServiceManager {
    pub(super) fn of_environment() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// The socket that was handed over, if one was. An error says what is wrong with it.
    pub(super) fn listener(&mut self) -> Result<Option<TcpListener>, String> {
        let mut sockets = listenfd::ListenFd::from_env();
        match sockets.len() {
            0 => return Ok(None),
            1 => {}
            n => {
                return Err(format!(
                    "{n} sockets were handed over (LISTEN_FDS), but one is served: leave one \
                     ListenStream= in the socket unit"
                ));
            }
        }
        sockets.take_tcp_listener(0).map_err(|error| {
            format!("the socket that was handed over (LISTEN_FDS) cannot be used: {error}")
        })
    }

    /// Says that it serves.
    pub(super) fn ready(&self, url: &str) {
        let status = format!("serving at {url}");
        say(&[
            sd_notify::NotifyState::Ready,
            sd_notify::NotifyState::Status(&status),
        ]);
    }

    /// Says that it stops.
    pub(super) fn stopping(&self) {
        say(&[sd_notify::NotifyState::Stopping]);
    }

    /// Gives signs of life, twice as often as they are wanted.
    pub(super) async fn watch(&self) -> Infallible {
        let Some(interval) = self.watchdog else {
            return std::future::pending().await;
        };
        let half = (interval / 2).max(Duration::from_millis(1));
        let mut ticks = tokio::time::interval(half);
        loop {
            ticks.tick().await;
            say(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

#[cfg(unix)]
fn say(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        interrupt::say(&format!(
            "warning: could not tell the service manager: {error}"
        ));
    }
}

#[cfg(not(unix))]
#[expect(clippy::unused_self, reason = "the same as where there is one")]
impl ServiceManager {
    pub(super) fn of_environment() -> Self {
        Self {}
    }

    pub(super) fn listener(&mut self) -> Result<Option<TcpListener>, String> {
        Ok(None)
    }

    pub(super) fn ready(&self, _url: &str) {}

    pub(super) fn stopping(&self) {}

    pub(super) async fn watch(&self) -> Infallible {
        std::future::pending().await
    }
}
