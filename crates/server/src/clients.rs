//! How many connections each client has, and how many requests it may have under way.
//!
//! A client is an IPv4 address, or the first 64 bits of an IPv6 one, which is what one household
//! or one machine is given.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Semaphore;

/// How many requests may be under way for each connection there may be: of one client, and of all.
pub(crate) const REQUESTS_A_CONNECTION: usize = 2;

/// Those who are connected; as many entries as there are clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients(Arc<Mutex<HashMap<IpAddr, Client>>>);

/// A client that is connected.
#[derive(Debug)]
struct Client {
    connections: usize,
    requests: Arc<Semaphore>,
}

/// One connection of a client, as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    clients: Clients,
    client: IpAddr,
    requests: Arc<Semaphore>,
}

/// Places for requests that are under way, until their answers have left, over so many connections.
pub(crate) fn places(connections: usize) -> Arc<Semaphore> {
    let places = connections.saturating_mul(REQUESTS_A_CONNECTION);
    Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)))
}

impl Clients {
    fn all(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection more of this client, unless it has `limit` already.
    pub(crate) fn seat(&self, address: IpAddr, limit: usize) -> Option<Seat> {
        let client = client(address);
        let mut all = self.all();
        let entry = all.entry(client).or_insert_with(|| Client {
            connections: 0,
            requests: places(limit),
        });
        if entry.connections >= limit {
            return None;
        }
        entry.connections += 1;
        Some(Seat {
            clients: self.clone(),
            client,
            requests: Arc::clone(&entry.requests),
        })
    }
}

impl Seat {
    /// Where the places for this client's requests are taken from, over all of its connections:
    /// whoever leaves answers unread takes up no more than its own.
    pub(crate) fn requests(&self) -> Arc<Semaphore> {
        Arc::clone(&self.requests)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.clients.all();
        match all.get_mut(&self.client) {
            Some(it) if it.connections > 1 => it.connections -= 1,
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
