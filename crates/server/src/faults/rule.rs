//! Which requests a fault is done to.

use std::ops::RangeInclusive;

use axum::http::Method;

use super::{Action, Asked};
use crate::endpoint::Endpoint;

/// Requests, and what happens to them.
///
/// Made by [`Rule::on`] or [`Rule::any`], narrowed down, and finished by [`Rule::act`].
#[derive(Clone, Debug)]
pub struct Rule {
    endpoints: Vec<Endpoint>,
    method: Option<Method>,
    path: Option<String>,
    query: Option<String>,
    pub(super) turn: Turn,
    pub(super) action: Action,
}

/// Which of the requests that fit.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Always,
    Numbers(RangeInclusive<u64>),
}

impl Turn {
    pub(super) fn contains(&self, nth: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Numbers(numbers) => numbers.contains(&nth),
        }
    }
}

impl Rule {
    /// Requests to one endpoint.
    pub fn on(endpoint: Endpoint) -> Self {
        Self {
            endpoints: vec![endpoint],
            ..Self::any()
        }
    }

    /// Every request.
    pub fn any() -> Self {
        Self {
            endpoints: Vec::new(),
            method: None,
            path: None,
            query: None,
            turn: Turn::Always,
            action: Action::Nothing,
        }
    }

    /// And requests to another endpoint.
    #[must_use]
    pub fn or(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Only those with this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only those whose path (as sent) contains this text.
    #[must_use]
    pub fn path_contains(mut self, text: impl Into<String>) -> Self {
        self.path = Some(text.into());
        self
    }

    /// Only those whose query (percent-decoded) contains this text.
    #[must_use]
    pub fn query_contains(mut self, text: impl Into<String>) -> Self {
        self.query = Some(text.into());
        self
    }

    /// Only the `n`th that fits, counted from 1 and from when the rule is added.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.numbers(n..=n)
    }

    /// Only the first `n` that fit.
    #[must_use]
    pub fn first(self, n: u64) -> Self {
        self.numbers(1..=n)
    }

    /// Only those with these numbers, counted from 1, both ends inclusive.
    #[must_use]
    pub fn numbers(mut self, numbers: RangeInclusive<u64>) -> Self {
        self.turn = Turn::Numbers(numbers);
        self
    }

    /// What happens to them.
    #[must_use]
    pub fn act(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    pub(super) fn fits(&self, asked: Asked<'_>) -> bool {
        (self.endpoints.is_empty() || self.endpoints.contains(&asked.endpoint))
            && self.method.as_ref().is_none_or(|it| it == asked.method)
            && self.path.as_ref().is_none_or(|it| asked.path.contains(it))
            && self
                .query
                .as_ref()
                .is_none_or(|it| asked.query.contains(it))
    }
}
