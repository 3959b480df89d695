//! Admission: both ends of a new connection prove that they hold the key of the same mesh, before
//! anything else is said.
//!
//! It runs over a channel that is encrypted already and whose ends know each other's peer id. The
//! end that dialed is `D`, the other `L`; `nonce` is 32 fresh random bytes of each.
//!
//! ```text
//! D → L   hello: magic 8 | major u16 LE | minor u16 LE | keyed u8 | nonce 32
//! L → D   hello
//! D → L   proof 32
//! L → D   verdict u8, and proof 32 when it is 1
//! D → L   verdict u8
//!
//! proof = keyed BLAKE3 (key, role u8 | id of D | id of L | hello of D | hello of L)
//! key   = BLAKE3 derive_key (context, mesh key)
//! ```
//!
//! A node without a mesh key uses a key that everybody knows, of another context; so it meets only
//! nodes without one. Another magic, major version or `keyed` is refused by both ends as soon as
//! they have the other's hello.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::MeshKey;
use crate::peer::{ID_BYTES, PeerId};

const MAGIC: [u8; 8] = *b"bookmesh";
const NONCE_BYTES: usize = 32;
const HELLO_BYTES: usize = MAGIC.len() + 2 + 2 + 1 + NONCE_BYTES;
const PROOF_BYTES: usize = blake3::OUT_LEN;
const KEYED_CONTEXT: &str = "bookmesh 2026-01 admission by mesh key";
const KEYLESS_CONTEXT: &str = "bookmesh 2026-01 admission without a mesh key";
const ACCEPTED: u8 = 1;
const REFUSED: u8 = 0;
/// How long an end that refused stays, so that the other can read why.
const LINGER: Duration = Duration::from_millis(500);

/// The version of what nodes say to each other. Another major does not understand this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireVersion {
    /// Changes when a node of the version before could not take part.
    pub major: u16,
    /// Changes when something was added that older nodes can ignore.
    pub minor: u16,
}

impl WireVersion {
    /// What this build speaks.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };
}

impl std::fmt::Display for WireVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why two ends don't meet.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The other end speaks something else.
    #[error("it is no Bookmesh node")]
    Magic,
    /// Another major version.
    #[error("it speaks wire version {theirs}, this node {ours}: run the same major version")]
    Version {
        /// This node's.
        ours: WireVersion,
        /// The other's.
        theirs: WireVersion,
    },
    /// This node has a mesh key, the other none.
    #[error("it has no mesh key and this mesh has one: give it this mesh's MESH_KEY")]
    TheyHaveNoKey,
    /// The other has a mesh key, this node none.
    #[error("it has a mesh key and this node has none: set MESH_KEY to that of its mesh")]
    WeHaveNoKey,
    /// The other end's proof does not fit this node's key.
    #[error("it holds another mesh key: its MESH_KEY is not this mesh's")]
    TheirKey,
    /// The other end said that this node's proof does not fit its key.
    #[error("it refused this node's mesh key: this MESH_KEY is not that mesh's")]
    OurKey,
    /// The channel broke.
    #[error("the connection broke during admission: {0}")]
    Io(#[from] io::Error),
}

/// What a node proves, and asks others to prove.
#[derive(Clone)]
pub struct Admission {
    local: PeerId,
    key: zeroize::Zeroizing<[u8; 32]>,
    keyed: bool,
    version: WireVersion,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("local", &self.local).field("keyed", &self.keyed).finish()
    }
}

impl Admission {
    /// The admission of this node to the mesh with that key.
    pub fn new(local: PeerId, mesh_key: Option<&MeshKey>) -> Self {
        let key = match mesh_key {
            Some(key) => blake3::derive_key(KEYED_CONTEXT, key.as_bytes()),
            None => blake3::derive_key(KEYLESS_CONTEXT, &[]),
        };
        Self {
            local,
            key: zeroize::Zeroizing::new(key),
            keyed: mesh_key.is_some(),
            version: WireVersion::CURRENT,
        }
    }

