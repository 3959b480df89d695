//! Notes in the slot how much its data matter, so that a later start takes the ones that matter
//! most first.

use std::cmp::Reverse;
use std::time::Duration;

use bookmesh_rpc::api::{Member, MemberId, MemberRole};
use bookmesh_storage::Slot;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::ork::{Ork, OrkStage};
use super::rack::Rack;
use super::worker::Worker;

/// How often it is looked at; a note that is late costs a start one more look at the slots.
const EVERY: Duration = Duration::from_secs(1);

/// A standing, and how new the knowledge of it is; the least of two is what matters most.
pub type Note = (bookmesh_storage::Standing, Reverse<u64>);

/// Keeps the note true. It owns the slot, and so its lock.
pub struct Standing {
    task: JoinHandle<Option<Slot>>,
    finish: oneshot::Sender<()>,
}

impl Standing {
    /// Begins to keep the note; `now` answers what it should say, or nothing new.
    pub fn keep<F>(slot: Slot, now: F) -> Self
    where
        F: Fn() -> Option<Note> + Send + Sync + 'static,
    {
        let (finish, finished) = oneshot::channel();
        Self { task: tokio::spawn(keep(slot, now, finished)), finish }
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
    now: impl Fn() -> Option<Note>,
    mut finished: oneshot::Receiver<()>,
) -> Option<Slot> {
    loop {
        let last = tokio::time::timeout(EVERY, &mut finished).await.is_ok();
        slot = note(slot, now()).await?;
        if last {
            return Some(slot);
        }
    }
}

/// Writes what holds now, if that is something else than before.
async fn note(mut slot: Slot, note: Option<Note>) -> Option<Slot> {
    let Some((standing, Reverse(known))) = note else { return Some(slot) };
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

/// How much a worker's data matter, by what its racks say.
pub fn of_worker(worker: &Worker) -> Option<Note> {
    // The most important standing, and the newest knowledge of those that have it.
    worker.racks().filter_map(|rack| of(rack)).min()
}

/// How much an orchestrator's data matter.
pub fn of_ork(ork: &Ork) -> Option<Note> {
    let known = Reverse(ork.group().map_or(0, |group| group.membership_index()));
    if ork.stage() == OrkStage::Left {
        return Some((bookmesh_storage::Standing::Left, known));
    }
    let own = ork.registry().member?;
    Some((of_member(own.member, &own.members), known))
}

/// What this node is in a rack. One that has seen nothing of the rack yet says nothing.
fn of(rack: &Rack) -> Option<Note> {
    let status = rack.status().ok()?;
    status.charter?;
    let known = rack.group().ok()?.membership_index();
    if rack.is_unseated() {
        return Some((bookmesh_storage::Standing::Left, Reverse(known)));
    }
    Some((of_member(status.member, &status.members), Reverse(known)))
}

fn of_member(number: MemberId, members: &[Member]) -> bookmesh_storage::Standing {
    use bookmesh_storage::Standing::{Learner, Left, Voter};
    let mine = members.iter().find(|member| member.member == number);
    match mine.map(|member| member.role) {
        Some(MemberRole::Voter) => Voter,
        Some(MemberRole::Learner) => Learner,
        None => Left,
    }
}
