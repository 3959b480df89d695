//! A peer that was admitted and breaks the rules is cut off; memory stays flat and nobody else
//! notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bookmesh_rpc::api::{ApiError, Ping, ReadLog, Reply, Request, RequestId};
use bookmesh_rpc::codec;
use bookmesh_rpc::frame::{Decoder, Frame};
use bookmesh_rpc::mesh::{Mesh, MeshKey};
use bytes::Bytes;
use futures::AsyncWriteExt;

use crate::logs;
use crate::member::{admitted, receive, send};
use crate::support::{address, node, ping, rack, serving, soon, until};

/// Far above what the limits allow one peer, far below what it asks for.
const FLAT_BYTES: usize = 256 << 20;

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    resident * 4096
}

struct Scene {
    key: MeshKey,
    victim: Mesh,
    friend: Mesh,
    before: usize,
    peak: Arc<AtomicUsize>,
}

/// Follows the process's memory for as long as somebody holds the peak.
fn watch_memory() -> Arc<AtomicUsize> {
    let peak = Arc::new(AtomicUsize::new(0));
    let watched = Arc::downgrade(&peak);
    tokio::spawn(async move {
        while let Some(peak) = watched.upgrade() {
            peak.fetch_max(resident_bytes(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    peak
}

impl Scene {
    async fn new() -> Self {
        logs::record();
        let key = MeshKey::generate();
        let victim = serving(Some(&key), &[]).await;
        let friend = node(Some(&key), &[]).await;
        friend.learn(victim.peer_id(), &[address(&victim, "tcp")]).await;
        let scene = Self { key, victim, friend, before: 0, peak: Arc::default() };
        scene.friend_is_served().await;
        Self { before: resident_bytes(), peak: watch_memory(), ..scene }
    }

    async fn friend_is_served(&self) {
        let answer = self.friend.call(self.victim.peer_id(), &soon(), ping("well")).await;
        assert_eq!(answer.unwrap(), "well");
    }

    async fn is_well(&self) {
        self.friend_is_served().await;
        until("only the friend is connected", async || self.victim.connected() == 1).await;
        let grown = self.peak.load(Ordering::Relaxed).saturating_sub(self.before);
        assert!(grown < FLAT_BYTES, "grew by {grown} bytes");
    }
}

fn call(id: u64, request: impl Into<Request>) -> Frame {
    Frame::Call {
        id,
        remaining_ms: 60_000,
        request_id: RequestId::generate(),
        body: codec::encode(&request.into()).unwrap().into(),
    }
}

async fn cut_off(transport: &str, bytes: &[u8], why: &str) {
    let scene = Scene::new().await;
    let (member, mut stream) = admitted(&scene.key, &scene.victim, transport).await;
    let mut decoder = Decoder::default();
    let welcome = receive(&mut stream, &mut decoder).await;
    assert!(matches!(welcome, Some(Frame::Welcome { .. })), "{welcome:?}");
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(receive(&mut stream, &mut decoder).await, None, "the stream is ended");
    logs::warned(&["cut a peer off", &member.id.short(), why]).await;
    scene.is_well().await;
}

#[tokio::test]
async fn with_a_length_prefix_of_a_gibibyte() {
    for transport in ["tcp", "quic"] {
        cut_off(transport, &(1_u32 << 30).to_le_bytes(), "1073741824").await;
    }
}

#[tokio::test]
async fn with_a_frame_that_is_none() {
    cut_off("tcp", &[2, 0, 0, 0, 99, 99], "no frame of kind 99").await;
}

#[tokio::test]
async fn with_a_request_that_is_none_it_hears_so_and_stays() {
    let scene = Scene::new().await;
    let (_member, mut stream) = admitted(&scene.key, &scene.victim, "tcp").await;
    let mut decoder = Decoder::default();
    receive(&mut stream, &mut decoder).await;
    let Frame::Call { request_id, .. } = call(1, Ping { payload: Bytes::new() }) else {
        unreachable!()
    };
    let body = Bytes::from_static(&[250, 1, 2, 3]);
    let garbage = Frame::Call { id: 1, remaining_ms: 60_000, request_id, body };
    send(&mut stream, &[garbage]).await;
    let Some(Frame::Reply { id: 1, body, .. }) = receive(&mut stream, &mut decoder).await else {
        panic!("no reply")
    };
    let reply: Result<Reply, ApiError> = codec::decode(&body).unwrap();
    assert!(matches!(reply, Err(ApiError::Invalid(_))), "{reply:?}");
    send(&mut stream, &[call(2, Ping { payload: Bytes::new() })]).await;
    assert!(receive(&mut stream, &mut decoder).await.is_some());
}

#[tokio::test]
async fn with_the_same_id_twice() {
    let scene = Scene::new().await;
    let (member, mut stream) = admitted(&scene.key, &scene.victim, "tcp").await;
    let endless = call(1, bookmesh_rpc::api::ListRacks);
    send(&mut stream, &[endless.clone(), endless]).await;
    logs::warned(&["cut a peer off", &member.id.short(), "a second request with the id 1"]).await;
    scene.is_well().await;
}

async fn reads_nothing(transport: &str) {
    let scene = Scene::new().await;
    let (member, mut stream) = admitted(&scene.key, &scene.victim, transport).await;
    let page = |id| call(id, ReadLog { rack: rack("large"), from: 0, limit: 1 });
    // A gibibyte of answers.
    let calls: Vec<_> = (0..1024).map(page).collect();
    send(&mut stream, &calls).await;
    logs::warned(&["cut a peer off", &member.id.short(), "has taken no byte"]).await;
    scene.is_well().await;
}

#[tokio::test]
async fn by_asking_for_megabytes_and_reading_none_over_tcp() {
    reads_nothing("tcp").await;
}

#[tokio::test]
async fn by_asking_for_megabytes_and_reading_none_over_quic() {
    reads_nothing("quic").await;
}

#[tokio::test]
async fn by_asking_for_more_than_may_be_in_flight_it_hears_busy() {
    let scene = Scene::new().await;
    let (_member, mut stream) = admitted(&scene.key, &scene.victim, "tcp").await;
    let mut decoder = Decoder::default();
    let Some(Frame::Welcome { in_flight }) = receive(&mut stream, &mut decoder).await else {
        panic!("no welcome")
    };
    let too_many = u64::from(in_flight) + 1;
    let calls: Vec<_> = (1..=too_many).map(|id| call(id, bookmesh_rpc::api::ListRacks)).collect();
    send(&mut stream, &calls).await;
    let Some(Frame::Reply { id, body, .. }) = receive(&mut stream, &mut decoder).await else {
        panic!("no reply")
    };
    let reply: Result<Reply, ApiError> = codec::decode(&body).unwrap();
    assert_eq!((id, reply), (too_many, Err(ApiError::Busy)));
    scene.friend_is_served().await;
}
