//! Durable commits a second: one command an entry, and 64 and 512 of 256 bytes each.
//!
//! `cargo bench -p bookmesh-storage` writes below the current directory, as a temporary one may
//! be in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::{Duration, Instant};

use bookmesh_rpc::api::MAX_ENTRY_BYTES;
use bookmesh_storage::{GroupName, Record, Store, StoreConfig, StoreKey};
use bytes::Bytes;

const COMMAND_BYTES: usize = 256;
const RUN: Duration = Duration::from_secs(3);

fn main() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = Store::open(StoreConfig::new(dir.path(), StoreKey::generate())).unwrap();
    println!("commands/entry  entries/s  commands/s  mean commit");
    for commands in [1, 64, 512] {
        let name = GroupName::rack(&format!("bench-{commands}").parse().unwrap());
        let group = store.group(&name).unwrap();
        let (begun, mut commits, mut index) = (Instant::now(), 0_u32, 0);
        while begun.elapsed() < RUN {
            let batch = batch(&mut index, commands * COMMAND_BYTES);
            group.append_blocking(batch).unwrap();
            commits += 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let per_second = f64::from(commits) / seconds;
        let mean = begun.elapsed() / commits;
        println!(
            "{commands:>14} {per_second:>10.0} {:>11.0}  {mean:?}",
            per_second * commands as f64
        );
    }
    store.close().unwrap();
}

/// As many entries as it takes to hold so many bytes.
fn batch(index: &mut u64, bytes: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut left = bytes;
    while left > 0 {
        let length = left.min(MAX_ENTRY_BYTES);
        let commands = Bytes::from(vec![*index as u8; length]);
        records.push(Record { index: *index, head: Bytes::from_static(b"head"), commands });
        *index += 1;
        left -= length;
    }
    records
}
