//! Where admission sits in a connection's upgrade: after the encryption has told who the other end
//! is, before anything else.

use std::future::Future;
use std::io;
use std::iter::Once;
use std::pin::Pin;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::StreamMuxerExt;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::{noise, quic};

use crate::admission::{Admission, AdmissionError};
use crate::peer::{IdError, PeerId};

/// How a refusal begins. libp2p hands errors on as text, so this tells it from other failures.
pub(crate) const REFUSED: &str = "refused peer";

/// What is said of a connection that a node made to itself: its name, as a node to meet first, may
/// lead to itself and to others.
pub(crate) const MYSELF: &str = "it is this node itself";

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the encryption failed: {0}")]
    Noise(noise::Error),
    /// A key of another type than Ed25519 makes an id of another length.
    #[error("{length}: {0}", length = IdError::Length)]
    Key(String),
    #[error("{MYSELF}")]
    Myself,
    #[error("{REFUSED} {peer}: {why}", peer = .0.short(), why = .1)]
    Admission(PeerId, AdmissionError),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the QUIC connection broke: {0}")]
    Quic(#[from] quic::Error),
}

/// Noise, and admission over the channel that it made.
#[derive(Clone)]
pub(crate) struct AdmittedNoise {
    noise: noise::Config,
    admission: Admission,
}

impl AdmittedNoise {
    pub(crate) fn new(noise: noise::Config, admission: Admission) -> Self {
        Self { noise, admission }
    }
}

impl UpgradeInfo for AdmittedNoise {
    type Info = &'static str;
    type InfoIter = Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.noise.protocol_info()
    }
}

type Upgraded<S> = Result<(libp2p::PeerId, noise::Output<S>), HandshakeError>;
type Upgrading<S> = Pin<Box<dyn Future<Output = Upgraded<S>> + Send>>;

impl<S> InboundConnectionUpgrade<S> for AdmittedNoise
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (libp2p::PeerId, noise::Output<S>);
    type Error = HandshakeError;
    type Future = Upgrading<S>;

    fn upgrade_inbound(self, socket: S, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let (peer, mut channel) = self.noise.upgrade_inbound(socket, info).await?;
            let remote = other(peer, &self.admission)?;
            let admitted = self.admission.listen(&mut channel, remote).await;
            admitted.map_err(|error| HandshakeError::Admission(remote, error))?;
            Ok((peer, channel))
        })
    }
}

impl<S> OutboundConnectionUpgrade<S> for AdmittedNoise
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (libp2p::PeerId, noise::Output<S>);
    type Error = HandshakeError;
    type Future = Upgrading<S>;

    fn upgrade_outbound(self, socket: S, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let (peer, mut channel) = self.noise.upgrade_outbound(socket, info).await?;
            let remote = other(peer, &self.admission)?;
            let admitted = self.admission.dial(&mut channel, remote).await;
            admitted.map_err(|error| HandshakeError::Admission(remote, error))?;
            Ok((peer, channel))
        })
    }
}

/// Runs admission on the first substream of a QUIC connection, which the dialer opens.
pub(crate) async fn admit_quic(
    admission: Admission,
    peer: libp2p::PeerId,
    mut connection: quic::Connection,
    dialed: bool,
) -> Result<(libp2p::PeerId, quic::Connection), HandshakeError> {
    let remote = other(peer, &admission)?;
    let admitted = if dialed {
        let mut stream = std::future::poll_fn(|cx| connection.poll_outbound_unpin(cx)).await?;
        admission.dial(&mut stream, remote).await
    } else {
        let mut stream = std::future::poll_fn(|cx| connection.poll_inbound_unpin(cx)).await?;
        admission.listen(&mut stream, remote).await
    };
    admitted.map_err(|error| HandshakeError::Admission(remote, error))?;
    Ok((peer, connection))
}

/// The other end, unless it is this one. Told here and not by the swarm, a name's next address is
/// dialed.
fn other(peer: libp2p::PeerId, admission: &Admission) -> Result<PeerId, HandshakeError> {
    let peer =
        PeerId::from_libp2p(&peer).map_err(|error| HandshakeError::Key(error.to_string()))?;
    if peer == admission.local() { Err(HandshakeError::Myself) } else { Ok(peer) }
}

impl From<noise::Error> for HandshakeError {
    fn from(error: noise::Error) -> Self {
        match error {
            noise::Error::InvalidKey(error) => Self::Key(error.to_string()),
            other => Self::Noise(other),
        }
    }
}
