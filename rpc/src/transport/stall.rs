//! Ends a connection whose other end takes nothing any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

/// Fails a write that has waited for too long without one byte being taken.
///
/// Without it a peer that keeps the connection open and stops reading would hold this side's
/// buffers, and a closing connection, for as long as it likes.
pub(crate) struct StallGuard<S> {
    inner: S,
    patience: Patience,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(inner: S, time: Duration) -> Self {
        Self { inner, patience: Patience::new(time) }
    }
}

/// How long something may stay pending.
pub(crate) struct Patience {
    time: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(time: Duration) -> Self {
        Self { time, waiting: None }
    }

    /// Passes a result on; turns what has been pending for too long into an error.
    pub(crate) fn bound<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let until = Instant::now() + self.time;
        let sleep = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the peer has taken no byte for {:?}", self.time),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, bytes)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.patience.bound(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.patience.bound(cx, result)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_close(cx);
        self.patience.bound(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use futures::AsyncWriteExt;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_ends_with_an_error() {
        let (near, _far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near.compat(), Duration::from_secs(20));
        let error = guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_that_keeps_taking_is_served() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near.compat(), Duration::from_secs(20));
        let slow = async {
            use tokio::io::AsyncReadExt;
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_secs(15)).await;
                far.read_exact(&mut [0; 16]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(guarded.write_all(&[0; 128]), slow);
        written.unwrap();
    }
}
