//! What the rest of the crate asks of the task that owns the swarm.

use std::time::Instant;

use libp2p::Multiaddr;
use tokio::sync::oneshot;

use crate::peer::PeerId;

/// Commands that may wait for the swarm's task.
pub(crate) const WAITING_COMMANDS: usize = 256;

/// One request to the swarm's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make sure that there is a connection to a peer.
    Connect { peer: PeerId, done: oneshot::Sender<Result<(), String>> },
    /// Close all connections to a peer.
    Disconnect { peer: PeerId },
    /// Remember where a peer listens.
    Learn { peer: PeerId, addresses: Vec<Multiaddr> },
    /// Tell the DHT that this node provides a key, from now on.
    Provide { key: String },
    /// Stop telling it.
    StopProviding { key: String },
    /// Who provides a key.
    Providers { key: String, until: Instant, found: oneshot::Sender<Vec<PeerId>> },
}
