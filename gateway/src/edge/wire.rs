//! A connection's bytes on their way out: a client that does not take them is cut off, and
//! hyper's own errors become ours.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::malformed;

/// After an error of hyper's own, what the client is still sending is read and dropped so far: a
/// socket that is closed with bytes unread resets, and the client loses the answer.
const MAX_LINGER_BYTES: usize = 1024 * 1024;
/// And so long.
const LINGER_FOR: Duration = Duration::from_secs(1);

/// A stream whose blocked writes end.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    /// How long a write may wait until the kernel takes bytes again.
    write_timeout: Duration,
    /// Runs while a write waits. A connection that has nothing to say, such as an idle stream of
    /// events, has none.
    blocked: Option<Pin<Box<Sleep>>>,
    /// What is sent instead of hyper's own error, and how much of it was; HTTP/1 only.
    instead: Option<(Vec<u8>, usize)>,
    speaks_http1: bool,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, write_timeout: Duration, speaks_http1: bool) -> Self {
        Self { stream, write_timeout, blocked: None, instead: None, speaks_http1, linger: None }
    }

    /// The outcome of a write, or its end when it has waited for too long.
    fn bounded(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.blocked = None;
            return polled;
        }
        let timeout = self.write_timeout;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(blocked.as_mut().poll(cx));
        metrics::counter!("http_slow_readers_cut_total").increment(1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, polled)
    }

    /// Where hyper's own error begins in a write.
    fn foreign(&self, bytes: &[u8]) -> Option<usize> {
        if self.speaks_http1 { malformed::begins_at(bytes) } else { None }
    }

    /// Sends what stands for hyper's own error.
    fn send_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, sent)) = self.instead.take_if(|(bytes, sent)| *sent < bytes.len()) {
            let polled = self.send(cx, &bytes[sent..]);
            let more = match polled {
                Poll::Ready(Ok(more)) => more,
                _ => 0,
            };
            self.instead = Some((bytes, sent + more));
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                _ => continue,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what comes after the end, within bounds; its outcome does not matter any more.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (until, read) = self.linger.get_or_insert_with(|| (Box::pin(sleep(LINGER_FOR)), 0));
        let mut scratch = [0; 4_096];
        loop {
            if until.as_mut().poll(cx).is_ready() || *read > MAX_LINGER_BYTES {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            let polled = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if polled.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
            *read += buffer.filled().len();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.send_instead(cx))?;
        match self.foreign(bytes) {
            // Taken whole; what stands for it goes out with the flush that follows.
            Some(0) => {
                self.instead = malformed::answer(bytes).map(|answer| (answer, 0));
                Poll::Ready(Ok(bytes.len()))
            }
            Some(at) => self.send(cx, &bytes[..at]),
            None => self.send(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last = parts.iter().rposition(|part| !part.is_empty());
        let Some(at) = last.filter(|at| self.foreign(&parts[*at]).is_some()) else {
            ready!(self.send_instead(cx))?;
            let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
            return self.bounded(cx, polled);
        };
        let before = &parts[..at];
        if before.iter().all(|part| part.is_empty()) {
            return self.poll_write(cx, &parts[at]);
        }
        // The answer before first, the error alone the next time.
        ready!(self.send_instead(cx))?;
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, before);
        self.bounded(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_instead(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if self.instead.is_some() {
            ready!(self.linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
        content-length: 0\r\n\r\n";
    const MINUTE: Duration = Duration::from_secs(60);

    async fn received(writes: &[&[u8]], room: usize) -> String {
        let (near, mut far) = duplex(room);
        let mut wire = Wire::new(near, MINUTE, true);
        let reading = tokio::spawn(async move {
            let mut all = String::new();
            far.read_to_string(&mut all).await.unwrap();
            all
        });
        for bytes in writes {
            wire.write_all(bytes).await.unwrap();
        }
        wire.flush().await.unwrap();
        wire.shutdown().await.unwrap();
        drop(wire);
        reading.await.unwrap()
    }

    #[tokio::test]
    async fn an_error_of_hypers_own_is_replaced_however_narrow_the_wire_is() {
        for room in [1, 7, 100, 10_000] {
            let all = received(&[&[b"HTTP/1.1 204 No Content\r\n\r\n", HEAD].concat()], room).await;
            let ours = all.strip_prefix("HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            assert!(ours.starts_with("HTTP/1.1 431 "), "{ours}");
            assert!(ours.contains("ERR_HEAD_TOO_LARGE") && ours.ends_with('}'), "{ours}");
        }
    }

    #[tokio::test]
    async fn everything_else_goes_out_as_it_is() {
        let body = [HEAD, b"{}"].concat();
        let all = received(&[b"HTTP/1.1 200 OK\r\n\r\n", &body], 3).await;
        assert_eq!(all.as_bytes(), [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat());
    }

    #[tokio::test]
    async fn only_a_write_that_waits_for_too_long_ends() {
        let (near, mut far) = duplex(10);
        let mut wire = Wire::new(near, MINUTE, true);
        wire.write_all(&[0; 10]).await.unwrap();
        assert!(futures::poll!(Box::pin(wire.write_all(&[0; 10]))).is_pending());
        assert!(wire.blocked.is_some(), "the client has a minute");
        far.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!(wire.write(&[0; 10]).await.unwrap(), 5);
        assert!(wire.blocked.is_none(), "and again, as soon as it took some");

        wire.write_timeout = Duration::from_millis(20);
        let error = wire.write_all(&[0; 50]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
