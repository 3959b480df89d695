//! What a node answers that only asks: a gateway.

use std::sync::Arc;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{ApiError, Reply, Request, StreamRequest};
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Service};

use super::worker::not_served;

/// Answers `ping`, and refuses all else.
#[derive(Debug)]
pub struct ClientOnly;

impl Service for ClientOnly {
    fn call(
        self: Arc<Self>,
        _: PeerId,
        _: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move {
            match request {
                Request::Ping(ping) => Ok(Reply::Ping(ping.payload)),
                other => Err(not_served(other.method())),
            }
        })
    }

    fn stream(
        self: Arc<Self>,
        _: PeerId,
        _: Context,
        request: StreamRequest,
        _: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        Box::pin(async move { Err(not_served(request.method())) })
    }
}
