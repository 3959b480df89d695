//! Two of three workers are gone for good, with their disks. Nothing can be written, until an
//! operator decides that the third goes on alone: what was acknowledged and is in its log is
//! there, and with new workers the rack is as it was.

use std::collections::BTreeSet;
use std::path::Path;

use bookmesh_rpc::api::{ApiError, GetMember, MemberState, MemberStatus, RackId, RecoverRack};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::{Mesh, PeerId};

use crate::support::{Api, PATIENCE, Process, eventually, mesh, rack};

/// Elections that bring a group from its first term past one that was recovered meanwhile.
const TERMS: usize = 4;
/// How often somebody is seen through before it counts as seen through for good: more often than it
/// would be asked on the way to following it.
const LOOKS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn the_survivor_goes_on_with_all_it_has_and_others_join_it() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let start = |number: usize| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p());
    let survivor = start(0);
    let others = [start(1), start(2)];
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::agreement(&api, mesh::RACK, 3).await;
    let mut acknowledged = BTreeSet::new();
    for number in 0..50 {
        acknowledged.insert(api.add(&format!("Book {number}")).await);
    }
    rack::agreement(&api, mesh::RACK, 3).await;

    let operator = mesh::handle(&ork.p2p()).await;
    let peer: PeerId = survivor.ready["peer"].parse().unwrap();
    let healthy =
        eventually("a way to the survivor", || async { status(&operator, peer).await.ok() }).await;
    let founding = healthy.charter.map(|charter| charter.lineage.founding);
    let refused = recover(&operator, peer, healthy.member, healthy.last_index).await;
    let whole = refusal(refused);
    assert!(whole.contains("majority"), "a rack that works is left alone: {whole}");

    for (number, worker) in others.into_iter().enumerate() {
        worker.kill();
        std::fs::remove_dir_all(dir.path().join(format!("worker-{}-data", number + 1))).unwrap();
    }
    let refused = api.post("/books", crate::support::api::book("Nobody takes it")).await;
    assert!(refused.status.is_server_error(), "{}", refused.body);

    let seen = status(&operator, peer).await.unwrap();
    let old = recover(&operator, peer, seen.member, seen.last_index - 1).await;
    assert!(refusal(old).contains("look again"), "the operator has to know what there is");
    let other = recover(&operator, peer, seen.member + 1, seen.last_index).await;
    assert!(refusal(other).contains("member"));
    let recovered = recover_surely(&operator, peer).await;
    let lineage = recovered.charter.unwrap().lineage;
    assert_eq!((Some(lineage.founding), lineage.recoveries), (founding, 1));
    assert_eq!(recovered.members.len(), 1, "{:?}", recovered.members);

    acknowledged.insert(add(&api, "Written alone").await);
    let workers = [survivor, start(3), start(4)];
    rack::agreement(&api, mesh::RACK, 3).await;
    acknowledged.insert(add(&api, "Written with new workers").await);
    rack::agreement(&api, mesh::RACK, 3).await;
    for id in &acknowledged {
        assert_eq!(api.get(&format!("/books/{id}")).await.status, 200, "book {id} is lost");
    }

    // The recovery is part of the history: a restart does not count it again.
    let [survivor, ..] = workers;
    survivor.kill();
    let _survivor = start(0);
    rack::agreement(&api, mesh::RACK, 3).await;
    let again = status(&operator, peer).await.unwrap();
    assert_eq!(again.charter.unwrap().lineage.recoveries, 1);
    operator.close().await;
}

