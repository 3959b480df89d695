//! A log entry, and how it lies on disk: in fragments that sled keeps within its pages.

use bookmesh_rpc::api::{Hash, MAX_ENTRY_BYTES};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::engine::FRAGMENT_BYTES;
use crate::error::StoreError;

/// The most bytes of [`Record::head`]: a membership of some hundred members.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// `u64` index, `u8` fragment, big endian, so that sled's order is the log's.
pub(crate) const LOG_KEY_BYTES: usize = 9;

/// One entry of a group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place, from 0.
    pub index: u64,
    /// The consensus layer's own: term, kind, membership. At most [`MAX_HEAD_BYTES`].
    pub head: Bytes,
    /// The encoded [`bookmesh_rpc::api::Batch`], at most [`MAX_ENTRY_BYTES`]; empty when the entry
    /// has none, and then the chain passes it unchanged.
    pub commands: Bytes,
}

impl Record {
    /// What it counts for in bounds.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.commands.len()
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.head.len() > MAX_HEAD_BYTES || self.commands.len() > MAX_ENTRY_BYTES {
            return Err(StoreError::TooLarge { index: self.index, bytes: self.bytes() });
        }
        Ok(())
    }

    /// The chain after this entry.
    pub fn chain(&self, previous: &Hash) -> Hash {
        if self.commands.is_empty() { *previous } else { previous.extend(&self.commands) }
    }

    /// `chain ‖ u32 head length ‖ head ‖ commands`, cut into fragments that each begin with how
    /// many come after it.
    pub(crate) fn fragments(&self, chain: &Hash) -> Vec<Bytes> {
        let mut whole = BytesMut::with_capacity(36 + self.bytes());
        whole.put_slice(&chain.0);
        whole.put_u32(u32::try_from(self.head.len()).unwrap_or(u32::MAX));
        whole.put_slice(&self.head);
        whole.put_slice(&self.commands);
        cut(&whole)
    }

    /// Puts an entry together again; `None` when the bytes are none.
    pub(crate) fn join(index: u64, mut whole: Bytes) -> Option<(Self, Hash)> {
        let mut chain = [0; 32];
        whole.try_copy_to_slice(&mut chain).ok()?;
        let head_bytes = whole.try_get_u32().ok()? as usize;
        if head_bytes > whole.len() {
            return None;
        }
        let head = whole.split_to(head_bytes);
        Some((Self { index, head, commands: whole }, Hash(chain)))
    }
}

/// Cuts a value into fragments of at most [`FRAGMENT_BYTES`], each led by a byte that says how
/// many follow.
pub(crate) fn cut(whole: &[u8]) -> Vec<Bytes> {
    let pieces: Vec<_> = whole.chunks(FRAGMENT_BYTES - 1).collect();
    let last = pieces.len().saturating_sub(1);
    let fragment = |(at, piece): (usize, &&[u8])| {
        let mut bytes = BytesMut::with_capacity(piece.len() + 1);
        bytes.put_u8(u8::try_from(last - at).unwrap_or(u8::MAX));
        bytes.put_slice(piece);
        bytes.freeze()
    };
    pieces.iter().enumerate().map(fragment).collect()
}

/// Puts the fragments of one value together as they are read.
#[derive(Default)]
pub(crate) struct Joiner {
    whole: BytesMut,
    /// How many are still to come; `None` before the first.
    left: Option<u8>,
}

/// What a fragment did to its value.
pub(crate) enum Joined {
    /// The value is whole.
    Whole(Bytes),
    /// More are to come.
    Partly,
    /// It does not follow the one before it.
    Broken,
}

impl Joiner {
    /// Takes the fragment with this number.
    pub(crate) fn push(&mut self, number: u8, mut fragment: Bytes) -> Joined {
        let Ok(left) = fragment.try_get_u8() else { return Joined::Broken };
        let follows = match self.left {
            None => number == 0,
            Some(before) => number > 0 && left.checked_add(1) == Some(before),
        };
        if !follows {
            return Joined::Broken;
        }
        if left == 0 && self.left.is_none() {
            return Joined::Whole(fragment);
        }
        self.whole.put_slice(&fragment);
        self.left = Some(left);
        if left > 0 {
            return Joined::Partly;
        }
        self.left = None;
        Joined::Whole(std::mem::take(&mut self.whole).freeze())
    }

    /// Whether a value has begun and is not whole.
    pub(crate) fn is_partly(&self) -> bool {
        self.left.is_some()
    }
}

pub(crate) fn log_key(index: u64, fragment: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(LOG_KEY_BYTES);
    key.put_u64(index);
    key.put_u8(fragment);
    key
}

pub(crate) fn parse_log_key(mut key: &[u8]) -> Option<(u64, u8)> {
    if key.len() != LOG_KEY_BYTES {
        return None;
    }
    Some((key.get_u64(), key.get_u8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejoin(fragments: &[Bytes], numbers: impl IntoIterator<Item = usize>) -> Option<Bytes> {
        let mut joiner = Joiner::default();
        for number in numbers {
            match joiner.push(number as u8, fragments[number].clone()) {
                Joined::Whole(whole) => return Some(whole),
                Joined::Partly => {}
                Joined::Broken => return None,
            }
        }
        None
    }

    #[test]
    fn the_largest_entry_comes_back_from_its_fragments() {
        for (head, commands) in [(0, 0), (5, 0), (0, 7), (MAX_HEAD_BYTES, MAX_ENTRY_BYTES)] {
            let record =
                Record { index: 3, head: vec![1; head].into(), commands: vec![2; commands].into() };
            let chain = record.chain(&Hash::ZERO);
            let fragments = record.fragments(&chain);
            assert!(fragments.iter().all(|fragment| fragment.len() <= FRAGMENT_BYTES));
            let whole = rejoin(&fragments, 0..fragments.len()).unwrap();
            assert_eq!(Record::join(3, whole), Some((record, chain)));
        }
    }

    #[test]
    fn a_missing_fragment_is_seen() {
        let fragments = cut(&vec![7; FRAGMENT_BYTES * 3]);
        assert!(fragments.len() > 3);
        for numbers in [vec![0, 1], vec![1, 2, 3], vec![0, 2, 3], vec![0, 1, 1]] {
            assert!(rejoin(&fragments, numbers).is_none());
        }
    }

    #[test]
    fn garbage_is_no_entry() {
        assert!(Record::join(0, Bytes::from_static(&[0; 35])).is_none());
        let mut long = vec![0; 32];
        long.extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(Record::join(0, long.into()).is_none());
    }
}
