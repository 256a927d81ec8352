//! What is kept of credentials and tokens: for each repository its own.
//!
//! Looking a token up, finding none and fetching one is a single critical section:
//! whoever comes second waits, and finds what the first has fetched.

use std::sync::Arc;

use oci::wire::ScopeSet;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::{credentials::Credentials, token::Token};

/// Tokens kept for one repository; a token for more scopes takes the place of one for fewer.
const MAX_TOKENS: usize = 8;

/// How long credentials are kept before whoever gave them out is asked again: a password may
/// have an end, and only they know it.
const CREDENTIALS_KEPT: Duration = Duration::from_mins(5);

/// The credentials and tokens for one repository.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    credentials: Mutex<Option<(Instant, Option<Arc<Credentials>>)>>,
    tokens: Mutex<Vec<Token>>,
}

/// The tokens, while nobody else may fetch one.
pub(crate) struct Tokens<'a>(MutexGuard<'a, Vec<Token>>);

impl Keyring {
    /// The credentials, asked for once in a while.
    pub(crate) async fn credentials<E>(
        &self,
        ask: impl Future<Output = Result<Option<Credentials>, E>>,
    ) -> Result<Option<Arc<Credentials>>, E> {
        let mut kept = self.credentials.lock().await;
        if let Some((asked, known)) = &*kept
            && asked.elapsed() < CREDENTIALS_KEPT
        {
            return Ok(known.clone());
        }
        let known = ask.await?.map(Arc::new);
        *kept = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    /// Forgets the credentials.
    pub(crate) async fn forget_credentials(&self) {
        *self.credentials.lock().await = None;
    }

    /// The tokens, for as long as the guard lives.
    pub(crate) async fn tokens(&self) -> Tokens<'_> {
        Tokens(self.tokens.lock().await)
    }
}

impl Tokens<'_> {
    /// A token asked for at least `scopes` that lasts for `needed`.
    pub(crate) fn find(&mut self, scopes: &ScopeSet, needed: Duration) -> Option<Token> {
        let now = Instant::now();
        self.0.retain(|token| token.lasts(now, Duration::ZERO));
        self.0
            .iter()
            .find(|token| token.lasts(now, needed) && token.scopes.covers(scopes))
            .cloned()
    }

    /// Keeps a token, in place of those it makes superfluous.
    pub(crate) fn keep(&mut self, token: Token) {
        self.0.retain(|old| !token.scopes.covers(&old.scopes));
        if self.0.len() >= MAX_TOKENS {
            self.0.remove(0);
        }
        self.0.push(token);
    }

    /// Forgets the token of this number: it was refused.
    pub(crate) fn forget(&mut self, number: u64) {
        self.0.retain(|token| token.number != number);
    }
}
