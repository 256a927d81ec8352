//! Answers that leave: how a connection knows that one of them waits to be read.
//!
//! A body is no longer needed by HTTP when its last piece was handed on, which says nothing
//! about whether it was sent. So every piece carries a mark that is dropped when the piece is,
//! and an answer has left when all of them are.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    allowance::held_with,
    socket::{Connection, Leaving, Place},
};

/// A body whose pieces are followed until they are sent.
struct Followed {
    body: Body,
    leaving: Arc<Leaving>,
    /// One of the requests that are under way at once.
    _seat: Option<Place>,
}

/// Lets the connection know of an answer until all of it has left; `seat` is kept until then.
pub(crate) fn follow(response: Response, connection: &Connection, seat: Option<Place>) -> Response {
    if response.body().is_end_stream() {
        return response;
    }
    let leaving = Arc::new(connection.leaving());
    response.map(|body| {
        Body::new(Followed {
            body,
            leaving,
            _seat: seat,
        })
    })
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // Until there is a piece it is the registry that is waited for.
        self.leaving.waits_for_client(polled.is_ready());
        let frame = ready!(polled);
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                let leaving = Arc::clone(&self.leaving);
                frame.map_data(|data| held_with(data, leaving))
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
