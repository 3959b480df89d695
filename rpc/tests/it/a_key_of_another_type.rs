//! A peer id that is not 32 bytes long comes from a key that is not Ed25519. libp2p's own
//! implementations may have such keys, so this end is spoken by hand.

use bookmesh_rpc::mesh::{Mesh, MeshKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::logs;
use crate::support::{address, ping, serving, soon};

/// libp2p's protobuf of a public key: type 2 (secp256k1), 33 bytes.
fn secp256k1_key() -> Vec<u8> {
    let mut key = vec![0x08, 0x02, 0x12, 33, 2];
    key.extend([7; 32]);
    key
}

/// The payload of the last handshake message: field 1 the key, field 2 its signature.
fn identity(key: &[u8]) -> Vec<u8> {
    let mut payload = vec![0x0a, key.len() as u8];
    payload.extend(key);
    payload.extend([0x12, 64]);
    payload.extend([0; 64]);
    payload
}

async fn send(socket: &mut TcpStream, message: &[u8]) {
    socket.write_all(&(message.len() as u16).to_be_bytes()).await.unwrap();
    socket.write_all(message).await.unwrap();
}

async fn receive(socket: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; usize::from(socket.read_u16().await.unwrap())];
    socket.read_exact(&mut message).await.unwrap();
    message
}

/// Speaks up to the end of the Noise handshake, as a node with that key.
async fn knock(at: &Mesh, key: &[u8]) -> TcpStream {
    let port = address(at, "tcp").split('/').nth(4).unwrap().to_owned();
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let hello = b"\x13/multistream/1.0.0\n\x07/noise\n";
    socket.write_all(hello).await.unwrap();
    let mut agreed = vec![0; hello.len()];
    socket.read_exact(&mut agreed).await.unwrap();
    assert_eq!(agreed, hello);
    let builder = snow::Builder::new("Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap());
    let keys = builder.generate_keypair().unwrap();
    let mut noise = builder.local_private_key(&keys.private).unwrap().build_initiator().unwrap();
    let mut buffer = vec![0; 1 << 16];
    let written = noise.write_message(&[], &mut buffer).unwrap();
    send(&mut socket, &buffer[..written]).await;
    noise.read_message(&receive(&mut socket).await, &mut buffer).unwrap();
    let written = noise.write_message(&identity(key), &mut buffer).unwrap();
    send(&mut socket, &buffer[..written]).await;
    socket
}

#[tokio::test]
async fn is_refused_in_the_words_of_the_design() {
    logs::record();
    let key = MeshKey::generate();
    let node = serving(Some(&key), &[]).await;
    let mut socket = knock(&node, &secp256k1_key()).await;
    let from = socket.local_addr().unwrap().port().to_string();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
    logs::warned(&["refused a connection", &from, "ID must be 32-bytes long"]).await;
    let me = node.peer_id();
    assert_eq!(node.call(me, &soon(), ping("well")).await.unwrap(), "well");
}
