//! What travels with every call.

use std::time::{Duration, Instant};

use crate::api::RequestId;

/// What travels with every call: whose request it is part of, and until when it is of use.
#[derive(Clone, Debug)]
pub struct Context {
    /// Names the request in every node's log.
    pub request_id: RequestId,
    /// After this moment nobody waits for the answer.
    pub deadline: Instant,
}

impl Context {
    /// A new request of this node's own, of use for so long.
    pub fn within(time: Duration) -> Self {
        Self { request_id: RequestId::generate(), deadline: Instant::now() + time }
    }

    /// What is left until the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
