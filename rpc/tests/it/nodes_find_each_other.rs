//! Nodes that know one address find each other, and who provides what.

use std::time::Duration;

use bookmesh_rpc::mesh::{Contact, Mesh, MeshKey};

use crate::support::{address, config, connected, ping, serving, soon, until};

async fn found(from: &Mesh, key: &str) -> Vec<bookmesh_rpc::PeerId> {
    let mut found = Vec::new();
    until(&format!("a provider of {key}"), async || {
        found = from.providers(key, &soon()).await;
        !found.is_empty()
    })
    .await;
    found
}

async fn three_nodes(transport: &str) {
    let key = MeshKey::generate();
    let first = serving(Some(&key), &[]).await;
    let at = address(&first, transport);
    let second = serving(Some(&key), std::slice::from_ref(&at)).await;
    let third = serving(Some(&key), &[at]).await;
    connected(&first, 2).await;
    first.provide("ork").await;
    second.provide("rack/book-rack-001").await;
    assert_eq!(found(&third, "rack/book-rack-001").await, [second.peer_id()]);
    assert_eq!(found(&third, "ork").await, [first.peer_id()]);
    // The third never learned where the second listens but through the first.
    assert_eq!(third.call(second.peer_id(), &soon(), ping("x")).await.unwrap(), "x");
}

#[tokio::test]
async fn three_nodes_over_tcp_through_one_address() {
    three_nodes("tcp").await;
}

#[tokio::test]
async fn three_nodes_over_quic_through_one_address() {
    three_nodes("quic").await;
}

#[tokio::test]
async fn host_and_port_are_enough() {
    let key = MeshKey::generate();
    let first = serving(Some(&key), &[]).await;
    let port = address(&first, "tcp").split('/').nth(4).unwrap().to_owned();
    let second = serving(Some(&key), &[format!("127.0.0.1:{port}")]).await;
    connected(&second, 1).await;
    let named = serving(Some(&key), &[format!("localhost:{port}")]).await;
    connected(&named, 1).await;
}

#[tokio::test]
async fn a_bootstrap_node_that_starts_later_is_found() {
    let key = MeshKey::generate();
    let first = serving(Some(&key), &[]).await;
    let at = address(&first, "tcp");
    let mut again = config(Some(&key), &[]);
    again.port = at.split('/').nth(4).unwrap().parse().unwrap();
    first.close().await;
    let second = serving(Some(&key), &[at.split("/p2p/").next().unwrap().to_owned()]).await;
    assert_eq!(*second.contact().borrow(), Contact::Searching);
    let _later = Mesh::start(again).await.unwrap();
    connected(&second, 1).await;
}

#[tokio::test]
async fn after_losing_everybody_it_searches_again() {
    let key = MeshKey::generate();
    let mut first_config = config(Some(&key), &[]);
    let first = Mesh::start(first_config.clone()).await.unwrap();
    let at = address(&first, "tcp");
    first_config.port = at.split('/').nth(4).unwrap().parse().unwrap();
    let second = serving(Some(&key), &[at]).await;
    connected(&second, 1).await;
    first.close().await;
    let mut contact = second.contact();
    contact.wait_for(|contact| !matches!(contact, Contact::Connected(_))).await.unwrap();
    let _again = Mesh::start(first_config).await.unwrap();
    connected(&second, 1).await;
}

#[tokio::test]
async fn nobody_in_time_is_reported_with_what_was_tried() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let mut alone = config(None, std::slice::from_ref(&at));
    alone.bootstrap_timeout = Duration::from_millis(200);
    let mesh = Mesh::start(alone).await.unwrap();
    let mut contact = mesh.contact();
    let reported = contact.wait_for(|contact| matches!(contact, Contact::Nobody { .. }));
    let Contact::Nobody { tried } = reported.await.unwrap().clone() else { unreachable!() };
    assert!(tried.len() == 1 && tried[0].starts_with(&at), "{tried:?}");
}
