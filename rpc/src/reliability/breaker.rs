//! A circuit breaker: what failed again and again is left alone for a moment, then tried by one.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Backoff;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerConfig {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open at first; each trial that fails doubles that.
    pub shortest: Duration,
    /// Up to this. Also how long one trial may take before there is another.
    pub longest: Duration,
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They go through.
    Closed,
    /// One is on its way, to find out; the others don't.
    HalfOpen,
    /// They don't.
    Open,
}

impl BreakerState {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counts failures in a row. Whoever asks [`Breaker::allows`] and is let through tells how it went;
/// who does not (a call that was given up) stands in nobody's way for long.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    failures: u32,
    phase: Phase,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    /// Until then, nothing is tried.
    Open(Instant),
    /// One trial is under way; after this another may begin.
    HalfOpen(Instant),
}

impl Breaker {
    /// A closed one.
    pub const fn new(config: BreakerConfig) -> Self {
        let backoff = Backoff::new(config.shortest, config.longest);
        Self { config, inner: Mutex::new(Inner { failures: 0, phase: Phase::Closed, backoff }) }
    }

    /// Whether a call may go now. Once it was open for long enough, one caller may: it tries, and
    /// the others wait for what it finds out.
    pub fn allows(&self, now: Instant) -> bool {
        let mut inner = crate::lock(&self.inner);
        match inner.phase {
            Phase::Closed => true,
            Phase::Open(until) | Phase::HalfOpen(until) if now < until => false,
            Phase::Open(_) | Phase::HalfOpen(_) => {
                inner.phase = Phase::HalfOpen(now + self.config.longest);
                true
            }
        }
    }

    /// There was an answer, whatever it said. True when that closed the breaker.
    pub fn succeeded(&self) -> bool {
        let mut inner = crate::lock(&self.inner);
        let closes = !matches!(inner.phase, Phase::Closed);
        if closes {
            inner.backoff.reset();
        }
        (inner.failures, inner.phase) = (0, Phase::Closed);
        closes
    }

    /// There was none. True when that opened the breaker: a trial that fails leaves it open.
    pub fn failed(&self, now: Instant) -> bool {
        let mut inner = crate::lock(&self.inner);
        inner.failures = inner.failures.saturating_add(1);
        let opens = match inner.phase {
            Phase::Closed if inner.failures < self.config.failures => return false,
            // It was on its way before the breaker opened, and says nothing new.
            Phase::Open(_) => return false,
            Phase::Closed => true,
            Phase::HalfOpen(_) => false,
        };
        let wait = inner.backoff.wait();
        inner.phase = Phase::Open(now + wait);
        opens
    }

    /// What it does with calls.
    pub fn state(&self) -> BreakerState {
        match crate::lock(&self.inner).phase {
            Phase::Closed => BreakerState::Closed,
            Phase::HalfOpen(_) => BreakerState::HalfOpen,
            Phase::Open(_) => BreakerState::Open,
        }
    }

    /// How long until the next trial may begin; nothing when it is closed, or a trial is due.
    pub fn wait(&self, now: Instant) -> Duration {
        match crate::lock(&self.inner).phase {
            Phase::Closed => Duration::ZERO,
            Phase::Open(until) | Phase::HalfOpen(until) => until.saturating_duration_since(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        failures: 3,
        shortest: Duration::from_millis(100),
        longest: Duration::from_secs(1),
    };

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(CONFIG);
        for left in (0..CONFIG.failures).rev() {
            assert!(breaker.allows(now));
            assert_eq!(breaker.failed(now), left == 0, "the last of them opens it");
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_one_success() {
        let now = Instant::now();
        let breaker = opened(now);
        assert!(!breaker.allows(now));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.wait(now) <= CONFIG.shortest && !breaker.wait(now).is_zero());
        assert!(breaker.allows(now + CONFIG.longest));
        assert!(breaker.succeeded(), "that closed it");
        assert!(breaker.allows(now) && breaker.wait(now).is_zero());
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(!breaker.succeeded(), "it was closed");
    }

    #[test]
    fn one_call_tries_while_the_others_wait() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + CONFIG.shortest;
        assert!(breaker.allows(later));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.allows(later));
        assert!(breaker.allows(later + CONFIG.longest), "the first never told how it went");
    }

    #[test]
    fn a_trial_that_fails_leaves_it_open_for_longer() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut waits = vec![breaker.wait(now)];
        for _ in 0..8 {
            now += breaker.wait(now);
            assert!(breaker.allows(now));
            assert!(!breaker.failed(now), "it did not open just now");
            assert_eq!(breaker.state(), BreakerState::Open);
            waits.push(breaker.wait(now));
        }
        assert!(waits.iter().all(|wait| *wait <= CONFIG.longest), "{waits:?}");
        assert!(waits.last().unwrap() >= &(CONFIG.longest / 2), "{waits:?}");
        assert!(breaker.allows(now + CONFIG.longest) && breaker.succeeded());
        for _ in 0..CONFIG.failures {
            breaker.failed(now);
        }
        assert!(breaker.wait(now) <= CONFIG.shortest, "it begins anew");
    }

    #[test]
    fn what_was_under_way_when_it_opened_makes_nothing_longer() {
        let now = Instant::now();
        let breaker = opened(now);
        let wait = breaker.wait(now);
        for _ in 0..100 {
            assert!(!breaker.failed(now + wait / 2));
        }
        assert_eq!(breaker.wait(now), wait);
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let now = Instant::now();
        let breaker = Breaker::new(CONFIG);
        for _ in 0..3 * CONFIG.failures {
            breaker.failed(now);
            breaker.succeeded();
        }
        assert!(breaker.allows(now));
    }
}
