//! Hosts that are spoken to without a proxy, as `NO_PROXY` names them.
//!
//! The rules are those of Go's [httpproxy](https://pkg.go.dev/golang.org/x/net/http/httpproxy), which
//! container tools share: a block of addresses holds for hosts that are named by address only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Rules read, at the most.
const MAX_RULES: usize = 1024;

/// The hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    hosts: Hosts,
    /// Any, if there is none.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// A name, and the names below it.
    Domain(String),
    /// The names below it alone.
    Below(String),
    Block {
        address: IpAddr,
        bits: u8,
    },
}

impl Exceptions {
    /// What cannot be read is left out.
    pub(super) fn parse(list: &str) -> Self {
        let rules = list.split([',', ' ']).map(str::trim);
        let rules = rules.filter(|it| !it.is_empty()).take(MAX_RULES);
        Self(rules.filter_map(Rule::parse).collect())
    }

    /// Whether a host is one of them; an IPv6 address may be in brackets.
    pub(super) fn contain(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = unbracketed(&host).parse().ok().map(canonical);
        self.0
            .iter()
            .any(|rule| rule.port.is_none_or(|it| it == port) && rule.hosts.contain(&host, address))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::of_addresses(unbracketed(text)) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let hosts = Hosts::of_addresses(unbracketed(host)).or_else(|| Hosts::of_names(host))?;
        Some(Self { hosts, port })
    }
}

impl Hosts {
    fn of_names(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        if text == "*" {
            return Some(Self::All);
        }
        let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let name = below.unwrap_or(&text);
        if name.is_empty() || name.contains(['*', '/', '[', ']', ':']) {
            return None;
        }
        Some(match below {
            Some(name) => Self::Below(format!(".{name}")),
            None => Self::Domain(text),
        })
    }

    fn of_addresses(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self::Block { address, bits })
    }

    fn contain(&self, host: &str, address: Option<IpAddr>) -> bool {
        match self {
            Self::All => true,
            Self::Domain(name) => {
                let below = host.strip_suffix(name.as_str());
                below.is_some_and(|it| it.is_empty() || it.ends_with('.'))
            }
            Self::Below(name) => host.len() > name.len() && host.ends_with(name.as_str()),
            Self::Block {
                address: block,
                bits,
            } => address.is_some_and(|it| in_block(it, *block, *bits)),
        }
    }
}

fn in_block(address: IpAddr, block: IpAddr, bits: u8) -> bool {
    let shift = |all: u32| all.saturating_sub(u32::from(bits));
    match (address, canonical_block(block, bits)) {
        (IpAddr::V4(it), IpAddr::V4(block)) => {
            let differs = it.to_bits() ^ block.to_bits();
            differs.checked_shr(shift(Ipv4Addr::BITS)).unwrap_or(0) == 0
        }
        (IpAddr::V6(it), IpAddr::V6(block)) => {
            let differs = it.to_bits() ^ block.to_bits();
            differs.checked_shr(shift(Ipv6Addr::BITS)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// A single IPv6 address that stands for an IPv4 one is that one.
fn canonical_block(block: IpAddr, bits: u8) -> IpAddr {
    if bits == 128 { canonical(block) } else { block }
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn unbracketed(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host)
}
