//! The loop that takes connections, and what each has to go through before HTTP is spoken.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConnection};

use super::{
    Stopping,
    http::{Window, speak},
};
use crate::{
    app::App,
    clients::Clients,
    metrics::Cause,
    socket::{Connection, Socket},
};

/// How much of what it sends TLS has in memory until the client takes it, in bytes.
const TLS_BYTES: usize = 32 * 1024;

/// The loop that takes connections.
pub(super) struct Accepting {
    pub(super) app: Arc<App>,
    pub(super) listener: TcpListener,
    pub(super) clients: Clients,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) stopping: Stopping,
}

impl Accepting {
    pub(super) async fn run(self) {
        let places = Arc::new(Semaphore::new(self.app.limits.connections));
        let mut number = 0;
        loop {
            let next = async {
                if places.available_permits() == 0 {
                    self.app.crowd.notify_one();
                }
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = self.stopping.gently.cancelled() => return,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: others may end soon.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let limits = &self.app.limits;
            let Some(seat) = self
                .clients
                .seat(client.ip(), limits.connections_per_client)
            else {
                self.app.metrics.refused(Cause::ConnectionsOfClient);
                continue;
            };
            let connection = Connection::new(
                number,
                Some((client, seat.requests())),
                limits.streams,
                &self.app.memory.allowance,
            );
            number += 1;
            let counted = self.app.metrics.connected();
            let serving = self.serve(stream, connection);
            self.app.tasks.spawn(async move {
                serving.await;
                drop((place, seat, counted));
            });
        }
    }

    /// Serves one connection to its end.
    fn serve(
        &self,
        stream: TcpStream,
        connection: Connection,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (app, tls, stopping) = (
            Arc::clone(&self.app),
            self.tls.clone(),
            self.stopping.clone(),
        );
        async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "connection without TCP_NODELAY");
            }
            let Some(tls) = tls else {
                let window = tokio::select! {
                    is_http2 = begins_http2(&stream) => Window::for_http2(is_http2, &app),
                    _ = connection.still(&app.limits, &app.crowd) => {
                        return app.metrics.refused(Cause::HeadTooSlow);
                    }
                    () = stopping.gently.cancelled() => return,
                };
                let socket = Socket::new(stream, connection.clone());
                let speaking = speak(app, socket, &connection, &stopping, window);
                return Box::pin(speaking).await;
            };
            let socket = Socket::new(stream, connection.clone());
            let bounded = |it: &mut ServerConnection| it.set_buffer_limit(Some(TLS_BYTES));
            let handshake = tls.accept_with(socket, bounded);
            let handshake = tokio::time::timeout(app.limits.head_timeout, handshake);
            let handshake = tokio::select! {
                handshake = handshake => handshake,
                () = stopping.gently.cancelled() => return,
            };
            match handshake {
                Ok(Ok(socket)) => {
                    let is_http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
                    let window = Window::for_http2(is_http2, &app);
                    Box::pin(speak(app, socket, &connection, &stopping, window)).await;
                }
                Ok(Err(error)) => {
                    app.metrics.refused(Cause::Handshake);
                    tracing::debug!(%error, "TLS handshake failed");
                }
                Err(_) => {
                    app.metrics.refused(Cause::HeadTooSlow);
                    tracing::debug!("TLS handshake took too long");
                }
            }
        }
    }
}

/// Whether a client begins with HTTP/2, without taking any of what it sends.
async fn begins_http2(stream: &TcpStream) -> bool {
    let mut start = [0; 4];
    match stream.peek(&mut start).await {
        Ok(length) => length > 0 && b"PRI ".starts_with(&start[..length]),
        Err(_) => false,
    }
}
