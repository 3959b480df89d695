//! Reads and writes of a rack's things: checked, then committed through the rack's log, or
//! answered from its view.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{
    Action, ApiError, Applied, Command, Consistency, Filter, ForgetThings, GetThing, ListThings,
    MAX_BATCH, MemberState, RegisterThing, RegisterThings, Registered, RequestId, RequestKey,
    SettleKey, Settled, Thing, ThingId, ThingList, ThingRead, UpdateThing, WithdrawThing,
};
use bookmesh_rpc::timing;
use bookmesh_storage::view::Things;

use super::rack::Rack;
use crate::consensus::Group;
use crate::consensus::membership::state_in;
use crate::consensus::proposer::now_ms;

/// The most things of one page.
const MAX_PAGE: u32 = 1_000;

/// Bytes of a filter's texts: its words are looked up while the view can't change, some thousands
/// of them in a millisecond.
const MAX_FILTER_BYTES: usize = 32 * 1024;

/// What became of one thing of a batch.
type BatchItem = Result<(Registered, ThingId), ApiError>;

impl Rack {
    /// Registers one thing.
    ///
    /// # Errors
    /// Invalid, not the leader, or unavailable.
    pub async fn register(
        &self,
        request_id: RequestId,
        request: RegisterThing,
    ) -> Result<Arc<Thing>, ApiError> {
        request.thing.faults().check()?;
        let action = Action::Register { thing: request.thing, on_conflict: Default::default() };
        match self.write(request_id, request.key, action).await? {
            Applied::Registered(_, thing) | Applied::Thing(thing) => Ok(thing),
            // Its key was settled: a later attempt is in another rack's hands.
            Applied::Done => Err(self.unavailable("another rack takes the write with this key")),
            other => Err(unexpected(&other)),
        }
    }

    /// Registers many things, each answered on its own.
    ///
    /// # Errors
    /// When the rack as a whole can't answer; the caller may send the same again, and what was
    /// registered already is answered as it was.
    pub async fn register_all(
        &self,
        request_id: RequestId,
        request: RegisterThings,
    ) -> Result<Vec<BatchItem>, ApiError> {
        let RegisterThings { key, on_conflict, things, .. } = request;
        let count = things.len();
        if !(1..=MAX_BATCH).contains(&count) {
            let rule = format!("must be 1 to {MAX_BATCH}, are {count}");
            return Err(ApiError::invalid("things", rule));
        }
        self.writable()?;
        let group = self.confirmed()?;
        has_room_for(&group, &key)?;
        let began = Instant::now();
        let mut waiting = Vec::with_capacity(count);
        for (part, thing) in (0..).zip(things) {
            let queued = match thing.faults().check() {
                Ok(()) => {
                    let key = Some(key.with_part(part));
                    let action = Action::Register { thing, on_conflict };
                    let command = Command { key, request_id: request_id.clone(), action };
                    Ok(group.proposer().enqueue(command).await?)
                }
                Err(error) => Err(error),
            };
            waiting.push(queued);
        }
        let mut items = Vec::with_capacity(count);
        let mut applied = Duration::ZERO;
        for queued in waiting {
            items.push(match queued {
                Ok(pending) => {
                    let (outcome, took) = pending.answered().await;
                    // Those of one entry were applied together, in about the time of each.
                    applied = applied.max(took);
                    batch_item(outcome)?
                }
                Err(error) => Err(error),
            });
        }
        timing::note_commit(began.elapsed(), applied);
        Ok(items)
    }

    /// Changes one thing.
    ///
    /// # Errors
    /// Invalid, no such thing, checked out, another version, not the leader, unavailable.
    pub async fn update(
        &self,
        request_id: RequestId,
        request: UpdateThing,
    ) -> Result<Arc<Thing>, ApiError> {
        request.patch.faults().check()?;
        let UpdateThing { key, id, patch, status_rule, if_version, .. } = request;
        self.holds(id)?;
        let action = Action::Update { id, patch, status_rule, if_version };
        match self.write(request_id, key, action).await? {
            Applied::Thing(thing) => Ok(thing),
            other => Err(unexpected(&other)),
        }
    }

