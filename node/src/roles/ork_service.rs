//! What an orchestrator answers: which request goes where.

use std::sync::Arc;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{ApiError, GroupId, Reply, Request, StreamRequest};
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Service};

use super::ork::Ork;
use super::worker::not_served;

impl Ork {
    async fn answer(
        &self,
        from: PeerId,
        context: Context,
        request: Request,
    ) -> Result<Reply, ApiError> {
        Ok(match request {
            Request::Ping(ping) => Reply::Ping(ping.payload),
            Request::GetRegistry(_) => Reply::GetRegistry(self.registry()),
            Request::Consensus(message) if message.group == GroupId::Registry => {
                Reply::Consensus(self.group()?.answer(from, message.to, &message.body).await?)
            }
            Request::AdmitMember(admit) if admit.group == GroupId::Registry => {
                Reply::AdmitMember(self.admit(from, &context, admit).await?)
            }
            Request::SeatMember(seat) if seat.group == GroupId::Registry => {
                Reply::SeatMember(self.seat(from, seat).await?)
            }
            Request::UnseatMember(unseat) if unseat.group == GroupId::Registry => {
                Reply::UnseatMember(self.unseat(from, &context, unseat).await?)
            }
            Request::Announce(announce) => {
                Reply::Announce(self.announced(from, &context, announce).await?)
            }
            Request::RegisterRack(request) => {
                Reply::RegisterRack(self.register(from, &context.request_id, request).await?)
            }
            Request::ConfirmRack(request) => {
                Reply::ConfirmRack(self.confirm(from, &context, request).await?)
            }
            Request::RetireRack(request) => {
                Reply::RetireRack(self.retire(&context, request).await?)
            }
            Request::GetSettings(_) => Reply::GetSettings(self.settings().await?),
            Request::SetSettings(request) => {
                Reply::SetSettings(self.set_settings(&context, request.settings).await?)
            }
            Request::ListRacks(_) => Reply::ListRacks(self.racks().await?),
            Request::GetRack(request) => Reply::GetRack(self.rack(request.rack).await?),
            Request::ListNodes(_) => Reply::ListNodes(self.nodes()),
            Request::Consensus(_)
            | Request::GetMember(_)
            | Request::AdmitMember(_)
            | Request::SeatMember(_)
            | Request::UnseatMember(_)
            | Request::CloseRack(_)
            | Request::RecoverRack(_)
            | Request::RegisterThing(_)
            | Request::RegisterThings(_)
            | Request::UpdateThing(_)
            | Request::ForgetThings(_)
            | Request::SettleKey(_)
            | Request::GetThing(_)
            | Request::ListThings(_)
            | Request::ReadLog(_)
            | Request::WithdrawThing(_)
            | Request::ReadHistory(_)
            | Request::PlaceOrder(_)
            | Request::GetOrder(_)
            | Request::ListOrders(_) => return Err(not_served(request.method())),
        })
    }
}

impl Service for Ork {
    fn call(
        self: Arc<Self>,
        from: PeerId,
        context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move { self.answer(from, context, request).await })
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
                StreamRequest::WatchRoutes(_) => self.watch_routes(items).await,
                StreamRequest::TailLog(_)
                | StreamRequest::FillReplica(_)
                | StreamRequest::WatchChanges(_) => Err(not_served(request.method())),
            }
        })
    }
}
