//! How bytes reach a peer: TCP with Noise, admission and Yamux; QUIC with admission on its first
//! substream; and names resolved before either.
//!
//! What leaves here as a connection was admitted; nothing else reaches the swarm.

mod admitted;
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
pub(crate) use admitted::REFUSED;
use admitted::{AdmittedNoise, admit_quic};
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
    let named = match dns::tokio::Transport::system(either(keypair, admission)?) {
        Ok(named) => named,
        Err(error) => {
            tracing::warn!(%error, "no resolver is configured: names can't be dialed");
            let (config, options) = Default::default();
            dns::tokio::Transport::custom(either(keypair, admission)?, config, options)
        }
    };
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
    let transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
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
