//! An operator's decision that one member goes on alone: what speaks against it, and what is done.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, ApiError, Command, Consistency, Filter, ListThings, MemberState, MemberStatus,
    RecoverRack, RequestId,
};
use bookmesh_rpc::mesh::Context;
use bookmesh_storage::GroupName;
use bookmesh_storage::view::Things;

use super::rack::{Rack, Stage};
use super::rack_life::reopen;
use super::survey::{self, Standing};
use crate::consensus::Group;
use crate::consensus::recovery::{self, Recovery, RecoveryError};

/// How long somebody may take to show that the rack has a majority still.
const PROOF: Duration = Duration::from_secs(2);
/// How long the member may take to lead itself, its whole log applied.
const LEAD_WITHIN: Duration = Duration::from_secs(60);

impl Rack {
    /// Makes this member the only one of its rack. Goes on to its end when the caller is gone.
    ///
    /// All entries in its log count from then on, also those that no majority had; what was
    /// acknowledged and is not in it is lost. The members that are given up have another history
    /// from here on, which the count of recoveries in the rack's lineage tells.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for another member or another log than the operator looked at, while
    /// the rack has a majority, and when another member that runs would lose less; unavailable
    /// when a step fails, and then it is worth trying again: what was decided is carried out by
    /// whatever opens the member next.
    pub async fn recover(
        self: Arc<Self>,
        request_id: RequestId,
        request: RecoverRack,
    ) -> Result<MemberStatus, ApiError> {
        let steps = async move { self.recover_steps(request_id, request).await };
        tokio::spawn(steps).await.map_err(ApiError::internal)?
    }

    async fn recover_steps(
        &self,
        request_id: RequestId,
        request: RecoverRack,
    ) -> Result<MemberStatus, ApiError> {
        let group = self.group()?;
        check_seen(&group, &request)?;
        self.check_lost(&group).await?;
        tracing::warn!(
            rack = %self.place.id, %request_id, member = request.member,
            last_index = request.last_index, "an operator decided that this member goes on alone"
        );
        // Whoever opens the member waits until it is decided.
        let turn = self.turn.acquire().await.map_err(ApiError::internal)?;
        self.set_stage(Stage::Waiting("being recovered".into()));
        self.set_group(None);
        group.stop().await;
        if group.metrics().borrow().running_state.is_ok() {
            return Err(self.unavailable("its member does not stop"));
        }
        let decided = self.decide(&group, &request).await;
        drop(turn);
        // Decided or not, it has to run again.
        let opened = reopen(self, request.member).await;
        decided?;
        opened.map_err(|error| self.unavailable(error.to_string()))?;
        self.status()
    }

    /// Writes the decision down.
    async fn decide(&self, group: &Group<Things>, request: &RecoverRack) -> Result<(), ApiError> {
        let RecoverRack { member, last_index, .. } = *request;
        let members = group.metrics().borrow().membership_config.clone();
        let members = members.nodes().map(|(id, seat)| (*id, seat.clone())).collect();
        let (disk, name) = (self.place.disk.clone(), GroupName::rack(&self.place.id));
        let store = tokio::task::spawn_blocking(move || disk.group(&name)).await;
        let store = store.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
        match recovery::decide(&store, member, &members, last_index).await {
            Err(RecoveryError::Changed) => Err(not_seen(store.last_index())),
            other => other.map_err(|error| self.unavailable(error.to_string())),
        }
    }

