//! A rack's log can be read, checked and watched from outside.

use std::time::Duration;

use bookmesh_rpc::api::Hash;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::World;

fn hash(text: &serde_json::Value) -> Hash {
    let mut hash = Hash::ZERO;
    hex::decode_to_slice(text.as_str().unwrap(), &mut hash.0).unwrap();
    hash
}

#[tokio::test]
async fn the_chain_of_a_page_verifies() {
    let world = World::start(1).await;
    for name in ["a", "b", "c"] {
        world.book("r0", name).await;
    }
    let page = world.get("/racks/r0/log?from=1&limit=5").await.data();
    assert_eq!((&page["rack_id"], &page["committed_index"]), (&"r0".into(), &2.into()));
    let records = page["records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    let mut chain = hash(&page["previous_hash"]);
    assert_ne!(chain, Hash::ZERO);
    for record in records {
        let commands = hex::decode(record["commands"].as_str().unwrap()).unwrap();
        chain = chain.extend(&commands);
        assert_eq!(hash(&record["hash"]), chain);
        assert_eq!(record["batch"]["commands"][0]["action"], "forget");
    }
    assert_eq!(world.get("/racks/r0/log?from=-1&to=2").await.fields().len(), 2);
    assert_eq!(world.get("/racks/r9/log").await.error(404), "ERR_RACK_NOT_FOUND");
}

#[tokio::test]
async fn records_arrive_as_they_commit() {
    let world = World::start(1).await;
    world.book("r0", "a").await;
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let request = b"GET /racks/r0/log/tail?from=0 HTTP/1.1\r\nhost: t\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next_index = async || loop {
        let line = lines.next_line().await.unwrap().expect("the stream goes on");
        if let Ok(record) = serde_json::from_str::<serde_json::Value>(&line)
            && record.is_object()
        {
            return record["index"].as_u64().unwrap();
        }
    };
    assert_eq!(next_index().await, 0);
    for expected in 1..4 {
        world.book("r0", "b").await;
        assert_eq!(next_index().await, expected);
    }
    world.close_gateway().await;
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line == "0" {
                return;
            }
        }
        panic!("the tail was cut instead of ended");
    });
    ended.await.expect("a closed gateway tails no log");
}
