//! The two ends of a stream of items, and the credit between them.
//!
//! A reader begins with [`STREAM_WINDOW_BYTES`] of credit out and gives back what it has taken;
//! the feeding side waits while it has none. An item costs its bytes and a little more.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::client::ClientLane;
use super::outbox::Outbox;
use crate::api::ApiError;
use crate::codec;
use crate::error::CallError;
use crate::flow::Slot;
use crate::flow::{ITEM_OVERHEAD_BYTES, STREAM_WINDOW_BYTES, item_cost};
use crate::frame::{CallId, Frame};
use crate::peer::PeerId;

/// Items that can be under way within the window, however small they are.
const MOST_ITEMS: usize = (STREAM_WINDOW_BYTES / ITEM_OVERHEAD_BYTES) as usize + 1;
/// Items that can be under way within one node.
const LOCAL_ITEMS: usize = 64;

/// The reader of a stream is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the stream is gone")]
pub struct SinkClosed;

/// Where a service puts the items of a stream.
#[derive(Debug)]
pub struct ItemSink(Sink);

#[derive(Debug)]
enum Sink {
    Lane { id: CallId, outbox: Arc<Outbox>, credit: Arc<Semaphore> },
    Local(mpsc::Sender<Bytes>),
}

impl ItemSink {
    pub(super) fn new(id: CallId, outbox: Arc<Outbox>, credit: Arc<Semaphore>) -> Self {
        Self(Sink::Lane { id, outbox, credit })
    }

    /// Sends one item, waiting for the reader's credit.
    ///
    /// # Errors
    /// [`SinkClosed`] when the reader is gone, or the item is larger than a frame.
    pub async fn send<T: Serialize>(&mut self, item: &T) -> Result<(), SinkClosed> {
        let body = codec::encode(item).map_err(|error| {
            tracing::error!(%error, "an item of a stream can't be sent");
            SinkClosed
        })?;
        match &self.0 {
            Sink::Local(items) => items.send(body.into()).await.map_err(|_| SinkClosed),
            Sink::Lane { id, outbox, credit } => {
                let cost = item_cost(body.len());
                credit.acquire_many(cost).await.map_err(|_| SinkClosed)?.forget();
                outbox.room().await.map_err(|_| SinkClosed)?;
                outbox.push(&Frame::Item { id: *id, body }).map_err(|_| SinkClosed)
            }
        }
    }
}

/// What a lane keeps of a stream whose items it receives.
#[derive(Debug)]
pub(super) struct Feed {
    items: mpsc::Sender<Bytes>,
    opened: Option<oneshot::Sender<Result<(), ApiError>>>,
    failure: Arc<OnceLock<CallError>>,
}

/// The reading half that belongs to a [`Feed`].
#[derive(Debug)]
pub(super) struct Reading {
    items: mpsc::Receiver<Bytes>,
    failure: Arc<OnceLock<CallError>>,
}

impl Feed {
    pub(super) fn new() -> (Self, Reading, oneshot::Receiver<Result<(), ApiError>>) {
        let (sender, items) = mpsc::channel(MOST_ITEMS);
        let (tell, opened) = oneshot::channel();
        let failure = Arc::new(OnceLock::new());
        let reading = Reading { items, failure: Arc::clone(&failure) };
        (Self { items: sender, opened: Some(tell), failure }, reading, opened)
    }

    pub(super) fn opened(&mut self) {
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(Ok(()));
        }
    }

    /// Whether the peer kept to its credit.
    pub(super) fn item(&mut self, body: Bytes) -> bool {
        self.opened();
        !matches!(self.items.try_send(body), Err(mpsc::error::TrySendError::Full(_)))
    }

    pub(super) fn end(mut self, outcome: Result<(), ApiError>) {
        match (outcome, self.opened.take()) {
            (Err(error), Some(opened)) => drop(opened.send(Err(error))),
            (Err(error), None) => self.fail(CallError::Api(error)),
            (Ok(()), Some(opened)) => drop(opened.send(Ok(()))),
            (Ok(()), None) => {}
        }
    }

    pub(super) fn fail(self, error: CallError) {
        let _ = self.failure.set(error);
    }
}

/// Encoded items, as they arrive.
#[derive(Debug)]
pub(crate) struct RawItems {
    lane: Arc<ClientLane>,
    id: CallId,
    reading: Reading,
    taken: u32,
}

impl RawItems {
    pub(super) fn new(lane: Arc<ClientLane>, id: CallId, reading: Reading) -> Self {
        Self { lane, id, reading, taken: 0 }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let body = self.reading.items.recv().await?;
        self.taken += item_cost(body.len());
        if self.taken >= STREAM_WINDOW_BYTES / 2 {
            self.lane.credit(self.id, std::mem::take(&mut self.taken));
        }
        Some(body)
    }
}

impl Drop for RawItems {
    fn drop(&mut self) {
        self.lane.cancel_stream(self.id);
    }
}

/// The items of a stream, as they arrive. Dropping it ends the stream at its source.
#[derive(Debug)]
pub struct Items<T> {
    source: Source,
    failure: Arc<OnceLock<CallError>>,
    failed: bool,
    peer: PeerId,
    item: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum Source {
    Lane { items: RawItems, _slot: Slot },
    Local(mpsc::Receiver<Bytes>),
}

impl<T: DeserializeOwned> Items<T> {
    pub(crate) fn remote(items: RawItems, slot: Slot) -> Self {
        let failure = Arc::clone(&items.reading.failure);
        let peer = items.lane.peer();
        Self::new(Source::Lane { items, _slot: slot }, failure, peer)
    }

    fn new(source: Source, failure: Arc<OnceLock<CallError>>, peer: PeerId) -> Self {
        Self { source, failure, failed: false, peer, item: PhantomData }
    }

    /// The next item; `None` when the stream ended well, or after an error.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        if self.failed {
            return None;
        }
        let body = match &mut self.source {
            Source::Lane { items, .. } => items.next().await,
            Source::Local(items) => items.recv().await,
        };
        let item = match body {
            Some(body) => codec::decode(&body).map_err(|error| CallError::Protocol {
                peer: self.peer,
                what: format!("an item that is {error}"),
            }),
            None => Err(self.failure.get()?.clone()),
        };
        self.failed = item.is_err();
        Some(item)
    }
}

/// The failure slot of a stream within one node.
pub(crate) type LocalFailure = Arc<OnceLock<CallError>>;

/// Both ends of a stream within one node, and where its failure goes.
pub(crate) fn local_stream<T: DeserializeOwned>(me: PeerId) -> (ItemSink, Items<T>, LocalFailure) {
    let (sender, receiver) = mpsc::channel(LOCAL_ITEMS);
    let failure = Arc::new(OnceLock::new());
    let items = Items::new(Source::Local(receiver), Arc::clone(&failure), me);
    (ItemSink(Sink::Local(sender)), items, failure)
}
