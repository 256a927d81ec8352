//! What a command says to a package manager: which verb, which packages, which options.
//!
//! Options that are not in the tables are refused: some change what is installed, or where.

use super::{error::ProblemKind, script::Word};

/// Whose names and versions the packages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Debian, Ubuntu: `apt`, `apt-get`, `aptitude`.
    Apt,
    /// Alpine: `apk`.
    Apk,
    /// Fedora, Red Hat: `yum`, `dnf`, `microdnf`.
    Rpm,
}

/// What a command is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing of a package manager's.
    Other,
    /// It updates or cleans.
    Clean,
    /// It cleans what is not a package manager's, too: of no use by itself.
    Tidy,
    /// `set`: whether the shell ends with the first failure now, if it says that.
    Set(Option<bool>),
    /// Installs packages; `group` is the name they are removed by.
    Install {
        family: Family,
        packages: Vec<String>,
        group: Option<String>,
    },
    /// Removes packages, or groups of them.
    Remove {
        family: Family,
        packages: Vec<String>,
    },
}

/// An option, and its value.
type Valued = (String, String);

/// The options and verbs of one package manager.
pub(super) struct Grammar {
    family: Family,
    /// Options without a value: letters, and words.
    letters: &'static str,
    words: &'static [&'static str],
    /// Options with one.
    valued_letters: &'static str,
    valued_words: &'static [&'static str],
    install: &'static [&'static str],
    remove: &'static [&'static str],
    clean: &'static [&'static str],
}

const APT: Grammar = Grammar {
    family: Family::Apt,
    letters: "yqfmV",
    words: &[
        "yes",
        "assume-yes",
        "quiet",
        "no-install-recommends",
        "install-recommends",
        "no-install-suggests",
        "install-suggests",
        "without-recommends",
        "fix-missing",
        "fix-broken",
        "ignore-missing",
        "allow-unauthenticated",
        "allow-downgrades",
        "allow-change-held-packages",
        "allow-releaseinfo-change",
        "allow-remove-essential",
        "force-yes",
        "reinstall",
        "no-upgrade",
        "only-upgrade",
        "purge",
        "auto-remove",
        "autoremove",
        "show-progress",
        "no-show-progress",
        "verbose-versions",
    ],
    valued_letters: "otca",
    valued_words: &[
        "option",
        "target-release",
        "default-release",
        "config-file",
        "host-architecture",
    ],
    install: &["install"],
    remove: &["remove", "purge", "autoremove", "autopurge"],
    clean: &[
        "update",
        "upgrade",
        "dist-upgrade",
        "full-upgrade",
        "safe-upgrade",
        "clean",
        "autoclean",
        "check",
    ],
};

const APK: Grammar = Grammar {
    family: Family::Apk,
    letters: "qUuvfl",
    words: &[
        "quiet",
        "no-cache",
        "update",
        "update-cache",
        "upgrade",
        "latest",
        "no-progress",
        "progress",
        "no-interactive",
        "allow-untrusted",
        "force",
        "force-broken-world",
        "force-overwrite",
        "force-refresh",
        "verbose",
        "available",
        "purge",
        "rdepends",
    ],
    valued_letters: "tX",
    valued_words: &["virtual", "repository", "wait", "cache-max-age"],
    install: &["add"],
    remove: &["del"],
    clean: &["update", "upgrade", "cache", "fix"],
};

const RPM: Grammar = Grammar {
    family: Family::Rpm,
    letters: "yqvCb",
    words: &[
        "assumeyes",
        "quiet",
        "verbose",
        "nogpgcheck",
        "no-gpgchecks",
        "nodocs",
        "best",
        "nobest",
        "allowerasing",
        "skip-broken",
        "refresh",
        "noplugins",
        "cacheonly",
    ],
    valued_letters: "xdeR",
    valued_words: &[
        "setopt",
        "enablerepo",
        "disablerepo",
        "repo",
        "repoid",
        "releasever",
        "exclude",
        "disableplugin",
        "enableplugin",
    ],
    install: &["install"],
    remove: &["remove", "erase", "autoremove"],
    clean: &[
        "update",
        "upgrade",
        "update-minimal",
        "upgrade-minimal",
        "distro-sync",
        "makecache",
        "check-update",
        "clean",
    ],
};

