//! Package managers in texts that are not taken apart, whatever they are.

use super::manager::{grammar, name_of};

/// Whether a text may have a package manager's command in it, or its files.
pub(super) fn is_named(text: &str) -> bool {
    const PROGRAMS: &[&str] = &["apt", "apk", "yum", "dnf", "dpkg", "rpm", "debconf"];
    let text = text.to_ascii_lowercase();
    PROGRAMS.iter().any(|it| text.contains(it))
}

/// A command of a package manager that stands somewhere in a text, whatever that is: for texts that
/// cannot be taken apart.
pub(super) fn mentioned(text: &str) -> Option<String> {
    let ends = |it: char| it.is_whitespace() || "'\"`;&|()<>{},[]=\\$".contains(it);
    let words: Vec<&str> = text.split(ends).filter(|it| !it.is_empty()).collect();
    for (at, word) in words.iter().enumerate() {
        let program = name_of(word);
        let Some(grammar) = grammar(program) else {
            continue;
        };
        let verb = words[at + 1..].iter().find(|it| !it.starts_with('-'));
        if let Some(verb) = verb.filter(|it| grammar.has_verb(it)) {
            return Some(format!("{program} {verb}"));
        }
    }
    None
}

/// `choco` or `winget` where a command of a text begins, for `cmd` or for PowerShell.
pub(super) fn windows_manager(text: &str) -> Option<&'static str> {
    for command in text.split([';', '&', '|', '\n']) {
        let ends = |it: char| "'\"`(){}[],".contains(it);
        let parts: Vec<&str> = command.split(ends).map(str::trim).collect();
        let mut firsts = parts.iter().filter(|it| !it.is_empty());
        let is_shown = |it: &&&str| {
            let word = it.split_whitespace().next().unwrap_or_default();
            matches!(
                word.to_ascii_lowercase().as_str(),
                "echo" | "rem" | "write-host" | "write-output"
            )
        };
        if firsts.clone().next().as_ref().is_some_and(is_shown) {
            continue;
        }
        let found = firsts.find_map(|it| {
            let mut words = it.split_whitespace();
            let first = words.next()?;
            let behind = || words.filter(|_| shell_name(first)).find_map(windows_name);
            windows_name(first).or_else(behind)
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

fn last_part(word: &str) -> String {
    let word = word.trim_start_matches('@').to_ascii_lowercase();
    let word = word.rsplit(['/', '\\']).next().unwrap_or_default();
    word.strip_suffix(".exe").unwrap_or(word).to_owned()
}

fn windows_name(word: &str) -> Option<&'static str> {
    match last_part(word).as_str() {
        "choco" | "chocolatey" | "cinst" | "cup" => Some("choco"),
        "winget" => Some("winget"),
        _ => None,
    }
}

fn shell_name(word: &str) -> bool {
    matches!(
        last_part(word).as_str(),
        "cmd" | "powershell" | "pwsh" | "call" | "start"
    )
}
