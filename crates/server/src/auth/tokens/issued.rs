//! The tokens that are good: in memory, within bounds, and gone when they are revoked.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use oci::wire::ScopeSet;

use crate::secret::{self, Secret};

/// How many tokens are remembered; the ones that end first make room.
const MAX_TOKENS: usize = 10_000;
/// How many refresh tokens are remembered in all; the ones that end first make room.
const MAX_REFRESH: usize = 10_000;
/// How many of these one user has, so that nobody pushes out another's.
const MAX_REFRESH_OF_ONE: usize = 64;

/// Everything that was issued and is good.
#[derive(Debug, Default)]
pub(super) struct Issued {
    access: Mutex<HashMap<Secret, Access>>,
    refresh: Mutex<HashMap<Secret, Refresh>>,
}

#[derive(Clone, Debug)]
struct Access {
    user: Option<String>,
    scopes: Arc<ScopeSet>,
    ends: Instant,
}

#[derive(Clone, Debug)]
struct Refresh {
    user: String,
    idle: Duration,
    ends: Instant,
}

impl Issued {
    fn access(&self) -> MutexGuard<'_, HashMap<Secret, Access>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self) -> MutexGuard<'_, HashMap<Secret, Refresh>> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, refresh tokens too.
    pub(super) fn count(&self) -> usize {
        self.access().len() + self.refresh().len()
    }

    /// Who a token was issued to and what it grants.
    pub(super) fn find(&self, token: &Secret) -> Option<(Option<String>, Arc<ScopeSet>)> {
        let access = self.access();
        let found = access.get(token)?;
        let good = Instant::now() < found.ends;
        good.then(|| (found.user.clone(), Arc::clone(&found.scopes)))
    }

    pub(super) fn keep(
        &self,
        token: Secret,
        user: Option<String>,
        scopes: ScopeSet,
        valid_for: Duration,
    ) {
        let mut access = self.access();
        make_room(&mut access, MAX_TOKENS, |_| true, |it| it.ends);
        let (scopes, ends) = (Arc::new(scopes), end(valid_for));
        access.insert(token, Access { user, scopes, ends });
    }

    /// A new refresh token for a user.
    pub(super) fn offer(&self, user: &str, idle: Duration) -> io::Result<Secret> {
        let token = Secret::from(secret::random_hex()?);
        let mut refresh = self.refresh();
        let own = |it: &Refresh| it.user == user;
        make_room(&mut refresh, MAX_REFRESH_OF_ONE, own, |it| it.ends);
        make_room(&mut refresh, MAX_REFRESH, |_| true, |it| it.ends);
        let (user, ends) = (user.to_owned(), end(idle));
        refresh.insert(token.clone(), Refresh { user, idle, ends });
        Ok(token)
    }

    /// Whose refresh token this is. Being used keeps it good.
    pub(super) fn redeem(&self, token: &Secret) -> Option<String> {
        let mut refresh = self.refresh();
        let found = refresh.get_mut(token)?;
        if Instant::now() >= found.ends {
            refresh.remove(token);
            return None;
        }
        found.ends = end(found.idle);
        Some(found.user.clone())
    }

    /// Forgets one user's tokens, or all.
    pub(super) fn revoke(&self, user: Option<&str>) {
        let Some(user) = user else {
            self.access().clear();
            self.refresh().clear();
            return;
        };
        self.access()
            .retain(|_, it| it.user.as_deref() != Some(user));
        self.refresh().retain(|_, it| it.user != user);
    }
}

/// Makes room for one more of those that count, if there are `most` already: first what has
/// ended goes, then what ends first.
fn make_room<T>(
    kept: &mut HashMap<Secret, T>,
    most: usize,
    counts: impl Fn(&T) -> bool,
    ends: impl Fn(&T) -> Instant,
) {
    // Rarely enough to count by looking at all.
    if kept.len() < most || kept.values().filter(|it| counts(it)).count() < most {
        return;
    }
    let now = Instant::now();
    kept.retain(|_, it| ends(it) > now);
    let counted: Vec<_> = kept.iter().filter(|it| counts(it.1)).collect();
    if counted.len() < most {
        return;
    }
    let first = counted.into_iter().min_by_key(|it| ends(it.1));
    if let Some(first) = first.map(|it| it.0.clone()) {
        kept.remove(&first);
    }
}

/// When a lifetime that begins now is over; a year from now where it is longer than the
/// clock reaches.
fn end(lifetime: Duration) -> Instant {
    let now = Instant::now();
    let year = Duration::from_hours(365 * 24);
    now.checked_add(lifetime).unwrap_or_else(|| now + year)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn one_user_cannot_push_out_anothers_refresh_tokens() {
        let issued = Issued::default();
        let ann = issued.offer("ann", LONG).unwrap();
        let first = issued.offer("bob", LONG).unwrap();
        let others: Vec<_> = (0..MAX_REFRESH_OF_ONE)
            .map(|_| issued.offer("bob", LONG).unwrap())
            .collect();
        assert_eq!(issued.redeem(&ann).as_deref(), Some("ann"));
        assert_eq!(issued.redeem(&first), None);
        for other in &others {
            assert_eq!(issued.redeem(other).as_deref(), Some("bob"));
        }
        assert_eq!(issued.refresh().len(), 1 + MAX_REFRESH_OF_ONE);
    }

    #[test]
    fn tokens_are_kept_within_a_bound_and_what_ends_first_goes() {
        let issued = Issued::default();
        let nth = |n: usize| Secret::from(n.to_string());
        issued.keep(nth(0), None, ScopeSet::new(), LONG);
        for n in 1..=MAX_TOKENS {
            issued.keep(nth(n), None, ScopeSet::new(), LONG * 2);
        }
        assert_eq!(issued.access().len(), MAX_TOKENS);
        assert!(issued.find(&nth(0)).is_none());
        assert!(issued.find(&nth(1)).is_some() && issued.find(&nth(MAX_TOKENS)).is_some());
    }

    #[test]
    fn what_is_revoked_is_one_users_or_everybodys() {
        let issued = Issued::default();
        let tokens = ["ann", "bob"].map(|user| {
            let token = Secret::from(user);
            let scopes = ScopeSet::new();
            issued.keep(token.clone(), Some(user.into()), scopes, LONG);
            (token, issued.offer(user, LONG).unwrap())
        });
        let good = || {
            tokens.each_ref().map(|(access, refresh)| {
                (
                    issued.find(access).is_some(),
                    issued.redeem(refresh).is_some(),
                )
            })
        };
        assert_eq!(good(), [(true, true), (true, true)]);
        issued.revoke(Some("ann"));
        assert_eq!(good(), [(false, false), (true, true)]);
        issued.revoke(None);
        assert_eq!(good(), [(false, false), (false, false)]);
    }

    #[test]
    fn a_lifetime_beyond_the_clock_is_no_panic() {
        let issued = Issued::default();
        let token = issued.offer("ann", Duration::MAX).unwrap();
        assert_eq!(issued.redeem(&token).as_deref(), Some("ann"));
        let over = issued.offer("ann", Duration::ZERO).unwrap();
        assert_eq!(issued.redeem(&over), None);
    }
}
