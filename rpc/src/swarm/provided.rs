//! The keys that this node provides, and when the DHT is told again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::reliability::Backoff;

/// Records are told anew so often that a node that joins soon knows them.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// After a new node has entered the routing table: it may be the one that others ask.
const AFTER_NEWCOMER: Duration = Duration::from_millis(300);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// Keys of one node.
const KEYS: usize = 1024;

/// When each key is due.
#[derive(Debug, Default)]
pub(crate) struct Provided {
    keys: HashMap<String, Due>,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    retry: Backoff,
}

impl Provided {
    /// One more key; whether there is room for it.
    pub(crate) fn add(&mut self, key: String, now: Instant) -> bool {
        if self.keys.len() >= KEYS && !self.keys.contains_key(&key) {
            return false;
        }
        let retry = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        self.keys.insert(key, Due { at: now, retry });
        true
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.keys.remove(key);
    }

    /// The keys whose time has come; each is due again later, whatever comes of it.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<String> {
        let due = self.keys.iter_mut().filter(|(_, due)| due.at <= now);
        due.map(|(key, due)| {
            due.at = now + AGAIN;
            key.clone()
        })
        .collect()
    }

    pub(crate) fn told(&mut self, key: &str) {
        if let Some(due) = self.keys.get_mut(key) {
            due.retry.reset();
        }
    }

    pub(crate) fn failed(&mut self, key: &str, now: Instant) {
        if let Some(due) = self.keys.get_mut(key) {
            let wait = due.retry.wait();
            due.at = due.at.min(now + wait);
        }
    }

    /// A node entered the routing table.
    pub(crate) fn newcomer(&mut self, now: Instant) {
        for due in self.keys.values_mut() {
            due.at = due.at.min(now + AFTER_NEWCOMER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_at_once_then_again_and_soon_after_a_failure_or_a_newcomer() {
        let now = Instant::now();
        let mut provided = Provided::default();
        assert!(provided.add("ork".to_owned(), now));
        assert_eq!(provided.due(now), ["ork"]);
        assert!(provided.due(now + AGAIN / 2).is_empty());
        provided.failed("ork", now);
        assert_eq!(provided.due(now + RETRY_FIRST), ["ork"]);
        provided.newcomer(now);
        assert_eq!(provided.due(now + AFTER_NEWCOMER), ["ork"]);
        assert_eq!(provided.due(now + 2 * AGAIN), ["ork"]);
        provided.remove("ork");
        assert!(provided.due(now + 4 * AGAIN).is_empty());
    }
}
