//! The asking side of a lane.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;

use super::items::{Feed, RawItems};
use super::outbox::Outbox;
use super::pump::{Ended, Pump, Traffic};
use crate::api::ApiError;
use crate::codec;
use crate::context::Context;
use crate::error::CallError;
use crate::flow::{KEEPALIVE_MISSES, KEEPALIVE_TIME, STREAM_WINDOW_BYTES};
use crate::frame::{CallId, Frame};
use crate::lock;
use crate::peer::PeerId;
use crate::timing::Spent;

/// Why a lane gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneError {
    /// The lane had ended before anything was sent.
    Gone,
    /// More waits to be written than may.
    Busy,
    /// The lane ended before the answer was there.
    Broken,
    /// No answer in time. `silent`: nor anything else from that peer.
    Timeout { silent: bool },
    /// The peer refused to open the stream.
    Api(ApiError),
}

/// One lane to one peer, from the side that asks.
#[derive(Debug)]
pub(crate) struct ClientLane {
    peer: PeerId,
    outbox: Arc<Outbox>,
    waiting: Mutex<Waiting>,
    /// Frames that came from the peer.
    heard: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    ended: bool,
    last_id: CallId,
    calls: HashMap<CallId, oneshot::Sender<(Bytes, Spent)>>,
    streams: HashMap<CallId, Feed>,
    welcome: Option<oneshot::Sender<u32>>,
}

impl ClientLane {
    /// A lane over a stream that was just opened; how many calls the peer takes at a time, once
    /// it has said so; and what runs the lane.
    pub(crate) fn start<S>(
        peer: PeerId,
        stream: S,
        traffic: Traffic,
    ) -> (Arc<Self>, oneshot::Receiver<u32>, Running<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (tell, welcome) = oneshot::channel();
        let outbox = Arc::new(Outbox::default());
        let pump = Pump::new(stream, Arc::clone(&outbox), traffic);
        let waiting = Mutex::new(Waiting { welcome: Some(tell), ..Waiting::default() });
        let lane = Arc::new(Self { peer, outbox, waiting, heard: AtomicU64::new(0) });
        (Arc::clone(&lane), welcome, Running { lane, pump })
    }

    /// Whether calls can still go out on it.
    pub(crate) fn is_open(&self) -> bool {
        !lock(&self.waiting).ended
    }

    /// Sends a call and waits for the encoded answer and what it took, until the context's
    /// deadline.
    /// Dropping the future cancels the call at the peer.
    pub(crate) async fn call(
        &self,
        context: &Context,
        body: &[u8],
    ) -> Result<(Bytes, Spent), LaneError> {
        if !self.outbox.has_room() {
            return Err(LaneError::Busy);
        }
        let (answer, answered) = oneshot::channel();
        let id = self.register(|waiting, id| {
            waiting.calls.insert(id, answer);
        })?;
        let _cancel = CancelOnDrop { lane: self, id };
        let heard = self.heard.load(Ordering::Relaxed);
        let frame = Frame::Call {
            id,
            remaining_ms: whole_milliseconds(context.remaining()),
            request_id: context.request_id.clone(),
            body,
        };
        self.outbox.push(&frame).map_err(|_| LaneError::Gone)?;
        match timeout_at(context.deadline.into(), answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(LaneError::Broken),
            Err(_) => Err(self.timed_out(heard)),
        }
    }

    /// Opens a stream; the deadline is for the opening alone.
    pub(crate) async fn open(
        self: &Arc<Self>,
        context: &Context,
        body: &[u8],
    ) -> Result<RawItems, LaneError> {
        let (feed, items, opened) = Feed::new();
        let id = self.register(|waiting, id| {
            waiting.streams.insert(id, feed);
        })?;
        let items = RawItems::new(Arc::clone(self), id, items);
        let heard = self.heard.load(Ordering::Relaxed);
        let frame = Frame::Open {
            id,
            credit: STREAM_WINDOW_BYTES,
            request_id: context.request_id.clone(),
            body,
        };
        self.outbox.push(&frame).map_err(|_| LaneError::Gone)?;
        match timeout_at(context.deadline.into(), opened).await {
            Ok(Ok(Ok(()))) => Ok(items),
            Ok(Ok(Err(error))) => Err(LaneError::Api(error)),
            Ok(Err(_)) => Err(LaneError::Broken),
            Err(_) => Err(self.timed_out(heard)),
        }
    }

