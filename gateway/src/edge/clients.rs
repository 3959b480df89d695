//! What is remembered of clients, in bounded memory.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Parts, each behind a lock of its own.
const SHARDS: usize = 16;
/// Clients of one part that were seen lately; as many again were seen before them.
const GENERATION: usize = 4_096;
/// Clients that are remembered at most: 131,072, in some 8 MiB.
#[cfg(test)]
const MAX_CLIENTS: usize = SHARDS * GENERATION * 2;

/// Who is counted as one: an IPv4 address, or the 64 bits of an IPv6 address that name a network.
/// A host has all of a /64 to itself, and could have as many buckets as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 => v4,
        })
    }
}

/// A number for each client. At the bound those that were not seen for the longest are forgotten,
/// and begin with a full bucket again: whoever calls from very many addresses gets a burst for
/// each, which no limit by address can prevent, and never makes anybody else wait.
#[derive(Debug)]
pub(super) struct Clients {
    shards: [Mutex<Shard>; SHARDS],
    hashing: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Client, u64>,
    old: HashMap<Client, u64>,
}

impl Shard {
    fn put(&mut self, client: Client, value: u64) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&client) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(client, value);
    }
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { shards: Default::default(), hashing: RandomState::new() }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(count).sum()
    }
}

impl StateStore for Clients {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let shard = &self.shards[self.hashing.hash_one(client) as usize % SHARDS];
        // Values are replaced whole: one that panicked left nothing half done.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.young.get(client).or_else(|| shard.old.get(client)).copied();
        match f(known.map(Nanos::from)) {
            Ok((outcome, next)) => {
                shard.put(*client, next.as_u64());
                Ok(outcome)
            }
            Err(refused) => {
                // Whoever is refused is not forgotten for it.
                if let Some(value) = known {
                    shard.put(*client, value);
                }
                Err(refused)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(clients: &Clients, client: Client) -> Option<u64> {
        let seen = |known: Option<Nanos>| {
            let known = known.map(Nanos::as_u64);
            Ok::<_, ()>((known, Nanos::from(known.unwrap_or(0) + 1)))
        };
        clients.measure_and_replace(&client, seen).unwrap()
    }

    fn numbered(number: u32) -> Client {
        IpAddr::V4(number.into()).into()
    }

    #[test]
    fn memory_is_bounded_and_who_keeps_calling_is_remembered() {
        let clients = Clients::new();
        let regular = numbered(u32::MAX);
        for number in 0..2 * MAX_CLIENTS as u32 {
            see(&clients, numbered(number));
            if number % 1_000 == 0 {
                let calls = u64::from(number / 1_000);
                assert_eq!(see(&clients, regular).unwrap_or(0), calls);
            }
        }
        assert!(clients.len() <= MAX_CLIENTS, "{}", clients.len());
        assert_eq!(see(&clients, numbered(0)), None, "long not seen, so forgotten");
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let of = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:1.2.3.4"), of("1.2.3.4"));
        assert_ne!(of("1.2.3.4"), of("1.2.3.5"));
    }
}
