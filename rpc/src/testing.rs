//! For this crate's own tests and benchmark: ends that don't keep to the rules. No part of the
//! product.

pub use crate::admission::{Admission, AdmissionError, WireVersion};
use crate::error::MeshError;
use crate::flow::Lane;
use crate::peer::{IdError, NodeKey};

/// The transport of a node: encrypted, admitted, multiplexed.
pub type Transport =
    libp2p::core::transport::Boxed<(libp2p::PeerId, libp2p::core::muxing::StreamMuxerBox)>;

/// A node's transport with an admission of one's own.
///
/// # Errors
/// [`MeshError::Start`].
pub fn transport(
    keypair: &libp2p::identity::Keypair,
    admission: &Admission,
) -> Result<Transport, MeshError> {
    crate::transport::build(keypair, admission)
}

/// The key pair of a node.
///
/// # Errors
/// None for 32 secret bytes.
pub fn keypair(key: &NodeKey) -> Result<libp2p::identity::Keypair, IdError> {
    key.to_libp2p()
}

/// The substream protocol that calls travel on.
pub const CALLS_PROTOCOL: &str = Lane::Calls.protocol();
