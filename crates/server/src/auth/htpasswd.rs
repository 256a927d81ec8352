//! `htpasswd` files: a user and a bcrypt hash a line.
//!
//! [htpasswd(1)](https://httpd.apache.org/docs/2.4/programs/htpasswd.html). The other
//! schemes it can write are broken or weak, and are refused with the command that
//! replaces them. A hash is never part of an error.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    Users, text,
    users::{Hash, Password},
};
use crate::secret::Secret;

/// The longest file read, in bytes, inclusive.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The highest cost taken: above it one check takes more than several seconds.
const MAX_COST: u32 = 16;
/// The lowest that bcrypt has.
const MIN_COST: u32 = 4;

/// Why a file's users cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HtpasswdError {
    /// It cannot be read.
    #[error("could not read the users at {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It is over 16 MiB.
    #[error("the users at {} are over 16 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line that cannot be used.
    #[error("{}, line {line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: HtpasswdFault,
    },
    /// Nobody could log in.
    #[error(
        "the users at {} are none: add one with `htpasswd -B {} NAME`",
        path.display(), path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HtpasswdFault {
    /// It is not `name:hash`.
    #[error("expected NAME:HASH, as `htpasswd -B` writes it")]
    NotAnEntry,
    /// The name is empty or holds control characters.
    #[error("the user's name is empty or cannot be typed")]
    Name,
    /// A scheme that is not taken; its name.
    #[error("the password is kept as {0}; only bcrypt is taken: set it again with `htpasswd -B`")]
    Scheme(&'static str),
    /// It begins as a bcrypt hash and goes on otherwise.
    #[error("the bcrypt hash is damaged: set the password again with `htpasswd -B`")]
    Damaged,
    /// A cost that is out of bounds.
    #[error(
        "the bcrypt cost is {0}; from 4 to 16 is taken: set the password again with `htpasswd -B -C 12`"
    )]
    Cost(u32),
    /// A name that an earlier line has.
    #[error("the user is in line {0} already: remove one of the two")]
    Twice(usize),
}

impl Users {
    /// The users of an `htpasswd` file with bcrypt hashes (`$2a$`, `$2b$`, `$2y$`).
    pub fn htpasswd(path: impl AsRef<Path>) -> Result<Self, HtpasswdError> {
        let path = path.as_ref();
        match text::read(path, MAX_BYTES) {
            Ok(Some(text)) => Self::from_htpasswd(&text, path),
            Ok(None) => Err(HtpasswdError::TooLarge {
                path: path.to_owned(),
            }),
            Err(error) => Err(HtpasswdError::Read {
                path: path.to_owned(),
                error,
            }),
        }
    }

    /// The users of such a file's text; `path` is what errors call it.
    pub fn from_htpasswd(text: &str, path: impl AsRef<Path>) -> Result<Self, HtpasswdError> {
        let path = path.as_ref();
        let mut users = Self::new();
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let entry = entry(text).and_then(|(name, hash)| match lines.insert(name, number) {
                Some(earlier) => Err(HtpasswdFault::Twice(earlier)),
                None => Ok((name, hash)),
            });
            let (name, hash) = entry.map_err(|fault| HtpasswdError::Line {
                path: path.to_owned(),
                line: number,
                fault,
            })?;
            users.insert(name.to_owned(), Password::Bcrypt(hash));
        }
        if users.is_empty() {
            return Err(HtpasswdError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(users)
    }
}

fn entry(line: &str) -> Result<(&str, Hash), HtpasswdFault> {
    let (name, hash) = line.split_once(':').ok_or(HtpasswdFault::NotAnEntry)?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(HtpasswdFault::Name);
    }
    Ok((name, parse(hash)?))
}

