//! What a node needs to be part of a mesh.

use std::net::IpAddr;
use std::time::Duration;

use crate::peer::{IdError, NodeKey, PeerId};

/// What a node needs to be part of a mesh.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// Who it is.
    pub key: NodeKey,
    /// What admits it. Without one it listens on loopback only and meets others without one.
    pub mesh_key: Option<MeshKey>,
    /// Address to listen on, TCP and UDP (QUIC).
    pub host: IpAddr,
    /// Port to listen on; 0 takes any.
    pub port: u16,
    /// Known nodes: multiaddresses, or `host:port`.
    pub bootstrap: Vec<String>,
    /// Look for nodes on the LAN. Off on loopback whatever this says.
    pub mdns: bool,
    /// How long the first contact may take before it is reported as missing.
    pub bootstrap_timeout: Duration,
    /// Connections at most.
    pub max_connections: u32,
}

/// The key of a mesh, 32 bytes.
#[derive(Clone)]
pub struct MeshKey(zeroize::Zeroizing<[u8; 32]>);

impl MeshKey {
    /// From 64 hex digits.
    ///
    /// # Errors
    /// [`IdError`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, IdError> {
        let id: PeerId = text.parse()?;
        Ok(Self(zeroize::Zeroizing::new(*id.as_bytes())))
    }

    /// New, random.
    pub fn generate() -> Self {
        Self(zeroize::Zeroizing::new(rand::random()))
    }

    /// 64 hex digits, to be kept secret.
    pub fn to_hex(&self) -> String {
        hex::encode(*self.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MeshKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_key_is_read_as_it_was_written_and_never_shown() {
        let key = MeshKey::generate();
        let read = MeshKey::from_hex(&key.to_hex()).unwrap();
        assert_eq!(read.as_bytes(), key.as_bytes());
        assert_eq!(format!("{key:?}"), "MeshKey(secret)");
        assert_eq!(MeshKey::from_hex("ab").unwrap_err(), IdError::Length);
    }
}
