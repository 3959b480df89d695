//! Which registry's answers a node heeds, where two began apart.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::api::{Announced, Incarnation};

/// A registry whose orchestrators are silent for so long is given up for another one.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Heeds one registry, and of it the latest word.
#[derive(Debug, Default)]
pub(super) struct Heeded(Mutex<Option<Registry>>);

#[derive(Debug)]
struct Registry {
    founding: Incarnation,
    applied_index: u64,
    heard: Instant,
    /// Another one that was heard of meanwhile.
    other: Option<Incarnation>,
}

impl Heeded {
    /// Whether an answer is to be heeded.
    pub(super) fn counts(&self, answer: &Announced, now: Instant) -> bool {
        // An orchestrator that is a member of no registry has nothing to say.
        let Some(founding) = answer.registry else { return false };
        let applied_index = answer.applied_index;
        let mut kept = crate::lock(&self.0);
        if let Some(known) = kept.as_mut() {
            if known.founding == founding {
                known.heard = now;
                let newer = known.applied_index <= applied_index;
                known.applied_index = known.applied_index.max(applied_index);
                return newer;
            }
            if now.saturating_duration_since(known.heard) < GIVE_UP {
                if known.other.replace(founding) != Some(founding) {
                    tracing::error!(
                        ours = %known.founding, other = %founding,
                        "orchestrators of another registry answer; nothing of theirs is heeded"
                    );
                }
                return false;
            }
            tracing::warn!(old = %known.founding, new = %founding, "following another registry");
        }
        *kept = Some(Registry { founding, applied_index, heard: now, other: None });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(registry: Option<Incarnation>, applied_index: u64) -> Announced {
        Announced { registry, applied_index, ..Announced::default() }
    }

    #[test]
    fn of_two_registries_the_first_is_kept_until_it_is_silent() {
        let (kept, now) = (Heeded::default(), Instant::now());
        let (one, two) = (Incarnation::generate(), Incarnation::generate());
        assert!(!kept.counts(&answer(None, 9), now));
        assert!(kept.counts(&answer(Some(one), 1), now));
        assert!(!kept.counts(&answer(Some(two), 9), now));
        let later = now + GIVE_UP / 2;
        assert!(kept.counts(&answer(Some(one), 1), later));
        assert!(!kept.counts(&answer(Some(two), 9), now + GIVE_UP));
        assert!(kept.counts(&answer(Some(two), 9), later + GIVE_UP));
        assert!(!kept.counts(&answer(Some(one), 99), later + GIVE_UP));
    }

    #[test]
    fn one_that_lags_behind_does_not_undo_settings() {
        let (kept, now) = (Heeded::default(), Instant::now());
        let one = Some(Incarnation::generate());
        assert!(kept.counts(&answer(one, 5), now));
        assert!(!kept.counts(&answer(one, 4), now));
        assert!(kept.counts(&answer(one, 5), now));
    }
}
