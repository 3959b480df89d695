//! A node's identity: an Ed25519 key whose public half, 32 bytes, is the peer id.

use std::fmt;
use std::str::FromStr;

use libp2p::identity;
use libp2p::multihash::Multihash;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Length of a peer id, a secret key and a mesh key, in bytes.
pub const ID_BYTES: usize = 32;

/// libp2p's peer id of an Ed25519 key is the "identity" multihash (code 0) of the key's protobuf:
/// field 1 (key type) = 1 (Ed25519), field 2 (data) = 32 bytes.
const IDENTITY_HASH: u64 = 0;
const ED25519_PROTOBUF_HEADER: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// The public Ed25519 key of a node, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId([u8; ID_BYTES]);

/// Why some bytes or text are not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The value has another length than 32 bytes (64 hex digits).
    #[error("ID must be 32-bytes long")]
    Length,
    /// The text has 64 characters that are not all hex digits.
    #[error("ID must be 64 hex digits (32 bytes)")]
    NotHex,
    /// libp2p's id was not made from an Ed25519 key.
    #[error("ID must be an Ed25519 public key")]
    NotEd25519,
}

impl PeerId {
    /// An id of exactly these bytes.
    pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// An id from bytes of unknown length.
    ///
    /// # Errors
    /// [`IdError::Length`] unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
        bytes.try_into().map(Self).map_err(|_| IdError::Length)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    /// The first eight hex digits, for logs and tables that people read.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }

    /// The id as libp2p writes it.
    ///
    /// # Errors
    /// None of the current formats can fail; [`IdError::Length`] stands for the conversion.
    pub fn to_libp2p(self) -> Result<libp2p::PeerId, IdError> {
        let mut key = [0; ED25519_PROTOBUF_HEADER.len() + ID_BYTES];
        key[..4].copy_from_slice(&ED25519_PROTOBUF_HEADER);
        key[4..].copy_from_slice(&self.0);
        let hash = Multihash::wrap(IDENTITY_HASH, &key).map_err(|_| IdError::Length)?;
        libp2p::PeerId::from_multihash(hash).map_err(|_| IdError::Length)
    }

    /// The id behind libp2p's.
    ///
    /// # Errors
    /// [`IdError::NotEd25519`] when the key is of another type (a hashed or RSA key, say).
    pub fn from_libp2p(id: &libp2p::PeerId) -> Result<Self, IdError> {
        let hash: &Multihash<64> = id.as_ref();
        if hash.code() != IDENTITY_HASH {
            return Err(IdError::NotEd25519);
        }
        let key =
            hash.digest().strip_prefix(&ED25519_PROTOBUF_HEADER).ok_or(IdError::NotEd25519)?;
        Self::from_slice(key)
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 2 * ID_BYTES {
            return Err(IdError::Length);
        }
        let mut bytes = [0; ID_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::NotHex)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// The secret Ed25519 key that a node is.
#[derive(Clone)]
pub struct NodeKey(Zeroizing<[u8; ID_BYTES]>);

impl NodeKey {
    /// A new key from the operating system's random source.
    pub fn generate() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    /// The key with these secret bytes.
    ///
    /// # Errors
    /// [`IdError::Length`] unless there are exactly 32.
    pub fn from_slice(secret: &[u8]) -> Result<Self, IdError> {
        let bytes: [u8; ID_BYTES] = secret.try_into().map_err(|_| IdError::Length)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The secret bytes, to be kept in a file of mode 0600.
    pub fn secret(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    /// The public half.
    ///
    /// # Errors
    /// None for 32 secret bytes; the type keeps libp2p's refusal from becoming a panic.
    pub fn peer_id(&self) -> Result<PeerId, IdError> {
        PeerId::from_libp2p(&self.to_libp2p()?.public().to_peer_id())
    }

    pub(crate) fn to_libp2p(&self) -> Result<identity::Keypair, IdError> {
        let mut secret = Zeroizing::new(*self.0);
        identity::Keypair::ed25519_from_bytes(&mut *secret).map_err(|_| IdError::Length)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_libp2p_and_hex() {
        let id = NodeKey::generate().peer_id().unwrap();
        assert_eq!(PeerId::from_libp2p(&id.to_libp2p().unwrap()), Ok(id));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 64);
    }

    #[test]
    fn any_other_length_is_refused_in_the_words_of_the_design() {
        for text in ["", "ab", &"0".repeat(63), &"0".repeat(65)] {
            let error = text.parse::<PeerId>().unwrap_err();
            assert_eq!(error.to_string(), "ID must be 32-bytes long");
        }
        assert_eq!("z".repeat(64).parse::<PeerId>(), Err(IdError::NotHex));
        assert_eq!(PeerId::from_slice(&[0; 31]), Err(IdError::Length));
    }

    #[test]
    fn a_key_of_another_type_is_no_peer_id() {
        let hashed = libp2p::PeerId::random();
        assert_eq!(PeerId::from_libp2p(&hashed), Err(IdError::NotEd25519));
    }

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        assert_eq!(format!("{:?}", NodeKey::generate()), "NodeKey(secret)");
    }
}
