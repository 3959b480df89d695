//! What a node works on is bounded over all its lanes together.

use bytes::BytesMut;
use futures::{AsyncReadExt, AsyncWriteExt};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::*;
use crate::api::{Consensus, GroupId, Ping};
use crate::flow::SMALL_BODY_BYTES;
use crate::frame::Decoder;
use crate::peer::NodeKey;

const LARGE: usize = 10 * SMALL_BODY_BYTES;

/// Answers consensus and empty pings; other pings wait.
struct Waits;

impl Service for Waits {
    fn call(
        self: Arc<Self>,
        _from: PeerId,
        _context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move {
            match request {
                Request::Ping(ping) if !ping.payload.is_empty() => std::future::pending().await,
                _ => Ok(Reply::Ping(Bytes::new())),
            }
        })
    }

    fn stream(
        self: Arc<Self>,
        _from: PeerId,
        _context: Context,
        _request: StreamRequest,
        _items: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        Box::pin(async { Ok(()) })
    }
}

/// The asking end of a lane.
struct Caller {
    stream: Compat<DuplexStream>,
    decoder: Decoder,
    last: CallId,
}

impl Caller {
    fn new(lane: Lane, load: &Load) -> Self {
        let (near, far) = tokio::io::duplex(LARGE);
        let service = Arc::new(ServiceCell::default());
        service.set(Arc::new(Waits));
        let peer = NodeKey::generate().peer_id().unwrap();
        let served = Served { peer, lane, service, load: load.clone() };
        let traffic = crate::metrics::Metrics::new().traffic();
        tokio::spawn(
            async move { served.run(far.compat(), traffic, CancellationToken::new()).await },
        );
        Self { stream: near.compat(), decoder: Decoder::default(), last: 0 }
    }

    async fn send(&mut self, body: Bytes) {
        self.last += 1;
        let request_id = RequestId::generate();
        let frame = Frame::Call { id: self.last, remaining_ms: 600_000, request_id, body };
        let mut bytes = BytesMut::new();
        frame.put(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn waits(&mut self, bytes: usize) {
        self.send(ping(bytes)).await;
    }

    /// The next reply, which must be the last call's: those before it wait.
    async fn answer(&mut self) -> Result<Reply, ApiError> {
        loop {
            while let Some(frame) = self.decoder.frame().unwrap() {
                if let Frame::Reply { id, body, .. } = frame {
                    assert_eq!(id, self.last);
                    return codec::decode(&body).unwrap();
                }
            }
            let mut bytes = [0; 1024];
            let read = self.stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "the lane was ended");
            self.decoder.feed(&bytes[..read]);
        }
    }

    async fn asks(&mut self, body: Bytes) -> Result<Reply, ApiError> {
        self.send(body).await;
        self.answer().await
    }
}

fn encoded(request: impl Into<Request>) -> Bytes {
    codec::encode(&request.into()).unwrap().into()
}

fn ping(bytes: usize) -> Bytes {
    encoded(Ping { payload: vec![0; bytes].into() })
}

fn consensus(bytes: usize) -> Bytes {
    encoded(Consensus { group: GroupId::Registry, to: 1, body: vec![0; bytes].into() })
}

fn pong() -> Result<Reply, ApiError> {
    Ok(Reply::Ping(Bytes::new()))
}

#[tokio::test(start_paused = true)]
async fn large_calls_that_wait_are_bounded_by_their_bytes() {
    // Room for three, not for four.
    let load = Load::bounded(1000, 4 * u32::try_from(LARGE).unwrap());
    let (mut one, mut other) = (Caller::new(Lane::Calls, &load), Caller::new(Lane::Bulk, &load));
    for _ in 0..3 {
        one.waits(LARGE).await;
    }
    assert_eq!(one.asks(ping(LARGE)).await, Err(ApiError::Busy));
    // Nothing of it was looked at.
    assert_eq!(one.asks(vec![255; LARGE + 100].into()).await, Err(ApiError::Busy));
    assert_eq!(other.asks(ping(LARGE)).await, Err(ApiError::Busy));
    assert_eq!(other.asks(ping(0)).await, pong(), "what is small goes on");
    let mut votes = Caller::new(Lane::Consensus, &load);
    assert_eq!(votes.asks(consensus(LARGE)).await, pong());
}

#[tokio::test(start_paused = true)]
async fn many_calls_that_wait_never_keep_consensus_out() {
    let load = Load::bounded(3, u32::MAX);
    let mut one = Caller::new(Lane::Calls, &load);
    for _ in 0..3 {
        one.waits(1).await;
    }
    assert_eq!(one.asks(ping(0)).await, Err(ApiError::Busy));
    let mut votes = Caller::new(Lane::Consensus, &load);
    assert_eq!(votes.asks(consensus(1)).await, pong());
}
