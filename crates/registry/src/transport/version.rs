//! Which version of HTTP, for bodies and for questions.
//!
//! A server's HTTP/2 window throttles a large body, and nothing a client does widens it
//! ([buildkit#1420](https://github.com/moby/buildkit/pull/1420),
//! [go-containerregistry#799](https://github.com/google/go-containerregistry/pull/799)); many short
//! questions on the other hand share one connection well. So each goes its own way, unless somebody
//! knows better: the user, or the host itself, where its HTTP/2 does not work.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::limit::Lane;

/// Connections over HTTP/2 that broke one after the other, with no answer between, after which a
/// host is spoken to over HTTP/1.1.
const ENOUGH: u8 = 2;

/// Over which version of HTTP a host is spoken to. HTTP/2 where it is offered, over TLS; never
/// without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersions {
    /// Bodies with blobs over HTTP/1.1, everything else over HTTP/2.
    Mixed,
    /// All over HTTP/1.1.
    Http1,
    /// All over HTTP/2.
    Http2,
}

/// How one host is spoken to.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// As the user wants it.
    wanted: Option<HttpVersions>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// It has no HTTP/2, or none that works.
    only_http1: bool,
    /// What it has shown to this process.
    shown: Option<bool>,
    /// Connections over HTTP/2 that broke since the last answer over one.
    broken: u8,
    /// The last of them.
    last: Option<u64>,
}

impl Dialect {
    pub(crate) fn new(wanted: Option<HttpVersions>) -> Self {
        Self {
            wanted,
            known: Mutex::default(),
        }
    }

    /// The lane for a request, with a blob in its body or without.
    pub(crate) fn lane(&self, body: bool) -> Lane {
        let over_http1 = match self.wanted {
            Some(HttpVersions::Http1) => true,
            Some(HttpVersions::Http2) => false,
            Some(HttpVersions::Mixed) => body,
            None => body || self.known().only_http1,
        };
        if over_http1 {
            Lane::Bodies
        } else {
            Lane::Questions
        }
    }

    /// It had no HTTP/2 yesterday: what shares connections needs fewer.
    pub(crate) fn had_only_http1(&self) {
        self.known().only_http1 = true;
    }

    /// An answer came over a connection for which HTTP/2 was offered.
    pub(crate) fn answered(&self, over_http2: bool) {
        let mut known = self.known();
        known.broken = 0;
        if !known.only_http1 {
            known.shown = Some(over_http2);
        }
    }

    /// A connection over HTTP/2 broke, by its number.
    pub(crate) fn broke(&self, connection: u64) {
        let mut known = self.known();
        // All requests on one connection tell of the same.
        if known.last.replace(connection) != Some(connection) {
            known.broken = known.broken.saturating_add(1);
        }
        if known.broken >= ENOUGH {
            known.only_http1 = true;
            known.shown = Some(false);
        }
    }

    /// Whether it speaks HTTP/2, if it has shown that.
    pub(crate) fn speaks_http2(&self) -> Option<bool> {
        self.known().shown
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(dialect: &Dialect) -> [Lane; 2] {
        [dialect.lane(true), dialect.lane(false)]
    }

    #[test]
    fn p25_bodies_and_questions_go_apart_unless_somebody_knows_better() {
        let (bodies, questions) = (Lane::Bodies, Lane::Questions);
        for (wanted, expected) in [
            (None, [bodies, questions]),
            (Some(HttpVersions::Mixed), [bodies, questions]),
            (Some(HttpVersions::Http1), [bodies, bodies]),
            (Some(HttpVersions::Http2), [questions, questions]),
        ] {
            let dialect = Dialect::new(wanted);
            assert_eq!(lanes(&dialect), expected, "{wanted:?}");
            dialect.had_only_http1();
            let known = if wanted.is_none() {
                [bodies, bodies]
            } else {
                expected
            };
            assert_eq!(
                lanes(&dialect),
                known,
                "{wanted:?}: the user goes before the host"
            );
        }
    }

    #[test]
    fn p25_http2_that_breaks_over_and_over_is_given_up() {
        let dialect = Dialect::new(None);
        for _ in 0..9 {
            dialect.broke(1);
        }
        assert_eq!(
            dialect.lane(false),
            Lane::Questions,
            "one connection is one"
        );
        dialect.answered(true);
        dialect.broke(2);
        assert_eq!(
            (dialect.lane(false), dialect.speaks_http2()),
            (Lane::Questions, Some(true))
        );
        dialect.broke(3);
        assert_eq!(
            (dialect.lane(false), dialect.speaks_http2()),
            (Lane::Bodies, Some(false))
        );
        // What came late over the old one changes nothing.
        dialect.answered(true);
        assert_eq!(dialect.speaks_http2(), Some(false));
    }
}
