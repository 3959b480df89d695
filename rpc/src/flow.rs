//! The limits that keep memory bounded whatever a peer does, and how calls in flight are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::api::Request;

/// Bytes that wait to be written to one lane. Above it calls are refused as busy, streams wait,
/// and nothing more is read from the peer.
pub(crate) const OUTBOX_BYTES: usize = 32 * 1024 * 1024;
/// A reply up to this size is never turned away, however full the outbox is: the call was carried
/// out and its answer costs little.
pub(crate) const SMALL_REPLY_BYTES: usize = 64 * 1024;
/// A lane whose peer takes no byte for so long is cut off, with its connection.
pub(crate) const STALLED_TIME: Duration = Duration::from_secs(10);
/// How often a lane that waits for its peer makes sure that it is still there.
pub(crate) const KEEPALIVE_TIME: Duration = Duration::from_secs(3);
/// Silent keepalives until a peer counts as gone.
pub(crate) const KEEPALIVE_MISSES: u32 = 3;
/// A caller that waits and says nothing for so long counts as gone: several keepalives.
pub(crate) const CALLER_SILENT_TIME: Duration = Duration::from_secs(20);
/// Bytes of a stream's items that may be under way to its reader.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The most credit that a reader may hand out.
pub(crate) const MAX_CREDIT_BYTES: usize = 16 * 1024 * 1024;
/// What an item counts beside its bytes, so that empty ones are not free.
pub(crate) const ITEM_OVERHEAD_BYTES: u32 = 64;
/// Calls of all peers together that a node works on; as many consensus messages beside them.
pub(crate) const MAX_SERVED: u32 = 16_384;
/// Bytes of those calls' bodies: a count alone would let one peer pin gigabytes.
pub(crate) const SERVED_BYTES: u32 = 256 * 1024 * 1024;
/// The same of consensus messages, which are small: the large ones are bulk.
pub(crate) const SERVED_CONSENSUS_BYTES: u32 = 64 * 1024 * 1024;
/// A body up to this size takes nothing of those bytes: what is small is served beside what is
/// large, and the count bounds it.
pub(crate) const SMALL_BODY_BYTES: usize = 4 * 1024;
/// The size above which a consensus message is bulk: a transfer, no heartbeat.
const BULK_CONSENSUS_BYTES: usize = 128 * 1024;

/// What an item of so many bytes takes of a stream's credit.
pub(crate) fn item_cost(bytes: usize) -> u32 {
    let cost = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(ITEM_OVERHEAD_BYTES);
    cost.min(STREAM_WINDOW_BYTES)
}

/// What is kept apart, so that the large never delays the urgent. Each has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Consensus messages.
    Consensus,
    /// Everything that is small.
    Calls,
    /// Streams, pages of a log, large consensus messages.
    Bulk,
}

impl Lane {
    pub(crate) const ALL: [Self; 3] = [Self::Consensus, Self::Calls, Self::Bulk];

    /// The lane of a request.
    pub(crate) fn of(request: &Request) -> Self {
        match request {
            Request::Consensus(message) if message.body.len() > BULK_CONSENSUS_BYTES => Self::Bulk,
            Request::Consensus(_) => Self::Consensus,
            Request::ReadLog(_) => Self::Bulk,
            _ => Self::Calls,
        }
    }

    /// The substream protocol; its number is the major wire version.
    pub(crate) const fn protocol(self) -> &'static str {
        match self {
            Self::Consensus => "/bookmesh/1/consensus",
            Self::Calls => "/bookmesh/1/calls",
            Self::Bulk => "/bookmesh/1/bulk",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Calls => "calls",
            Self::Bulk => "bulk",
        }
    }

    /// Calls and streams that one peer may have in flight on it.
    pub(crate) const fn in_flight(self) -> u32 {
        match self {
            Self::Consensus => 256,
            Self::Calls => 1024,
            // Each may answer with megabytes.
            Self::Bulk => 64,
        }
    }
}

/// Counts what is in flight, up to a limit.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    now: Arc<AtomicU32>,
    limit: u32,
}

impl InFlight {
    pub(crate) fn new(limit: u32) -> Self {
        Self { now: Arc::new(AtomicU32::new(0)), limit }
    }

