//! All workers of a rack are killed at once and started again: the first answer about a book that
//! was acknowledged has it. Who led leads no more without an election, since a leader of the same
//! term would not know how much was committed.

use crate::support::rack::{agreement, leader};
use crate::support::{Api, Process, eventually, mesh};

const ROUNDS: usize = 3;
const BOOKS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_book_is_missing_from_the_first_answers() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let start = |number: usize| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p());
    let mut workers: Vec<Process> = (0..3).map(start).collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    agreement(&api, mesh::RACK, 3).await;

    for round in 0..ROUNDS {
        leader(&api, mesh::RACK).await;
        let before = api.rack(mesh::RACK).await["term"].as_u64().unwrap();
        let names: Vec<_> = (0..BOOKS).map(|number| format!("Book {round}.{number}")).collect();
        let ids = futures::future::join_all(names.iter().map(|name| api.add(name))).await;
        // First all are paused, so that none sees another go.
        workers.iter().for_each(|worker| worker.signal("STOP"));
        workers.into_iter().for_each(Process::kill);
        workers = (0..3).map(start).collect();
        for id in &ids {
            let answer = eventually("an answer", || async {
                let answer = api.get(&format!("/books/{id}")).await;
                (!answer.status.is_server_error()).then_some(answer)
            })
            .await;
            assert_eq!(answer.status, 200, "round {round}, book {id}: {}", answer.body);
        }
        let term = api.rack(mesh::RACK).await["term"].as_u64().unwrap();
        assert!(term > before, "term {before} goes on as {term}");
    }
}
