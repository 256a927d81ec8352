//! Versions that packages are pinned to, and what is left of them without the distribution's part.
//!
//! - Debian: `[epoch:]upstream[-revision]`
//!   ([policy](https://www.debian.org/doc/debian-policy/ch-controlfields.html#version)).
//! - Alpine: `upstream-rN`. RPM: `[epoch:]version[-release]`.
//!
//! The upstream's part has to be numbers and dots, up to four: choco installs exact versions.

use super::manager::Family;

/// What is asked for: `curl=7.88.1-10`, `curl`, `curl-7.76.1-26.el9.x86_64`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// The version, as it is written.
    pub(super) pin: Option<String>,
}

/// Takes name and version apart. RPM joins both with dashes, so `knows` has to say which names
/// there are.
pub(super) fn wanted(family: Family, word: &str, knows: impl Fn(&str) -> bool) -> Wanted {
    let (name, pin) = match family {
        _ if word.contains("://") || word.starts_with(['.', '/']) => (word, None),
        Family::Apt => apt(word),
        Family::Apk => apk(word),
        Family::Rpm => rpm(word, knows),
    };
    Wanted {
        name: name.to_owned(),
        pin: pin.map(str::to_owned),
    }
}

/// `name[:architecture][=version]`, `name/release`.
fn apt(word: &str) -> (&str, Option<&str>) {
    let (name, pin) = match word.split_once('=') {
        Some((name, pin)) => (name, Some(pin)),
        None => (word, None),
    };
    let name = name.split_once('/').map_or(name, |it| it.0);
    let own = [":amd64", ":arm64", ":native", ":any"];
    let found = own.iter().find_map(|it| name.strip_suffix(it));
    (found.unwrap_or(name), pin)
}

/// `name[@repository][=version]`, where `<`, `>` and `~` are possible, too.
fn apk(word: &str) -> (&str, Option<&str>) {
    let (name, pin) = match word.find(['=', '<', '>', '~']) {
        Some(at) => word.split_at(at),
        None => (word, ""),
    };
    let name = name.split_once('@').map_or(name, |it| it.0);
    let pin = (!pin.is_empty()).then(|| pin.strip_prefix('=').unwrap_or(pin));
    (name, pin)
}

/// `name[-version[-release]][.architecture]`.
fn rpm(word: &str, knows: impl Fn(&str) -> bool) -> (&str, Option<&str>) {
    let own = [".x86_64", ".aarch64", ".noarch"];
    let found = own.iter().find_map(|it| word.strip_suffix(it));
    let word = found.unwrap_or(word);
    if knows(word) {
        return (word, None);
    }
    for (at, _) in word.match_indices('-') {
        let (name, pin) = (&word[..at], &word[at + 1..]);
        if pin.starts_with(|it: char| it.is_ascii_digit()) && knows(name) {
            return (name, Some(pin));
        }
    }
    (word, None)
}

/// What choco can be asked for, if there is such a thing.
pub(super) fn version(family: Family, pin: &str) -> Option<String> {
    let epoch = pin.split_once(':').filter(|it| is_number(it.0));
    let pin = epoch.map_or(pin, |it| it.1);
    let upstream = match family {
        Family::Apt => pin.rsplit_once('-').map_or(pin, |it| it.0),
        Family::Apk => match pin.rsplit_once("-r") {
            Some((upstream, number)) if is_number(number) => upstream,
            _ => pin,
        },
        Family::Rpm => pin.split_once('-').map_or(pin, |it| it.0),
    };
    // Debian's mark for sources that something was taken out of.
    let repacked = ["+dfsg", "+ds", ".dfsg"];
    let end = repacked.iter().find_map(|it| upstream.find(it));
    let upstream = &upstream[..end.unwrap_or(upstream.len())];
    let numbers = upstream.split('.');
    let is_exact = numbers.clone().count() <= 4 && numbers.clone().all(is_number);
    is_exact.then(|| upstream.to_owned())
}

/// Digits, as many as a number of a version may have.
fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(family: Family, word: &str) -> (String, Option<String>) {
        let found = wanted(family, word, |it| ["curl", "nodejs", "7zip"].contains(&it));
        (found.name, found.pin)
    }

    #[test]
    fn b16_names_and_versions_are_told_apart() {
        for (family, word, name, pin) in [
            (Family::Apt, "curl", "curl", None),
            (Family::Apt, "curl=7.*", "curl", Some("7.*")),
            (Family::Apt, "git=1:2.39.2-1.1", "git", Some("1:2.39.2-1.1")),
            (Family::Apt, "git:amd64/bookworm-backports", "git", None),
            (Family::Apt, "libc6:i386", "libc6:i386", None),
            (Family::Apt, "./my=1.deb", "./my=1.deb", None),
            (Family::Apk, "curl=8.5.0-r0", "curl", Some("8.5.0-r0")),
            (Family::Apk, "curl@edge", "curl", None),
            (Family::Apk, "curl~=8.5", "curl", Some("~=8.5")),
            (Family::Apk, "curl>8", "curl", Some(">8")),
            (Family::Rpm, "curl", "curl", None),
            (
                Family::Rpm,
                "curl-7.76.1-26.el9.x86_64",
                "curl",
                Some("7.76.1-26.el9"),
            ),
            (Family::Rpm, "nodejs-1:18.1", "nodejs", Some("1:18.1")),
            (Family::Rpm, "java-17-openjdk", "java-17-openjdk", None),
            (
                Family::Rpm,
                "https://a.test/b-1.rpm",
                "https://a.test/b-1.rpm",
                None,
            ),
        ] {
            let expected = (name.to_owned(), pin.map(str::to_owned));
            assert_eq!(of(family, word), expected, "{word}");
        }
    }

    #[test]
    fn b16_of_a_version_the_upstreams_part_is_left_and_it_is_exact_or_nothing() {
        for (family, pin, expected) in [
            (Family::Apt, "7.88.1-10+deb12u5", Some("7.88.1")),
            (Family::Apt, "1:2.39.2-1.1", Some("2.39.2")),
            (Family::Apt, "18", Some("18")),
            (Family::Apt, "18.19.0+dfsg-6~deb12u2", Some("18.19.0")),
            (Family::Apk, "8.5.0-r0", Some("8.5.0")),
            (Family::Rpm, "1:18.19.0-1.el9", Some("18.19.0")),
            (Family::Apt, "7.*", None),
            (Family::Apt, "1.1.1n-0+deb11u5", None),
            (Family::Apt, "1.2~rc1-1", None),
            (Family::Apt, "", None),
            (Family::Apt, "1..2", None),
            (Family::Apt, "1.2.3.4.5", None),
            (Family::Apk, "~=8.5", None),
            (Family::Apk, ">8", None),
            (Family::Apk, "8.5.0_git2024-r0", None),
        ] {
            assert_eq!(version(family, pin).as_deref(), expected, "{pin}");
        }
    }
}
