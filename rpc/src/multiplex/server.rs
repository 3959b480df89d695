//! The answering side of a lane.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::CatchUnwind;
use futures::{AsyncRead, AsyncWrite, FutureExt};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::items::ItemSink;
use super::outbox::Outbox;
use super::pump::{Ended, Pump, Traffic};
use crate::api::{ApiError, Reply, Request, RequestId, StreamRequest};
use crate::codec;
use crate::context::Context;
use crate::flow::{CALLER_SILENT_TIME, Lane, Load, MAX_CREDIT_BYTES, Place, SMALL_REPLY_BYTES};
use crate::frame::{CallId, Frame};
use crate::lock;
use crate::peer::PeerId;
use crate::service::{BoxFuture, Service};
use crate::timing::{Spent, Timing};

/// The longest that a caller's deadline counts for.
const LONGEST_CALL: Duration = Duration::from_secs(3600);

/// Where the service is, once there is one.
#[derive(Default)]
pub(crate) struct ServiceCell(RwLock<Option<Arc<dyn Service>>>);

impl ServiceCell {
    /// The first one stays.
    pub(crate) fn set(&self, service: Arc<dyn Service>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(service);
    }

    pub(crate) fn get(&self) -> Option<Arc<dyn Service>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets go of it, so that what it holds can end.
    pub(crate) fn clear(&self) {
        let service = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(service);
    }
}

/// What a service's future gave, or how it panicked.
type Caught<T> = Result<Result<T, ApiError>, Box<dyn Any + Send>>;

/// Turns a panic of a service into an error: one faulty call must not end the lane of all others.
pub(crate) fn settle<T>(caught: Caught<T>) -> Result<T, ApiError> {
    caught.unwrap_or_else(|panic| {
        let what = said(panic.as_ref());
        tracing::error!(%what, "a call panicked");
        Err(ApiError::Internal { what })
    })
}

/// A service's future whose panic is caught.
pub(crate) fn guarded<T>(
    work: BoxFuture<'static, Result<T, ApiError>>,
) -> CatchUnwind<AssertUnwindSafe<BoxFuture<'static, Result<T, ApiError>>>> {
    AssertUnwindSafe(work).catch_unwind()
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// One lane of one peer, from the side that answers.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) peer: PeerId,
    pub(crate) lane: Lane,
    pub(crate) service: Arc<ServiceCell>,
    /// All that the node works on.
    pub(crate) load: Load,
}

impl Served {
    /// Answers what comes over this stream until it ends.
    pub(crate) async fn run<S>(self, stream: S, traffic: Traffic, stop: CancellationToken) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let outbox = Arc::new(Outbox::default());
        let mut pump = Pump::new(stream, Arc::clone(&outbox), traffic);
        let _ = outbox.push(&Frame::<Bytes>::Welcome { in_flight: self.lane.in_flight() });
        let running = Arc::new(Running { outbox, work: Mutex::default() });
        let _end = EndOnDrop(Arc::clone(&running));
        let side = ServerSide { served: self, running, heard: AtomicU64::new(0) };
        tokio::select! {
            ended = pump.run(|frame| side.receive(frame)) => ended,
            () = side.caller_gone() => Ended::Silent,
            () = stop.cancelled() => Ended::Closing,
        }
    }
}

/// A place for one more call, and who does it; or what the caller is told.
type Admitted = Result<(Place, Arc<dyn Service>), ApiError>;

struct ServerSide {
    served: Served,
    running: Arc<Running>,
    /// Frames that came from the caller.
    heard: AtomicU64,
}

/// What is under way on a lane.
struct Running {
    outbox: Arc<Outbox>,
    work: Mutex<HashMap<CallId, Work>>,
}

struct Work {
    task: AbortHandle,
    /// A stream's, `None` for a call.
    credit: Option<Arc<Semaphore>>,
}

impl Work {
    fn stop(self) {
        if let Some(credit) = self.credit {
            credit.close();
        }
        self.task.abort();
    }
}

struct EndOnDrop(Arc<Running>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.outbox.close();
        let work = std::mem::take(&mut *lock(&self.0.work));
        work.into_values().for_each(Work::stop);
    }
}

impl ServerSide {
    /// Ends when work is under way for a caller that has said nothing for too long: one that waits
    /// sends a ping now and then.
    async fn caller_gone(&self) {
        let mut heard = u64::MAX;
        loop {
            tokio::time::sleep(CALLER_SILENT_TIME).await;
            let now = self.heard.load(Ordering::Relaxed);
            if now == heard && !lock(&self.running.work).is_empty() {
                return;
            }
            heard = now;
        }
    }

    fn receive(&self, frame: Frame) -> Result<(), String> {
        self.heard.fetch_add(1, Ordering::Relaxed);
        match frame {
            Frame::Call { id, remaining_ms: 0, .. } => {
                self.running.reply(id, Spent::default(), Err(ApiError::DeadlinePassed));
                Ok(())
            }
            Frame::Call { id, remaining_ms, request_id, body } => {
                let time = Duration::from_millis(remaining_ms.into());
                self.call(id, within(request_id, time), &body)
            }
            Frame::Open { id, credit, request_id, body } => {
                self.open(id, credit, within(request_id, LONGEST_CALL), &body)
            }
            Frame::Cancel { id } => {
                let work = lock(&self.running.work).remove(&id);
                if let Some(work) = work {
                    work.stop();
                }
                Ok(())
            }
            Frame::Credit { id, bytes } => self.credit(id, bytes),
            Frame::Ping => {
                let _ = self.running.outbox.push(&Frame::<Bytes>::Pong);
                Ok(())
            }
            _ => Err("an answer on the asking side of a lane".to_owned()),
        }
    }

