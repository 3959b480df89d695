//! What is asked of the registry. All of it is answered by its leader; the others name the leader.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, AdmitMember, ApiError, Applied, CloseRack, Command, ConfirmRack, MemberId, MemberState,
    MemberStatus, RackId, RackInfo, RegisterRack, RequestId, RetireRack, SeatMember, Settings,
    UnseatMember, Unseated,
};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_storage::view::Registry;

use super::ork::Ork;
use crate::consensus::Group;
use crate::consensus::types::Seat;

/// How long a rack's members may take to close it.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How long one of them may take.
const ATTEMPT: Duration = Duration::from_secs(3);

impl Ork {
    pub(super) async fn admit(
        &self,
        from: PeerId,
        context: &Context,
        request: AdmitMember,
    ) -> Result<MemberId, ApiError> {
        let group = self.group()?;
        // The beginner takes the first number, and nobody before it.
        if group.read(|shown| shown.view.founding().is_none()) {
            group.confirm().await?;
            return Err(unavailable("it has only just begun"));
        }
        let incarnation = request.incarnation;
        // One that comes back has its number: the log need not say so again.
        if let Some(member) = group.read(|shown| shown.view.member_of(from, incarnation))
            && leads(&group)
        {
            return Ok(member);
        }
        let action = Action::AdmitMember { peer: from, incarnation };
        match propose(&group, &context.request_id, action).await? {
            Applied::Member(member) => Ok(member),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn seat(&self, from: PeerId, request: SeatMember) -> Result<(), ApiError> {
        let group = self.group()?;
        group.confirm().await?;
        let given = group.read(|shown| shown.view.member_of(from, request.incarnation));
        if given != Some(request.member) {
            let rule = format!("was not given to this node's data (that is {given:?})");
            return Err(ApiError::invalid("member", rule));
        }
        group.seat(request.member, Seat { peer: from, incarnation: request.incarnation }).await
    }

    /// Takes a member out of the membership, for it is about to stop.
    pub(super) async fn unseat(
        &self,
        from: PeerId,
        context: &Context,
        request: UnseatMember,
    ) -> Result<Unseated, ApiError> {
        let seat = Seat { peer: from, incarnation: request.incarnation };
        self.group()?.unseat(request.member, &seat, context.deadline).await
    }

    pub(super) async fn register(
        &self,
        from: PeerId,
        request_id: &RequestId,
        request: RegisterRack,
    ) -> Result<RackInfo, ApiError> {
        let group = self.group()?;
        group.confirm().await?;
        if group.read(|shown| shown.view.get(&request.rack).is_none()) {
            self.may_number(request.charter.is_some())?;
        }
        let RegisterRack { rack, kind, incarnation, charter } = request;
        let action = Action::RegisterRack { rack, kind, founder: from, incarnation, charter };
        rack_of(propose(&group, request_id, action).await?)
    }

    /// Whether a rack that the registry does not know may enter it.
    fn may_number(&self, exists: bool) -> Result<(), ApiError> {
        if let Some(rival) = self.rival() {
            let why = format!(
                "there is another registry in this mesh, {rival}: stop its orchestrators or these"
            );
            return Err(unavailable(why));
        }
        let current = *self.current().borrow();
        let Some(from) = current else { return Err(unavailable("it is catching up")) };
        let wait = from.saturating_duration_since(Instant::now());
        if exists || wait.is_zero() {
            return Ok(());
        }
        let why = format!("it is new and listens for existing racks for {wait:.1?} more");
        Err(unavailable(why))
    }

    pub(super) async fn confirm(
        &self,
        from: PeerId,
        context: &Context,
        request: ConfirmRack,
    ) -> Result<RackInfo, ApiError> {
        let ConfirmRack { rack, incarnation } = request;
        let action = Action::ConfirmRack { rack, founder: from, incarnation };
        rack_of(propose(&*self.group()?, &context.request_id, action).await?)
    }

    /// Registers racks by what their leaders say of them: this registry was made anew, or they
    /// were recovered. Every orchestrator hears of them; the one that leads acts.
    pub(super) async fn adopt(
        &self,
        group: &Group<Registry>,
        from: PeerId,
        request_id: &RequestId,
        news: Vec<MemberStatus>,
    ) {
        let led = news.into_iter().filter(|status| status.state == MemberState::Leader);
        let adopting = led.map(|status| async move {
            let (rack, charter) = (status.rack, status.charter);
            let (kind, incarnation) = (status.kind, Default::default());
            let request = RegisterRack { rack: rack.clone(), kind, incarnation, charter };
            match self.register(from, request_id, request).await {
                Ok(info) => tracing::info!(
                    %rack, number = info.number, recoveries = info.recoveries,
                    "took over what the rack's own log says it is"
                ),
                Err(ApiError::Unavailable { why, .. }) => {
                    tracing::debug!(%rack, why, "can't take the rack over yet");
                }
                Err(error) => tracing::error!(%rack, ?charter, %error, "can't adopt the rack"),
            }
        });
        if leads(group) {
            futures::future::join_all(adopting).await;
        }
    }

    /// Takes a rack out of use: its leader closes it, then it is noted.
    pub(super) async fn retire(
        &self,
        context: &Context,
        request: RetireRack,
    ) -> Result<RackInfo, ApiError> {
        let RetireRack { rack, force } = request;
        let known = self.rack(rack.clone()).await?;
        if known.retired {
            return Ok(known);
        }
        // One whose group has not begun has nothing to close.
        if known.confirmed
            && let Err(error) = self.close(&rack, force, context).await
        {
            if !force {
                return Err(error);
            }
            tracing::warn!(%rack, %error, "retired by force although it could not be closed");
        }
        let action = Action::RetireRack { rack };
        let retired = rack_of(propose(&*self.group()?, &context.request_id, action).await?)?;
        tracing::info!(rack = %retired.id, number = retired.number, "retired");
        Ok(retired)
    }

    /// Asks the rack's leader to take no more writes, following hints to it.
    async fn close(&self, rack: &RackId, force: bool, context: &Context) -> Result<(), ApiError> {
        let (leader, holders) = self.holders(rack);
        // The other half of the caller's time is for the answer, whatever it is.
        let until = Instant::now() + CLOSE_WITHIN.min(context.remaining() / 2);
        let mut waiting: Vec<_> = holders.into_iter().chain(leader).collect();
        let mut asked = BTreeSet::new();
        let mut last = "no node of it was heard of".to_owned();
        while let Some(peer) = waiting.pop() {
            if Instant::now() >= until || !asked.insert(peer) {
                continue;
            }
            let deadline = until.min(Instant::now() + ATTEMPT);
            let context = Context { deadline, ..context.clone() };
            let request = CloseRack { rack: rack.clone(), force };
            match self.mesh.call(peer, &context, request).await {
                Ok(()) => return Ok(()),
                Err(CallError::Api(ApiError::NotLeader { leader, .. })) => {
                    last = "no node of it leads".to_owned();
                    waiting.extend(leader);
                }
                Err(CallError::Api(
                    error @ (ApiError::Invalid(_) | ApiError::RackNotEmpty { .. }),
                )) => return Err(error),
                Err(error) => last = error.to_string(),
            }
        }
        let why = format!("its leader can't be asked whether it holds things: {last}");
        Err(ApiError::Unavailable { what: rack.to_string(), why })
    }

    pub(super) async fn settings(&self) -> Result<Settings, ApiError> {
        let group = self.group()?;
        group.confirm().await?;
        Ok(group.read(|shown| shown.view.settings()))
    }

    pub(super) async fn set_settings(
        &self,
        context: &Context,
        settings: Settings,
    ) -> Result<Settings, ApiError> {
        settings.faults().check()?;
        let action = Action::SetSettings { settings };
        match propose(&*self.group()?, &context.request_id, action).await? {
            Applied::Settings(settings) => Ok(settings),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn racks(&self) -> Result<Vec<RackInfo>, ApiError> {
        let group = self.group()?;
        group.confirm().await?;
        Ok(group.read(|shown| shown.view.list().cloned().collect()))
    }

    pub(super) async fn rack(&self, rack: RackId) -> Result<RackInfo, ApiError> {
        let group = self.group()?;
        group.confirm().await?;
        let found = group.read(|shown| shown.view.get(&rack).cloned());
        found.ok_or(ApiError::RackNotFound { rack })
    }
}

fn leads(group: &Group<Registry>) -> bool {
    let metrics = group.metrics();
    let metrics = metrics.borrow();
    metrics.current_leader == Some(metrics.id)
}

pub(super) async fn propose(
    group: &Group<Registry>,
    request_id: &RequestId,
    action: Action,
) -> Result<Applied, ApiError> {
    group.propose(Command { key: None, request_id: request_id.clone(), action }).await
}

fn rack_of(applied: Applied) -> Result<RackInfo, ApiError> {
    match applied {
        Applied::Rack(info) => Ok(info),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(applied: &Applied) -> ApiError {
    ApiError::internal(format!("the registry answered {applied:?}"))
}

fn unavailable(why: impl Into<String>) -> ApiError {
    ApiError::Unavailable { what: "the registry".into(), why: why.into() }
}
