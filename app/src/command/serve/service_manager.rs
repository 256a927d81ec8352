//! What a service manager and this process tell each other: systemd's protocols.
//!
//! [sd_notify](https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html): it
//! serves, it stops, it is alive.
//! [sd_listen_fds](https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html):
//! the socket was opened by the service manager. Without one, all of this does nothing.

#[cfg(unix)]
#[cfg(unix)]
pub(super) use systemd::{listener, ready, stopping, watch};

#[cfg(not(unix))]
pub(super) use nobody::{listener, ready, stopping, watch};

#[cfg(unix)]
mod systemd {
    use std::{convert::Infallible, net::TcpListener, time::Duration};

    use listenfd::ListenFd;
    use sd_notify::NotifyState;

    use crate::warning::warn;

    /// The socket that was handed over, if one was. An error says what is wrong with it.
    pub(crate) fn listener() -> Result<Option<TcpListener>, String> {
        let mut sockets = ListenFd::from_env();
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
    pub(crate) fn ready(url: &str) {
        let status = format!("serving at {url}");
        say(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// Says that it stops.
    pub(crate) fn stopping() {
        say(&[NotifyState::Stopping]);
    }

    /// Gives signs of life, twice as often as they are wanted.
    pub(crate) async fn watch() -> Infallible {
        let Some(interval) = sd_notify::watchdog_enabled() else {
            return std::future::pending().await;
        };
        let half = (interval / 2).max(Duration::from_millis(1));
        let mut ticks = tokio::time::interval(half);
        loop {
            ticks.tick().await;
            say(&[NotifyState::Watchdog]);
        }
    }

    fn say(state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state) {
            warn(format_args!("could not tell the service manager: {error}"));
        }
    }
}

/// Where there is no systemd.
#[cfg(not(unix))]
mod nobody {
    use std::{convert::Infallible, net::TcpListener};

    pub(crate) fn listener() -> Result<Option<TcpListener>, String> {
        Ok(None)
    }

    pub(crate) fn ready(_url: &str) {}

    pub(crate) fn stopping() {}

    pub(crate) async fn watch() -> Infallible {
        std::future::pending().await
    }
}
