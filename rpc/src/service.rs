//! What a node answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::api::{ApiError, Reply, Request, StreamRequest};
use crate::context::Context;
use crate::multiplex::ItemSink;
use crate::peer::PeerId;

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a node answers.
pub trait Service: Send + Sync + 'static {
    /// Answers one call. Dropped when the caller cancels or the deadline passes.
    fn call(
        self: Arc<Self>,
        from: PeerId,
        context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>>;

    /// Feeds one stream until it ends or the caller goes; waiting on `items` is the back-pressure.
    fn stream(
        self: Arc<Self>,
        from: PeerId,
        context: Context,
        request: StreamRequest,
        items: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>>;
}
