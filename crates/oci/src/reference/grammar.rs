//! The grammar of references, on plain text.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use super::{DOCKER_HUB, MAX_NAME_BYTES, ReferenceError, Scheme};

/// Cuts `scheme://` off, in any case.
pub(super) fn scheme(text: &str) -> Result<(Option<Scheme>, &str), ReferenceError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((None, text));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Some(Scheme::Http), rest)),
        "https" => Ok((Some(Scheme::Https), rest)),
        "docker" => Ok((None, rest)),
        _ => Err(ReferenceError::Scheme(shortened(scheme))),
    }
}

/// Cuts the registry off the front, if the first part is one.
///
/// After a scheme it always is. Without one, by Docker's rule: it is if it has a
/// dot or a colon, is `localhost`, or has upper-case letters, which no repository has
/// ([distribution/reference](https://github.com/distribution/reference/blob/main/normalize.go)).
pub(super) fn split_registry(text: &str, scheme: Option<Scheme>) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if scheme.is_some()
                || first == "localhost"
                || first.contains(['.', ':'])
                || has_upper(first) =>
        {
            (Some(first), rest)
        }
        None if scheme.is_some() => (Some(text), ""),
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
///
/// The port is dropped where it is that of `scheme`. On loopback it is kept as
/// written: which scheme is meant there is not known before somebody asks for
/// one, and `127.0.0.1:443` must not become port 80.
pub(super) fn registry(text: &str, scheme: Scheme) -> Result<String, ReferenceError> {
    if text.len() > MAX_NAME_BYTES {
        return Err(ReferenceError::TooLong(shortened(text)));
    }
    let wrong = || ReferenceError::Registry(shortened(text));
    let lower = text.to_ascii_lowercase();
    let (host, port) = split_port(&lower);
    let host = host_name(host).ok_or_else(wrong)?;
    let port = port
        .map(|digits| port_number(digits).ok_or_else(wrong))
        .transpose()?
        .filter(|&port| is_loopback(&host) || port != scheme.port());
    Ok(match (&*host, port) {
        ("docker.io" | "index.docker.io" | "registry-1.docker.io", None) => DOCKER_HUB.into(),
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.into(),
    })
}

/// 1 to 65535, in digits only: `u16::from_str` takes a sign, a port has none.
fn port_number(digits: &str) -> Option<u16> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&port| port != 0)
}

/// The host as it is kept, if it is one: an IPv6 address in its shortest form.
fn host_name(host: &str) -> Option<Cow<'_, str>> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]").into());
    }
    host.split('.').all(is_label).then_some(host.into())
}

/// A part of a host's name, at most 63 bytes
/// ([RFC 1035](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)). Underscores are no host's,
/// strictly, but container networks name services so.
fn is_label(label: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(is_word)
}

/// `localhost`, a name below it, `127.0.0.0/8` or `[::1]`.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a text is nothing but an image's ID. Docker takes no such repository.
pub(super) fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
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
