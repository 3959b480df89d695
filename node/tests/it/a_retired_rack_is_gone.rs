//! A rack that is retired vanishes from the routes for good, its number with it; and what the whole
//! mesh is told is checked, and kept.

use bookmesh_rpc::api::{ApiError, GetRack, GetSettings, RetireRack, SetSettings, Settings};
use bookmesh_rpc::mesh::CallError;

use crate::support::asker::Asker;
use crate::support::{Api, Process, eventually, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn its_number_is_never_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let worker = mesh::worker("worker", dir.path(), &ork.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    eventually("a book", || async {
        let answer = api.post("/books", crate::support::api::book("Emma")).await;
        (answer.status == 201).then_some(())
    })
    .await;
    worker.kill();

    let asker = Asker::join(&[&ork]).await;
    let rack: bookmesh_rpc::api::RackId = mesh::RACK.parse().unwrap();
    let retire = |force| asker.ask(RetireRack { rack: rack.clone(), force });
    // A busy machine may say nothing in time; that is asked again.
    let refused = eventually("an answer", || async {
        let answer = retire(false).await;
        (!matches!(answer, Err(CallError::Timeout { .. }))).then_some(answer)
    })
    .await;
    let unavailable = matches!(&refused, Err(CallError::Api(ApiError::Unavailable { .. })));
    assert!(unavailable, "nobody can say whether it holds things: {refused:?}");
    assert!(!asker.ask(GetRack { rack: rack.clone() }).await.unwrap().retired);
    assert_eq!(api.get(&format!("/racks/{rack}")).await.status, 200);

    let retired = retire(true).await.unwrap();
    assert_eq!((retired.retired, retired.number), (true, 0));
    assert_eq!(retire(false).await.unwrap(), retired);
    eventually("the gateway to drop it", || async {
        (api.get(&format!("/racks/{rack}")).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(api.get("/books/1").await.status, 404);

    let next = [("DATA_DIR", "next-data"), ("BOOTSTRAP", &ork.p2p()), ("RACK_ID", "next")];
    let _next = Process::start("next", dir.path(), &["worker"], &mesh::env(&next));
    eventually("the next rack", || async {
        let rack = api.get("/racks/next").await;
        rack.body["data"]["leader"].is_string().then(|| {
            assert_eq!(rack.body["data"]["number"], 1, "{}", rack.body);
        })
    })
    .await;
    let missing = asker.ask(RetireRack { rack: "nowhere".parse().unwrap(), force: true }).await;
    assert!(matches!(missing, Err(CallError::Api(ApiError::RackNotFound { .. }))), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_checked_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let asker = Asker::join(&[&ork]).await;
    assert_eq!(asker.ask(GetSettings).await, Ok(Settings::default()));
    let settings = Settings { rack_replicas: Some(5), replace_after_ms: Some(30_000) };
    assert_eq!(asker.ask(SetSettings { settings }).await, Ok(settings));
    let even = Settings { rack_replicas: Some(4), replace_after_ms: None };
    let refused = asker.ask(SetSettings { settings: even }).await;
    assert!(matches!(refused, Err(CallError::Api(ApiError::Invalid(_)))), "{refused:?}");
    assert!(ork.terminate().success());
    let ork = mesh::ork(dir.path());
    let asker = Asker::join(&[&ork]).await;
    assert_eq!(asker.ask(GetSettings).await, Ok(settings));
}
