//! Dials from a port of its own, and not from the one that is listened on.
//!
//! libp2p takes the latter, for NATs' sake. Where all nodes listen on the same port, as in
//! containers, two that dial each other at once would then have one connection that both have
//! opened, and a node that dials itself one that leads nowhere; and a node that comes back at its
//! address would meet what is left of its last connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent};

/// A transport that dials from any free port.
#[derive(Debug)]
pub(super) struct FreshPort<T>(T);

impl<T> FreshPort<T> {
    pub(super) const fn new(inner: T) -> Self {
        Self(inner)
    }
}

impl<T> libp2p::Transport for FreshPort<T>
where
    T: libp2p::Transport + Unpin,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.0.dial(address, DialOpts { port_use: PortUse::New, ..options })
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.get_mut().0).poll(cx)
    }
}
