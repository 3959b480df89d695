//! Two registries that began apart are noticed when they meet: both say so, and no number is given
//! that the other may have given too. One orchestrator more than there should be follows, and says
//! what to set.

use crate::support::asker::Asker;
use crate::support::{Api, Process, eventually, mesh};

fn ork(name: &str, dir: &std::path::Path, known: &str) -> Process {
    let data = format!("{name}-data");
    let extra = [("DATA_DIR", data.as_str()), ("BOOTSTRAP", known)];
    Process::start(name, dir, &["ork"], &mesh::env(&extra))
}

/// Waits until the process's health gives a reason with these words.
async fn says(process: &Process, words: &str) {
    let api = Api::new(process.http());
    eventually(words, || async {
        let health = api.get("/health").await;
        health.body["reason"].as_str()?.contains(words).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rack_is_registered_while_there_are_two() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (ork("one", dir.path(), ""), ork("two", dir.path(), ""));
    let worker = mesh::worker("worker", dir.path(), &format!("{},{}", one.p2p(), two.p2p()));
    for process in [&one, &two] {
        says(process, "another registry").await;
        assert!(process.log().contains("two registries"), "{}", process.log());
    }
    let late = [("DATA_DIR", "late-data"), ("BOOTSTRAP", &worker.p2p()), ("RACK_ID", "late")];
    let late = Process::start("late", dir.path(), &["worker"], &mesh::env(&late));
    let waiting = Api::new(late.http());
    eventually("it says why it waits", || async {
        let ready = waiting.get("/ready").await;
        assert_eq!(ready.status, 503, "{}", ready.body);
        ready.body.to_string().contains("another registry").then_some(())
    })
    .await;

    two.kill();
    eventually("the rack", || async { (waiting.get("/ready").await.status == 200).then_some(()) })
        .await;
    let api = Api::new(one.http());
    eventually("nothing to complain of", || async {
        api.get("/health").await.body["reason"].is_null().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_follows_and_says_what_to_set() {
    let dir = tempfile::tempdir().unwrap();
    let one = ork("one", dir.path(), "");
    let two = ork("two", dir.path(), &one.p2p());
    says(&two, "ORK_REPLICAS").await;
    let asker = Asker::join(&[&one, &two]).await;
    let (led, follows) = (asker.registry(&one).await.unwrap(), asker.registry(&two).await.unwrap());
    assert_eq!(led.founding, follows.founding);
    assert_eq!((led.members.len(), follows.leader), (2, led.leader));
    // It shows the routes like any other.
    let _worker = mesh::worker("worker", dir.path(), &one.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &two.p2p());
    let api = Api::new(gateway.http());
    eventually("a book", || async {
        let answer = api.post("/books", crate::support::api::book("Emma")).await;
        (answer.status == 201).then_some(())
    })
    .await;
    assert!(two.terminate().success());
    eventually("it has left", || async {
        (asker.registry(&one).await?.members.len() == 1).then_some(())
    })
    .await;
}
