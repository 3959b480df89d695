//! Notes in the slot how much its data matter, so that a later start takes the ones that matter
//! most first.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{MemberRole, MemberStatus};
use bookmesh_storage::{Slot, Standing};

use super::worker::Worker;

/// How often it is looked at; a note that is late costs a start one more look at the slots.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the note true until the task is ended. It owns the slot, and so its lock.
pub async fn keep(mut slot: Slot, me: PeerId, worker: Arc<Worker>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let statuses = worker.racks().filter_map(|rack| rack.status().ok());
        let Some(standing) = statuses.filter_map(|status| of(me, &status)).min() else { continue };
        if standing == slot.standing() {
            continue;
        }
        let noted = tokio::task::spawn_blocking(move || {
            let known = slot.known();
            let result = slot.set_standing(standing, known);
            (slot, result)
        });
        let Ok((back, result)) = noted.await else { return };
        slot = back;
        if let Err(error) = result {
            tracing::warn!(%error, "the slot does not say how much it matters");
        }
    }
}

/// What this node is in a rack. One that does not stand in the membership yet is about to.
fn of(me: PeerId, status: &MemberStatus) -> Option<Standing> {
    let mine = status.members.iter().find(|member| member.peer == me)?;
    Some(match mine.role {
        MemberRole::Voter => Standing::Voter,
        MemberRole::Learner => Standing::Learner,
    })
}
