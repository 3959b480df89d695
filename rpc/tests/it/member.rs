//! A member of a mesh that does not keep to the rules: admitted, then free to send what it likes.

use bookmesh_rpc::admission::{Admission, WireVersion};
use bookmesh_rpc::frame::{Decoder, Frame};
use bookmesh_rpc::mesh::{Mesh, MeshKey};
use bookmesh_rpc::{NodeKey, PeerId, testing};
use bytes::BytesMut;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, Stream, Swarm};

use crate::support::{PATIENCE, address};

pub(crate) struct Member {
    pub(crate) id: PeerId,
    control: libp2p_stream::Control,
    swarm: Option<Swarm<libp2p_stream::Behaviour>>,
}

impl Member {
    pub(crate) fn new(key: Option<&MeshKey>, version: WireVersion) -> Self {
        let own = NodeKey::generate();
        let keypair = testing::keypair(&own).unwrap();
        let id = own.peer_id().unwrap();
        let admission = Admission::new(id, key).with_version(version);
        let transport = testing::transport(&keypair, &admission).unwrap();
        let behaviour = libp2p_stream::Behaviour::new();
        let control = behaviour.new_control();
        let config = libp2p::swarm::Config::with_tokio_executor();
        let me = keypair.public().to_peer_id();
        Self { id, control, swarm: Some(Swarm::new(transport, behaviour, me, config)) }
    }

    /// Connects, and goes on in a task of its own.
    ///
    /// # Errors
    /// Why the node refused.
    pub(crate) async fn connect(&mut self, to: &Mesh, transport: &str) -> Result<(), String> {
        let address: Multiaddr = address(to, transport).parse().unwrap();
        let mut swarm = self.swarm.take().unwrap();
        swarm.dial(address).unwrap();
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => break,
                SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.to_string()),
                _ => {}
            }
        }
        tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Ok(())
    }

    /// Opens a stream for calls.
    pub(crate) async fn calls(&mut self, to: &Mesh) -> Stream {
        let to = to.peer_id().to_libp2p().unwrap();
        let protocol = StreamProtocol::new(testing::CALLS_PROTOCOL);
        self.control.open_stream(to, protocol).await.unwrap()
    }
}

/// An admitted member with a stream for calls.
pub(crate) async fn admitted(key: &MeshKey, to: &Mesh, transport: &str) -> (Member, Stream) {
    let mut member = Member::new(Some(key), WireVersion::CURRENT);
    member.connect(to, transport).await.unwrap();
    let stream = member.calls(to).await;
    (member, stream)
}

/// Sends frames as they are.
pub(crate) async fn send(stream: &mut Stream, frames: &[Frame]) {
    let mut bytes = BytesMut::new();
    frames.iter().for_each(|frame| frame.put(&mut bytes));
    stream.write_all(&bytes).await.unwrap();
    stream.flush().await.unwrap();
}

/// The next frame; `None` when the stream was ended.
pub(crate) async fn receive(stream: &mut Stream, decoder: &mut Decoder) -> Option<Frame> {
    let next = async {
        loop {
            if let Some(frame) = decoder.frame().unwrap() {
                return Some(frame);
            }
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => decoder.feed(&bytes[..read]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("neither a frame nor the end")
}