/// Killed at any moment after the decision, the member comes back recovered. Those who were given
/// up come back later, with what they had, and get in line.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_cut_short_is_finished_and_never_undone() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let start = |number: usize| mesh::worker(&format!("worker-{number}"), dir.path(), &ork.p2p());
    let (survivor, lost) = (start(0), [start(1), start(2)]);
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::agreement(&api, mesh::RACK, 3).await;
    let id = api.add("Before").await;
    rack::agreement(&api, mesh::RACK, 3).await;
    lost.into_iter().for_each(Process::kill);

    let operator = mesh::handle(&ork.p2p()).await;
    let peer: PeerId = survivor.ready["peer"].parse().unwrap();
    let deciding = tokio::spawn({
        let operator = operator.clone();
        async move { recover_surely(&operator, peer).await }
    });
    eventually("the decision", || async { survivor.log().contains("goes on alone").then_some(()) })
        .await;
    survivor.kill();
    deciding.abort();

    let _survivor = start(0);
    let recovered = recover_surely(&operator, peer).await;
    assert_eq!(recoveries(&recovered), 1, "counted once, whoever finished it");
    assert_eq!(api.get(&format!("/books/{id}")).await.status, 200);
    let after = add(&api, "After").await;

    // They are a majority of what was: they agree with each other, and can't undo it.
    let _back = [start(1), start(2)];
    rack::agreement(&api, mesh::RACK, 3).await;
    for id in [id, after] {
        assert_eq!(api.get(&format!("/books/{id}")).await.status, 200, "book {id} is lost");
    }
    assert_eq!(recoveries(&status(&operator, peer).await.unwrap()), 1);
    operator.close().await;
}

/// The same with no registry that could say which history counts: what the survivor has stays.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_were_given_up_never_lead_the_survivor_back() {
    let dir = tempfile::tempdir().unwrap();
    let Recovered { ork, survivor, operator, peer, recovered, .. } = recovered(dir.path()).await;
    ork.kill();

    // Each start makes an election of theirs, until their term is later than the survivor's.
    let mut back = Vec::new();
    for _ in 0..TERMS {
        back.into_iter().for_each(Process::kill);
        back = [1, 2].map(|number| start(dir.path(), number, &survivor.p2p())).into();
        they_lead(&operator, &back).await;
    }
    eventually("the survivor to hear of it", || async {
        let leads = status(&operator, peer).await.ok()?.state == MemberState::Leader;
        (!leads || survivor.log().contains("goes on without")).then_some(())
    })
    .await;
    let now = status(&operator, peer).await.unwrap();
    assert_eq!((now.state, now.term), (MemberState::Leader, recovered.term));
    assert_eq!(now.charter, recovered.charter);
    assert!(now.last_index >= recovered.last_index);
    operator.close().await;
}

/// Nor does one that has joined since, while the survivor is away and those who were given up lead
/// each other: it is one of two that the rack has.
#[tokio::test(flavor = "multi_thread")]
async fn who_joined_since_never_follows_those_who_were_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let Recovered { ork, survivor, gateway, operator, peer, .. } = recovered(dir.path()).await;
    let api = Api::new(gateway.http());
    let joined = start(dir.path(), 3, &ork.p2p());
    rack::agreement(&api, mesh::RACK, 2).await;
    add(&api, "Of the two").await;
    let newcomer: PeerId = joined.ready["peer"].parse().unwrap();
    let before = status(&operator, newcomer).await.unwrap();
    for process in [ork, joined, survivor] {
        process.kill();
    }

    // No orchestrator says which history counts.
    let mut back = Vec::new();
    for _ in 0..TERMS {
        back.into_iter().for_each(Process::kill);
        let first = start(dir.path(), 1, "127.0.0.1:1");
        back = vec![start(dir.path(), 2, &first.p2p()), first];
        let there = mesh::handle(&back[1].p2p()).await;
        they_lead(&there, &back).await;
        there.close().await;
    }
    let at = back[1].p2p();
    let joined = start(dir.path(), 3, &at);
    eventually("it to see through them", || async {
        (joined.log().matches("not heeded").count() >= LOOKS).then_some(())
    })
    .await;

    let _survivor = start(dir.path(), 0, &at);
    let there = mesh::handle(&at).await;
    let now = eventually("the two to have a leader", || async {
        let now = status(&there, newcomer).await.ok()?;
        let led = now.leader == Some(peer) || now.leader == Some(newcomer);
        (led && now.applied_index >= before.applied_index).then_some(now)
    })
    .await;
    let what = |it: &MemberStatus| (it.member, it.charter, it.things);
    assert_eq!(what(&now), what(&before), "{}", joined.log());
    there.close().await;
    operator.close().await;
}

