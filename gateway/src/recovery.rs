//! `/racks/{id}/recovery` and `/racks/{id}/recover`: one member goes on alone when a rack's
//! majority is gone for good.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bookmesh_rpc::api::{
    ApiError, Consistency, Filter, ListThings, MemberId, MemberState, MemberStatus, RackId,
    RackRoute, RecoverRack,
};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::peer::PeerId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::success;
use crate::app::App;
use crate::body::{self, Fields};
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::openapi::forms;
use crate::query::{self, Params};
use crate::racks::{self, Statuses};
use crate::recovery_plan::{self, Plan};
use crate::thing_json::Text;
use bookmesh_rpc::routing::leader::Failure;

/// How long the DHT may take to name who holds the rack, and a leader to prove that it is one.
const LOOK: Duration = Duration::from_secs(2);

/// `GET /racks/{id}/recovery?member=2`: what each member says, which would be chosen unless one is
/// named, and what that loses.
pub(crate) async fn plan(app: Arc<App>, mut call: Call) -> Answer {
    let mut params = Params::of(call.uri()).map_err(invalid)?;
    let wanted = params.number("member", 1..=body::MAX_WHOLE);
    params.finish("member").map_err(invalid)?;
    let id: RackId = call.path_text().await?.parse().map_err(invalid)?;
    let look = Look::at(&app, &id, &call.context).await?;
    Ok(success(look.plan().json(&look.rack, wanted)))
}

/// `POST /racks/{id}/recover` of `{"member":1,"last_index":412}`, as the recovery was shown.
pub(crate) async fn recover(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let id: RackId = call.path_text().await?.parse().map_err(invalid)?;
    let (member, last_index) = parse(&call.body().await?).map_err(invalid)?;
    let look = Look::at(&app, &id, &call.context).await?;
    let peer = chosen(&look, member, last_index)?;
    let request = RecoverRack { rack: id.clone(), member, last_index };
    let status = match app.mesh.call(peer, &call.context, request).await {
        Ok(status) => status,
        Err(error) => return Err(HttpError::of_rack(&id, failure(error), look.rack.kind)),
    };
    app.directory().learn(&status);
    Ok(success(RecoveredJson::of(peer, &status)))
}

fn parse(body: &[u8]) -> Result<(MemberId, u64), ApiError> {
    let mut fields = Fields::new(body::object(body)?, "");
    let mut number = |name: &str| {
        let number = fields.whole(name, "a whole number").value();
        if number.is_none() && !fields.has_fault(name) {
            fields.fault(name, "is required; GET /racks/{id}/recovery shows it");
        }
        number.unwrap_or_default()
    };
    let (member, last_index) = (number("member"), number("last_index"));
    fields.finish("member, last_index")?;
    Ok((member, last_index))
}

/// The node of the member that is to go on, if it still is what the operator saw.
fn chosen(look: &Look, member: MemberId, last_index: u64) -> Result<PeerId, HttpError> {
    let (plan, id) = (look.plan(), &look.rack.id);
    if let Some(why) = plan.needless() {
        return Err(refused(format!("rack {id} is not recovered: {why}")));
    }
    let Some(known) = plan.member(member) else {
        let known = plan.members.iter().filter_map(|known| known.number);
        let known: Vec<_> = known.map(|number| number.to_string()).collect();
        let rule = format!("is no member of {id} that is known; these are: {}", known.join(", "));
        return Err(invalid(ApiError::invalid("member", rule)));
    };
    let Some(status) = known.status else {
        return Err(HttpError::unavailable(format!("member {member} of {id} can't be reached")));
    };
    if status.last_index != last_index {
        let has = status.last_index;
        let message = format!(
            "the log of member {member} ends with entry {has}, not {last_index}: look again"
        );
        return Err(refused(message));
    }
    if let Some(why) = plan.behind(known) {
        return Err(refused(why));
    }
    Ok(known.peer)
}

/// The rack is not, or is no longer, what the operator decided by.
fn refused(message: String) -> HttpError {
    HttpError::new(StatusCode::CONFLICT, "ERR_RECOVERY_REFUSED", message)
}

