//! Which requests a fault is done to.

use std::ops::RangeInclusive;

use axum::http::{HeaderName, Method};
use serde::{Deserialize, Serialize};

use super::{Action, Asked, chance, text::RuleText};
use crate::endpoint::Endpoint;

/// Requests, and what happens to them.
///
/// Made by [`Rule::on`] or [`Rule::any`], narrowed down, and finished by [`Rule::act`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RuleText", into = "RuleText")]
pub struct Rule {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) method: Option<Method>,
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
    pub(super) without_query: Option<String>,
    pub(super) header: Option<HeaderName>,
    pub(super) turn: Turn,
    pub(super) chance: Option<Chance>,
    pub(super) action: Action,
}

/// Which of the requests that fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Always,
    Numbers(RangeInclusive<u64>),
}

/// How likely it is that a request is hit whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chance {
    pub(super) probability: f64,
    pub(super) seed: u64,
}

impl Turn {
    fn contains(&self, nth: u64) -> bool {
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
            without_query: None,
            header: None,
            turn: Turn::Always,
            chance: None,
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

    /// Only those whose query (percent-decoded) does not contain this text.
    #[must_use]
    pub fn query_lacks(mut self, text: impl Into<String>) -> Self {
        self.without_query = Some(text.into());
        self
    }

    /// Only those that have this header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName) -> Self {
        self.header = Some(name);
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

    /// Each of these with a probability from 0 (never) to 1 (always): which ones depends on
    /// the seed and on the order in which requests fit, on nothing else.
    #[must_use]
    pub fn with_probability(mut self, probability: f64, seed: u64) -> Self {
        self.chance = Some(Chance { probability, seed });
        self
    }

    /// What happens to them.
    #[must_use]
    pub fn act(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    pub(super) fn fits(&self, asked: Asked<'_>) -> bool {
        let lacks = |text: &String| !asked.query.contains(text);
        (self.endpoints.is_empty() || self.endpoints.contains(&asked.endpoint))
            && self.method.as_ref().is_none_or(|it| it == asked.method)
            && self.path.as_ref().is_none_or(|it| asked.path.contains(it))
            && self
                .query
                .as_ref()
                .is_none_or(|it| asked.query.contains(it))
            && self.without_query.as_ref().is_none_or(lacks)
            && self
                .header
                .as_ref()
                .is_none_or(|it| asked.headers.contains_key(it))
    }

    /// Whether the `nth` request that fits is hit.
    pub(super) fn strikes(&self, nth: u64) -> bool {
        let lucky = |it: Chance| chance::strikes(it.probability, it.seed, nth);
        self.turn.contains(nth) && self.chance.is_none_or(lucky)
    }
}
