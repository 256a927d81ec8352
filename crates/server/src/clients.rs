//! How many connections each client has.
//!
//! A client is an IPv4 address, or the first 64 bits of an IPv6 one, which is what one household
//! or one machine is given.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many connections each client has; as many entries as there are clients connected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of a client, as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    clients: Clients,
    client: IpAddr,
}

impl Clients {
    fn all(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection more of this client, unless it has `limit` already.
    pub(crate) fn seat(&self, address: IpAddr, limit: usize) -> Option<Seat> {
        let client = client(address);
        let mut all = self.all();
        let count = all.get(&client).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        all.insert(client, count + 1);
        let clients = self.clone();
        Some(Seat { clients, client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.clients.all();
        match all.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                all.remove(&self.client);
            }
        }
    }
}

fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_as_many_seats_as_it_may_and_gets_them_back() {
        let clients = Clients::default();
        let one = clients.seat("192.0.2.1".parse().unwrap(), 2).unwrap();
        let two = clients.seat("::ffff:192.0.2.1".parse().unwrap(), 2);
        assert!(two.is_some());
        assert!(clients.seat("192.0.2.1".parse().unwrap(), 2).is_none());
        assert!(clients.seat("192.0.2.2".parse().unwrap(), 2).is_some());
        drop(one);
        assert!(clients.seat("192.0.2.1".parse().unwrap(), 2).is_some());
        drop(two);
        assert!(clients.all().is_empty());
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let clients = Clients::default();
        let _one = clients.seat("2001:db8:0:1::1".parse().unwrap(), 1);
        assert!(
            clients
                .seat("2001:db8:0:1:f::9".parse().unwrap(), 1)
                .is_none()
        );
        assert!(
            clients
                .seat("2001:db8:0:2::1".parse().unwrap(), 1)
                .is_some()
        );
    }
}