fn failure(error: CallError) -> Failure {
    let why = error.to_string();
    match error {
        CallError::Api(error) => Failure::Refused(error),
        CallError::Timeout { .. } => Failure::NoAnswer(why),
        CallError::Protocol { .. } => Failure::Fault(why),
        _ => Failure::Unavailable(why),
    }
}

/// What everyone who may hold a rack says of it.
struct Look {
    rack: Arc<RackRoute>,
    statuses: Statuses,
    leader: Option<PeerId>,
}

impl Look {
    /// Without a leader nobody speaks for the rack: those that the routes name are asked, those
    /// that the DHT names, and then everyone whom these name.
    async fn at(app: &App, id: &RackId, context: &Context) -> Result<Self, HttpError> {
        let rack = app.rack(id, context).await?;
        let soon = Context { deadline: soon(context), ..context.clone() };
        let routed = racks::ask(&app.mesh, id, rack.members.clone(), context);
        let (mut statuses, holders) = tokio::join!(routed, app.routing.holders(id, &soon));
        let further = unasked(&statuses, holders);
        statuses.extend(racks::ask(&app.mesh, id, further, context).await);
        let named = statuses.iter().filter_map(|(_, status)| status.as_ref());
        let named = named.flat_map(|status| status.members.iter().map(|member| member.peer));
        let further = unasked(&statuses, named.collect());
        statuses.extend(racks::ask(&app.mesh, id, further, context).await);
        recovery_plan::forget_given_up(&mut statuses);
        let leader = proven_leader(app, id, &statuses, context).await;
        Ok(Self { rack, statuses, leader })
    }

    fn plan(&self) -> Plan<'_> {
        Plan::of(&self.rack, &self.statuses, self.leader)
    }
}

fn soon(context: &Context) -> Instant {
    context.deadline.min(Instant::now() + LOOK)
}

fn unasked(statuses: &Statuses, mut peers: Vec<PeerId>) -> Vec<PeerId> {
    peers.sort_unstable();
    peers.dedup();
    peers.retain(|peer| !statuses.iter().any(|(asked, _)| asked == peer));
    peers
}

/// A leader whose majority has gone still takes itself for one; a read that has to be confirmed
/// tells.
async fn proven_leader(
    app: &App,
    id: &RackId,
    statuses: &Statuses,
    context: &Context,
) -> Option<PeerId> {
    let leads = |status: &MemberStatus| status.state == MemberState::Leader;
    let claim = statuses.iter().filter(|(_, status)| status.as_ref().is_some_and(leads));
    let context = Context { deadline: soon(context), ..context.clone() };
    let proof = ListThings {
        rack: id.clone(),
        filter: Filter::default(),
        after: None,
        offset: 0,
        limit: 0,
        consistency: Consistency::Linearizable,
    };
    let ask = |peer: PeerId| {
        let (context, proof) = (&context, proof.clone());
        async move { app.mesh.call(peer, context, proof).await.is_ok().then_some(peer) }
    };
    let mut proofs: FuturesUnordered<_> = claim.map(|(peer, _)| ask(*peer)).collect();
    while let Some(proof) = proofs.next().await {
        if proof.is_some() {
            return proof;
        }
    }
    None
}

/// The member that goes on alone.
#[derive(Serialize, ToSchema)]
#[schema(as = RecoveredRack)]
pub(crate) struct RecoveredJson<'a> {
    #[schema(schema_with = forms::rack)]
    id: &'a RackId,
    #[schema(value_type = u64)]
    member: MemberId,
    #[schema(schema_with = forms::peer)]
    peer_id: Text<PeerId>,
    #[schema(schema_with = forms::member_state)]
    state: &'static str,
    term: u64,
    last_index: u64,
}

impl<'a> RecoveredJson<'a> {
    fn of(peer: PeerId, status: &'a MemberStatus) -> Self {
        let MemberStatus { rack, member, state, term, last_index, .. } = status;
        Self {
            id: rack,
            member: *member,
            peer_id: Text(peer),
            state: state.name(),
            term: *term,
            last_index: *last_index,
        }
    }
}
