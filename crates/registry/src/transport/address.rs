//! Addresses: what a name stands for, and which of them a registry may lead to.
//!
//! ```text
//!   origin of the user's own    ──▶ any address
//!   named by an answer of a
//!     registry that is private  ──▶ any address
//!     registry that is public   ──▶ public addresses only
//! ```
//!
//! A registry on the internet has no business in a private network, nor with the services of the
//! machine this runs on. It is decided when a connection is made, by the address that is connected
//! to: a name says nothing, and may stand for something else the next time.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use async_trait::async_trait;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use super::location::Origin;

/// Names that are remembered.
const MAX_NAMES: usize = 1024;

/// Finds the addresses of hosts.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The addresses of a host name, in the order to try them.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;

    /// Where a connection to one of these addresses is made: there, unless addresses are translated
    /// on the way. What may be connected to is decided by the address before that.
    fn route(&self, address: IpAddr) -> IpAddr {
        address
    }
}

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = tokio::net::lookup_host((host, 0)).await?;
        Ok(addresses.map(|it| it.ip()).collect())
    }
}

/// Which addresses a request may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Anywhere,
    Public,
}

/// All addresses of a name are private, where only public ones are connected to.
#[derive(Debug, thiserror::Error)]
#[error("the address is private")]
pub(super) struct PrivateAddress;

/// A name that could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("no address is known")]
pub(super) struct UnknownName(#[source] io::Error);

/// The names looked up by this process.
#[derive(Debug)]
pub(super) struct Names {
    resolver: Arc<dyn Resolver>,
    /// Whether each has only ever stood for private addresses.
    private: Mutex<HashMap<String, bool>>,
}

/// Looks names up for connections of one reach.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) names: Arc<Names>,
    pub(super) reach: Reach,
}

// === impl Names ===

impl Names {
    pub(super) fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self {
            resolver,
            private: Mutex::default(),
        }
    }

    /// Whether a host is on this machine or in a private network. A name that cannot be looked up
    /// is taken for a public one.
    pub(super) async fn is_private(&self, origin: &Origin) -> bool {
        if origin.is_private() {
            return true;
        }
        if origin.is_address() {
            return false;
        }
        if let Some(known) = self.known(origin.host()) {
            return known;
        }
        let _ = self.look_up(origin.host()).await;
        self.known(origin.host()).unwrap_or(false)
    }

    fn known(&self, host: &str) -> Option<bool> {
        self.private().get(host).copied()
    }

    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.resolver.resolve(host).await;
        let addresses = found.map_err(|error| io::Error::new(error.kind(), UnknownName(error)))?;
        if !addresses.is_empty() {
            let now = addresses.iter().copied().all(is_private);
            let mut private = self.private();
            if private.len() >= MAX_NAMES {
                private.clear();
            }
            // Once public, always public: a name cannot turn private to be trusted more.
            let known = private.entry(host.to_owned()).or_insert(now);
            *known &= now;
        }
        Ok(addresses)
    }

    fn private(&self) -> std::sync::MutexGuard<'_, HashMap<String, bool>> {
        self.private.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lookup ===

impl Lookup {
    async fn look_up(self, name: Name) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        let found = self.names.look_up(name.as_str()).await?;
        let allowed = |it: &IpAddr| self.reach == Reach::Anywhere || !is_private(*it);
        let addresses: Vec<_> = found
            .iter()
            .copied()
            .filter(allowed)
            .map(|it| SocketAddr::new(self.names.resolver.route(it), 0))
            .collect();
        if addresses.is_empty() && !found.is_empty() {
            return Err(io::Error::other(PrivateAddress));
        }
        Ok(addresses.into_iter())
    }
}

impl Service<Name> for Lookup {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().look_up(name))
    }
}

// === addresses ===

/// Whether an address is this machine's, a private network's, or not one of a single host on the
/// internet: the blocks that are not globally reachable by the
/// [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry/) and
/// [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry/) registries, those for
/// documentation aside, and IPv6 addresses that stand for such an IPv4 one.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_private_v4(ip),
        IpAddr::V6(ip) => embedded(ip).map_or_else(
            || {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
                    || ip.is_multicast()
                    // Site-local, of old.
                    || ip.segments()[0] & 0xffc0 == 0xfec0
            },
            is_private_v4,
        ),
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64, 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(of(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_all_their_spellings() {
        let private = [
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.170",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fd00::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2002:c0a8:0101::1",
        ];
        for address in private {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
        let public = [
            "9.9.9.9",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "203.0.113.10",
            "223.255.255.255",
            "2620:fe::fe",
            "::ffff:9.9.9.9",
            "64:ff9b::9.9.9.9",
            "2002:909:909::1",
        ];
        for address in public {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[derive(Debug)]
    struct Turns(Mutex<Vec<&'static str>>);

    #[async_trait]
    impl Resolver for Turns {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            let next = self.0.lock().unwrap().remove(0);
            Ok(next.split(' ').map(|it| it.parse().unwrap()).collect())
        }
    }

    #[tokio::test]
    async fn a_name_that_was_public_once_is_never_private() {
        let origin = Origin::of(&url::Url::parse("https://r.test").unwrap()).unwrap();
        for (turns, expected) in [
            (vec!["10.0.0.1", "10.0.0.2"], true),
            (vec!["9.9.9.9", "10.0.0.1"], false),
            (vec!["10.0.0.1", "9.9.9.9"], false),
            (vec!["10.0.0.1 9.9.9.9", "10.0.0.1"], false),
        ] {
            let names = Names::new(Arc::new(Turns(Mutex::new(turns.clone()))));
            for _ in 0..2 {
                names.look_up("r.test").await.unwrap();
            }
            assert_eq!(names.is_private(&origin).await, expected, "{turns:?}");
        }
    }
}
