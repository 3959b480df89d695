//! When a member stands for election.
//!
//! openraft draws its election timeout once per instance, so two survivors can tie forever. Here
//! its own elections are off, and every attempt waits for a moment drawn anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openraft::ServerState;
use rand::Rng;

use super::types::Raft;

/// Heartbeats of a leader; openraft also gives up on one append after this long, so it has to
/// hold a slow disk's flush.
pub const HEARTBEAT: Duration = Duration::from_millis(200);
/// How long a member keeps to a leader it has heard of: it grants no vote and stands for none.
/// Four heartbeats, so that one lost message or a busy disk changes nothing.
pub const LEASE: Duration = Duration::from_millis(800);
/// What is drawn on top, for each attempt anew. With the lease it stays well under the two
/// seconds that a failover may take, and it is much longer than a vote takes.
const JITTER: Duration = Duration::from_millis(400);
/// How often the state is looked at: what that adds to a failover is small beside the lease.
const TICK: Duration = Duration::from_millis(25);

/// When this member last heard from a leader, or gave its vote away.
#[derive(Debug)]
pub struct LastHeard(Mutex<Instant>);

impl Default for LastHeard {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl LastHeard {
    /// It did now.
    pub fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Stands for election whenever it is due, until the group ends.
pub async fn run(raft: Raft, heard: Arc<LastHeard>) {
    let mut patience = LEASE + draw();
    loop {
        tokio::time::sleep(TICK).await;
        match due(&raft, &heard, patience) {
            Due::Ended => return,
            Due::NotYet => continue,
            Due::Now => {}
        }
        // Heartbeats may wait behind a slow flush; what waits is handled before this comes back.
        let caught_up = raft.with_raft_state(|_| ());
        match tokio::time::timeout(LEASE, caught_up).await {
            Ok(Ok(())) => tokio::time::sleep(TICK).await,
            Ok(Err(_)) => return,
            Err(_) => continue,
        }
        if !matches!(due(&raft, &heard, patience), Due::Now) {
            continue;
        }
        let term = raft.metrics().borrow().current_term;
        if raft.trigger().elect().await.is_err() {
            return;
        }
        heard.now();
        // The first wait was for the lease; after a vote that was split there is none.
        patience = draw() + TICK * 4;
        if new_leader(&raft, term, patience).await {
            patience = LEASE + draw();
        }
    }
}

enum Due {
    Now,
    NotYet,
    Ended,
}

fn due(raft: &Raft, heard: &LastHeard, patience: Duration) -> Due {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    if metrics.running_state.is_err() {
        return Due::Ended;
    }
    if metrics.state == ServerState::Leader {
        // A leader that is deposed gives its successor the lease that every member gives.
        heard.now();
        return Due::NotYet;
    }
    let members = &metrics.membership_config;
    let votes = members.voter_ids().any(|id| id == metrics.id);
    let alone = members.voter_ids().count() == 1;
    if votes && (alone || heard.elapsed() > patience) { Due::Now } else { Due::NotYet }
}

/// Whether a leader of a later term than `before` is known within `patience`.
async fn new_leader(raft: &Raft, before: u64, patience: Duration) -> bool {
    let mut metrics = raft.metrics();
    let known = metrics.wait_for(|now| now.current_term > before && now.current_leader.is_some());
    matches!(tokio::time::timeout(patience, known).await, Ok(Ok(_)))
}

fn draw() -> Duration {
    rand::rng().random_range(Duration::ZERO..JITTER)
}