    /// The same, as a node of another version would do it.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_version(mut self, version: WireVersion) -> Self {
        self.version = version;
        self
    }

    /// Who this node is.
    pub(crate) const fn local(&self) -> PeerId {
        self.local
    }

    /// Runs admission as the end that dialed.
    ///
    /// # Errors
    /// [`AdmissionError`]; the connection has to be dropped.
    pub async fn dial<S>(&self, io: &mut S, remote: PeerId) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ours = self.hello();
        send(io, &ours).await?;
        let theirs = read_hello(io).await?;
        self.check(&theirs)?;
        let meeting = Meeting { key: &self.key, ids: [self.local, remote], hellos: [ours, theirs] };
        send(io, meeting.proof(Role::Dialer).as_bytes()).await?;
        if read::<1>(io).await? != [ACCEPTED] {
            return Err(AdmissionError::OurKey);
        }
        if meeting.proof(Role::Listener) != read::<PROOF_BYTES>(io).await? {
            send(io, &[REFUSED]).await?;
            linger(io).await;
            return Err(AdmissionError::TheirKey);
        }
        send(io, &[ACCEPTED]).await?;
        Ok(())
    }

    /// Runs admission as the end that was dialed.
    ///
    /// # Errors
    /// [`AdmissionError`]; the connection has to be dropped.
    pub async fn listen<S>(&self, io: &mut S, remote: PeerId) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let theirs = read_hello(io).await?;
        let ours = self.hello();
        send(io, &ours).await?;
        if let Err(refusal) = self.check(&theirs) {
            linger(io).await;
            return Err(refusal);
        }
        let meeting = Meeting { key: &self.key, ids: [remote, self.local], hellos: [theirs, ours] };
        if meeting.proof(Role::Dialer) != read::<PROOF_BYTES>(io).await? {
            send(io, &[REFUSED]).await?;
            linger(io).await;
            return Err(AdmissionError::TheirKey);
        }
        let mut answer = [ACCEPTED; 1 + PROOF_BYTES];
        answer[1..].copy_from_slice(meeting.proof(Role::Listener).as_bytes());
        send(io, &answer).await?;
        match read::<1>(io).await? {
            [ACCEPTED] => Ok(()),
            _ => Err(AdmissionError::OurKey),
        }
    }

    fn hello(&self) -> [u8; HELLO_BYTES] {
        let mut hello = [0; HELLO_BYTES];
        hello[..8].copy_from_slice(&MAGIC);
        hello[8..10].copy_from_slice(&self.version.major.to_le_bytes());
        hello[10..12].copy_from_slice(&self.version.minor.to_le_bytes());
        hello[12] = u8::from(self.keyed);
        hello[13..].copy_from_slice(&rand::random::<[u8; NONCE_BYTES]>());
        hello
    }

    fn check(&self, hello: &[u8; HELLO_BYTES]) -> Result<(), AdmissionError> {
        let theirs = WireVersion {
            major: u16::from_le_bytes([hello[8], hello[9]]),
            minor: u16::from_le_bytes([hello[10], hello[11]]),
        };
        if theirs.major != self.version.major {
            return Err(AdmissionError::Version { ours: self.version, theirs });
        }
        match (self.keyed, hello[12] != 0) {
            (true, false) => Err(AdmissionError::TheyHaveNoKey),
            (false, true) => Err(AdmissionError::WeHaveNoKey),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum Role {
    Dialer = 1,
    Listener = 2,
}

/// What both proofs cover, the dialer's part first.
struct Meeting<'a> {
    key: &'a [u8; 32],
    ids: [PeerId; 2],
    hellos: [[u8; HELLO_BYTES]; 2],
}

impl Meeting<'_> {
    /// [`blake3::Hash`] compares in constant time.
    fn proof(&self, role: Role) -> blake3::Hash {
        let mut bytes = Vec::with_capacity(1 + 2 * (ID_BYTES + HELLO_BYTES));
        bytes.push(role as u8);
        self.ids.iter().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
        self.hellos.iter().for_each(|hello| bytes.extend_from_slice(hello));
        blake3::keyed_hash(self.key, &bytes)
    }
}

async fn send<S: AsyncWrite + Unpin>(io: &mut S, bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}

