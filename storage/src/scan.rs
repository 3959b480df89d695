//! A group's log as it lies on disk, entry by entry, and its verification.

use bookmesh_rpc::api::Hash;
use bytes::Bytes;

use crate::engine::Fault;
use crate::error::{Mark, StoreError};
use crate::names::GroupName;
use crate::record::{Joined, Joiner, Record, log_key, parse_log_key};
use crate::sealed::SealedTree;

/// Entries from `from` up to but without `to`, each with the chain after it as it was stored.
/// Ends after the first error. An entry that is only in part there ends it too.
pub(crate) fn entries<'a>(
    group: &'a GroupName,
    log: &'a SealedTree,
    from: u64,
    to: u64,
) -> impl Iterator<Item = Result<(Record, Hash), StoreError>> + use<'a> {
    let keys = log_key(from, 0)..=log_key(to.saturating_sub(1), u8::MAX);
    let mut fragments = log.scan(keys);
    let mut at = from;
    let mut failed = to <= from;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let next = next_entry(&mut fragments, &mut at).transpose()?;
        failed = next.is_err();
        Some(next.map_err(|Fault(why)| StoreError::Corrupt {
            group: group.clone(),
            index: at,
            why,
        }))
    })
}

fn next_entry(
    fragments: &mut impl Iterator<Item = Result<(Vec<u8>, Bytes), Fault>>,
    at: &mut u64,
) -> Result<Option<(Record, Hash)>, Fault> {
    let mut joiner = Joiner::default();
    for pair in fragments {
        let (key, fragment) = pair?;
        let damaged = |why: &str| Err(Fault(why.to_owned()));
        let Some((index, number)) = parse_log_key(&key) else { return damaged("a foreign key") };
        if joiner.is_partly() && index != *at {
            return damaged("a part is missing");
        }
        *at = index;
        match joiner.push(number, fragment) {
            Joined::Partly => {}
            Joined::Broken => return damaged("a part is missing"),
            Joined::Whole(whole) => {
                let entry = Record::join(index, whole);
                return entry.map(Some).ok_or_else(|| Fault("it is no entry".into()));
            }
        }
    }
    Ok(None)
}

/// What a log that verifies is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    pub(crate) head: Hash,
}

/// Follows the chain from the first entry to the last, and holds it against the high-water mark.
pub(crate) fn verify(
    group: &GroupName,
    log: &SealedTree,
    mark: Option<Mark>,
) -> Result<Extent, StoreError> {
    let corrupt = |index, why: &str| {
        Err(StoreError::Corrupt { group: group.clone(), index, why: why.to_owned() })
    };
    let mut extent = Extent { first: None, last: None, head: Hash::ZERO };
    for entry in entries(group, log, 0, u64::MAX) {
        let (record, stored) = entry?;
        let index = record.index;
        if extent.last.is_some_and(|last| last.checked_add(1) != Some(index)) {
            return corrupt(index, "entries before it are missing");
        }
        extent.first.get_or_insert(index);
        extent.last = Some(index);
        extent.head = record.chain(&extent.head);
        if extent.head != stored {
            return corrupt(index, "the chain does not lead to it");
        }
        let marked = mark.filter(|mark| mark.index == Some(index));
        if marked.is_some_and(|mark| mark.hash != stored) {
            return corrupt(index, "it is not the entry that was acknowledged");
        }
    }
    match mark.and_then(|mark| mark.index) {
        Some(expected) if extent.last < Some(expected) => {
            Err(StoreError::BelowHighWater { group: group.clone(), found: extent.last, expected })
        }
        _ => Ok(extent),
    }
}

/// The keys behind the last whole entry: parts of one that was never acknowledged.
pub(crate) fn leftovers(log: &SealedTree, last: Option<u64>) -> Result<Vec<Vec<u8>>, Fault> {
    let from = match last {
        None => 0,
        Some(last) => match last.checked_add(1) {
            Some(next) => next,
            None => return Ok(Vec::new()),
        },
    };
    let rest = log.scan_sealed(log_key(from, 0)..=log_key(u64::MAX, u8::MAX));
    rest.map(|pair| pair.map(|(key, _)| key.to_vec())).collect()
}