/// A mesh whose rack was recovered from one of three workers.
struct Recovered {
    ork: Process,
    survivor: Process,
    gateway: Process,
    operator: Mesh,
    /// The survivor's, and how it stood then.
    peer: PeerId,
    recovered: MemberStatus,
}

async fn recovered(dir: &Path) -> Recovered {
    let ork = mesh::ork(dir);
    let survivor = start(dir, 0, &ork.p2p());
    let lost = [start(dir, 1, &ork.p2p()), start(dir, 2, &ork.p2p())];
    let gateway = mesh::gateway("gateway", dir, &ork.p2p());
    let api = Api::new(gateway.http());
    whole(&api, &[&survivor, &lost[0], &lost[1]]).await;
    lost.into_iter().for_each(Process::kill);
    let operator = mesh::handle(&survivor.p2p()).await;
    let peer: PeerId = survivor.ready["peer"].parse().unwrap();
    let recovered = recover_surely(&operator, peer).await;
    Recovered { ork, survivor, gateway, operator, peer, recovered }
}

fn start(dir: &Path, number: usize, at: &str) -> Process {
    mesh::worker(&format!("worker-{number}"), dir, at)
}

/// Waits until one of those who were given up leads the others, or was told that it was.
async fn they_lead(operator: &Mesh, given_up: &[Process]) {
    eventually("them to lead themselves, or to be seen through", || async {
        for process in given_up {
            let peer = process.ready["peer"].parse().unwrap();
            let back = status(operator, peer).await.ok()?;
            if back.state == MemberState::Leader || recoveries(&back) > 0 {
                return Some(());
            }
        }
        None
    })
    .await;
}

fn rack_id() -> RackId {
    mesh::RACK.parse().unwrap()
}

fn recoveries(status: &MemberStatus) -> u32 {
    status.charter.map_or(0, |charter| charter.lineage.recoveries)
}

async fn status(operator: &Mesh, peer: PeerId) -> Result<MemberStatus, CallError> {
    let request = GetMember { rack: rack_id() };
    operator.call(peer, &Context::within(PATIENCE), request).await
}

async fn recover(
    operator: &Mesh,
    peer: PeerId,
    member: u64,
    last_index: u64,
) -> Result<MemberStatus, CallError> {
    let request = RecoverRack { rack: rack_id(), member, last_index };
    operator.call(peer, &Context::within(PATIENCE), request).await
}

/// Waits until any two of the three are a majority. While a change of the membership is under way
/// they need not be: a leader needs one of those as well who were members before.
async fn whole(api: &Api, workers: &[&Process]) {
    eventually("the last change of the membership", || async {
        let changed = |worker: &&Process| worker.log().contains("plan=Voters({1, 2, 3})");
        workers.iter().any(changed).then_some(())
    })
    .await;
    rack::agreement(api, mesh::RACK, 3).await;
}

/// Looks, decides, and looks again when something was in the way; until it is recovered.
async fn recover_surely(operator: &Mesh, peer: PeerId) -> MemberStatus {
    eventually("a recovery", || async {
        let seen = status(operator, peer).await.ok()?;
        if seen.charter.is_some_and(|charter| charter.lineage.recoveries > 0) {
            return Some(seen);
        }
        recover(operator, peer, seen.member, seen.last_index).await.ok()
    })
    .await
}

fn refusal(answer: Result<MemberStatus, CallError>) -> String {
    match answer {
        Err(CallError::Api(error @ ApiError::Invalid(_))) => error.to_string(),
        other => panic!("it was not refused: {other:?}"),
    }
}

/// Adds a book, trying again while the rack has no leader.
async fn add(api: &Api, name: &str) -> String {
    eventually("a write", || async {
        let answer = api.post("/books", crate::support::api::book(name)).await;
        (answer.status == 201).then(|| answer.body["data"]["id"].as_str().unwrap().to_owned())
    })
    .await
}
