//! A connection that breaks fails what is in flight at once, and the next call makes a new one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bookmesh_rpc::api::{ListRacks, TailLog};
use bookmesh_rpc::mesh::{CallError, Mesh, MeshConfig, MeshKey};

use crate::support::{Example, address, config, node, ping, rack, serving, soon, until};

async fn restart(config: &MeshConfig) -> Mesh {
    let mesh = Mesh::start(config.clone()).await.unwrap();
    mesh.serve(Arc::new(Example::default()));
    mesh
}

#[tokio::test]
async fn fails_calls_in_flight_and_the_next_one_finds_the_restarted_peer() {
    for transport in ["tcp", "quic"] {
        let key = MeshKey::generate();
        let mut known = config(Some(&key), &[]);
        let two = Mesh::start(known.clone()).await.unwrap();
        let service = Example::default();
        let running = Arc::clone(&service.running);
        two.serve(Arc::new(service));
        let at = address(&two, transport);
        known.port = at.split('/').nth(4).unwrap().parse().unwrap();
        let one = node(Some(&key), &[]).await;
        let to = two.peer_id();
        one.learn(to, &[at]).await;
        let tail = TailLog { rack: rack("endless"), from: 0 };
        let mut items = one.stream(to, &soon(), tail).await.unwrap();
        let caller = one.clone();
        let call = tokio::spawn(async move { caller.call(to, &soon(), ListRacks).await });
        until("both are running", async || running.load(Ordering::SeqCst) == 2).await;
        two.close().await;
        drop(two);
        assert_eq!(call.await.unwrap(), Err(CallError::Broken { peer: to }));
        let last = loop {
            match items.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(last, CallError::Broken { peer: to });
        let _again = restart(&known).await;
        until("a call works again", async || {
            one.call(to, &soon(), ping("x")).await == Ok("x".into())
        })
        .await;
    }
}

#[tokio::test]
async fn two_nodes_that_dial_each_other_at_once_both_get_through() {
    let key = MeshKey::generate();
    for _ in 0..5 {
        let (one, two) = (serving(Some(&key), &[]).await, serving(Some(&key), &[]).await);
        one.learn(two.peer_id(), &two.addresses()).await;
        two.learn(one.peer_id(), &one.addresses()).await;
        let (context, request) = (soon(), || ping("x"));
        let (there, back) = tokio::join!(
            one.call(two.peer_id(), &context, request()),
            two.call(one.peer_id(), &context, request()),
        );
        assert_eq!((there.unwrap(), back.unwrap()), ("x".into(), "x".into()));
    }
}
