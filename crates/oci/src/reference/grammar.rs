//! The grammar of references, on plain text.

use super::{DOCKER_HUB, ReferenceError, Scheme};

/// Cuts `scheme://` off.
pub(super) fn scheme(text: &str) -> Result<(Option<Scheme>, &str), ReferenceError> {
    match text.split_once("://") {
        None => Ok((None, text)),
        Some(("http", rest)) => Ok((Some(Scheme::Http), rest)),
        Some(("https", rest)) => Ok((Some(Scheme::Https), rest)),
        Some(("docker", rest)) => Ok((None, rest)),
        Some((other, _)) => Err(ReferenceError::Scheme(shortened(other))),
    }
}

/// Cuts the registry off the front, if the first part looks like one: it has a
/// dot or a colon, is `localhost`, or begins an IPv6 address. Docker's rule.
pub(super) fn split_registry(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first == "localhost" || first.contains(['.', ':', '[']) || has_upper(first) =>
        {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

/// Cuts the tag off the end: what follows a colon in the last part.
pub(super) fn split_tag(text: &str) -> (&str, Option<&str>) {
    let last = text.rfind('/').map_or(0, |at| at + 1);
    match text[last..].find(':') {
        Some(at) => (&text[..last + at], Some(&text[last + at + 1..])),
        None => (text, None),
    }
}

/// Divides `host[:port]`; an IPv6 address stands in brackets.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_address = text.rfind(']').map_or(0, |at| at + 1);
    match text[after_address..].find(':') {
        Some(at) => (
            &text[..after_address + at],
            Some(&text[after_address + at + 1..]),
        ),
        None => (text, None),
    }
}

/// A registry's name in its normal form.
pub(super) fn registry(text: &str, scheme: Option<Scheme>) -> Result<String, ReferenceError> {
    let wrong = || ReferenceError::Registry(shortened(text));
    let lower = text.to_ascii_lowercase();
    let (host, port) = split_port(&lower);
    if !is_host(host) {
        return Err(wrong());
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse::<u16>().map_err(|_| wrong())?)
        }
        Some(_) => return Err(wrong()),
    };
    let default = match scheme {
        Some(Scheme::Http) => 80,
        _ => 443,
    };
    match (host, port) {
        (_, Some(0)) => Err(wrong()),
        ("docker.io" | "index.docker.io" | "registry-1.docker.io", None | Some(443)) => {
            Ok(DOCKER_HUB.into())
        }
        (host, Some(port)) if port != default => Ok(format!("{host}:{port}")),
        (host, _) => Ok(host.into()),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/…)*`
pub(super) fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.split('/').all(is_path_part) {
        Ok(())
    } else if path.is_empty() {
        Err(ReferenceError::Repository(String::new()))
    } else if has_upper(path) && path.to_ascii_lowercase().split('/').all(is_path_part) {
        Err(ReferenceError::UpperCase(shortened(path)))
    } else {
        Err(ReferenceError::Repository(shortened(path)))
    }
}

fn is_path_part(part: &str) -> bool {
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_alphanumeric(first)
        && is_alphanumeric(last)
        && part
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

pub(super) fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes.first().is_some_and(|&b| is_word(b))
        && bytes.iter().all(|&b| is_word(b) || b == b'.' || b == b'-')
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_uppercase())
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}
