//! Why a call, or the start of a mesh, failed.

use crate::api::ApiError;
use crate::peer::PeerId;

/// Why a call has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The peer answered: it can't.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The request was never handed to the peer; it is safe to try again or elsewhere.
    #[error("peer {peer:?} can't be reached: {why}")]
    Unreachable {
        /// Who.
        peer: PeerId,
        /// Why, for people.
        why: String,
    },
    /// The connection broke after the request was sent: it may or may not have been carried out.
    #[error("the connection to {peer:?} broke before it answered")]
    Broken {
        /// Who.
        peer: PeerId,
    },
    /// No answer before the deadline: it may or may not have been carried out.
    #[error("no answer from {peer:?} in time")]
    Timeout {
        /// Who.
        peer: PeerId,
    },
    /// As many calls to the peer are in flight as may be; nothing was sent.
    #[error("too many calls to {peer:?} are in flight")]
    Busy {
        /// Who.
        peer: PeerId,
    },
    /// The circuit breaker of that peer is open: it failed again and again just now.
    #[error("peer {peer:?} failed repeatedly and gets no calls for a moment")]
    Open {
        /// Who.
        peer: PeerId,
    },
    /// The peer does not keep to the protocol.
    #[error("peer {peer:?} answered out of protocol: {what}")]
    Protocol {
        /// Who.
        peer: PeerId,
        /// What.
        what: String,
    },
    /// This node's mesh is closed.
    #[error("the mesh is closed")]
    Closed,
}

/// Why a mesh can't start.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// Cannot listen there.
    #[error("can't listen on {address}: {why}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// A bootstrap address that is neither a multiaddress nor `host:port`.
    #[error(
        "{address:?} is no address: give host:port or a multiaddress such as /ip4/10.0.0.1/tcp/4001"
    )]
    Address {
        /// Which.
        address: String,
    },
    /// Anything else.
    #[error("the mesh can't start: {0}")]
    Start(String),
}
