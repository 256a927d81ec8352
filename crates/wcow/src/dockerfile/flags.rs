//! The flags of one instruction: `--name`, `--name=value`.

use std::time::Duration;

use super::{DockerfileErrorKind as Kind, words};

/// The flags an instruction was given, to be taken out one by one.
pub(super) struct Flags {
    instruction: &'static str,
    given: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Checks names and that only `repeatable` ones come twice.
    pub(super) fn new(
        instruction: &'static str,
        given: Vec<String>,
        known: &[&'static str],
        repeatable: &[&'static str],
    ) -> Result<Self, Kind> {
        let mut flags = Self {
            instruction,
            given: Vec::new(),
        };
        for flag in given {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag.as_str(), None),
            };
            let name = name.trim_start_matches("--").to_owned();
            if !known.contains(&name.as_str()) {
                return Err(Kind::UnknownFlag {
                    instruction,
                    flag: format!("--{name}"),
                    nearest: words::nearest(&name, known),
                });
            }
            let is_twice = flags.given.iter().any(|it| it.0 == name);
            if is_twice && !repeatable.contains(&name.as_str()) {
                return Err(flags.bad(&name, "is given twice: keep one"));
            }
            flags.given.push((name, value));
        }
        Ok(flags)
    }

    fn bad(&self, name: &str, problem: impl Into<String>) -> Kind {
        Kind::BadFlag {
            instruction: self.instruction,
            flag: name.to_owned(),
            problem: problem.into(),
        }
    }

    /// The value of a flag that needs one.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Kind> {
        Ok(self.texts(name)?.pop())
    }

    /// The values of a flag that may come several times.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Kind> {
        let mut found = Vec::new();
        for (_, value) in self.given.iter().filter(|it| it.0 == name) {
            let problem = || self.bad(name, format!("needs a value: --{name}=…"));
            found.push(value.clone().ok_or_else(problem)?);
        }
        Ok(found)
    }

    /// A flag that is on by being there.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, Kind> {
        let Some((_, value)) = self.given.iter().find(|it| it.0 == name) else {
            return Ok(None);
        };
        match value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(self.bad(name, format!("is true or false, not {other:?}"))),
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u32>, Kind> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let most = i32::MAX.unsigned_abs();
        let number = text.parse().ok().filter(|it| *it <= most);
        let problem = || self.bad(name, format!("is a whole number, not {text:?}"));
        number.map(Some).ok_or_else(problem)
    }

    /// A time: nothing, or a millisecond at least. Zero is nothing.
    pub(super) fn duration(&mut self, name: &str) -> Result<Option<Duration>, Kind> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let problem = || {
            let problem = format!("is a time such as 30s, 1m30s or 500ms, not {text:?}");
            self.bad(name, problem)
        };
        let found = duration(&text).ok_or_else(problem)?;
        if found.is_zero() {
            return Ok(None);
        }
        if found < Duration::from_millis(1) {
            return Err(self.bad(name, "is shorter than 1ms"));
        }
        Ok(Some(found))
    }
}

/// A time in Go's form: numbers, each with its unit, together at most Go's longest.
/// <https://pkg.go.dev/time#ParseDuration>
fn duration(text: &str) -> Option<Duration> {
    const UNITS: &[(&str, u64)] = &[
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = 0_u64;
    while !rest.is_empty() || total == 0 && rest == text {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|it: char| it.is_ascii_digit() || it == '.');
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let scale = UNITS.iter().find(|it| it.0 == unit)?.1;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && part.is_empty() || part.contains('.') || part.len() > 9 {
            return None;
        }
        let whole = if whole.is_empty() {
            0
        } else {
            whole.parse::<u64>().ok()?
        };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        if !part.is_empty() {
            let tens = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
            let part = u128::from(part.parse::<u64>().ok()?) * u128::from(scale);
            total = total.checked_add(u64::try_from(part / u128::from(tens)).ok()?)?;
        }
        rest = after;
    }
    (total <= i64::MAX.unsigned_abs()).then(|| Duration::from_nanos(total))
}