/// Commands of package managers that nothing is made of.
const WITHOUT_COUNTERPART: &[&str] = &[
    "add-apt-repository",
    "apt-add-repository",
    "apt-cache",
    "apt-file",
    "apt-key",
    "apt-mark",
    "debconf-set-selections",
    "dpkg",
    "dpkg-reconfigure",
    "rpm",
    "yum-config-manager",
];

/// Where package managers keep what they fetched.
const CACHES: &[&str] = &[
    "/var/lib/apt/",
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/log/apt",
    "/var/cache/apk",
    "/etc/apk/cache",
    "/var/cache/yum",
    "/var/lib/yum",
    "/var/cache/dnf",
    "/var/lib/dnf",
    "/var/log/dnf",
    "/var/log/yum",
    "/var/log/dpkg",
];

/// What is cleaned along with that.
const TEMPORARY: &[&str] = &[
    "/tmp/",
    "/var/tmp/",
    "/var/log/",
    "/var/cache/",
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/locale",
];

/// Whether a path is a package manager's own.
pub(super) fn is_cache(path: &str) -> bool {
    CACHES.iter().any(|it| path.starts_with(it))
}

pub(super) fn grammar(program: &str) -> Option<&'static Grammar> {
    Some(match program {
        "apt" | "apt-get" | "aptitude" => &APT,
        "apk" => &APK,
        "yum" | "dnf" | "dnf5" | "microdnf" => &RPM,
        _ => return None,
    })
}

/// The last part of a program's path.
pub(super) fn name_of(word: &str) -> &str {
    word.rsplit_once('/').map_or(word, |it| it.1)
}

/// What a command is.
pub(super) fn order(words: &[Word]) -> Result<Order, ProblemKind> {
    let words = bare(words);
    let Some((program, rest)) = words.split_first() else {
        return Ok(Order::Other);
    };
    let program = name_of(&program.text);
    if let Some(grammar) = grammar(program) {
        return grammar.order(program, rest);
    }
    match program {
        _ if WITHOUT_COUNTERPART.contains(&program) => {
            let mut command = program.to_owned();
            if let Some(first) = rest.first() {
                command = format!("{command} {}", first.text);
            }
            Err(ProblemKind::NoCounterpart { command })
        }
        "rm" => Ok(removal(rest)),
        "set" => Ok(Order::Set(errexit(rest))),
        "true" | ":" => Ok(Order::Tidy),
        "export" if rest.iter().all(|it| it.text.starts_with("DEBIAN_FRONTEND")) => Ok(Order::Tidy),
        _ => Ok(Order::Other),
    }
}

/// A command without what stands before it: assignments, `sudo`, `env`.
fn bare(words: &[Word]) -> &[Word] {
    let mut rest = words;
    while let Some((first, behind)) = rest.split_first() {
        let is_prefix = matches!(
            name_of(&first.text),
            "sudo" | "env" | "exec" | "command" | "eatmydata"
        );
        let is_switch =
            rest.len() < words.len() && matches!(first.text.as_str(), "-E" | "-H" | "-n");
        if !is_prefix && !is_switch && !is_assignment(&first.text) {
            break;
        }
        rest = behind;
    }
    rest
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_')
            && !name.starts_with(|it: char| it.is_ascii_digit())
    })
}

/// `rm` of caches and of what is temporary.
fn removal(words: &[Word]) -> Order {
    let paths: Vec<&str> = words
        .iter()
        .map(|it| it.text.as_str())
        .filter(|it| !it.starts_with('-'))
        .collect();
    let is_temporary = |it: &&str| TEMPORARY.iter().any(|start| it.starts_with(start));
    let is_known = |it: &&str| is_cache(it) || is_temporary(it);
    let leaves = |it: &&str| it.contains("..") || it.contains('$');
    if paths.is_empty() || !paths.iter().all(is_known) || paths.iter().any(leaves) {
        return Order::Other;
    }
    if paths.iter().any(|it| is_cache(it)) {
        Order::Clean
    } else {
        Order::Tidy
    }
}

/// What `set` says of ending with the first failure.
fn errexit(words: &[Word]) -> Option<bool> {
    let mut found = None;
    let mut words = words.iter().map(|it| it.text.as_str());
    while let Some(word) = words.next() {
        match word {
            "-o" | "+o" if words.next() == Some("errexit") => found = Some(word == "-o"),
            _ if word.starts_with('-') && word.contains('e') => found = Some(true),
            _ if word.starts_with('+') && word.contains('e') => found = Some(false),
            _ => {}
        }
    }
    found
}