async fn read<const N: usize>(io: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn read_hello<S>(io: &mut S) -> Result<[u8; HELLO_BYTES], AdmissionError>
where
    S: AsyncRead + Unpin,
{
    let mut hello = [0; HELLO_BYTES];
    let (magic, rest) = hello.split_at_mut(MAGIC.len());
    io.read_exact(magic).await?;
    if magic != MAGIC {
        return Err(AdmissionError::Magic);
    }
    io.read_exact(rest).await?;
    Ok(hello)
}

/// Waits until the refused end has gone: closing at once could overtake the refusal.
async fn linger<S: AsyncRead + Unpin>(io: &mut S) {
    let mut byte = [0];
    let _ = tokio::time::timeout(LINGER, io.read(&mut byte)).await;
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;
    use crate::peer::NodeKey;

    fn node(key: Option<&MeshKey>) -> Admission {
        Admission::new(NodeKey::generate().peer_id().unwrap(), key)
    }

    type Outcome = Result<(), AdmissionError>;

    async fn meet(dialer: &Admission, listener: &Admission) -> (Outcome, Outcome) {
        let (one, other) = tokio::io::duplex(1024);
        let dial = async {
            let mut io = one.compat();
            dialer.dial(&mut io, listener.local).await
        };
        let listen = async {
            let mut io = other.compat();
            listener.listen(&mut io, dialer.local).await
        };
        tokio::join!(dial, listen)
    }

    #[tokio::test]
    async fn nodes_with_the_same_key_and_nodes_without_one_meet() {
        let key = MeshKey::generate();
        for key in [Some(&key), None] {
            let (dialer, listener) = meet(&node(key), &node(key)).await;
            assert!(dialer.is_ok() && listener.is_ok(), "{dialer:?} {listener:?}");
        }
    }

    #[tokio::test]
    async fn another_key_is_refused_and_both_ends_know_why() {
        let (ours, theirs) = (MeshKey::generate(), MeshKey::generate());
        let (dialer, listener) = meet(&node(Some(&theirs)), &node(Some(&ours))).await;
        assert!(matches!(dialer, Err(AdmissionError::OurKey)), "{dialer:?}");
        assert!(matches!(listener, Err(AdmissionError::TheirKey)), "{listener:?}");
    }

    #[tokio::test]
    async fn no_key_and_a_key_never_meet() {
        let key = MeshKey::generate();
        let (dialer, listener) = meet(&node(None), &node(Some(&key))).await;
        assert!(matches!(dialer, Err(AdmissionError::WeHaveNoKey)), "{dialer:?}");
        assert!(matches!(listener, Err(AdmissionError::TheyHaveNoKey)), "{listener:?}");
        let (dialer, listener) = meet(&node(Some(&key)), &node(None)).await;
        assert!(matches!(dialer, Err(AdmissionError::TheyHaveNoKey)), "{dialer:?}");
        assert!(matches!(listener, Err(AdmissionError::WeHaveNoKey)), "{listener:?}");
    }

    #[tokio::test]
    async fn another_major_version_is_refused_with_both_versions_named() {
        let key = MeshKey::generate();
        let other = WireVersion { major: WireVersion::CURRENT.major + 1, minor: 3 };
        let (dialer, listener) =
            meet(&node(Some(&key)).with_version(other), &node(Some(&key))).await;
        for error in [dialer.unwrap_err(), listener.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains(&other.to_string()), "{text}");
            assert!(text.contains(&WireVersion::CURRENT.to_string()), "{text}");
        }
    }

    #[tokio::test]
    async fn another_minor_version_is_welcome() {
        let key = MeshKey::generate();
        let newer = WireVersion { major: WireVersion::CURRENT.major, minor: 9 };
        let (dialer, listener) =
            meet(&node(Some(&key)).with_version(newer), &node(Some(&key))).await;
        assert!(dialer.is_ok() && listener.is_ok(), "{dialer:?} {listener:?}");
    }

    #[tokio::test]
    async fn a_proof_is_bound_to_both_peer_ids() {
        let key = MeshKey::generate();
        let (dialer, listener) = (node(Some(&key)), node(Some(&key)));
        let (one, other) = tokio::io::duplex(1024);
        let somebody_else = NodeKey::generate().peer_id().unwrap();
        let dial = async {
            let mut io = one.compat();
            dialer.dial(&mut io, listener.local).await
        };
        let listen = async {
            let mut io = other.compat();
            listener.listen(&mut io, somebody_else).await
        };
        let (dialed, listened) = tokio::join!(dial, listen);
        assert!(matches!(dialed, Err(AdmissionError::OurKey)), "{dialed:?}");
        assert!(matches!(listened, Err(AdmissionError::TheirKey)), "{listened:?}");
    }

    #[tokio::test]
    async fn a_replayed_conversation_proves_nothing() {
        let key = MeshKey::generate();
        let (dialer, listener) = (node(Some(&key)), node(Some(&key)));
        let recorded = recorded_dialer(&dialer, &listener).await;
        let (one, other) = tokio::io::duplex(1024);
        let replay = async {
            let mut io = one.compat();
            io.write_all(&recorded).await.unwrap();
            let mut rest = Vec::new();
            io.read_to_end(&mut rest).await.unwrap();
        };
        let listen = async {
            let mut io = other.compat();
            listener.listen(&mut io, dialer.local).await
        };
        let ((), listened) = tokio::join!(replay, listen);
        assert!(matches!(listened, Err(AdmissionError::TheirKey)), "{listened:?}");
    }

    /// Everything that a dialer sent in a conversation that ended well.
    async fn recorded_dialer(dialer: &Admission, listener: &Admission) -> Vec<u8> {
        let (one, other) = tokio::io::duplex(1024);
        let dial = async {
            let mut io = Recorder { inner: one.compat(), written: Vec::new() };
            dialer.dial(&mut io, listener.local).await.unwrap();
            io.written
        };
        let listen = async {
            let mut io = other.compat();
            listener.listen(&mut io, dialer.local).await.unwrap();
        };
        tokio::join!(dial, listen).0
    }

    struct Recorder<S> {
        inner: S,
        written: Vec<u8>,
    }

    impl<S: AsyncRead + Unpin> AsyncRead for Recorder<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.inner).poll_read(cx, bytes)
        }
    }

    impl<S: AsyncWrite + Unpin> AsyncWrite for Recorder<S> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
            self.written.extend_from_slice(&bytes[..written]);
            Poll::Ready(Ok(written))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_close(cx)
        }
    }

    #[tokio::test]
    async fn garbage_is_no_bookmesh_node() {
        let (one, other) = tokio::io::duplex(1024);
        let mut stranger = one.compat();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut io = other.compat();
        let listener = node(None);
        let refused = listener.listen(&mut io, listener.local).await;
        assert!(matches!(refused, Err(AdmissionError::Magic)), "{refused:?}");
    }
}