    fn timed_out(&self, heard: u64) -> LaneError {
        LaneError::Timeout { silent: self.heard.load(Ordering::Relaxed) == heard }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    /// Tells the peer that a stream's reader has room again.
    pub(super) fn credit(&self, id: CallId, bytes: u32) {
        let _ = self.outbox.push(&Frame::<Bytes>::Credit { id, bytes });
    }

    /// Forgets a stream whose reader is gone.
    pub(super) fn cancel_stream(&self, id: CallId) {
        if lock(&self.waiting).streams.remove(&id).is_some() {
            let _ = self.outbox.push(&Frame::<Bytes>::Cancel { id });
        }
    }

    fn register(&self, add: impl FnOnce(&mut Waiting, CallId)) -> Result<CallId, LaneError> {
        let mut waiting = lock(&self.waiting);
        if waiting.ended {
            return Err(LaneError::Gone);
        }
        waiting.last_id += 1;
        let id = waiting.last_id;
        add(&mut waiting, id);
        Ok(id)
    }

    /// Takes in one frame of the peer. What was cancelled meanwhile finds nobody, which is well.
    fn receive(&self, frame: Frame) -> Result<(), String> {
        self.heard.fetch_add(1, Ordering::Relaxed);
        match frame {
            Frame::Reply { id, spent, body } => {
                let call = lock(&self.waiting).calls.remove(&id);
                if let Some(call) = call {
                    let _ = call.send((body, spent));
                }
            }
            Frame::Item { id, body } => self.item(id, body)?,
            Frame::Opened { id } => {
                if let Some(feed) = lock(&self.waiting).streams.get_mut(&id) {
                    feed.opened();
                }
            }
            Frame::End { id, body } => {
                let feed = lock(&self.waiting).streams.remove(&id);
                if let Some(feed) = feed {
                    let outcome = codec::decode::<Result<(), ApiError>>(&body)
                        .map_err(|error| format!("an unreadable end of a stream: {error}"))?;
                    feed.end(outcome);
                }
            }
            Frame::Welcome { in_flight } => {
                let welcome = lock(&self.waiting).welcome.take();
                let _ = welcome.ok_or("a second welcome")?.send(in_flight);
            }
            Frame::Pong => {}
            _ => return Err("a request on the answering side of a lane".to_owned()),
        }
        Ok(())
    }

    fn item(&self, id: CallId, body: Bytes) -> Result<(), String> {
        let mut waiting = lock(&self.waiting);
        if let Entry::Occupied(mut feed) = waiting.streams.entry(id)
            && !feed.get_mut().item(body)
        {
            return Err("more items than it had credit for".to_owned());
        }
        Ok(())
    }

    /// Fails everything that waits.
    fn end(&self) {
        self.outbox.close();
        let streams = {
            let mut waiting = lock(&self.waiting);
            waiting.ended = true;
            waiting.calls.clear();
            waiting.welcome = None;
            std::mem::take(&mut waiting.streams)
        };
        for feed in streams.into_values() {
            feed.fail(CallError::Broken { peer: self.peer });
        }
    }

    fn awaits_something(&self) -> bool {
        let waiting = lock(&self.waiting);
        !waiting.calls.is_empty() || !waiting.streams.is_empty()
    }

    /// While something is awaited, asks the peer whether it is still there, which also tells it
    /// that this node is. Ends when the peer says nothing any more. Calls that were given up count
    /// as well: most wait for no longer than the pause between two looks.
    async fn keep_alive(&self) {
        let mut ticks = interval(KEEPALIVE_TIME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard, mut sent, mut misses, mut asked) = (0, 0, 0, false);
        loop {
            ticks.tick().await;
            let (heard_now, sent_now) = (self.heard.load(Ordering::Relaxed), self.last_id());
            if heard_now != heard {
                (heard, misses, asked) = (heard_now, 0, false);
            } else if sent_now != sent {
                asked = true;
            }
            sent = sent_now;
            if misses == KEEPALIVE_MISSES {
                return;
            }
            misses += u32::from(asked);
            asked |= self.awaits_something();
            if asked {
                let _ = self.outbox.push(&Frame::<Bytes>::Ping);
            }
        }
    }

    fn last_id(&self) -> CallId {
        lock(&self.waiting).last_id
    }
}

/// What runs a lane.
pub(crate) struct Running<S> {
    lane: Arc<ClientLane>,
    pump: Pump<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Running<S> {
    /// Runs the lane until it ends.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Ended {
        let lane = self.lane;
        // However this task ends, nobody is left waiting.
        let _end = EndOnDrop(&lane);
        tokio::select! {
            ended = self.pump.run(|frame| lane.receive(frame)) => ended,
            () = lane.keep_alive() => Ended::Silent,
            () = stop.cancelled() => Ended::Closing,
        }
    }
}

struct EndOnDrop<'a>(&'a ClientLane);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct CancelOnDrop<'a> {
    lane: &'a ClientLane,
    id: CallId,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if lock(&self.lane.waiting).calls.remove(&self.id).is_some() {
            let _ = self.lane.outbox.push(&Frame::<Bytes>::Cancel { id: self.id });
        }
    }
}

fn whole_milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::AsyncWriteExt;
    use metrics::Counter;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    /// A lane to a peer that says welcome, and how it ends.
    async fn lane() -> (Arc<ClientLane>, tokio::task::JoinHandle<Ended>, impl Sized) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let traffic = Traffic { sent: Counter::noop(), received: Counter::noop() };
        let peer = PeerId::from_bytes([1; 32]);
        let (lane, welcome, running) = ClientLane::start(peer, near.compat(), traffic);
        let ended = tokio::spawn(running.run(CancellationToken::new()));
        let (mut far, mut hello) = (far.compat(), bytes::BytesMut::new());
        Frame::<Bytes>::Welcome { in_flight: 8 }.put(&mut hello);
        far.write_all(&hello).await.unwrap();
        welcome.await.unwrap();
        (lane, ended, far)
    }

    /// As calls of a second at most, seldom under way when the keepalive looks.
    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_short_call_is_noticed() {
        let (lane, ended, _far) = lane().await;
        let calls = async {
            loop {
                tokio::time::sleep(KEEPALIVE_TIME / 2).await;
                let _ = lane.call(&Context::within(SHORT), b"are you there?").await;
                tokio::time::sleep(KEEPALIVE_TIME / 2 - SHORT).await;
            }
        };
        tokio::select! {
            () = calls => {}
            ended = ended => assert!(matches!(ended, Ok(Ended::Silent)), "{ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("nobody noticed"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_asked_nothing_may_be_silent() {
        let (_lane, mut ended, _far) = lane().await;
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, &mut ended).await.is_err(), "it was ended");
    }
}