impl Grammar {
    /// Whether a word tells it to do something that is known here.
    pub(super) fn has_verb(&self, word: &str) -> bool {
        [self.install, self.remove, self.clean]
            .iter()
            .any(|it| it.contains(&word))
    }

    fn order(&self, program: &str, words: &[Word]) -> Result<Order, ProblemKind> {
        let (options, operands) = self.options(program, words)?;
        let Some((verb, operands)) = operands.split_first() else {
            return Ok(Order::Other);
        };
        let verb = literal(verb)?;
        let is = |verbs: &[&str]| verbs.contains(&verb);
        let family = self.family;
        if is(self.clean) || is(self.remove) && operands.is_empty() {
            return Ok(Order::Clean);
        }
        let packages = || -> Result<Vec<String>, ProblemKind> {
            operands
                .iter()
                .map(|it| literal(it).map(str::to_owned))
                .collect()
        };
        if is(self.install) {
            let group = options.into_iter().find(|it| self.names_group(&it.0));
            return Ok(Order::Install {
                family,
                packages: packages()?,
                group: group.map(|it| it.1),
            });
        }
        if is(self.remove) {
            return Ok(Order::Remove {
                family,
                packages: packages()?,
            });
        }
        if family == Family::Rpm && Self::installs_compilers(verb, &packages()?) {
            return Ok(Order::Install {
                family,
                packages: vec!["@development-tools".to_owned()],
                group: None,
            });
        }
        Err(ProblemKind::NoCounterpart {
            command: format!("{program} {verb}"),
        })
    }

    /// `groupinstall "Development Tools"`, `group install development-tools`.
    fn installs_compilers(verb: &str, words: &[String]) -> bool {
        let is_compilers = |it: &str| {
            let it = it.trim_start_matches('@').to_ascii_lowercase();
            matches!(it.as_str(), "development tools" | "development-tools")
        };
        match (verb, words) {
            ("groupinstall", [group]) => is_compilers(group),
            ("group", [verb, group]) => verb == "install" && is_compilers(group),
            _ => false,
        }
    }

    fn names_group(&self, option: &str) -> bool {
        self.family == Family::Apk && matches!(option, "t" | "virtual")
    }

    /// The options that have a value, and the words that are no options.
    fn options<'a>(
        &self,
        program: &str,
        words: &'a [Word],
    ) -> Result<(Vec<Valued>, Vec<&'a Word>), ProblemKind> {
        let (mut options, mut operands) = (Vec::new(), Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let unknown = || ProblemKind::UnknownOption {
                command: program.to_owned(),
                option: word.text.clone(),
            };
            if word.text == "--" {
                operands.extend(words.by_ref());
            } else if let Some(long) = word.text.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                if self.valued_words.contains(&name) {
                    let next = || words.next().map(|it| it.text.clone());
                    let value = value.map(str::to_owned).or_else(next).unwrap_or_default();
                    options.push((name.to_owned(), value));
                } else if !self.words.contains(&name) {
                    return Err(unknown());
                }
            } else if let Some(short) = word.text.strip_prefix('-').filter(|it| !it.is_empty()) {
                let (letters, value) = self.letters(short).ok_or_else(unknown)?;
                if let Some(letter) = letters {
                    let next = || words.next().map(|it| it.text.clone());
                    let value = value.map(str::to_owned).or_else(next).unwrap_or_default();
                    options.push((letter.to_string(), value));
                }
            } else {
                operands.push(word);
            }
        }
        Ok((options, operands))
    }

    /// Reads `yqq`, `q=2`, `oDpkg::Use-Pty=0`: the letter that has a value, if there is one, and the
    /// value, if it stands right there. Nothing if a letter is not known.
    fn letters<'a>(&self, word: &'a str) -> Option<(Option<char>, Option<&'a str>)> {
        for (at, letter) in word.char_indices() {
            let rest = &word[at + letter.len_utf8()..];
            if self.valued_letters.contains(letter) {
                let value = Some(rest).filter(|it| !it.is_empty());
                return Some((Some(letter), value));
            }
            if letter == '=' && at > 0 {
                return Some((None, None));
            }
            if !self.letters.contains(letter) {
                return None;
            }
        }
        Some((None, None))
    }
}

/// A word that is what it is before the line runs.
fn literal(word: &Word) -> Result<&str, ProblemKind> {
    if word.is_dynamic {
        return Err(ProblemKind::Variable {
            word: word.text.clone(),
        });
    }
    Ok(&word.text)
}
