//! HTTP/2 answers that nobody takes. There a client stops one request without stopping the
//! connection, by giving it no window: nothing blocks that [`super::wire`] could see, and what was
//! to be sent stays in memory.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Response;
use http_body::{Frame, SizeHint};

/// What is handed over at once. hyper asks for more when there is window for it, so an answer that
/// is not taken shows itself after so much.
const CHUNK_BYTES: usize = 16 * 1024;

/// The answers of one connection that wait for their client.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    next: AtomicU64,
    /// Since when hyper has not come back for more; as many as there are streams at most.
    waiting: Mutex<HashMap<u64, Instant>>,
}

impl Stalls {
    /// The answer, watched unless it is small.
    pub(super) fn watch(self: &Arc<Self>, answer: Response<Body>) -> Response<Body> {
        if answer.body().size_hint().upper().is_some_and(|bytes| bytes <= CHUNK_BYTES as u64) {
            return answer;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let among = self.clone();
        answer.map(|body| Body::new(Watched { body, rest: Bytes::new(), id, among }))
    }

    /// Returns once an answer has waited for so long.
    pub(crate) async fn too_long(&self, limit: Duration) {
        // Late by a quarter at most.
        let mut looks = tokio::time::interval((limit / 4).max(Duration::from_millis(1)));
        loop {
            looks.tick().await;
            if self.lock().values().any(|since| since.elapsed() >= limit) {
                metrics::counter!("http_slow_readers_cut_total").increment(1);
                return;
            }
        }
    }

    /// Entries are put in and taken out whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body in small pieces that tells when nobody comes for the next.
struct Watched {
    body: Body,
    /// Of the frame that was begun.
    rest: Bytes,
    id: u64,
    among: Arc<Stalls>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // A body that has nothing to give keeps its client waiting, not the other way round.
        self.among.lock().remove(&self.id);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx))
                .map(|got| got.map(Frame::into_data))
            {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let bytes = self.rest.len().min(CHUNK_BYTES);
        let chunk = self.rest.split_to(bytes);
        let id = self.id;
        self.among.lock().insert(id, Instant::now());
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.among.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, future, stream};

    use super::*;

    fn waiting(stalls: &Stalls) -> usize {
        stalls.lock().len()
    }

    #[tokio::test]
    async fn an_answer_waits_for_its_client_and_not_for_its_handler() {
        let stalls = Arc::new(Stalls::default());
        let all = [b'x'; 2 * CHUNK_BYTES + 1];
        let endless = stream::once(future::ready(Ok::<_, Error>(Bytes::copy_from_slice(&all))));
        let body = Body::from_stream(endless.chain(stream::pending()));
        let mut chunks = stalls.watch(Response::new(body)).into_body().into_data_stream();
        assert_eq!(waiting(&stalls), 0);
        for bytes in [CHUNK_BYTES, CHUNK_BYTES, 1] {
            assert_eq!(chunks.next().await.unwrap().unwrap().len(), bytes);
            assert_eq!(waiting(&stalls), 1, "nobody has asked for more");
        }
        assert!(chunks.next().now_or_never().is_none());
        assert_eq!(waiting(&stalls), 0, "it has no more for now");
    }

    #[tokio::test]
    async fn what_was_given_up_does_not_count() {
        let stalls = Arc::new(Stalls::default());
        let body = Body::from(vec![0; 2 * CHUNK_BYTES]);
        let mut chunks = stalls.watch(Response::new(body)).into_body().into_data_stream();
        chunks.next().await.unwrap().unwrap();
        stalls.too_long(Duration::from_millis(4)).await;
        drop(chunks);
        assert_eq!(waiting(&stalls), 0);
    }
}
