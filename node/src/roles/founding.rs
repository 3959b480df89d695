//! How a worker founds a rack that the registry has given to it.

use std::sync::Arc;

use bookmesh_rpc::api::{Action, Command, ConfirmRack, MemberId, RackInfo, RequestId};
use bookmesh_rpc::mesh::Context;
use bookmesh_storage::view::Things;

use super::identity::{Identity, Step};
use super::rack::Rack;
use super::rack_life::open_group;
use super::setback::Setback;
use crate::consensus::Group;
use crate::consensus::types::Seat;

/// The number that a rack's first member has.
pub(super) const FOUNDER: MemberId = 1;

/// Begins the rack, or goes on where it was interrupted. Every step can be repeated.
pub(super) async fn found(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    mut identity: Identity,
    info: &RackInfo,
    context: &Context,
) -> Result<(), Setback> {
    let me = rack.place.mesh.peer_id();
    identity.member = Some(FOUNDER);
    identity.save(store).await?;
    let group = open_group(rack, store.clone(), FOUNDER).await?;
    let incarnation = identity.incarnation;
    group.begin(Seat { peer: me, incarnation }).await?;
    lead(&group, context).await?;

    let (id, kind, number) = (info.id.clone(), info.kind, info.number);
    let found = Action::FoundRack { rack: id.clone(), kind, number, founding: incarnation };
    propose(&group, context, found).await?;
    propose(&group, context, Action::AdmitMember { peer: me, incarnation }).await?;
    let confirm = ConfirmRack { rack: id.clone(), incarnation };
    rack.place.orks.call(context, confirm).await?;
    propose(&group, context, Action::ConfirmRack { rack: id, founder: me, incarnation }).await?;

    identity.step = Step::Seated;
    identity.save(store).await?;
    tracing::info!(rack = %rack.place.id, number, "founded");
    Ok(())
}

/// Whether the founding got so far that the rack's own log says it is confirmed: then only the
/// note of it on this disk is missing.
pub(super) async fn was_confirmed(group: &Group<Things>, context: &Context) -> bool {
    // A founder is alone: its log is applied once it leads.
    lead(group, context).await.is_ok()
        && group.confirm().await.is_ok()
        && group.read(|shown| shown.view.confirmed())
}

async fn lead(group: &Group<Things>, context: &Context) -> Result<(), Setback> {
    let mut metrics = group.metrics();
    let led = metrics.wait_for(|metrics| metrics.current_leader == Some(metrics.id));
    match tokio::time::timeout(context.remaining(), led).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Setback::Other("the new group has no leader yet".into())),
    }
}

async fn propose(
    group: &Arc<Group<Things>>,
    context: &Context,
    action: Action,
) -> Result<(), Setback> {
    let request_id: RequestId = context.request_id.clone();
    group.propose(Command { key: None, request_id, action }).await?;
    Ok(())
}