    /// Removes things, all or none.
    ///
    /// # Errors
    /// No such thing, another version, not the leader, unavailable.
    pub async fn forget(
        &self,
        request_id: RequestId,
        request: ForgetThings,
    ) -> Result<Vec<Arc<Thing>>, ApiError> {
        let ForgetThings { key, ids, if_version, .. } = request;
        if !(1..=MAX_BATCH).contains(&ids.len()) {
            let rule = format!("must be 1 to {MAX_BATCH}, are {}", ids.len());
            return Err(ApiError::invalid("ids", rule));
        }
        ids.iter().try_for_each(|id| self.holds(*id))?;
        let action = Action::Forget { ids, if_version };
        match self.write(request_id, key, action).await? {
            Applied::Forgotten(things) => Ok(things),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a thing out of use.
    ///
    /// # Errors
    /// As [`Rack::forget`].
    pub async fn withdraw(
        &self,
        request_id: RequestId,
        request: WithdrawThing,
    ) -> Result<Arc<Thing>, ApiError> {
        let WithdrawThing { key, id, if_version, .. } = request;
        self.holds(id)?;
        match self.write(request_id, key, Action::Withdraw { id, if_version }).await? {
            Applied::Thing(thing) => Ok(thing),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a client's key out of use, or answers what was registered under it.
    ///
    /// # Errors
    /// The key's own first error, not the leader, unavailable.
    pub async fn settle(
        &self,
        request_id: RequestId,
        request: SettleKey,
    ) -> Result<Settled, ApiError> {
        let key = RequestKey::Client(request.key);
        match self.write(request_id, key, Action::Settle).await? {
            Applied::Done => Ok(Settled::Nothing),
            Applied::Registered(_, thing) | Applied::Thing(thing) => Ok(Settled::Thing(thing)),
            Applied::Order(order) => Ok(Settled::Order(order)),
            other => Err(unexpected(&other)),
        }
    }

    /// One thing.
    ///
    /// # Errors
    /// No such thing; for a linearizable read not the leader, unavailable; for an eventual one too
    /// far behind, or nothing to read yet.
    pub async fn get(&self, request: GetThing) -> Result<ThingRead, ApiError> {
        let GetThing { id, consistency, .. } = request;
        let group = self.fresh(consistency).await?;
        self.holds(id)?;
        group.read(|shown| {
            let thing = shown.view.get(id).cloned().ok_or(ApiError::ThingNotFound { id })?;
            Ok(ThingRead { thing, applied_index: shown.applied.map_or(0, |id| id.index) })
        })
    }

    /// One page of things.
    ///
    /// # Errors
    /// As [`Rack::get`]; a filter that is too long.
    pub async fn list(&self, mut request: ListThings) -> Result<ThingList, ApiError> {
        request.limit = request.limit.min(MAX_PAGE);
        check_filter(&request.filter)?;
        let group = self.fresh(request.consistency).await?;
        Ok(group.read(|shown| {
            let mut list = shown.view.list(&request);
            list.applied_index = shown.applied.map_or(0, |id| id.index);
            list
        }))
    }

    pub(super) async fn fresh(
        &self,
        consistency: Consistency,
    ) -> Result<Arc<Group<Things>>, ApiError> {
        match consistency {
            Consistency::Linearizable => {
                let group = self.group()?;
                group.confirm().await?;
                self.confirmed()
            }
            Consistency::Eventual { max_lag_ms: None } => self.confirmed(),
            Consistency::Eventual { max_lag_ms: Some(most) } => {
                let group = self.confirmed()?;
                let lag_ms = group.lag_ms();
                if lag_ms.is_some_and(|lag| lag <= u64::from(most)) {
                    return Ok(group);
                }
                if state_in(&group.metrics().borrow()) != MemberState::Leader {
                    return Err(ApiError::TooFarBehind { rack: self.place.id.clone(), lag_ms });
                }
                group.confirm().await?;
                Ok(group)
            }
        }
    }

    pub(super) async fn write(
        &self,
        request_id: RequestId,
        key: RequestKey,
        action: Action,
    ) -> Result<Applied, ApiError> {
        self.writable()?;
        let group = self.confirmed()?;
        has_room_for(&group, &key)?;
        group.propose(Command { key: Some(key), request_id, action }).await
    }

    /// Whether an id can be one of this rack's.
    pub(super) fn holds(&self, id: ThingId) -> Result<(), ApiError> {
        let number = self.group()?.read(|shown| shown.view.number());
        match number {
            Some(number) if number != id.rack_number() => Err(ApiError::ThingNotFound { id }),
            _ => Ok(()),
        }
    }
}

fn check_filter(filter: &Filter) -> Result<(), ApiError> {
    let texts = filter.tags.iter().chain(&filter.words).chain(&filter.author);
    let bytes: usize = texts.map(|text| text.len() + 1).sum();
    if bytes > MAX_FILTER_BYTES {
        let rule = format!("must have at most {MAX_FILTER_BYTES} bytes, has {bytes}");
        return Err(ApiError::invalid("filter", rule));
    }
    Ok(())
}

/// Whether the rack can remember a client's key. Its log would refuse it too; but then each refusal
/// would stand there.
pub(super) fn has_room_for(group: &Group<Things>, key: &RequestKey) -> Result<(), ApiError> {
    match key {
        RequestKey::Retry(_) => Ok(()),
        RequestKey::Client(_) => group.read(|shown| shown.view.has_room_for(key, now_ms())),
    }
}

/// One command's outcome as one item's: its own errors stay with it, those of the rack end the
/// whole call, as does a key that was another's: then none of them was applied.
fn batch_item(outcome: Result<Applied, ApiError>) -> Result<BatchItem, ApiError> {
    use ApiError::{Conflict, Invalid};
    match outcome {
        Ok(Applied::Registered(registered, thing)) => Ok(Ok((registered, thing.id))),
        Ok(other) => Err(unexpected(&other)),
        Err(error @ (Conflict { .. } | Invalid(_))) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

pub(super) fn unexpected(applied: &Applied) -> ApiError {
    ApiError::internal(format!("the log answered {applied:?}"))
}
