//! A client's key is answered alike by every gateway, by the next leader, and after a restart of
//! everything; what it stands for is applied once.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{Answer, book};
use crate::support::{Api, Process, eventually, mesh, rack};

/// An orchestrator, three workers, and two gateways.
struct Mesh {
    ork: Process,
    workers: Vec<Process>,
    gateways: Vec<Process>,
}

impl Mesh {
    async fn start(dir: &Path) -> Self {
        let ork = mesh::ork(dir);
        let worker = |n: usize| mesh::worker(&format!("worker-{n}"), dir, &ork.p2p());
        let workers = (0..3).map(worker).collect();
        let gateway = |n: usize| mesh::gateway(&format!("gateway-{n}"), dir, &ork.p2p());
        let gateways = (0..2).map(gateway).collect();
        let mesh = Self { ork, workers, gateways };
        rack::agreement(&mesh.api(0), mesh::RACK, 3).await;
        mesh
    }

    fn api(&self, gateway: usize) -> Api {
        Api::new(self.gateways[gateway].http())
    }

    async fn kill_leader(&mut self) {
        let leader = rack::leader(&self.api(0), mesh::RACK).await;
        let at = self.workers.iter().position(|worker| worker.ready["peer"] == leader);
        self.workers.remove(at.unwrap()).kill();
    }

    fn kill(self) {
        let all = self.workers.into_iter().chain(self.gateways).chain([self.ork]);
        all.for_each(Process::kill);
    }
}

/// A write under its key, sent again for as long as no rack decides it.
async fn send(api: &Api, (method, path, key, body): &Write) -> Answer {
    eventually("an answer", || async {
        let answer = api.keyed(method.clone(), path, key, body.clone()).await.ok()?;
        (!answer.status.is_server_error()).then_some(answer)
    })
    .await
}

type Write = (Method, &'static str, &'static str, Option<Value>);

fn writes() -> [Write; 5] {
    let take = |user: &str| json!({"id": "1", "info": {"status": "checked-out", "userId": user}});
    let batch = json!({"books": [book("Persuasion"), book("Emma")]});
    [
        (Method::POST, "/books", "create", Some(book("Emma"))),
        (Method::POST, "/checkout", "take", Some(take("ann"))),
        (Method::POST, "/checkout", "too late", Some(take("bob"))),
        (Method::POST, "/books/batch", "batch", Some(batch)),
        (Method::DELETE, "/books/2", "remove", None),
    ]
}

async fn all(api: &Api) -> Vec<(u16, Value)> {
    let mut answers = Vec::new();
    for write in writes() {
        let Answer { status, mut body, .. } = send(api, &write).await;
        // Each request has an id of its own, also in errors.
        body.as_object_mut().unwrap().remove("requestId");
        answers.push((status.as_u16(), body));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn over_gateways_leaders_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut mesh = Mesh::start(dir.path()).await;
    let first = all(&mesh.api(0)).await;
    let statuses: Vec<_> = first.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [201, 200, 409, 200, 200], "{first:?}");
    let back = json!({"id": "1", "info": {"status": "available"}});
    assert_eq!(mesh.api(0).post("/checkout", back).await.status, 200);

    assert_eq!(all(&mesh.api(1)).await, first, "over the other gateway");
    let other = (Method::POST, "/books", "create", Some(book("Another")));
    let refused = send(&mesh.api(1), &other).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.body["error"]["code"], "ERR_IDEMPOTENCY_CONFLICT");

    // Sent while the leader dies under it, over both gateways at once.
    let api = (mesh.api(0), mesh.api(1));
    let race = (Method::POST, "/books", "race", Some(book("Mansfield Park")));
    let (one, two, ()) = tokio::join!(send(&api.0, &race), send(&api.1, &race), mesh.kill_leader());
    assert_eq!((one.status, &one.body), (two.status, &two.body));
    assert_eq!(all(&mesh.api(1)).await, first, "by the next leader");

    mesh.kill();
    let mesh = Mesh::start(dir.path()).await;
    assert_eq!(all(&mesh.api(0)).await, first, "after a restart of everything");
    assert_eq!(send(&mesh.api(1), &race).await.body, one.body);
    assert_eq!(mesh.api(0).count().await, 2, "Emma and Mansfield Park; Persuasion was removed");
}
