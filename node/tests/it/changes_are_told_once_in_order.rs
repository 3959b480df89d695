//! A watch tells every change once, in the log's order; when the member that told it dies, it goes
//! on with another where it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bookmesh_rpc::api::{Action, ApiError, Change, ChangePage, Position, Since, WatchChanges};
use bookmesh_rpc::mesh::{CallError, Context, Items};
use bookmesh_rpc::{Mesh, PeerId};
use serde_json::json;

use crate::support::api::book;
use crate::support::{Api, PATIENCE, Process, asker, eventually, mesh, rack};

/// What one reader was told, over all members that it asked.
struct Reader {
    mesh: Mesh,
    through: Since,
    told: Vec<Change>,
}

impl Reader {
    async fn watch(&self, member: PeerId) -> Result<Items<ChangePage>, CallError> {
        let request = WatchChanges { rack: mesh::RACK.parse().unwrap(), from: self.through };
        self.mesh.stream(member, &Context::within(Duration::from_secs(10)), request).await
    }

    /// Reads from one member until so many changes were told, or the member is gone.
    async fn read(&mut self, member: &Process, until: usize) -> Option<()> {
        let mut items = self.watch(asker::peer(member)).await.ok()?;
        let mut is_first = true;
        while is_first || self.told.len() < until {
            let next = tokio::time::timeout(PATIENCE, items.next()).await.expect("a page in time");
            let page = next?.ok()?;
            assert!(is_first || !page.changes.is_empty());
            assert!(page.changes.iter().all(|change| change.at <= page.through));
            if let Since::After(before) = self.through {
                assert!(page.changes.iter().all(|change| change.at > before));
            }
            is_first = false;
            self.through = Since::After(page.through);
            self.told.extend(page.changes);
        }
        Some(())
    }
}

async fn add(api: &Api, name: &str) {
    eventually("a write", || async {
        (api.post("/books", book(name)).await.status == 201).then_some(())
    })
    .await;
}

async fn add_all(api: &Api, from: usize, to: usize) {
    for batch in (from..to).collect::<Vec<_>>().chunks(100) {
        let books: Vec<_> = batch.iter().map(|n| book(&format!("Book {n}"))).collect();
        let body = json!({ "books": books });
        eventually("a batch", || async {
            (api.post("/books/batch", body.clone()).await.status == 200).then_some(())
        })
        .await;
    }
}

fn start(n: usize, dir: &Path, ork: &Process) -> Process {
    mesh::worker(&format!("worker-{n}"), dir, &ork.p2p())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_members_that_die() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let mut workers: Vec<_> = (0..3).map(|n| start(n, dir.path(), &ork)).collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::agreement(&api, mesh::RACK, 3).await;
    let mesh = mesh::handle(&ork.p2p()).await;
    for worker in &workers {
        let known: Vec<_> = worker.p2p().split(',').map(str::to_owned).collect();
        mesh.learn(asker::peer(worker), &known).await;
    }
    let mut reader = Reader { mesh, through: Since::Beginning, told: Vec::new() };

    add_all(&api, 0, 2_500).await;
    let leader = rack::leader(&api, mesh::RACK).await;
    let at = workers.iter().position(|worker| worker.ready["peer"] == leader).unwrap();
    reader.read(&workers[at], 1_000).await.unwrap();
    assert!(reader.told.len() < 2_500, "it left in the middle");
    let now = Reader { mesh: reader.mesh.clone(), through: Since::Now, told: Vec::new() };
    let mut now = now.watch(asker::peer(&workers[(at + 1) % 3])).await.unwrap();
    let first = now.next().await.unwrap().unwrap();
    assert_eq!(first.changes, []);

    workers.remove(at).kill();
    let (writing, reading) =
        tokio::join!(add_all(&api, 2_500, 4_000), reader.read(&workers[0], 4_000));
    assert_eq!((writing, reading), ((), Some(())));
    add(&api, "The last one").await;
    reader.read(&workers[1], 4_001).await.unwrap();

    assert!(reader.told.windows(2).all(|pair| pair[0].at < pair[1].at), "once, in order");
    let mut names = BTreeMap::new();
    for change in &reader.told {
        let Action::Register { thing, .. } = &change.action else { panic!("{change:?}") };
        assert_eq!(change.version, 1);
        *names.entry(thing.name.clone()).or_insert(0) += 1;
    }
    // A batch whose answer was lost with its leader was sent again, without a key.
    let missing = (0..4_000).find(|n| !names.contains_key(&format!("Book {n}")));
    assert_eq!(missing, None);
    assert!(names.contains_key("The last one"));
    let page = now.next().await.unwrap().unwrap();
    assert_eq!(page.changes[0], *reader.told.iter().find(|c| c.at > first.through).unwrap());

    let ahead = Since::After(Position { index: u64::MAX, part: 0 });
    reader.through = ahead;
    let refused = match reader.watch(asker::peer(&workers[0])).await {
        Ok(mut items) => items.next().await.unwrap().map(drop),
        Err(error) => Err(error),
    };
    let Err(CallError::Api(ApiError::Invalid(fields))) = refused else { panic!("{refused:?}") };
    assert_eq!(fields[0].field, "from");
}
