//! Of any number of callers who check out one book at once, through whichever gateway, exactly one
//! gets it.

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::mesh::{RACK, gateway, ork, worker};
use crate::support::rack::Standing;
use crate::support::{Api, eventually};

const CALLERS: usize = 24;
const ROUNDS: usize = 10;

#[tokio::test]
async fn one_wins_and_twenty_three_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ork = ork(dir);
    let workers: Vec<_> =
        ["w1", "w2", "w3"].iter().map(|name| worker(name, dir, &ork.p2p())).collect();
    let gateways = [gateway("g1", dir, &ork.p2p()), gateway("g2", dir, &ork.p2p())];
    let apis = gateways.each_ref().map(|gateway| Api::new(gateway.http()));
    for api in &apis {
        eventually("the rack", || async { Standing::of(api, RACK).await.agrees(3).then_some(()) })
            .await;
    }
    for round in 0..ROUNDS {
        let id = apis[0].add(&format!("Book {round}")).await;
        let calls = (0..CALLERS).map(|caller| {
            let info = json!({"status": "checked-out", "userId": format!("user-{caller}")});
            let body = json!({"id": id, "info": info});
            let api = &apis[caller % 2];
            async move { (caller, api.post("/checkout", body).await) }
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(calls).await.into_iter().partition(|(_, answer)| answer.status.is_success());
        assert_eq!(won.len(), 1, "round {round}");
        for (_, answer) in &lost {
            assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
            assert_eq!(answer.body["error"]["code"], "ERR_BOOK_CHECKED_OUT");
        }
        // The one who was told so is the one who has it.
        let shown = apis[1].get(&format!("/books/{id}")).await;
        let winner = format!("user-{}", won[0].0);
        assert_eq!(shown.body["data"]["info"]["userId"], json!(winner));
    }
    drop(workers);
}
