//! A gateway that has never met an orchestrator still finds a rack by its name.

use std::net::Ipv4Addr;
use std::time::Duration;

use bookmesh_gateway::{Gateway, GatewayConfig, ServeConfig, serve};
use bookmesh_rpc::NodeKey;
use tokio::net::TcpListener;

use crate::support::Request;
use crate::support::fake_worker::FakeWorker;
use crate::support::world::{PATIENCE, book, mesh};

#[tokio::test]
async fn the_dht_names_who_holds_a_rack() {
    let key = NodeKey::generate();
    let worker = FakeWorker::new("r0", 0, key.peer_id().unwrap());
    let worker_mesh = mesh(key, &[], Some(worker.clone())).await;
    worker_mesh.provide(&worker.rack.dht_key()).await;
    let gateway_mesh = mesh(NodeKey::generate(), &worker_mesh.addresses(), None).await;
    let config = GatewayConfig { replicas: 1, ..GatewayConfig::default() };
    let gateway = Gateway::start(gateway_mesh, config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let forever = std::future::pending();
    tokio::spawn(serve(listener, gateway.router(), ServeConfig::default(), forever));

    let create = || Request::new("POST", "/books").json(book("r0", "N")).send(at);
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let reply = create().await;
            if reply.status == 201 {
                return reply;
            }
            assert_eq!(reply.error(503), "ERR_RACK_UNAVAILABLE");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    found.await.expect("the rack is found");
    // Its number is known now, and so are its books' ids.
    assert_eq!(Request::new("GET", "/books/1").send(at).await.status, 200);
    let unknown = Request::new("GET", "/racks/r9").send(at).await;
    assert_eq!(unknown.error(503), "ERR_RACK_UNAVAILABLE");
}
