//! A worker: the racks it holds, and which method goes to which of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Announce, Announced, ApiError, GroupId, RackId, Reply, Request, StreamRequest,
};
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Service};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::call_log::CallLine;
use super::rack::{Place, Rack, Verdict};
use super::rack_life;
use crate::consensus::membership::Aims;

/// The racks of one worker. They are fixed when it starts.
pub struct Worker {
    racks: BTreeMap<RackId, Arc<Rack>>,
    aims: Arc<Aims>,
}

impl Worker {
    /// A worker that holds these places; their racks come to life once [`Worker::live`] runs.
    pub fn new(places: Vec<Place>, aims: Arc<Aims>) -> Arc<Self> {
        let racks = places.into_iter().map(|place| (place.id.clone(), Rack::new(place)));
        Arc::new(Self { racks: racks.collect(), aims })
    }

    /// Its racks, by name.
    pub fn racks(&self) -> impl Iterator<Item = &Arc<Rack>> {
        self.racks.values()
    }

    /// Founds or joins every rack; the tasks end when each is seated.
    pub fn live(&self) -> JoinSet<()> {
        self.racks.values().cloned().map(rack_life::run).collect()
    }

    /// What an orchestrator answered to what this worker said: whose history counts, and what the
    /// mesh aims for.
    pub fn heard(&self, said: &Announce, announced: &Announced) {
        for rack in self.racks.values() {
            if let Some(verdict) = verdict(&rack.place.id, said, announced) {
                rack.judge(verdict);
            }
        }
        self.aims.follow(&announced.settings);
    }

    /// Takes the members of all racks out of their groups, at once, since this worker is about to
    /// stop. Gives up `within` a time.
    pub async fn leave(&self, within: Duration) {
        let leaving = self.racks.values().map(|rack| rack_life::leave(rack, within));
        futures::future::join_all(leaving).await;
    }

    /// Stops the members of all racks, at once.
    pub async fn stop(&self) {
        let stopping = self.racks.values().map(|rack| async {
            if let Ok(group) = rack.group() {
                rack.set_group(None);
                group.stop().await;
            }
        });
        futures::future::join_all(stopping).await;
    }

    fn rack(&self, id: &RackId) -> Result<&Arc<Rack>, ApiError> {
        self.racks.get(id).ok_or_else(|| ApiError::NotMember { rack: id.clone() })
    }

    fn rack_of(&self, group: &GroupId) -> Result<&Arc<Rack>, ApiError> {
        match group {
            GroupId::Rack(rack) => self.rack(rack),
            GroupId::Registry => Err(not_served("the registry")),
        }
    }

    async fn answer(
        &self,
        from: PeerId,
        context: Context,
        request: Request,
    ) -> Result<Reply, ApiError> {
        let id = context.request_id.clone();
        Ok(match request {
            Request::Ping(ping) => Reply::Ping(ping.payload),
            Request::Consensus(message) => {
                let group = self.rack_of(&message.group)?.group()?;
                Reply::Consensus(group.answer(from, message.to, &message.body).await?)
            }
            Request::GetMember(get) => Reply::GetMember(self.rack(&get.rack)?.status()?),
            Request::AdmitMember(admit) => {
                Reply::AdmitMember(self.rack_of(&admit.group)?.admit(from, id, admit).await?)
            }
            Request::SeatMember(seat) => {
                self.rack_of(&seat.group)?.seat(from, seat).await?;
                Reply::SeatMember(())
            }
            Request::UnseatMember(unseat) => {
                let rack = self.rack_of(&unseat.group)?;
                Reply::UnseatMember(rack.unseat(from, context.deadline, unseat).await?)
            }
            Request::CloseRack(close) => {
                self.rack(&close.rack)?.close(id, close.force).await?;
                Reply::CloseRack(())
            }
            Request::RegisterThing(register) => {
                Reply::RegisterThing(self.rack(&register.rack)?.register(id, register).await?)
            }
            Request::RegisterThings(register) => {
                Reply::RegisterThings(self.rack(&register.rack)?.register_all(id, register).await?)
            }
            Request::UpdateThing(update) => {
                Reply::UpdateThing(self.rack(&update.rack)?.update(id, update).await?)
            }
            Request::ForgetThings(forget) => {
                Reply::ForgetThings(self.rack(&forget.rack)?.forget(id, forget).await?)
            }
            Request::SettleKey(settle) => {
                Reply::SettleKey(self.rack(&settle.rack)?.settle(id, settle).await?)
            }
            Request::GetThing(get) => Reply::GetThing(self.rack(&get.rack)?.get(get).await?),
            Request::ListThings(list) => {
                Reply::ListThings(self.rack(&list.rack)?.list(list).await?)
            }
            Request::ReadLog(read) => Reply::ReadLog(self.rack(&read.rack)?.read_log(read).await?),
            Request::WithdrawThing(withdraw) => {
                Reply::WithdrawThing(self.rack(&withdraw.rack)?.withdraw(id, withdraw).await?)
            }
            Request::GetOrder(get) => Reply::GetOrder(self.rack(&get.rack)?.order(get).await?),
            Request::ListOrders(list) => {
                Reply::ListOrders(self.rack(&list.rack)?.list_orders(list).await?)
            }
            Request::PlaceOrder(place) => {
                Reply::PlaceOrder(self.rack(&place.rack)?.place_order(&context, place).await?)
            }
            Request::ReadHistory(read) => {
                Reply::ReadHistory(self.rack(&read.rack)?.history(read).await?)
            }
            Request::RecoverRack(recover) => {
                let rack = self.rack(&recover.rack)?.clone();
                Reply::RecoverRack(rack.recover(id, recover).await?)
            }
            Request::Announce(_)
            | Request::RegisterRack(_)
            | Request::ConfirmRack(_)
            | Request::ListRacks(_)
            | Request::GetRack(_)
            | Request::ListNodes(_)
            | Request::RetireRack(_)
            | Request::GetSettings(_)
            | Request::SetSettings(_)
            | Request::GetRegistry(_) => return Err(not_served(request.method())),
        })
    }
}

