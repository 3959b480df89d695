//! The one task of a lane: it writes what waits and hands on what arrives.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use metrics::Counter;

use super::outbox::Outbox;
use crate::flow::STALLED_TIME;
use crate::frame::{Decoder, Frame, FrameError};
use crate::transport::Patience;

/// Bytes read at a time: one Yamux frame.
const READ_BYTES: usize = 16 * 1024;
/// Reads in a row before other tasks get their turn.
const READS_IN_A_ROW: usize = 32;

/// Why a lane ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The other end closed it.
    #[error("the peer closed it")]
    Remote,
    /// It broke, or the peer stopped reading.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What arrived is no frame.
    #[error("the peer sent garbage: {0}")]
    Garbage(#[from] FrameError),
    /// A frame that has no place there.
    #[error("the peer broke the protocol: {0}")]
    Violation(String),
    /// The peer has not said anything for too long.
    #[error("the peer fell silent")]
    Silent,
    /// This node is closing.
    #[error("this node is closing")]
    Closing,
}

impl Ended {
    /// Whether the peer is to blame, so that its connection has to go too.
    pub(crate) fn is_fault(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            Self::Garbage(_) | Self::Violation(_) | Self::Silent => true,
            Self::Remote | Self::Closing => false,
        }
    }
}

/// Counts bytes, for the metrics.
#[derive(Clone)]
pub(crate) struct Traffic {
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
}

/// Moves frames between a stream and an outbox.
pub(crate) struct Pump<S> {
    stream: S,
    outbox: Arc<Outbox>,
    traffic: Traffic,
    writing: BytesMut,
    gathered: bool,
    unflushed: bool,
    patience: Patience,
    decoder: Decoder,
    scratch: Box<[u8]>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    pub(crate) fn new(stream: S, outbox: Arc<Outbox>, traffic: Traffic) -> Self {
        Self {
            stream,
            outbox,
            traffic,
            writing: BytesMut::new(),
            gathered: false,
            unflushed: false,
            patience: Patience::new(STALLED_TIME),
            decoder: Decoder::default(),
            scratch: vec![0; READ_BYTES].into(),
        }
    }

    /// Runs until the lane ends, giving each frame to `receive`.
    pub(crate) async fn run<F>(&mut self, mut receive: F) -> Ended
    where
        F: FnMut(Frame) -> Result<(), String>,
    {
        std::future::poll_fn(|cx| match self.poll(cx, &mut receive) {
            Poll::Ready(Ok(())) => Poll::Ready(Ended::Remote),
            Poll::Ready(Err(ended)) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn poll<F>(&mut self, cx: &mut Context<'_>, receive: &mut F) -> Poll<Result<(), Ended>>
    where
        F: FnMut(Frame) -> Result<(), String>,
    {
        for _ in 0..READS_IN_A_ROW {
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(Err(error.into()));
            }
            if !self.outbox.has_room() {
                // A peer that does not read gets nothing more done. The write wakes this task.
                return Poll::Pending;
            }
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut self.scratch))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            self.traffic.received.increment(read as u64);
            self.decoder.feed(&self.scratch[..read]);
            while let Some(frame) = self.decoder.frame()? {
                receive(frame).map_err(Ended::Violation)?;
            }
            // The answers to all of them are there.
            self.gathered = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready once nothing waits and all is flushed.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                if !self.outbox.poll_waiting(cx) {
                    self.gathered = false;
                    break;
                }
                if !self.gathered {
                    // Others that were woken with the first one are about to add theirs.
                    self.gathered = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.gathered = false;
                self.outbox.take(&mut self.writing);
            }
            let write = Pin::new(&mut self.stream).poll_write(cx, &self.writing);
            let written = ready!(self.patience.bound(cx, write))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writing.advance(written);
            self.outbox.wrote(written);
            self.traffic.sent.increment(written as u64);
            self.unflushed = true;
        }
        if self.unflushed {
            let flush = Pin::new(&mut self.stream).poll_flush(cx);
            ready!(self.patience.bound(cx, flush))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt};
    use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

    use super::*;
    use crate::frame::MAX_FRAME_BYTES;
    use crate::timing::Spent;

    type Near = Compat<tokio::io::DuplexStream>;

    fn pump(buffer: usize) -> (Pump<Near>, Arc<Outbox>, Near) {
        let (near, far) = tokio::io::duplex(buffer);
        let outbox = Arc::new(Outbox::default());
        let traffic = Traffic { sent: Counter::noop(), received: Counter::noop() };
        (Pump::new(near.compat(), Arc::clone(&outbox), traffic), outbox, far.compat())
    }

    #[tokio::test]
    async fn it_ends_when_the_peer_closes() {
        let (mut pump, _outbox, far) = pump(64);
        drop(far);
        assert!(matches!(pump.run(|_| Ok(())).await, Ended::Remote));
    }

    #[tokio::test]
    async fn garbage_ends_it_with_what_was_wrong() {
        let (mut pump, _outbox, mut far) = pump(64);
        far.write_all(&(1_u32 << 30).to_le_bytes()).await.unwrap();
        let ended = pump.run(|_| Ok(())).await;
        let text = ended.to_string();
        assert!(ended.is_fault());
        assert!(text.contains("1073741824") && text.contains(&MAX_FRAME_BYTES.to_string()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_reading_is_given_up() {
        let (mut pump, outbox, _far) = pump(64);
        outbox.push(&Frame::Reply { id: 1, spent: Spent::default(), body: vec![0; 1024] }).unwrap();
        let ended = pump.run(|_| Ok(())).await;
        assert!(matches!(&ended, Ended::Io(error) if error.kind() == io::ErrorKind::TimedOut));
        assert!(ended.is_fault());
    }

    #[tokio::test]
    async fn nothing_more_is_read_from_a_peer_while_its_answers_pile_up() {
        let (mut pump, outbox, mut far) = pump(1 << 20);
        let full = vec![0; crate::flow::OUTBOX_BYTES];
        outbox.push(&Frame::Reply { id: 1, spent: Spent::default(), body: full }).unwrap();
        let mut ping = BytesMut::new();
        Frame::<Vec<u8>>::Ping.put(&mut ping);
        far.write_all(&ping).await.unwrap();
        let mut seen = 0;
        let running = pump.run(|_| {
            seen += 1;
            Ok(())
        });
        let mut taken = 0;
        let reading = async {
            let mut bytes = vec![0; 1 << 16];
            while taken < crate::flow::OUTBOX_BYTES {
                taken += far.read(&mut bytes).await.unwrap();
            }
            drop(far);
        };
        let (ended, ()) = tokio::join!(running, reading);
        assert!(matches!(ended, Ended::Remote | Ended::Io(_)), "{ended}");
        assert_eq!(seen, 1, "it is read once there is room");
    }
}
