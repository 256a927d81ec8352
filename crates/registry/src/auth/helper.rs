//! Credential helpers: programs that keep credentials, asked when they are needed.
//!
//! ```text
//!   get ──▶ known? ──no──▶ docker-credential-<name> get   server on stdin, JSON on stdout
//!             └ one run per helper and server, whoever asks meanwhile waits for its answer
//! ```
//!
//! The protocol is that of
//! [docker-credential-helpers](https://github.com/docker/docker-credential-helpers#development). A
//! helper may hang, flood or talk nonsense: it is killed at a limit, with what it started,
//! and of what it prints nothing is ever shown, since nobody can tell what of it is secret.
//! Secrets go by standard input, never on a command line.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Duration, Instant},
};

use super::{credentials::Credentials, jwt::Claims};

mod process;

/// How long a helper may take, unless set otherwise.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a failure is taken for the answer: all who wait for it share it.
const FAILURE_KEPT: Duration = Duration::from_secs(30);
/// From this age on an answer that a registry refuses is asked for again.
const NOT_NEWS: Duration = Duration::from_mins(1);
/// How long before its end an answer is asked for again.
const MARGIN: Duration = Duration::from_secs(10);
/// A name longer than this is none.
const MAX_NAME: usize = 128;
/// The user name that says that the secret is a refresh token.
pub(super) const IDENTITY: &str = "<token>";
/// What a helper says that has no credentials: nothing is wrong then.
const NOT_THERE: [&str; 3] = [
    "credentials not found in native keychain",
    "no credentials server URL",
    "no credentials username",
];

/// Runs credential helpers, and keeps their answers for as long as it lives.
///
/// Clones share the answers. An answer whose secret says when it ends (a JSON Web Token) is asked
/// for again then.
#[derive(Clone)]
pub struct CredentialHelpers(Arc<Inner>);

struct Inner {
    directories: Vec<PathBuf>,
    limit: Duration,
    /// By helper and server.
    answers: Mutex<HashMap<(String, String), Slot>>,
}

/// One answer, locked while it is asked for.
type Slot = Arc<AsyncMutex<Option<Known>>>;

/// An answer, and until when it is good.
#[derive(Clone)]
struct Known {
    asked: Instant,
    answer: Result<Option<Credentials>, HelperError>,
    until: Option<Instant>,
}

/// Why a helper gave no answer. Says nothing of what it printed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// The name is not one: it is part of a program's file name.
    #[error(
        "credential helper {0:?} cannot be run: its name may have letters, digits, '-', '_' and '.' only"
    )]
    Name(String),
    /// There is no such program.
    #[error("{program} was not found: install it, or put the directory it is in into PATH")]
    NotInstalled {
        /// The program.
        program: String,
    },
    /// It could not be run.
    #[error("{program} could not be run: {reason}")]
    NotRun {
        /// The program.
        program: String,
        /// Why, in the system's words.
        reason: String,
    },
    /// It took too long and was killed.
    #[error("{program} gave no answer within {limit:?} and was ended")]
    TimedOut {
        /// The program.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// It printed more than is read, and was killed.
    #[error("{program} printed over {max} bytes and was ended", max = process::MAX_OUTPUT)]
    TooLong {
        /// The program.
        program: String,
    },
    /// It failed.
    #[error(
        "{program} failed ({status}); to see what it says, run: {}",
        ByHand { program, verb, server }
    )]
    Failed {
        /// The program.
        program: String,
        /// What it was asked to do: `get`, `store` or `erase`.
        verb: &'static str,
        /// The server it was asked about.
        server: String,
        /// How it ended.
        status: String,
    },
    /// Its answer is not what the protocol says.
    #[error("the answer of {program} is not a credential: expected JSON with Username and Secret")]
    Answer {
        /// The program.
        program: String,
    },
}

/// What a person types to see for themselves: a helper reads what it is asked about from its
/// standard input, and waits for it.
struct ByHand<'a> {
    program: &'a str,
    verb: &'a str,
    server: &'a str,
}

