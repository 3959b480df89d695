//! How an orchestrator takes itself out of the registry before it stops.

use std::time::Duration;

use bookmesh_rpc::api::Unseated;
use bookmesh_storage::{GroupName, Store};

use super::ork::{Ork, OrkStage};
use super::ork_identity::{OrkIdentity, Step};
use super::rack_life::blocking;
use crate::consensus::types::Seat;

/// Takes the member out of the registry, since this orchestrator is about to stop. The last one
/// stays. Gives up `within` a time.
pub(super) async fn leave(ork: &Ork, store: &Store, within: Duration) {
    let Ok(group) = ork.group() else { return };
    let log = store.clone();
    let Ok(Ok(log)) = blocking(move || log.group(&GroupName::registry())).await else { return };
    let Ok(mut identity) = OrkIdentity::load(&log).await else { return };
    if identity.step != Step::Seated {
        return;
    }
    let seat = Seat { peer: ork.mesh.peer_id(), incarnation: identity.incarnation };
    match group.leave(&seat, within).await {
        Ok(Unseated::Left) => {
            identity.step = Step::Left;
            ork.set_stage(OrkStage::Left);
            match identity.save(&log).await {
                Ok(()) => tracing::info!("left the registry"),
                Err(error) => tracing::warn!(%error, "left the registry, but that is not noted"),
            }
        }
        Ok(Unseated::Needed) => tracing::info!("the registry can't do without it: it stays in it"),
        Err(error) => tracing::warn!(%error, "it is still a member of the registry"),
    }
}