    fn credit(&self, id: CallId, bytes: u32) -> Result<(), String> {
        if let Some(Work { credit: Some(credit), .. }) = lock(&self.running.work).get(&id) {
            if credit.available_permits() + bytes as usize > MAX_CREDIT_BYTES {
                return Err(format!("more than {MAX_CREDIT_BYTES} bytes of credit"));
            }
            credit.add_permits(bytes as usize);
        }
        Ok(())
    }

    /// A place for one more with a body of so many bytes, and who does it.
    fn admit(&self, id: CallId, body_bytes: usize) -> Result<Admitted, String> {
        {
            let work = lock(&self.running.work);
            if work.contains_key(&id) {
                return Err(format!("a second request with the id {id}"));
            }
            if work.len() >= self.served.lane.in_flight() as usize {
                return Ok(Err(ApiError::Busy));
            }
        }
        let place = self.served.load.enter(self.served.lane, body_bytes);
        let admitted = place.zip(self.served.service.get());
        Ok(admitted.ok_or(ApiError::Busy))
    }

    fn call(&self, id: CallId, context: Context, body: &[u8]) -> Result<(), String> {
        let began = Instant::now();
        let (place, service) = match self.admit(id, body.len())? {
            Ok(admitted) => admitted,
            Err(error) => {
                self.running.reply(id, Spent::default(), Err(error));
                return Ok(());
            }
        };
        let request = match codec::decode::<Request>(body) {
            Ok(request) => request,
            Err(error) => {
                self.running.reply(id, Spent::default(), Err(unreadable(&error)));
                return Ok(());
            }
        };
        let deadline = context.deadline;
        let timing = Arc::new(Timing::default());
        let work = guarded(service.call(self.served.peer, context, request));
        let mut work = timing.measure(work);
        // Most calls are done at once and need no task of their own.
        if let Poll::Ready(caught) = poll_once(&mut work) {
            self.running.reply(id, timing.spent(began.elapsed()), settle(caught));
            return Ok(());
        }
        let running = Arc::clone(&self.running);
        self.spawn(id, None, async move {
            let _place = place;
            let caught = tokio::time::timeout_at(deadline.into(), work).await;
            let outcome = caught.map_or(Err(ApiError::DeadlinePassed), settle);
            running.reply(id, timing.spent(began.elapsed()), outcome);
            lock(&running.work).remove(&id);
        });
        Ok(())
    }

    fn open(&self, id: CallId, credit: u32, context: Context, body: &[u8]) -> Result<(), String> {
        if credit as usize > MAX_CREDIT_BYTES {
            return Err(format!("more than {MAX_CREDIT_BYTES} bytes of credit"));
        }
        let (place, service) = match self.admit(id, body.len())? {
            Ok(admitted) => admitted,
            Err(error) => {
                self.running.end(id, Err(error));
                return Ok(());
            }
        };
        let request = match codec::decode::<StreamRequest>(body) {
            Ok(request) => request,
            Err(error) => {
                self.running.end(id, Err(unreadable(&error)));
                return Ok(());
            }
        };
        let credit = Arc::new(Semaphore::new(credit as usize));
        let sink = ItemSink::new(id, Arc::clone(&self.running.outbox), Arc::clone(&credit));
        let mut work = guarded(service.stream(self.served.peer, context, request, sink));
        if let Poll::Ready(caught) = poll_once(&mut work) {
            self.running.end(id, settle(caught));
            return Ok(());
        }
        let _ = self.running.outbox.push(&Frame::<Bytes>::Opened { id });
        let running = Arc::clone(&self.running);
        self.spawn(id, Some(credit), async move {
            let _place = place;
            let outcome = settle(work.await);
            running.end(id, outcome);
            lock(&running.work).remove(&id);
        });
        Ok(())
    }

    fn spawn<F>(&self, id: CallId, credit: Option<Arc<Semaphore>>, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // The task takes the same lock to remove itself, so it is there before it is gone.
        let mut all = lock(&self.running.work);
        let task = tokio::spawn(work).abort_handle();
        all.insert(id, Work { task, credit });
    }
}

impl Running {
    fn reply(&self, id: CallId, spent: Spent, outcome: Result<Reply, ApiError>) {
        let mut body = encoded(&outcome);
        if body.len() > SMALL_REPLY_BYTES && !self.outbox.has_room() {
            body = encoded(&Err::<Reply, _>(ApiError::Busy));
        }
        let _ = self.outbox.push(&Frame::Reply { id, spent, body });
    }

    fn end(&self, id: CallId, outcome: Result<(), ApiError>) {
        let _ = self.outbox.push(&Frame::End { id, body: encoded(&outcome) });
    }
}

fn encoded<T: serde::Serialize>(outcome: &Result<T, ApiError>) -> Vec<u8> {
    codec::encode(outcome).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer can't be sent");
        let failure = Err::<T, _>(ApiError::internal(error));
        codec::encode(&failure).unwrap_or_default()
    })
}

fn unreadable(error: &codec::CodecError) -> ApiError {
    ApiError::invalid("request", format!("{error}: is this node's version older?"))
}

fn within(request_id: RequestId, time: Duration) -> Context {
    Context { request_id, deadline: Instant::now() + time.min(LONGEST_CALL) }
}

fn poll_once<F: Future + Unpin>(work: &mut F) -> Poll<F::Output> {
    Pin::new(work).poll(&mut std::task::Context::from_waker(Waker::noop()))
}

#[cfg(test)]
mod tests;
