//! The sessions that must be refused some of their writes, since the answers were forgotten while
//! the writes may still come again.

use std::collections::BTreeMap;

use bookmesh_rpc::api::RetryKey;
use serde::{Deserialize, Serialize};

/// How long a write may come again, by the entries' time; a gateway gives up well before.
pub const RETRY_MS: u64 = 60 * 1000;
/// Sessions of which keys were forgotten too early. A session is a process that sends writes; all
/// of them are one small item of a checkpoint. Of more, the oldest is no longer refused.
const MAX_FLOORS: usize = 512;

/// The writes of a session of which the outcome is no longer known, though they may come again.
///
/// All up to the highest that was forgotten early, as remembering each would only move the bound.
/// A write that comes for the first time is refused when its number is below. That one is rare: it
/// got its number before the forgotten one got its own, and was then overtaken by as many keys as
/// are kept; at 100,000 keys it is older than [`RETRY_MS`] itself, in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Floor {
    sequence: u64,
    /// When the youngest of them was applied.
    time_ms: u64,
}

/// All of them, in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floors(BTreeMap<u128, Floor>);

impl Floors {
    pub(super) fn covers(&self, key: &RetryKey) -> bool {
        self.0.get(&key.session).is_some_and(|floor| key.sequence <= floor.sequence)
    }

    /// Drops those of which no write comes again at this time.
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.0.retain(|_, floor| floor.time_ms.saturating_add(RETRY_MS) > now_ms);
    }

    pub(super) fn raise(&mut self, key: RetryKey, time_ms: u64) {
        let floor = self.0.entry(key.session).or_insert(Floor { sequence: 0, time_ms });
        // Keys are forgotten in the order of their time.
        *floor = Floor { sequence: floor.sequence.max(key.sequence), time_ms };
        if self.0.len() > MAX_FLOORS {
            let oldest = self.0.iter().min_by_key(|(session, floor)| (floor.time_ms, **session));
            if let Some(session) = oldest.map(|(session, _)| *session) {
                self.0.remove(&session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RetryKey = RetryKey { session: 1, sequence: 3, part: 0 };

    #[test]
    fn the_refused_sessions_are_bounded() {
        let mut floors = Floors::default();
        for session in 0..=MAX_FLOORS as u128 {
            floors.raise(RetryKey { session, ..KEY }, 5);
        }
        let covers = |session| floors.covers(&RetryKey { session, ..KEY });
        assert_eq!((covers(0), covers(1), floors.0.len()), (false, true, MAX_FLOORS));
    }
}