    /// Refuses while the rack has a majority: then there is nothing to give up.
    async fn check_lost(&self, group: &Group<Things>) -> Result<(), ApiError> {
        let refuse = |why: String| Err(ApiError::invalid("rack_id", why));
        if matches!(tokio::time::timeout(PROOF, group.confirm()).await, Ok(Ok(()))) {
            return refuse("this member leads it, and a majority agrees".into());
        }
        let peers: Vec<_> = {
            let metrics = group.metrics();
            let metrics = metrics.borrow();
            metrics.membership_config.nodes().map(|(_, seat)| seat.peer).collect()
        };
        let context = Context::within(PROOF * 2);
        let others = survey::members(self, &peers, &context).await;
        let own = group.read(|shown| shown.view.charter()).map(|charter| charter.lineage);
        let of_this_rack = |status: &MemberStatus| match (own, status.charter) {
            (Some(own), Some(theirs)) => own.founding == theirs.lineage.founding,
            _ => true,
        };
        let others: Vec<_> =
            others.into_iter().filter(|(_, status)| of_this_rack(status)).collect();
        for (peer, status) in &others {
            let recoveries = status.charter.map_or(0, |charter| charter.lineage.recoveries);
            if own.is_some_and(|own| own.recoveries < recoveries) {
                return refuse(format!("{} was recovered already", peer.short()));
            }
            if status.state == MemberState::Leader && self.is_led_by(*peer).await {
                return refuse(format!("{} leads it, and a majority agrees", peer.short()));
            }
        }
        let own = self.status()?;
        let longer = others.iter().find(|(_, status)| {
            status.state != MemberState::Failed
                && (status.last_term, status.last_index) > (own.last_term, own.last_index)
        });
        if let Some((peer, status)) = longer {
            let last = status.last_index;
            return refuse(format!("{} has a longer log, up to {last}: take it", peer.short()));
        }
        if has_majority(group, &others) {
            return refuse("a majority of its voters runs: it will have a leader soon".into());
        }
        Ok(())
    }

    /// Whether a majority agrees that this node leads the rack.
    async fn is_led_by(&self, peer: PeerId) -> bool {
        let request = ListThings {
            rack: self.place.id.clone(),
            filter: Filter::default(),
            after: None,
            offset: 0,
            limit: 0,
            consistency: Consistency::Linearizable,
        };
        self.place.mesh.call(peer, &Context::within(PROOF), request).await.is_ok()
    }
}

/// The operator decided by what he saw.
fn check_seen(group: &Group<Things>, request: &RecoverRack) -> Result<(), ApiError> {
    if request.member != group.member() {
        let rule = format!("is not the one that is here: that is {}", group.member());
        return Err(ApiError::invalid("member", rule));
    }
    let last = group.metrics().borrow().last_log_index;
    if last != Some(request.last_index) {
        return Err(not_seen(last));
    }
    Ok(())
}

fn not_seen(last: Option<u64>) -> ApiError {
    let rule = format!("is {} now: look again before you decide", last.unwrap_or(0));
    ApiError::invalid("last_index", rule)
}

/// Whether those who answer, with this member, are a majority of every set of voters that counts.
fn has_majority(group: &Group<Things>, others: &[Standing]) -> bool {
    let runs = |id: u64| {
        id == group.member()
            || others.iter().any(|(_, status)| {
                let out = matches!(status.state, MemberState::Failed | MemberState::Joining);
                status.member == id && !out
            })
    };
    let metrics = group.metrics();
    let metrics = metrics.borrow();
    metrics.membership_config.membership().get_joint_config().iter().all(|voters| {
        let running = voters.iter().filter(|id| runs(**id)).count();
        running > voters.len() / 2
    })
}

/// The last step of a recovery, once the member is open again and before anybody is served: it
/// leads, its whole log is applied, and the rack's log says that it was recovered.
///
/// # Errors
/// When it does not lead in time, or the log takes nothing.
pub(super) async fn finish(
    group: &Group<Things>,
    store: &bookmesh_storage::Group,
    recovery: &Recovery,
) -> Result<(), ApiError> {
    let late = |why: &str| ApiError::Unavailable { what: "recovery".into(), why: why.into() };
    let mut metrics = group.metrics();
    let led = metrics.wait_for(|metrics| metrics.current_leader == Some(metrics.id));
    match tokio::time::timeout(LEAD_WITHIN, led).await {
        Ok(Ok(_)) => {}
        _ => return Err(late("the member does not lead itself")),
    }
    let action = Action::RecoverRack { member: group.member() };
    let request_id = RequestId::generate();
    group.propose(Command { key: Some(recovery.key), request_id, action }).await?;
    recovery::conclude(store).await.map_err(|error| late(&error.to_string()))?;
    tracing::warn!(group = %store.name(), member = group.member(), "recovered: it goes on alone");
    Ok(())
}
