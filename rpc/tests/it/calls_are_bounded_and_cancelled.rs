//! What is in flight is bounded, and ends with whoever wanted it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bookmesh_rpc::api::{ApiError, ListRacks, LogRecord, TailLog};
use bookmesh_rpc::mesh::{CallError, Context, Items, Mesh, MeshKey};

use crate::support::{Example, PATIENCE, node, ping, rack, soon, until};

struct Scene {
    one: Mesh,
    two: Mesh,
    running: Arc<AtomicUsize>,
    items: Arc<AtomicUsize>,
}

impl Scene {
    async fn new() -> Self {
        let key = MeshKey::generate();
        let (one, two) = (node(Some(&key), &[]).await, node(Some(&key), &[]).await);
        let service = Example::default();
        let (running, items) = (Arc::clone(&service.running), Arc::clone(&service.items));
        two.serve(Arc::new(service));
        one.learn(two.peer_id(), &two.addresses()).await;
        Self { one, two, running, items }
    }

    async fn running(&self, wanted: usize) {
        let what = format!("{wanted} running");
        until(&what, async || self.running.load(Ordering::SeqCst) == wanted).await;
    }

    async fn tail(&self, name: &str) -> Result<Items<LogRecord>, CallError> {
        let tail = TailLog { rack: rack(name), from: 0 };
        self.one.stream(self.two.peer_id(), &soon(), tail).await
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_the_work() {
    let scene = Scene::new().await;
    let (one, to) = (scene.one.clone(), scene.two.peer_id());
    // Its deadline is far: only the cancellation can end the work in time.
    let context = Context::within(20 * PATIENCE);
    let call = tokio::spawn(async move { one.call(to, &context, ListRacks).await });
    scene.running(1).await;
    call.abort();
    scene.running(0).await;
}

#[tokio::test]
async fn a_caller_is_told_busy_before_anything_is_sent() {
    let scene = Scene::new().await;
    let to = scene.two.peer_id();
    let calls: Vec<_> = (0..1024)
        .map(|_| {
            let one = scene.one.clone();
            tokio::spawn(async move { one.call(to, &soon(), ListRacks).await })
        })
        .collect();
    scene.running(1024).await;
    let one_more = scene.one.call(to, &soon(), ping("x")).await;
    assert_eq!(one_more, Err(CallError::Busy { peer: to }));
    calls.iter().for_each(|call| call.abort());
    scene.running(0).await;
    assert_eq!(scene.one.call(to, &soon(), ping("x")).await.unwrap(), "x");
}

#[tokio::test]
async fn a_stream_stops_at_its_readers_credit_goes_on_when_it_reads_and_ends_with_it() {
    let scene = Scene::new().await;
    let mut items = scene.tail("endless").await.unwrap();
    // A record is a little over 1,000 bytes and a mebibyte may be under way.
    until("most of the credit is used", async || scene.items.load(Ordering::SeqCst) > 900).await;
    for _ in 0..20 {
        scene.one.call(scene.two.peer_id(), &soon(), ping("x")).await.unwrap();
    }
    let unread = scene.items.load(Ordering::SeqCst);
    assert!(unread <= (1 << 20) / 1000, "{unread} items went out without credit");
    for index in 0..3000 {
        assert_eq!(items.next().await.unwrap().unwrap().index, index);
    }
    scene.running(1).await;
    drop(items);
    scene.running(0).await;
}

#[tokio::test]
async fn a_stream_ends_well_or_with_its_typed_error() {
    let scene = Scene::new().await;
    let mut short = scene.tail("short").await.unwrap();
    for index in 0..3 {
        assert_eq!(short.next().await.unwrap().unwrap().index, index);
    }
    assert_eq!(short.next().await, None);
    let mut faulty = scene.tail("faulty").await.unwrap();
    assert!(faulty.next().await.unwrap().is_ok());
    let expected = CallError::Api(ApiError::NotMember { rack: rack("faulty") });
    assert_eq!(faulty.next().await, Some(Err(expected)));
    assert_eq!(faulty.next().await, None);
    let unknown = scene.tail("unknown").await.unwrap_err();
    assert_eq!(unknown, CallError::Api(ApiError::RackNotFound { rack: rack("unknown") }));
}

#[tokio::test]
async fn a_stream_of_ones_own_works_alike() {
    let scene = Scene::new().await;
    let me = scene.two.peer_id();
    let tail = |name| TailLog { rack: rack(name), from: 0 };
    let mut short = scene.two.stream(me, &soon(), tail("short")).await.unwrap();
    for index in 0..3 {
        assert_eq!(short.next().await.unwrap().unwrap().index, index);
    }
    assert_eq!(short.next().await, None);
    let mut unknown = scene.two.stream(me, &soon(), tail("unknown")).await.unwrap();
    let expected = CallError::Api(ApiError::RackNotFound { rack: rack("unknown") });
    assert_eq!(unknown.next().await, Some(Err(expected)));
    let endless = scene.two.stream(me, &soon(), tail("endless")).await.unwrap();
    scene.running(1).await;
    drop(endless);
    scene.running(0).await;
}
