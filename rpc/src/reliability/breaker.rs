//! The circuit breaker of one peer.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Backoff;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// The first time it stays open.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest: short, because a rack fails over within two seconds and must then be reached.
const LONGEST: Duration = Duration::from_secs(1);

/// Lets no calls through for a moment once a peer has failed again and again; then one call
/// tries, and decides.
#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    backoff: Backoff,
}

impl Default for Breaker {
    fn default() -> Self {
        let backoff = Backoff::new(SHORTEST, LONGEST);
        Self(Mutex::new(State { failures: 0, open_until: None, backoff }))
    }
}

impl Breaker {
    /// Whether a call may go now.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        let mut state = crate::lock(&self.0);
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // This caller tries; the others wait for what it finds out.
                state.open_until = Some(now + LONGEST);
                true
            }
        }
    }

    /// The peer answered, whatever it said.
    pub(crate) fn succeeded(&self) {
        let mut state = crate::lock(&self.0);
        if state.failures > 0 {
            state.failures = 0;
            state.open_until = None;
            state.backoff.reset();
        }
    }

    /// The peer was not reached, or fell silent.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = crate::lock(&self.0);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            let wait = state.backoff.wait();
            state.open_until = Some(now + wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed_until_open(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.allows(now));
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_one_success() {
        let now = Instant::now();
        let breaker = failed_until_open(now);
        assert!(!breaker.allows(now));
        assert!(breaker.allows(now + LONGEST));
        breaker.succeeded();
        assert!(breaker.allows(now));
    }

    #[test]
    fn one_call_tries_while_the_others_wait() {
        let now = Instant::now();
        let breaker = failed_until_open(now);
        let later = now + SHORTEST;
        assert!(breaker.allows(later));
        assert!(!breaker.allows(later));
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..3 * FAILURES {
            breaker.failed(now);
            breaker.succeeded();
        }
        assert!(breaker.allows(now));
    }
}
