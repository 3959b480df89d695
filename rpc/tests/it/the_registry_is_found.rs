//! Calls to the registry find its leader over any orchestrator, and announcements reach all of
//! them, however slow one is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bookmesh_rpc::api::{
    Announce, Announced, ApiError, DHT_ORKS, GetSettings, Incarnation, NodeRole, Reply, Request,
    Settings, StreamRequest,
};
use bookmesh_rpc::mesh::{BoxFuture, CallError, Context, ItemSink, Service};
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::{Mesh, PeerId};
use tokio::sync::watch;

use crate::support::{node, until};

/// An orchestrator that leads, or names the one that does; it may hang on announcements.
#[derive(Default)]
struct Ork {
    leader: Mutex<Option<PeerId>>,
    hangs: AtomicBool,
    asked: AtomicUsize,
    heard: AtomicUsize,
    registry: Incarnation,
}

impl Service for Ork {
    fn call(
        self: Arc<Self>,
        _: PeerId,
        _: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move {
            match request {
                Request::GetSettings(_) => {
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    match *self.leader.lock().unwrap() {
                        None => Ok(Reply::GetSettings(Settings::default())),
                        leader => Err(ApiError::NotRegistryLeader { leader }),
                    }
                }
                Request::Announce(_) => {
                    if self.hangs.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    self.heard.fetch_add(1, Ordering::SeqCst);
                    Ok(Reply::Announce(Announced {
                        registry: Some(self.registry),
                        ..Announced::default()
                    }))
                }
                other => Err(ApiError::NotServed { method: other.method().into() }),
            }
        })
    }

    fn stream(
        self: Arc<Self>,
        _: PeerId,
        _: Context,
        request: StreamRequest,
        _: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        Box::pin(async move { Err(ApiError::NotServed { method: request.method().into() }) })
    }
}

/// Three orchestrators that know each other, and a node beside them.
async fn world() -> (Vec<(Mesh, Arc<Ork>)>, Mesh) {
    let mut orks: Vec<(Mesh, Arc<Ork>)> = Vec::new();
    for _ in 0..3 {
        let known = orks.first().map_or_else(Vec::new, |(mesh, _)| mesh.addresses());
        let mesh = node(None, &known).await;
        let ork = Arc::new(Ork::default());
        mesh.serve(ork.clone());
        mesh.provide(DHT_ORKS).await;
        orks.push((mesh, ork));
    }
    let node = node(None, &orks[0].0.addresses()).await;
    (orks, node)
}

#[tokio::test]
async fn hints_lead_to_the_leader_and_it_is_kept_until_it_is_gone() {
    let (world, node) = world().await;
    let leader = world[2].0.peer_id();
    for (_, follower) in &world[..2] {
        *follower.leader.lock().unwrap() = Some(leader);
    }
    let orks = Orks::new(node);
    let ask = || async { orks.call(&Context::within(Duration::from_secs(20)), GetSettings).await };
    ask().await.unwrap();
    assert_eq!(orks.current(), Some(leader));
    let before = world[..2].iter().map(|(_, ork)| ork.asked.load(Ordering::SeqCst)).sum::<usize>();
    ask().await.unwrap();
    let after = world[..2].iter().map(|(_, ork)| ork.asked.load(Ordering::SeqCst)).sum::<usize>();
    assert_eq!(before, after, "the leader is asked first now");

    world[2].0.close().await;
    let next = world[0].0.peer_id();
    *world[0].1.leader.lock().unwrap() = None;
    *world[1].1.leader.lock().unwrap() = Some(next);
    let followed = async || ask().await.is_ok() && orks.current() == Some(next);
    until("the next leader is found", followed).await;
}

#[tokio::test]
async fn orchestrators_that_all_name_each_other_end_in_an_error_at_the_deadline() {
    let (world, node) = world().await;
    *world[0].1.leader.lock().unwrap() = Some(world[1].0.peer_id());
    for (_, other) in &world[1..] {
        *other.leader.lock().unwrap() = Some(world[0].0.peer_id());
    }
    let orks = Orks::new(node);
    let answer = orks.call(&Context::within(Duration::from_millis(800)), GetSettings).await;
    let unled = matches!(
        answer,
        Err(CallError::Api(ApiError::NotRegistryLeader { .. } | ApiError::Unavailable { .. }))
    );
    assert!(unled, "{answer:?}");
}

#[tokio::test]
async fn an_announcement_reaches_all_although_one_hangs() {
    let (world, node) = world().await;
    world[0].1.hangs.store(true, Ordering::SeqCst);
    let orks = Arc::new(Orks::new(node));
    let news = watch::Sender::new(Arc::new(announcement()));
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = answers.clone();
    let heard = move |_: &_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let telling = tokio::spawn(orks.clone().announce(news.subscribe(), heard));
    let counts = || [1, 2].map(|at: usize| world[at].1.heard.load(Ordering::SeqCst));
    until("both hear", async || counts().iter().all(|count| *count > 0)).await;
    for _ in 0..3 {
        let before = counts();
        news.send_replace(Arc::new(announcement()));
        let more = || counts().iter().zip(before).all(|(now, before)| *now > before);
        until("both hear the news", async || more()).await;
    }
    assert_eq!(world[0].1.heard.load(Ordering::SeqCst), 0);
    assert!(answers.load(Ordering::SeqCst) >= 8);

    // One that answered and then falls silent counts as gone, until it answers again.
    let second = world[1].0.peer_id();
    world[1].1.hangs.store(true, Ordering::SeqCst);
    let silent = || {
        news.send_replace(Arc::new(announcement()));
        orks.is_silent(second)
    };
    until("it is silent", async || silent()).await;
    world[1].1.hangs.store(false, Ordering::SeqCst);
    until("it is back", async || !silent()).await;
    drop(news);
    tokio::time::timeout(Duration::from_secs(30), telling).await.unwrap().unwrap();
}

fn announcement() -> Announce {
    Announce {
        role: NodeRole::Worker,
        version: "test".into(),
        addresses: Vec::new(),
        racks: Vec::new(),
    }
}
