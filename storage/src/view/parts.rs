//! The bytes of a checkpoint: items, each encoded and led by its length, gathered into parts that
//! are no larger than a log entry.

use bookmesh_rpc::codec;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

/// The most bytes of one part.
pub const MAX_PART_BYTES: usize = 60 * 1024;

/// A part that is none of this view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a part of a checkpoint: {0}")]
pub struct RestoreError(pub String);

/// Gathers items.
#[derive(Default)]
pub(super) struct PartWriter {
    whole: Vec<Bytes>,
    current: BytesMut,
    bytes: usize,
}

impl PartWriter {
    /// Adds an item. Views keep items below half a part; one that can't be encoded does not exist.
    pub(super) fn push<T: Serialize>(&mut self, item: &T) {
        let Ok(encoded) = codec::encode(item) else {
            tracing::error!("an item of a checkpoint has no encoding");
            return;
        };
        let length = 4 + encoded.len();
        if !self.current.is_empty() && self.current.len() + length > MAX_PART_BYTES {
            self.whole.push(std::mem::take(&mut self.current).freeze());
        }
        self.current.put_u32_le(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
        self.current.put_slice(&encoded);
        self.bytes += length;
    }

    /// What was added so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn finish(mut self) -> Vec<Bytes> {
        if !self.current.is_empty() {
            self.whole.push(self.current.freeze());
        }
        self.whole
    }
}

/// The items of a part, in their order.
pub(super) fn items<T: DeserializeOwned>(
    mut part: &[u8],
) -> impl Iterator<Item = Result<T, RestoreError>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        if part.is_empty() || failed {
            return None;
        }
        let item = next(&mut part);
        failed = item.is_err();
        Some(item)
    })
}

fn next<T: DeserializeOwned>(part: &mut &[u8]) -> Result<T, RestoreError> {
    let short = || RestoreError("it ends within an item".into());
    let length = part.try_get_u32_le().map_err(|_| short())? as usize;
    let (item, rest) = part.split_at_checked(length).ok_or_else(short)?;
    *part = rest;
    codec::decode(item).map_err(|error| RestoreError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_below_their_bound_and_give_the_items_back() {
        let texts: Vec<String> = (0..100).map(|n| "x".repeat(n * 100)).collect();
        let mut writer = PartWriter::default();
        texts.iter().for_each(|text| writer.push(text));
        let parts = writer.finish();
        assert!(parts.len() > 5 && parts.iter().all(|part| part.len() <= MAX_PART_BYTES));
        let back: Result<Vec<String>, _> = parts.iter().flat_map(|part| items(part)).collect();
        assert_eq!(back.unwrap(), texts);
    }

    #[test]
    fn a_part_that_is_cut_short_is_refused() {
        let mut writer = PartWriter::default();
        writer.push(&"text");
        let part = writer.finish().remove(0);
        for end in 1..part.len() {
            assert!(items::<String>(&part[..end]).any(|item| item.is_err()));
        }
    }
}
