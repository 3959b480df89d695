//! `kill -9` loses nothing that was acknowledged, and the writer goes on where it was.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{group, open};

#[test]
fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut next = 0;
    for round in 0..8_u64 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_storage-test-writer"))
            .arg(&store)
            .args(["0", &round.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut last = None;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut acknowledged = 0;
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["open", found] => {
                    let found: i64 = found.parse().unwrap();
                    assert!(
                        found + 1 >= next,
                        "entry {} was acknowledged, {found} found",
                        next - 1
                    );
                }
                ["ack", index, hash] => {
                    last = Some((index.parse::<u64>().unwrap(), hash.to_owned()));
                    acknowledged += 1;
                }
                _ => {}
            }
            if acknowledged == 20 + 17 * round {
                // More is in flight: the rest of the output is read after its end.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let (index, hash) = last.unwrap();
        let store = open(&store);
        let log = group(&store);
        assert_eq!(log.hash_at(index).unwrap().map(|hash| hash.to_string()), Some(hash));
        next = log.last_index().map_or(0, |last| last as i64 + 1);
        drop(log);
        store.close().unwrap();
    }
}