/// `$2b$12$` and 53 characters: 22 of salt and 31 of hash.
fn parse(hash: &str) -> Result<Hash, HtpasswdFault> {
    let rest = ["$2a$", "$2b$", "$2y$"]
        .iter()
        .find_map(|version| hash.strip_prefix(version))
        .ok_or_else(|| HtpasswdFault::Scheme(scheme(hash)))?;
    let (cost, rest) = rest.split_once('$').ok_or(HtpasswdFault::Damaged)?;
    let digits = cost.len() == 2 && cost.bytes().all(|it| it.is_ascii_digit());
    let spelled = |it: u8| it.is_ascii_alphanumeric() || it == b'.' || it == b'/';
    if !digits || rest.len() != 53 || !rest.bytes().all(spelled) {
        return Err(HtpasswdFault::Damaged);
    }
    let cost = cost.parse().map_err(|_| HtpasswdFault::Damaged)?;
    if !(MIN_COST..=MAX_COST).contains(&cost) {
        return Err(HtpasswdFault::Cost(cost));
    }
    let readable = hash.parse::<bcrypt::HashParts>();
    readable.map_err(|_| HtpasswdFault::Damaged)?;
    Ok(Hash {
        text: Secret::from(hash),
        cost,
    })
}

fn scheme(hash: &str) -> &'static str {
    for (prefix, name) in [
        ("$2", "a bcrypt of a version that is not trusted"),
        ("$apr1$", "MD5"),
        ("$1$", "MD5"),
        ("{SHA}", "SHA-1"),
        ("$5$", "SHA-256 crypt"),
        ("$6$", "SHA-512 crypt"),
    ] {
        if hash.starts_with(prefix) {
            return name;
        }
    }
    "plain text or crypt"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TAIL: &str = "DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";

    fn refused(text: &str) -> String {
        Users::from_htpasswd(text, "users").unwrap_err().to_string()
    }

    #[test]
    fn bcrypt_of_three_versions_is_read() {
        let text =
            format!("# people\n\nann:$2a$06${TAIL}\r\nbob:$2b$10${TAIL}\n  cy:$2y$05${TAIL} \n");
        let users = Users::from_htpasswd(&text, "users").unwrap();
        assert!(users.has("ann") && users.has("bob") && users.has("cy"));
        assert!(!users.has("# people") && !users.has("dan"));
        assert_eq!(users.highest_cost(), Some(10));
    }

    #[test]
    fn every_other_line_is_refused_by_file_and_line() {
        let good = format!("ann:$2y$05${TAIL}");
        for (line, told) in [
            ("bob".to_owned(), "expected NAME:HASH"),
            (format!(":$2y$05${TAIL}"), "name is empty"),
            ("bob:$apr1$8sFt66rZ$CANARY".to_owned(), "kept as MD5;"),
            ("bob:{SHA}CANARY=".to_owned(), "kept as SHA-1;"),
            ("bob:$5$CANARY".to_owned(), "kept as SHA-256 crypt;"),
            ("bob:$6$CANARY".to_owned(), "kept as SHA-512 crypt;"),
            (format!("bob:$2x$05${TAIL}"), "not trusted"),
            ("bob:CANARY".to_owned(), "kept as plain text or crypt;"),
            ("bob:$2y$05$CANARY".to_owned(), "damaged"),
            (format!("bob:$2y$05${}é", &TAIL[2..]), "damaged"),
            (format!("bob:$2y$+5${TAIL}"), "damaged"),
            (format!("bob:$2y$03${TAIL}"), "cost is 3;"),
            (format!("bob:$2y$17${TAIL}"), "cost is 17;"),
            (format!("ann:$2y$06${TAIL}"), "in line 1 already"),
        ] {
            let error = refused(&format!("{good}\n\n{line}\n"));
            assert!(error.starts_with("users, line 3: "), "{error}");
            assert!(error.contains(told), "{error}");
            assert!(
                !error.contains("CANARY") && !error.contains(TAIL),
                "{error}"
            );
        }
        assert!(refused("# nobody\n").contains("htpasswd -B users NAME"));
    }

    #[test]
    fn a_file_that_is_not_there_or_not_text_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let absent = Users::htpasswd(&path).unwrap_err();
        assert!(absent.to_string().contains(&path.display().to_string()));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(
            Users::htpasswd(&path),
            Err(HtpasswdError::Read { .. })
        ));
    }
}
