//! Bytes that flip in the middle of one member's log are found when it is opened: the member never
//! answers by them, and is filled again from the others.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::support::api::book;
use crate::support::rack::agreement;
use crate::support::{Api, Process, eventually, mesh};

/// Enough that the middle of the file is log.
const BOOKS: usize = 400;
const FLIPPED: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn the_member_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let start = |at: usize| mesh::worker(&format!("worker-{at}"), dir.path(), &ork.p2p());
    let mut workers: Vec<Process> = (0..3).map(start).collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    agreement(&api, mesh::RACK, 3).await;
    for number in 0..BOOKS {
        let text = "x".repeat(8_000);
        let mut body = book(&format!("Book {number}"));
        body["info"]["text"] = text.into();
        assert_eq!(api.post("/books", body).await.status, 201);
    }
    agreement(&api, mesh::RACK, 3).await;

    workers.remove(0).kill();
    flip(&dir.path().join("worker-0-data/slot-0/store/db/db"));
    let damaged = start(0);
    eventually("the damage to be told", || async {
        let log = damaged.log();
        (log.contains("of no use") || log.contains("set aside")).then_some(())
    })
    .await;
    agreement(&api, mesh::RACK, 3).await;
    assert_eq!(api.count().await, BOOKS as u64);
}

/// Flips some bytes all over the middle third of a file.
fn flip(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let third = file.metadata().unwrap().len() / 3;
    for number in 0..FLIPPED {
        let at = third + number * (third / FLIPPED);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
    }
    file.sync_all().unwrap();
}
