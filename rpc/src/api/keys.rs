//! What makes a write come once, however often it is sent.

use serde::{Deserialize, Serialize};

use super::RackId;

/// How long a rack remembers a client's key, by its entries' time: 24 hours, in milliseconds.
pub const CLIENT_KEY_MS: u64 = 24 * 60 * 60 * 1000;
/// Characters of a client's key at most.
pub const MAX_KEY_CHARS: usize = 255;

/// Names one write, so that however often it is sent it is applied once. The rack's log remembers
/// the first answer, and gives it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RequestKey {
    /// A sender's own, for its retries: remembered for minutes.
    Retry(RetryKey),
    /// Made of what a client chose: remembered for [`CLIENT_KEY_MS`].
    Client(ClientKey),
}

impl RequestKey {
    /// The key of one part of a batch.
    pub const fn with_part(self, part: u32) -> Self {
        match self {
            Self::Retry(key) => Self::Retry(RetryKey { part, ..key }),
            Self::Client(key) => Self::Client(ClientKey { part, ..key }),
        }
    }
}

/// The key that a sender gives a write, to be safe to send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RetryKey {
    /// Random, drawn once by each process that sends writes.
    pub session: u128,
    /// Counts the session's writes.
    pub sequence: u64,
    /// The place within a batch, 0 for a single write.
    pub part: u32,
}

/// Names what a client chose as its key: the first 16 bytes of its BLAKE3, so that a rack can
/// remember many.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId([u8; 16]);

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A client's key, and for which request it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientKey {
    /// The key.
    pub id: KeyId,
    /// 16 bytes of BLAKE3 over the request as the client sent it: another request under the same
    /// key is refused.
    pub fingerprint: [u8; 16],
    /// The place within a batch, 0 for a single write.
    pub part: u32,
}

impl ClientKey {
    /// The key with this text, for the request that consists of `parts`.
    pub fn new(text: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            // With its length, so that no two lists of parts are the same bytes.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let id = KeyId(half(&blake3::hash(text.as_bytes())));
        Self { id, fingerprint: half(&hasher.finalize()), part: 0 }
    }

    /// How much this key belongs to a rack (rendezvous hashing): of any set of racks it chooses
    /// the one with the highest weight, so that a rack more moves few keys.
    pub fn weight(&self, rack: &RackId) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.id.0);
        hasher.update(rack.as_str().as_bytes());
        let mut weight = [0; 8];
        weight.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_le_bytes(weight)
    }
}

fn half(hash: &blake3::Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_text_and_its_fingerprint_the_request() {
        let put = ClientKey::new("k-1", &[b"PUT", b"/books/1", b"{}"]);
        assert_eq!(put, ClientKey::new("k-1", &[b"PUT", b"/books/1", b"{}"]));
        let other = ClientKey::new("k-1", &[b"PUT", b"/books/1{", b"}"]);
        assert_eq!(put.id, other.id);
        assert_ne!(put.fingerprint, other.fingerprint, "where a part ends matters");
        assert_ne!(put.id, ClientKey::new("k-2", &[]).id);
    }

    #[test]
    fn a_rack_more_takes_its_share_of_the_keys_and_moves_no_others() {
        let racks: Vec<RackId> = (0..5).map(|n| format!("r{n}").parse().unwrap()).collect();
        let choose = |key: &ClientKey, racks: &[RackId]| {
            racks.iter().max_by_key(|rack| key.weight(rack)).unwrap().clone()
        };
        let mut moved = 0;
        for n in 0..1000 {
            let key = ClientKey::new(&format!("key {n}"), &[]);
            let (before, after) = (choose(&key, &racks[..4]), choose(&key, &racks));
            assert!(after == before || after == racks[4]);
            moved += usize::from(after != before);
        }
        assert!((120..280).contains(&moved), "{moved} of 1000 went to the fifth rack");
    }

    /// Two gateways of different versions have to agree.
    #[test]
    fn weights_stay_as_they_are() {
        let key = ClientKey::new("k-1", &[]);
        assert_eq!(key.weight(&"r0".parse().unwrap()), 4_715_274_570_958_449_788);
    }
}
