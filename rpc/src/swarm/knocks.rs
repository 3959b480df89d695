//! How many unfinished handshakes one address may have.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Connections of one address that are in the middle of their handshake: an eighth of all, so that
/// one stranger can't keep everybody out, and enough for many nodes of one host that start
/// together.
const PENDING_PER_ADDRESS: usize = 32;
/// One host has a whole IPv6 network of this prefix.
const IPV6_PREFIX_BITS: u32 = 64;

/// Refuses a connection from an address that has too many in the middle of their handshake.
#[derive(Debug, Default)]
pub(crate) struct Knocks {
    /// As many as may be pending at all: the limit of all is checked first.
    pending: HashMap<ConnectionId, IpAddr>,
}

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
#[error("{0} has {PENDING_PER_ADDRESS} unfinished handshakes already")]
struct TooMany(IpAddr);

impl Knocks {
    fn knock(&mut self, connection: ConnectionId, from: IpAddr) -> Result<(), TooMany> {
        let host = host(from);
        let waiting = self.pending.values().filter(|pending| **pending == host).count();
        if waiting >= PENDING_PER_ADDRESS {
            return Err(TooMany(host));
        }
        self.pending.insert(connection, host);
        Ok(())
    }

    fn over(&mut self, connection: ConnectionId) {
        self.pending.remove(&connection);
    }
}

fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let network = u128::from(ip) >> (128 - IPV6_PREFIX_BITS) << (128 - IPV6_PREFIX_BITS);
            Ipv6Addr::from(network).into()
        }
        ip => ip,
    }
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}

impl NetworkBehaviour for Knocks {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(from) = ip(remote) else { return Ok(()) };
        self.knock(connection, from).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.over(connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // Also told when another limit refused the connection, before or after this one saw it.
        if let FromSwarm::ListenFailure(failure) = event {
            self.over(failure.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knocks(from: &str) -> (Knocks, Vec<ConnectionId>) {
        let mut knocks = Knocks::default();
        let ids: Vec<_> = (0..PENDING_PER_ADDRESS).map(ConnectionId::new_unchecked).collect();
        for id in &ids {
            knocks.knock(*id, from.parse().unwrap()).unwrap();
        }
        (knocks, ids)
    }

    #[test]
    fn one_address_has_a_bound_that_is_its_own() {
        let (mut knocks, ids) = knocks("10.0.0.1");
        let next = ConnectionId::new_unchecked(1000);
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(knocks.knock(next, "10.0.0.1".parse().unwrap()).is_err());
        assert!(knocks.knock(next, mapped).is_err());
        assert!(knocks.knock(next, "10.0.0.2".parse().unwrap()).is_ok());
        knocks.over(ids[0]);
        assert!(knocks.knock(ids[0], mapped).is_ok());
    }

    #[test]
    fn a_network_of_one_host_counts_as_one() {
        let (mut knocks, _) = knocks("2001:db8::1");
        let next = ConnectionId::new_unchecked(1000);
        assert!(knocks.knock(next, "2001:db8::2:0:0:1".parse().unwrap()).is_err());
        assert!(knocks.knock(next, "2001:db8:0:1::1".parse().unwrap()).is_ok());
    }
}
