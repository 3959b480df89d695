//! Notes in the slot how much its data matter, so that a later start takes the ones that matter
//! most first.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::MemberRole;
use bookmesh_storage::Slot;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::rack::Rack;
use super::worker::Worker;

/// How often it is looked at; a note that is late costs a start one more look at the slots.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the note true. It owns the slot, and so its lock.
pub struct Standing {
    task: JoinHandle<Option<Slot>>,
    finish: oneshot::Sender<()>,
}

impl Standing {
    /// Begins to keep the note.
    pub fn keep(slot: Slot, worker: Arc<Worker>) -> Self {
        let (finish, finished) = oneshot::channel();
        Self { task: tokio::spawn(keep(slot, worker, finished)), finish }
    }

    /// Writes it a last time, and gives the slot back.
    pub async fn finish(self) -> Option<Slot> {
        // A task that has ended already has nothing to be told.
        let _ = self.finish.send(());
        self.task.await.ok().flatten()
    }
}

async fn keep(
    mut slot: Slot,
    worker: Arc<Worker>,
    mut finished: oneshot::Receiver<()>,
) -> Option<Slot> {
    loop {
        let last = tokio::time::timeout(EVERY, &mut finished).await.is_ok();
        slot = note(slot, &worker).await?;
        if last {
            return Some(slot);
        }
    }
}

/// Writes what the worker's racks say now, if that is something else than before.
async fn note(mut slot: Slot, worker: &Worker) -> Option<Slot> {
    let notes = worker.racks().filter_map(|rack| of(rack));
    // The most important standing, and the newest knowledge of those that have it.
    let Some((standing, Reverse(known))) = notes.min() else { return Some(slot) };
    let noted = tokio::task::spawn_blocking(move || {
        let result = slot.set_standing(standing, known);
        (slot, result)
    });
    let (slot, result) = noted.await.ok()?;
    if let Err(error) = result {
        tracing::warn!(%error, "the slot does not say how much it matters");
    }
    Some(slot)
}

/// What this node is in a rack. One that has seen nothing of the rack yet says nothing.
fn of(rack: &Rack) -> Option<(bookmesh_storage::Standing, Reverse<u64>)> {
    use bookmesh_storage::Standing::{Learner, Left, Voter};
    let status = rack.status().ok()?;
    status.charter?;
    let known = rack.group().ok()?.membership_index();
    if rack.is_unseated() {
        return Some((Left, Reverse(known)));
    }
    let mine = status.members.iter().find(|member| member.member == status.member);
    let standing = match mine.map(|member| member.role) {
        Some(MemberRole::Voter) => Voter,
        Some(MemberRole::Learner) => Learner,
        None => Left,
    };
    Some((standing, Reverse(known)))
}
