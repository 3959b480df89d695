//! Waits that grow, with jitter.

use std::time::Duration;

/// The waits between tries: each up to twice the one before, drawn from the upper half of its
/// range so that many who failed together don't come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits from `first` up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait now.
    pub fn wait(&mut self) -> Duration {
        let range = self.next;
        self.next = range.saturating_mul(2).min(self.longest);
        range.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Starts anew: the last try went well.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_start_anew() {
        let (first, longest) = (Duration::from_millis(10), Duration::from_millis(65));
        let mut backoff = Backoff::new(first, longest);
        for range in [10, 20, 40, 65, 65] {
            let wait = backoff.wait();
            let range = Duration::from_millis(range);
            assert!(wait >= range / 2 && wait <= range, "{wait:?} of {range:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= first);
    }

    #[test]
    fn waits_of_many_differ() {
        let waits: std::collections::BTreeSet<_> = (0..32)
            .map(|_| Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).wait())
            .collect();
        assert!(waits.len() > 16);
    }
}
