//! A thing's history is what was done to it, each time once, with who asked; it stays when the
//! thing goes, and over a restart.

use bookmesh_rpc::api::{Action, ApiError, Change, Consistency, HistoryPage, ReadHistory, ThingId};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::{Mesh, PeerId};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

use crate::support::api::book;
use crate::support::{Api, asker, eventually, mesh, rack};

/// Whom the test asks.
struct Reader {
    mesh: Mesh,
    worker: PeerId,
}

impl Reader {
    async fn read(&self, id: u64, after: u64, limit: u32) -> Result<HistoryPage, CallError> {
        let (rack, id) = (mesh::RACK.parse().unwrap(), ThingId::from_u64(id).unwrap());
        let request =
            ReadHistory { rack, id, after, limit, consistency: Consistency::Linearizable };
        self.mesh.call(self.worker, &Context::within(Duration::from_secs(10)), request).await
    }

    async fn changes(&self, id: u64) -> Vec<Change> {
        self.read(id, 0, 100).await.unwrap().changes
    }
}

fn what(change: &Change) -> (u64, &'static str, &str) {
    let what = match &change.action {
        Action::Register { .. } => "register",
        Action::Update { .. } => "update",
        Action::Withdraw { .. } => "withdraw",
        Action::Forget { ids, .. } if *ids == [change.id] => "forget",
        other => panic!("{other:?}"),
    };
    (change.version, what, change.request_id.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_thing_until_its_end_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let worker = mesh::worker("worker", dir.path(), &ork.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::agreement(&api, mesh::RACK, 1).await;
    let reader = Reader { mesh: mesh::handle(&worker.p2p()).await, worker: asker::peer(&worker) };

    assert_eq!(api.post("/books", book("Dune")).await.status, 201);
    assert_eq!(api.post("/books", book("Emma")).await.status, 201);
    let take = json!({"id": "1", "info": {"status": "checked-out", "userId": "ann"}});
    assert_eq!(api.post("/checkout", take.clone()).await.status, 200);
    assert_eq!(api.post("/checkout", take).await.status, 409, "refused, so no change");
    let page = reader.read(1, 0, 100).await.unwrap();
    assert_eq!((page.total, page.changes.len()), (2, 2));
    let later = reader.read(1, 1, 100).await.unwrap();
    assert_eq!((later.total, &later.changes[..]), (2, &page.changes[1..]));
    assert_eq!(reader.read(1, 0, 1).await.unwrap().changes, page.changes[..1]);

    assert_eq!(api.send(Method::DELETE, "/books/1", None).await.status, 200);
    let gone = reader.changes(1).await;
    let told: Vec<_> = gone.iter().map(|change| what(change).1).collect();
    assert_eq!(told[..2], ["register", "update"]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(gone.iter().map(|change| change.version).eq(1..=3));
    assert!(gone.is_sorted_by_key(|change| change.at));
    assert!(gone.iter().all(|change| !what(change).2.is_empty() && change.time_ms > 0));
    assert_eq!(reader.changes(2).await.len(), 1);
    let never = reader.read(3, 0, 100).await;
    let id = ThingId::from_u64(3).unwrap();
    assert!(matches!(never, Err(CallError::Api(ApiError::ThingNotFound { id: not })) if not == id));

    worker.kill();
    let worker = mesh::worker("worker", dir.path(), &ork.p2p());
    rack::agreement(&api, mesh::RACK, 1).await;
    let reader = Reader { mesh: mesh::handle(&worker.p2p()).await, worker: asker::peer(&worker) };
    // It has to be the leader again, whatever the gateway still says of the one before.
    let read = eventually("an answer", || async { reader.read(1, 0, 100).await.ok() }).await;
    assert_eq!(read.changes, gone);
}
