//! Who is not of the mesh gets nothing from it, both ends know why, and nobody else notices.

use std::time::Duration;

use bookmesh_rpc::admission::WireVersion;
use bookmesh_rpc::mesh::{CallError, Contact, Mesh, MeshKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::logs;
use crate::member::Member;
use crate::support::{PATIENCE, address, config, ping, serving, soon};

/// A mesh of two, with work going on.
struct Friends {
    key: MeshKey,
    one: Mesh,
    two: Mesh,
}

impl Friends {
    async fn new() -> Self {
        logs::record();
        let key = MeshKey::generate();
        let two = serving(Some(&key), &[]).await;
        let one = serving(Some(&key), &two.addresses()).await;
        crate::support::connected(&one, 1).await;
        Self { key, one, two }
    }

    async fn are_undisturbed(&self) {
        let answer = self.one.call(self.two.peer_id(), &soon(), ping("well")).await;
        assert_eq!(answer.unwrap(), "well");
        assert_eq!((self.one.connected(), self.two.connected()), (1, 1));
    }
}

/// A node that wants in; what it hears.
async fn knock(key: Option<&MeshKey>, at: String) -> (Mesh, String) {
    let mut stranger = config(key, &[at]);
    stranger.bootstrap_timeout = Duration::from_millis(700);
    let stranger = Mesh::start(stranger).await.unwrap();
    let mut contact = stranger.contact();
    let nobody = contact.wait_for(|contact| matches!(contact, Contact::Nobody { .. }));
    let nobody = tokio::time::timeout(PATIENCE, nobody).await.expect("it was let in");
    let Contact::Nobody { tried } = nobody.unwrap().clone() else { unreachable!() };
    (stranger, tried.join("; "))
}

async fn refused(key: Option<&MeshKey>, transport: &str, heard: &str, logged: &str) {
    let friends = Friends::new().await;
    let (stranger, why) = knock(key, address(&friends.two, transport)).await;
    assert!(why.contains(heard), "{why}");
    logs::warned(&["refused a connection", &stranger.peer_id().short(), logged]).await;
    let friend = friends.two.peer_id().short();
    logs::warned(&["was not admitted", &friend, heard]).await;
    let call = stranger.call(friends.two.peer_id(), &soon(), ping("let me in")).await;
    assert!(matches!(call, Err(CallError::Unreachable { .. })), "{call:?}");
    friends.are_undisturbed().await;
}

#[tokio::test]
async fn without_a_key() {
    for transport in ["tcp", "quic"] {
        let heard = "it has a mesh key and this node has none";
        refused(None, transport, heard, "it has no mesh key").await;
    }
}

#[tokio::test]
async fn with_another_key() {
    for transport in ["tcp", "quic"] {
        let key = MeshKey::generate();
        let heard = "it refused this node's mesh key";
        refused(Some(&key), transport, heard, "it holds another mesh key").await;
    }
}

#[tokio::test]
async fn with_another_major_version() {
    let friends = Friends::new().await;
    let other = WireVersion { major: 7, minor: 5 };
    for transport in ["tcp", "quic"] {
        let mut member = Member::new(Some(&friends.key), other);
        let why = member.connect(&friends.two, transport).await.unwrap_err();
        let ours = WireVersion::CURRENT.to_string();
        assert!(why.contains("7.5") && why.contains(&ours), "{why}");
        let id = member.id.short();
        logs::warned(&["refused a connection", &id, "wire version 7.5", &ours]).await;
    }
    friends.are_undisturbed().await;
}

#[tokio::test]
async fn with_garbage_for_a_first_word() {
    let friends = Friends::new().await;
    let port = address(&friends.two, "tcp").split('/').nth(4).unwrap().to_owned();
    let mut socket = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let from = socket.local_addr().unwrap().port().to_string();
    let garbage: Vec<u8> = (0..4096_u32).map(|n| (n * 31 % 251) as u8).collect();
    socket.write_all(&garbage).await.unwrap();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
    logs::warned(&["refused a connection", &from]).await;
    friends.are_undisturbed().await;
}

#[tokio::test]
async fn a_node_without_a_key_listens_on_loopback_only() {
    let mut open = config(None, &[]);
    open.host = "0.0.0.0".parse().unwrap();
    let error = Mesh::start(open).await.unwrap_err().to_string();
    assert!(error.contains("loopback") && error.contains("MESH_KEY"), "{error}");
}

#[tokio::test]
async fn one_address_can_not_take_every_place_at_the_door() {
    let friends = Friends::new().await;
    let port = address(&friends.two, "tcp").split('/').nth(4).unwrap().to_owned();
    let door = format!("127.0.0.1:{port}").parse().unwrap();
    let mut silent = Vec::new();
    // More than may be in a handshake at all.
    for _ in 0..300 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(door).await.unwrap());
    }
    logs::warned(&["refused a connection", "127.0.0.2 has 32 unfinished handshakes"]).await;
    let newcomer = serving(Some(&friends.key), &friends.two.addresses()).await;
    crate::support::connected(&newcomer, 1).await;
    friends.one.call(friends.two.peer_id(), &soon(), ping("well")).await.unwrap();
}
