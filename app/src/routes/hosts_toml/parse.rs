//! The text of a `hosts.toml`, with every form its values may have.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use oci::Registry;
use secrecy::SecretString;
use serde::Deserialize;
use toml::{Table, Value};

use super::{Capabilities, Host, HostsToml};
use crate::{
    malformed::Malformed,
    routes::{
        endpoint::{self, Endpoint},
        error::RouteError,
    },
};

/// What a table says of an endpoint; the file itself is one too, of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys {
    capabilities: Vec<String>,
    ca: Option<Value>,
    client: Option<Value>,
    skip_verify: bool,
    header: Table,
    override_path: bool,
    dial_timeout: String,
    #[serde(flatten)]
    rest: Table,
}

/// The endpoints of one file, in its order, the server last.
pub(super) fn hosts(path: &Path, text: &str, of: &Registry) -> Result<HostsToml, RouteError> {
    let malformed = |error| RouteError::Malformed {
        path: path.to_owned(),
        error: Malformed::new(text, &error),
    };
    let mut file: Table = toml::from_str(text).map_err(malformed)?;
    let server = file.remove("server");
    let named = file.remove("host");
    let reader = Reader { path };
    let mut warnings = Vec::new();
    let mut hosts = Vec::new();
    match named {
        Some(Value::Table(named)) => {
            for (url, table) in named {
                let keys: Keys = table.try_into().map_err(malformed)?;
                hosts.push(reader.host(&url, keys, &mut warnings)?);
            }
        }
        None => {}
        Some(_) => return Err(reader.wrong("host", "expected tables, [host.\"https://…\"]")),
    }
    let keys: Keys = Value::Table(file).try_into().map_err(malformed)?;
    hosts.push(match server {
        Some(Value::String(url)) if !url.is_empty() => reader.host(&url, keys, &mut warnings)?,
        None | Some(Value::String(_)) => {
            // A server that is not named can do everything, whatever is said of it.
            let keys = Keys {
                capabilities: Vec::new(),
                ..keys
            };
            reader.host_at(Endpoint::plain(of, None), of.name(), keys, &mut warnings)?
        }
        Some(_) => return Err(reader.wrong("server", "expected a URL")),
    });
    Ok(HostsToml {
        path: path.to_owned(),
        hosts,
        warnings,
    })
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn host(&self, url: &str, keys: Keys, warnings: &mut Vec<String>) -> Result<Host, RouteError> {
        let endpoint = endpoint::parse(url, keys.override_path);
        let endpoint = endpoint.map_err(|why| self.wrong(url, &why))?;
        self.host_at(endpoint, url, keys, warnings)
    }

    fn host_at(
        &self,
        endpoint: Endpoint,
        shown: &str,
        keys: Keys,
        warnings: &mut Vec<String>,
    ) -> Result<Host, RouteError> {
        let wrong = |why: String| self.wrong(shown, &why);
        self.warn_of_unknown(shown, &keys.rest, warnings);
        Ok(Host {
            endpoint,
            capabilities: capabilities(&keys.capabilities).map_err(wrong)?,
            authorities: keys
                .ca
                .map_or(Ok(Vec::new()), |it| self.files(&it))
                .map_err(wrong)?,
            clients: keys
                .client
                .map_or(Ok(Vec::new()), |it| self.pairs(&it))
                .map_err(wrong)?,
            skip_verify: keys.skip_verify,
            headers: headers(&keys.header).map_err(wrong)?,
            dial_timeout: dial_timeout(&keys.dial_timeout).map_err(wrong)?,
        })
    }

    fn wrong(&self, rule: &str, why: &str) -> RouteError {
        RouteError::Rule {
            path: self.path.to_owned(),
            rule: format!("{rule:?}"),
            why: why.to_owned(),
        }
    }

    fn warn_of_unknown(&self, place: &str, rest: &Table, warnings: &mut Vec<String>) {
        let path = self.path.display();
        for key in rest.keys() {
            warnings.push(format!(
                "{path}: the key {key:?} of {place} is not known, and does nothing"
            ));
        }
    }

    /// A path, from the file's own directory where it is not absolute.
    fn file(&self, value: &Value) -> Result<PathBuf, String> {
        let text = value.as_str().filter(|it| !it.is_empty());
        let text = text.ok_or_else(|| format!("{value} is no path"))?;
        Ok(self.path.parent().unwrap_or(self.path).join(text))
    }

    /// One path, or a list of them.
    fn files(&self, value: &Value) -> Result<Vec<PathBuf>, String> {
        match value {
            Value::Array(values) => values.iter().map(|it| self.file(it)).collect(),
            value => Ok(vec![self.file(value)?]),
        }
    }

    /// One file with certificate and key, or a list of such files and of pairs.
    fn pairs(&self, value: &Value) -> Result<Vec<(PathBuf, Option<PathBuf>)>, String> {
        let Value::Array(values) = value else {
            return Ok(vec![(self.file(value)?, None)]);
        };
        let pair = |value: &Value| match value {
            Value::Array(pair) => match &pair[..] {
                [certificate, key] => Ok((self.file(certificate)?, Some(self.file(key)?))),
                _ => Err("a pair of `client` is a certificate and a key".to_owned()),
            },
            value => Ok((self.file(value)?, None)),
        };
        values.iter().map(pair).collect()
    }
}

/// What a host can do of which nothing is said.
const ALL: Capabilities = Capabilities {
    pull: true,
    resolve: true,
    push: true,
};

fn capabilities(names: &[String]) -> Result<Capabilities, String> {
    if names.is_empty() {
        return Ok(ALL);
    }
    let mut found = Capabilities {
        pull: false,
        resolve: false,
        push: false,
    };
    for name in names {
        match &*name.to_ascii_lowercase() {
            "pull" => found.pull = true,
            "resolve" => found.resolve = true,
            "push" => found.push = true,
            "referrers" => {}
            _ => {
                return Err(format!(
                    "a capability {name:?} is not known: use pull, resolve or push"
                ));
            }
        }
    }
    Ok(found)
}

/// Names with one value, or with several.
fn headers(table: &Table) -> Result<Vec<(String, SecretString)>, String> {
    let mut found = Vec::new();
    for (name, value) in table {
        let values = match value {
            Value::Array(values) => &values[..],
            value => std::slice::from_ref(value),
        };
        for value in values {
            // Not shown: it may be a secret.
            let text = value.as_str();
            let text =
                text.ok_or_else(|| format!("the header {name:?} has a value that is no text"))?;
            found.push((name.clone(), SecretString::from(text)));
        }
    }
    Ok(found)
}

/// A time as Go writes it, `1m30s`; none if the text is empty.
fn dial_timeout(text: &str) -> Result<Option<Duration>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("dial_timeout = {text:?} is no time: expected for instance 5s or 1m30s");
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest
            .find(|it: char| !it.is_ascii_digit() && it != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = &rest[digits..];
        let end = unit
            .find(|it: char| it.is_ascii_digit() || it == '.')
            .unwrap_or(unit.len());
        seconds += number
            * match &unit[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(wrong()),
            };
        rest = &unit[end..];
    }
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| wrong())
}
