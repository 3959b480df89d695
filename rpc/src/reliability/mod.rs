//! What keeps one bad peer or one bad moment from becoming everybody's.

mod backoff;
mod breaker;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerConfig, BreakerState};