    /// One more, unless the limit is reached.
    pub(crate) fn enter(&self) -> Option<Slot> {
        self.enter_with(1)
    }

    /// So much more, unless that is above the limit.
    fn enter_with(&self, weight: u32) -> Option<Slot> {
        let step = |now: u32| now.checked_add(weight).filter(|sum| *sum <= self.limit);
        self.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).ok()?;
        Some(Slot { now: Arc::clone(&self.now), weight })
    }
}

/// A place among what is in flight; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    now: Arc<AtomicU32>,
    weight: u32,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.now.fetch_sub(self.weight, Ordering::AcqRel);
    }
}

/// What a node works on for all peers together. Consensus has a share of its own, so that no load
/// makes a node turn heartbeats and votes away.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    consensus: Share,
    rest: Share,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            consensus: Share::new(MAX_SERVED, SERVED_CONSENSUS_BYTES),
            rest: Share::new(MAX_SERVED, SERVED_BYTES),
        }
    }
}

impl Load {
    /// A place for one more call with a body of so many bytes, unless there is none.
    pub(crate) fn enter(&self, lane: Lane, body_bytes: usize) -> Option<Place> {
        let share = match lane {
            Lane::Consensus => &self.consensus,
            Lane::Calls | Lane::Bulk => &self.rest,
        };
        share.enter(body_bytes)
    }

    /// One with other limits: calls, and bytes of their bodies, of each share.
    #[cfg(test)]
    pub(crate) fn bounded(calls: u32, bytes: u32) -> Self {
        Self { consensus: Share::new(calls, bytes), rest: Share::new(calls, bytes) }
    }
}

#[derive(Clone, Debug)]
struct Share {
    calls: InFlight,
    bytes: InFlight,
}

impl Share {
    fn new(calls: u32, bytes: u32) -> Self {
        Self { calls: InFlight::new(calls), bytes: InFlight::new(bytes) }
    }

    fn enter(&self, body_bytes: usize) -> Option<Place> {
        let call = self.calls.enter()?;
        let bytes = match body_bytes {
            0..=SMALL_BODY_BYTES => None,
            _ => Some(self.bytes.enter_with(u32::try_from(body_bytes).ok()?)?),
        };
        Some(Place { _call: call, _bytes: bytes })
    }
}

/// What one call takes of a [`Load`]; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    _call: Slot,
    _bytes: Option<Slot>,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::api::{Consensus, GroupId, Ping};

    #[test]
    fn no_more_than_the_limit_are_in_flight() {
        let calls = InFlight::new(2);
        let (one, two) = (calls.enter(), calls.enter());
        assert!(one.is_some() && two.is_some() && calls.enter().is_none());
        drop(one);
        assert!(calls.enter().is_some());
    }

    #[test]
    fn bodies_are_bounded_by_their_bytes_and_give_them_back() {
        let load = Load::default();
        let large = SERVED_BYTES as usize / 2;
        let (one, two) = (load.enter(Lane::Calls, large), load.enter(Lane::Bulk, large));
        assert!(one.is_some() && two.is_some());
        assert!(load.enter(Lane::Calls, SMALL_BODY_BYTES + 1).is_none());
        assert!(load.enter(Lane::Calls, SMALL_BODY_BYTES).is_some());
        assert!(load.enter(Lane::Consensus, SMALL_BODY_BYTES + 1).is_some());
        drop(one);
        assert!(load.enter(Lane::Calls, large).is_some());
    }

    #[test]
    fn a_large_transfer_never_travels_with_heartbeats() {
        let consensus = |bytes| {
            let body = Bytes::from(vec![0; bytes]);
            Lane::of(&Request::from(Consensus { group: GroupId::Registry, to: 1, body }))
        };
        assert_eq!(consensus(100), Lane::Consensus);
        assert_eq!(consensus(BULK_CONSENSUS_BYTES + 1), Lane::Bulk);
        assert_eq!(Lane::of(&Request::from(Ping { payload: Bytes::new() })), Lane::Calls);
    }

    #[test]
    fn every_item_costs_something_and_none_more_than_a_window() {
        assert_eq!(item_cost(0), ITEM_OVERHEAD_BYTES);
        assert_eq!(item_cost(usize::MAX), STREAM_WINDOW_BYTES);
    }
}
