//! A leader whose disk is full lets another member lead.
//!
//! openraft moves no leadership. A leader that is silent is followed by whoever stands first once
//! the lease is over, and members with room stand earlier than those without. If nobody does, the
//! others have no room either, and it goes on leading: reads need a leader, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bookmesh_storage::Group;
use openraft::ServerState;

use super::elector::{LEASE, PATIENCE_WHEN_FULL};
use super::types::Raft;

/// How often the disk is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long a leader is silent: those with room have stood by then, those without not yet.
const SILENCE: Duration = LEASE.saturating_add(PATIENCE_WHEN_FULL);
/// How long after nobody stood it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Whether a leader is silent now.
#[derive(Debug, Default)]
pub struct Handover(AtomicBool);

impl Handover {
    /// Reads must not be confirmed meanwhile: a confirmation is a sign of life.
    pub fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Watches the disk, until the group ends.
pub async fn run(raft: Raft, disk: Group, handover: Arc<Handover>) {
    loop {
        tokio::time::sleep(LOOK).await;
        {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            if metrics.running_state.is_err() {
                return;
            }
            let alone = metrics.membership_config.voter_ids().count() == 1;
            if alone || metrics.state != ServerState::Leader || disk.room().is_ok() {
                continue;
            }
        }
        tracing::warn!(group = %disk.name(), "the leader's disk is full: another one may lead");
        handover.0.store(true, Ordering::Relaxed);
        raft.runtime_config().heartbeat(false);
        let mut metrics = raft.metrics();
        let deposed = metrics.wait_for(|metrics| metrics.state != ServerState::Leader);
        let deposed = tokio::time::timeout(SILENCE, deposed).await.is_ok();
        raft.runtime_config().heartbeat(true);
        handover.0.store(false, Ordering::Relaxed);
        if !deposed {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