impl fmt::Display for ByHand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            verb,
            server,
        } = self;
        match *verb {
            // Nobody should type a secret for that.
            "store" => write!(f, "{program} list"),
            _ => write!(f, "echo {server} | {program} {verb}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: SecretString,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    #[serde(rename = "Username")]
    username: &'a str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

// === impl CredentialHelpers ===

impl CredentialHelpers {
    /// Helpers in these directories, the first that has one; relative directories are left out.
    pub fn in_directories(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let absolute = |it: &PathBuf| it.is_absolute();
        Self(Arc::new(Inner {
            directories: directories.into_iter().filter(absolute).collect(),
            limit: LIMIT,
            answers: Mutex::default(),
        }))
    }

    /// The same with another limit for one run; 10 s. What was answered so far is forgotten.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self(Arc::new(Inner {
            directories: self.0.directories.clone(),
            limit,
            answers: Mutex::default(),
        }))
    }

    /// The credentials that helper `name` (without `docker-credential-`) keeps for `server`.
    ///
    /// One run for all who ask at the same time, and none where the answer is known. `None`:
    /// it has none.
    pub async fn get(&self, name: &str, server: &str) -> Result<Option<Credentials>, HelperError> {
        let slot = {
            let mut answers = self
                .0
                .answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let key = (name.to_owned(), server.to_owned());
            answers.entry(key).or_default().clone()
        };
        let mut known = slot.lock().await;
        if let Some(known) = known.as_ref().filter(|it| it.is_good()) {
            return known.answer.clone();
        }
        let answer = self.ask(name, server).await;
        let fresh = Known::new(answer);
        let answer = fresh.answer.clone();
        *known = Some(fresh);
        answer
    }

    /// Has helper `name` keep a user name and a secret for `server`.
    pub async fn store(
        &self,
        name: &str,
        server: &str,
        username: &str,
        secret: &SecretString,
    ) -> Result<(), HelperError> {
        let program = program(name)?;
        let entry = Entry {
            server,
            username,
            secret: secret.expose_secret(),
        };
        let input = serde_json::to_vec(&entry).map_err(|_| HelperError::Answer {
            program: program.clone(),
        })?;
        self.forget(name, server);
        let run = self.run(&program, "store", input).await?;
        run.succeeded(program, "store", server).map(drop)
    }

    /// Has helper `name` forget what it keeps for `server`; whether there was anything.
    pub async fn erase(&self, name: &str, server: &str) -> Result<bool, HelperError> {
        let program = program(name)?;
        self.forget(name, server);
        let run = self.run(&program, "erase", server.into()).await?;
        if run.says_not_there() {
            return Ok(false);
        }
        run.succeeded(program, "erase", server).map(|_| true)
    }

    /// Forgets what is known of a server since a minute or longer; whether there was any.
    pub(super) fn forget_old(&self, server: &str) -> bool {
        let mut answers = self
            .0
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = answers.len();
        answers.retain(|(_, of), slot| {
            let known = slot.try_lock();
            let old = |known: &Known| known.asked.elapsed() >= NOT_NEWS;
            of != server || !known.is_ok_and(|known| known.as_ref().is_some_and(old))
        });
        answers.len() < before
    }

    fn forget(&self, name: &str, server: &str) {
        let mut answers = self
            .0
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        answers.remove(&(name.to_owned(), server.to_owned()));
    }

    async fn ask(&self, name: &str, server: &str) -> Result<Option<Credentials>, HelperError> {
        let program = program(name)?;
        let run = self.run(&program, "get", server.into()).await?;
        if run.says_not_there() {
            return Ok(None);
        }
        let output = run.succeeded(program.clone(), "get", server)?;
        let answer: Answer =
            serde_json::from_slice(&output).map_err(|_| HelperError::Answer { program })?;
        let secret = answer.secret.expose_secret();
        Ok(match &*answer.username {
            _ if secret.is_empty() => None,
            IDENTITY => Some(Credentials::identity(secret)),
            username => Some(Credentials::password(username, secret)),
        })
    }

    async fn run(
        &self,
        program: &str,
        verb: &'static str,
        input: Vec<u8>,
    ) -> Result<process::Run, HelperError> {
        let found = process::find(&self.0.directories, program).await;
        let path = found.ok_or_else(|| HelperError::NotInstalled {
            program: program.to_owned(),
        })?;
        tracing::debug!(program, verb, "credential helper is run");
        let run = process::run(&path, verb, input, self.0.limit).await;
        run.map_err(|fault| fault.of(program.to_owned(), self.0.limit))
    }
}

impl fmt::Debug for CredentialHelpers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialHelpers")
            .field("directories", &self.0.directories)
            .field("limit", &self.0.limit)
            .finish_non_exhaustive()
    }
}

/// The program's file name. A helper is named by a configuration file: it may not name a path.
fn program(name: &str) -> Result<String, HelperError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        return Err(HelperError::Name(name.chars().take(100).collect()));
    }
    Ok(format!("docker-credential-{name}"))
}

// === impl Known ===

impl Known {
    fn new(answer: Result<Option<Credentials>, HelperError>) -> Self {
        let life = match &answer {
            Ok(Some(
                Credentials::Password {
                    password: secret, ..
                }
                | Credentials::Identity(secret),
            )) => Claims::of(secret.expose_secret())
                .and_then(|claims| claims.life(SystemTime::now()))
                .map(|life| life.saturating_sub(MARGIN)),
            Ok(_) => None,
            Err(_) => Some(FAILURE_KEPT),
        };
        Self {
            asked: Instant::now(),
            answer,
            until: life.and_then(|life| Instant::now().checked_add(life)),
        }
    }

    fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

// === impl Run ===

impl process::Run {
    /// The third message is about nothing kept either: a helper that was given no URL.
    fn says_not_there(&self) -> bool {
        let said = String::from_utf8_lossy(&self.output);
        !self.succeeded && NOT_THERE.contains(&said.trim())
    }

    fn succeeded(
        self,
        program: String,
        verb: &'static str,
        server: &str,
    ) -> Result<Vec<u8>, HelperError> {
        if self.succeeded {
            return Ok(self.output);
        }
        Err(HelperError::Failed {
            program,
            verb,
            server: server.to_owned(),
            status: self.status,
        })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
