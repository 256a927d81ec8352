//! A rule as a faults file has it.

use axum::http::{HeaderName, Method};
use serde::{Deserialize, Serialize};

use super::{
    Action, Rule,
    rule::{Chance, Turn},
};
use crate::endpoint::Endpoint;

/// The keys of a rule. Those that say which of the requests exclude one another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RuleText {
    /// None is every endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    on: Vec<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_contains: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_contains: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_lacks: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    with_header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nth: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    numbers: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    action: Action,
}

impl RuleText {
    fn turn(&self) -> Result<Turn, String> {
        match (self.nth, self.first, self.numbers) {
            (None, None, None) => Ok(Turn::Always),
            (Some(n @ 1..), None, None) => Ok(Turn::Numbers(n..=n)),
            (None, Some(n @ 1..), None) => Ok(Turn::Numbers(1..=n)),
            (None, None, Some((first @ 1.., last))) if first <= last => {
                Ok(Turn::Numbers(first..=last))
            }
            (None, None, Some((first, last))) => Err(format!(
                "numbers = [{first}, {last}]: requests are counted from 1, the first before the last"
            )),
            (Some(0), None, None) | (None, Some(0), None) => {
                Err("requests are counted from 1, not from 0".to_owned())
            }
            _ => Err("of nth, first and numbers a rule has one at most".to_owned()),
        }
    }

    fn chance(&self) -> Result<Option<Chance>, String> {
        match (self.probability, self.seed) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err("a seed needs a probability".to_owned()),
            (Some(it), seed) if (0.0..=1.0).contains(&it) => Ok(Some(Chance {
                probability: it,
                seed: seed.unwrap_or(0),
            })),
            (Some(it), _) => Err(format!("probability {it} is not within 0 and 1")),
        }
    }
}

/// What no rule may ask for, whatever its type allows.
fn check(action: &Action) -> Result<(), String> {
    let header = |name: &str, value: &str| {
        let fits =
            HeaderName::try_from(name).is_ok() && axum::http::HeaderValue::try_from(value).is_ok();
        fits.then_some(())
            .ok_or_else(|| format!("{name:?}: {value:?} is not a header"))
    };
    match action {
        Action::OmitHeader(name) => header(name, ""),
        Action::SetHeader(name, value) => header(name, value),
        Action::MoveLocation(origin) => header("location", origin),
        Action::HugeHeader(bytes) if *bytes > MAX_HEADER => {
            Err(format!("huge-header is at most {MAX_HEADER} bytes"))
        }
        Action::Status(status) if !(200..=599).contains(status) => {
            Err(format!("status {status} is not one of 200 to 599"))
        }
        Action::DelayWithin(it) if it.from > it.to => {
            Err("delay-within: from is longer than to".to_owned())
        }
        _ => Ok(()),
    }
}

/// The longest header a rule may ask for, in bytes.
const MAX_HEADER: usize = 16 * 1024 * 1024;

impl TryFrom<RuleText> for Rule {
    type Error = String;

    fn try_from(text: RuleText) -> Result<Self, String> {
        check(&text.action)?;
        let method = |it: &String| {
            Method::try_from(it.as_str()).map_err(|_| format!("{it:?} is not a method"))
        };
        let header = |it: &String| {
            HeaderName::try_from(it).map_err(|_| format!("{it:?} is not a header's name"))
        };
        Ok(Self {
            method: text.method.as_ref().map(method).transpose()?,
            header: text.with_header.as_ref().map(header).transpose()?,
            turn: text.turn()?,
            chance: text.chance()?,
            endpoints: text.on,
            path: text.path_contains,
            query: text.query_contains,
            without_query: text.query_lacks,
            action: text.action,
        })
    }
}

impl From<Rule> for RuleText {
    fn from(rule: Rule) -> Self {
        let numbers = match rule.turn {
            Turn::Always => None,
            Turn::Numbers(it) => Some((*it.start(), *it.end())),
        };
        Self {
            on: rule.endpoints,
            method: rule.method.map(|it| it.to_string()),
            path_contains: rule.path,
            query_contains: rule.query,
            query_lacks: rule.without_query,
            with_header: rule.header.map(|it| it.to_string()),
            nth: None,
            first: None,
            numbers,
            probability: rule.chance.map(|it| it.probability),
            seed: rule.chance.map(|it| it.seed),
            action: rule.action,
        }
    }
}