/// What is answered to what was said of a rack's data.
fn verdict(id: &RackId, said: &Announce, announced: &Announced) -> Option<Verdict> {
    if announced.retired.contains(id) {
        return Some(Verdict::Retired);
    }
    let judged = said.racks.iter().find(|status| &status.rack == id)?;
    let superseded = announced.superseded.contains(id);
    judged.charter.filter(|_| superseded).map(Verdict::Superseded)
}

pub(super) fn not_served(method: &str) -> ApiError {
    ApiError::NotServed { method: method.to_owned() }
}

impl Service for Worker {
    fn call(
        self: Arc<Self>,
        from: PeerId,
        context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        let span = tracing::debug_span!(
            "call", method = request.method(), request_id = %context.request_id, from = ?from
        );
        let line = CallLine::of(&request, &context.request_id);
        let answering = async move {
            let outcome = self.answer(from, context, request).await;
            if let Some(line) = line {
                line.log(&outcome);
            }
            outcome
        };
        Box::pin(answering.instrument(span))
    }

    fn stream(
        self: Arc<Self>,
        _: PeerId,
        _: Context,
        request: StreamRequest,
        items: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        Box::pin(async move {
            match request {
                StreamRequest::TailLog(tail) => {
                    self.rack(&tail.rack)?.clone().tail_log(tail, items).await
                }
                StreamRequest::FillReplica(fill) => {
                    self.rack(&fill.rack)?.fill_replica(fill, items).await
                }
                StreamRequest::WatchChanges(watch) => {
                    self.rack(&watch.rack)?.clone().watch_changes(watch, items).await
                }
                StreamRequest::WatchRoutes(_) => Err(not_served(request.method())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{MemberState, MemberStatus, NodeRole};

    use super::*;
    use crate::roles::samples;
    use crate::roles::samples::charter;

    #[test]
    fn a_verdict_holds_for_the_data_that_it_was_said_of() {
        let status = samples::status(MemberState::Follower);
        let id = status.rack.clone();
        let said = Announce {
            role: NodeRole::Worker,
            version: String::new(),
            addresses: Vec::new(),
            racks: vec![MemberStatus { charter: Some(charter(0)), ..status }],
        };
        let superseded = Announced { superseded: vec![id.clone()], ..Announced::default() };
        let verdict = |announced: &Announced| verdict(&id, &said, announced);
        assert_eq!(verdict(&Announced::default()), None);
        let retired = Announced { retired: vec![id.clone()], ..Announced::default() };
        assert_eq!(verdict(&retired), Some(Verdict::Retired));
        let verdict = verdict(&superseded).unwrap();
        assert!(verdict.is_against(Some(charter(0))));
        assert!(!verdict.is_against(Some(charter(1))), "it was filled anew since");
        assert!(!verdict.is_against(None), "it was wiped since");
    }
}
