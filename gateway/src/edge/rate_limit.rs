//! Requests of one client: a bucket of tokens that fills steadily, and one token a request.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::{Quota, RateLimiter};
use metrics::Counter;

use super::clients::{Client, Clients};

/// How much one client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second, in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

/// All clients' buckets.
#[derive(Debug)]
pub(super) struct Limiter {
    buckets: RateLimiter<Client, Clients, MonotonicClock>,
    refused: RefusedCounter,
}

struct RefusedCounter(Counter);

impl std::fmt::Debug for RefusedCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("http_rate_limited_total")
    }
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        let quota = Quota::per_second(limit.per_second).allow_burst(limit.burst);
        let refused = RefusedCounter(metrics::counter!("http_rate_limited_total"));
        Self { buckets: RateLimiter::new(quota, Clients::new(), MonotonicClock), refused }
    }

    /// After how long the client may ask again, if not now.
    pub(super) fn refuses(&self, client: IpAddr) -> Option<Duration> {
        let until = self.buckets.check_key(&client.into()).err()?;
        self.refused.0.increment(1);
        Some(until.wait_time_from(self.buckets.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_the_next_waits_for_a_token() {
        let number = |n| NonZeroU32::new(n).unwrap();
        let limiter = Limiter::new(RateLimit { per_second: number(1), burst: number(3) });
        let [one, other] = ["1.1.1.1", "2.2.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let refused: Vec<_> = (0..4).map(|_| limiter.refuses(one)).collect();
        assert!(refused[..3].iter().all(Option::is_none), "{refused:?}");
        assert!(refused[3].is_some_and(|wait| wait <= Duration::from_secs(1)), "{refused:?}");
        assert_eq!(limiter.refuses(other), None, "each has a bucket of its own");
    }
}
