//! How bytes reach a peer: TCP with Noise, admission and Yamux; QUIC with admission on its first
//! substream; and names resolved before either.
//!
//! What leaves here as a connection was admitted; nothing else reaches the swarm.

mod admitted;
mod fresh_port;
mod names;
mod stall;

use std::time::Duration;

use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{dns, noise, quic, tcp, yamux};

use crate::admission::Admission;
use crate::error::MeshError;
use admitted::{AdmittedNoise, admit_quic};
pub(crate) use admitted::{MYSELF, REFUSED};
use fresh_port::FreshPort;
pub(crate) use stall::Patience;
use stall::StallGuard;

/// From the first byte to an admitted connection, name look-up included. Long enough for a busy
/// machine.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The same for who comes in: a stranger holds a socket for no longer.
const KNOCK_TIME: Duration = Duration::from_secs(5);
/// A TCP connection whose peer takes no byte for so long is closed.
const STALLED_TIME: Duration = Duration::from_secs(20);
/// Substreams of one connection: three lanes each way, and the DHT's short ones.
const MAX_SUBSTREAMS: u16 = 256;

/// A transport whose connections are encrypted, admitted and multiplexed.
pub(crate) type Transport = Boxed<(libp2p::PeerId, StreamMuxerBox)>;

/// Builds the transport of a node.
pub(crate) fn build(keypair: &Keypair, admission: &Admission) -> Result<Transport, MeshError> {
    let (config, options) = names::resolver();
    let named = dns::tokio::Transport::custom(either(keypair, admission)?, config, options);
    let bounded = TransportTimeout::with_outgoing_timeout(named, HANDSHAKE_TIME);
    Ok(TransportTimeout::with_ingoing_timeout(bounded, KNOCK_TIME).boxed())
}

fn either(keypair: &Keypair, admission: &Admission) -> Result<Transport, MeshError> {
    let either = OrTransport::new(over_tcp(keypair, admission)?, over_quic(keypair, admission));
    Ok(either.map(|either, _| either.into_inner()).boxed())
}

fn over_tcp(keypair: &Keypair, admission: &Admission) -> Result<Transport, MeshError> {
    let noise = noise::Config::new(keypair)
        .map_err(|error| MeshError::Start(format!("no Noise keys: {error}")))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(usize::from(MAX_SUBSTREAMS));
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let transport = FreshPort::new(tcp)
        .map(|stream, _| StallGuard::new(stream, STALLED_TIME))
        .upgrade(Version::V1Lazy)
        .authenticate(AdmittedNoise::new(noise, admission.clone()))
        .multiplex(yamux);
    Ok(transport.boxed())
}

/// A handshake on a busy machine takes some hundred milliseconds.
const QUIC_HANDSHAKE_TIME: Duration = Duration::from_secs(2);

fn over_quic(keypair: &Keypair, admission: &Admission) -> Transport {
    let mut config = quic::Config::new(keypair);
    // A port that nobody listens on any more says nothing: this is how long it is waited for.
    config.handshake_timeout = QUIC_HANDSHAKE_TIME;
    config.max_concurrent_stream_limit = u32::from(MAX_SUBSTREAMS);
    let admission = admission.clone();
    quic::tokio::Transport::new(config)
        .and_then(move |(peer, connection), endpoint| {
            Box::pin(admit_quic(admission.clone(), peer, connection, endpoint.is_dialer()))
        })
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed()
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use libp2p::Multiaddr;
    use libp2p::core::Endpoint;
    use libp2p::core::transport::Transport as _;
    use libp2p::core::transport::{DialOpts, ListenerId, PortUse, TransportEvent};

    use super::*;
    use crate::peer::PeerId;

    /// As the swarm dials by default.
    const OPTIONS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };

    fn node() -> (libp2p::PeerId, Transport) {
        let keypair = Keypair::generate_ed25519();
        let me = keypair.public().to_peer_id();
        let admission = Admission::new(PeerId::from_libp2p(&me).unwrap(), None);
        (me, build(&keypair, &admission).unwrap())
    }

    async fn listen(transport: &mut Transport, address: &str) -> Multiaddr {
        transport.listen_on(ListenerId::next(), address.parse().unwrap()).unwrap();
        loop {
            if let TransportEvent::NewAddress { listen_addr, .. } =
                transport.select_next_some().await
            {
                return listen_addr;
            }
        }
    }

    /// Takes whatever comes in, until something is decided.
    async fn beside<T>(transports: Vec<Transport>, decided: impl Future<Output = T>) -> T {
        let serving =
            futures::future::join_all(transports.into_iter().map(|mut transport| async move {
                loop {
                    if let Some((upgrade, _)) = transport.select_next_some().await.into_incoming() {
                        tokio::spawn(upgrade);
                    }
                }
            }));
        let both = async {
            tokio::select! {
                decided = decided => decided,
                _ = serving => unreachable!("they serve for ever"),
            }
        };
        tokio::time::timeout(Duration::from_secs(30), both).await.unwrap()
    }

    #[tokio::test]
    async fn a_node_that_dials_itself_is_told_so() {
        for address in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
            let (_, mut transport) = node();
            let address = listen(&mut transport, address).await;
            let dial = transport.dial(address, OPTIONS).unwrap();
            let error = beside(vec![transport], dial).await.err().unwrap();
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            assert_eq!(cause.to_string(), MYSELF);
        }
    }

    #[tokio::test]
    async fn nodes_that_listen_on_one_port_and_dial_each_other_at_once_both_reach_the_other() {
        for _ in 0..10 {
            let ((one, mut first), (other, mut second)) = (node(), node());
            let address = listen(&mut first, "/ip4/127.0.0.1/tcp/0").await;
            let far = address.to_string().replace("127.0.0.1", "127.0.0.2");
            let far = listen(&mut second, &far).await;
            let dials = futures::future::join(
                first.dial(far, OPTIONS).unwrap(),
                second.dial(address, OPTIONS).unwrap(),
            );
            let (to_other, to_one) = beside(vec![first, second], dials).await;
            assert_eq!((to_other.unwrap().0, to_one.unwrap().0), (other, one));
        }
    }
}
