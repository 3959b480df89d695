//! A gateway follows the routes of one orchestrator, announces itself to all, and changes to
//! another when the one that it follows dies or freezes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bookmesh_gateway::{Gateway, GatewayConfig, ServeConfig, serve};
use bookmesh_rpc::api::DHT_ORKS;
use bookmesh_rpc::{Mesh, NodeKey};
use tokio::net::TcpListener;

use crate::support::Request;
use crate::support::fake_ork::FakeOrk;
use crate::support::fake_worker::FakeWorker;
use crate::support::world::{PATIENCE, mesh, route};

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "it never happened: {what}");
}

/// The one of both that is followed.
fn followed(orks: &[(Mesh, Arc<FakeOrk>)]) -> Option<usize> {
    orks.iter().position(|(_, ork)| ork.routes.receiver_count() > 0)
}

async fn takes_over(lose: impl AsyncFn(&Mesh, &FakeOrk)) {
    let first = mesh(NodeKey::generate(), &[], None).await;
    let second = mesh(NodeKey::generate(), &first.addresses(), None).await;
    let orks: Vec<_> = [first, second].into_iter().map(|mesh| (mesh, FakeOrk::new())).collect();
    let worker = |number: u32| {
        let peer = NodeKey::generate().peer_id().unwrap();
        FakeWorker::new(&format!("r{number}"), number, peer)
    };
    for (mesh, ork) in &orks {
        ork.set(vec![route(&worker(0))]);
        mesh.serve(ork.clone());
        mesh.provide(DHT_ORKS).await;
    }
    let gateway_mesh = mesh(NodeKey::generate(), &orks[0].0.addresses(), None).await;
    let gateway = Gateway::start(gateway_mesh, GatewayConfig::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let forever = std::future::pending();
    tokio::spawn(serve(listener, gateway.router(), ServeConfig::default(), forever));

    until("one is followed", async || followed(&orks).is_some()).await;
    until("both hear of it", async || orks.iter().all(|(_, ork)| ork.is_told())).await;
    let chosen = followed(&orks).unwrap();
    let (other, standby) = (&orks[1 - chosen].1, &orks[1 - chosen].0);
    assert_eq!(other.routes.receiver_count(), 0, "one stream is enough");

    lose(&orks[chosen].0, &orks[chosen].1).await;
    until("the other is followed", async || other.routes.receiver_count() > 0).await;
    other.set(vec![route(&worker(0)), route(&worker(1))]);
    let racks = async || {
        let reply = Request::new("GET", "/racks").send(at).await;
        reply.status == 200 && reply.data().as_array().unwrap().len() == 2
    };
    until("its routes count", racks).await;
    let _still_up = (standby, gateway);
}

#[tokio::test]
async fn when_the_followed_one_dies() {
    takes_over(async |mesh, _| mesh.close().await).await;
}

#[tokio::test]
async fn when_the_followed_one_freezes() {
    takes_over(async |_, ork| ork.frozen.store(true, Ordering::SeqCst)).await;
}
