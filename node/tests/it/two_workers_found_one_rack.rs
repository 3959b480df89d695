//! Two workers that start a rack nobody knows at the same moment end in one rack.

use crate::support::rack::agreement;
use crate::support::{Api, Process, eventually, mesh};

const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_first_the_other_joins() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    for round in 0..ROUNDS {
        let rack = format!("book-rack-{round}");
        let _workers = ["one", "other"].map(|name| {
            let (name, known) = (format!("{name}-{round}"), ork.p2p());
            let data = format!("{name}-data");
            let extra = [("DATA_DIR", data.as_str()), ("BOOTSTRAP", &known), ("RACK_ID", &rack)];
            Process::spawn_under(&[], &name, dir.path(), &["worker"], &mesh::env(&extra))
        });
        agreement(&api, &rack, 2).await;
        let new = crate::support::api::book(&rack);
        let mut new = new.as_object().unwrap().clone();
        new.insert("rack_id".to_owned(), rack.as_str().into());
        eventually("a write", || async {
            let answer = api.post("/books", new.clone().into()).await;
            (answer.status == 201).then_some(())
        })
        .await;
        agreement(&api, &rack, 2).await;
        let racks = api.get("/racks").await.body["data"].as_array().unwrap().clone();
        let numbers: std::collections::BTreeSet<_> =
            racks.iter().map(|rack| rack["number"].as_u64().unwrap()).collect();
        assert_eq!((racks.len(), numbers.len()), (round + 1, round + 1), "one rack for each name");
    }
}
