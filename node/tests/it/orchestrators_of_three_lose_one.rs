//! Three orchestrators that are started together form one registry; it goes on without any one of
//! them, its leader included, and the one that comes back takes part again. One that is stopped
//! leaves it meanwhile.

use bookmesh_rpc::api::{MemberRole, RegistryMember};

use crate::support::asker::{Asker, peer};
use crate::support::{Api, Process, eventually, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_three_outlives_its_leader() {
    let dir = tempfile::tempdir().unwrap();
    let start = |number: usize, known: &str| {
        // One volume for all of them, as the replicas of one service have.
        let extra = [("DATA_DIR", "ork-data"), ("ORK_REPLICAS", "3"), ("BOOTSTRAP", known)];
        Process::start(&format!("ork-{number}"), dir.path(), &["ork"], &mesh::env(&extra))
    };
    let first = start(0, "");
    let known = first.p2p();
    let mut orks = vec![first, start(1, &known), start(2, &known)];
    let asker = Asker::join(&[&orks[0], &orks[1], &orks[2]]).await;
    let founding = eventually("one registry of three", || one_registry(&asker, &orks)).await;

    let known: Vec<_> = orks.iter().map(Process::p2p).collect();
    let known = known.join(",");
    let _worker = mesh::worker("worker", dir.path(), &known);
    let gateway = mesh::gateway("gateway", dir.path(), &known);
    let api = Api::new(gateway.http());
    eventually("a book", || async {
        let answer = api.post("/books", crate::support::api::book("Emma")).await;
        (answer.status == 201).then_some(())
    })
    .await;

    let leader = asker.registry(&orks[0]).await.unwrap().leader.unwrap();
    let lost = orks.iter().position(|ork| peer(ork) == leader).unwrap();
    orks.remove(lost).kill();
    let late = [("DATA_DIR", "late-data"), ("BOOTSTRAP", &known), ("RACK_ID", "book-rack-002")];
    let _late = Process::start("late", dir.path(), &["worker"], &mesh::env(&late));
    eventually("a second rack", || async {
        let books = api.get("/books").await;
        assert_eq!((books.status, books.header("x-total-count")), (200.try_into().unwrap(), "1"));
        let rack = api.get("/racks/book-rack-002").await;
        rack.body["data"]["leader"].is_string().then(|| {
            assert_eq!(rack.body["data"]["number"], 1, "{}", rack.body);
        })
    })
    .await;
    assert_eq!(api.rack(mesh::RACK).await["number"], 0);

    orks.insert(lost, start(lost, &known));
    let again = eventually("all three again", || one_registry(&asker, &orks)).await;
    assert_eq!(again, founding);
    eventually("all orchestrators to be listed, by each of them", || async {
        let nodes = api.get("/nodes").await;
        let all = nodes.body["data"].as_array()?;
        (all.iter().filter(|node| node["role"] == "ork").count() == 3).then_some(())
    })
    .await;

    let known = orks[1].p2p();
    assert!(orks.remove(0).terminate().success());
    eventually("two members", || async {
        (asker.registry(&orks[0]).await?.members.len() == 2).then_some(())
    })
    .await;
    orks.insert(0, start(0, &known));
    let again = eventually("all three once more", || one_registry(&asker, &orks)).await;
    assert_eq!(again, founding);
}

/// What began the registry that all of these are voters of, all as far as the others.
async fn one_registry(asker: &Asker, orks: &[Process]) -> Option<bookmesh_rpc::api::Incarnation> {
    let asked = orks.iter().map(|ork| asker.registry(ork));
    let members: Option<Vec<_>> = futures::future::join_all(asked).await.into_iter().collect();
    let members: Vec<RegistryMember> = members?;
    let first = &members[0];
    let voters = first.members.iter().filter(|member| member.role == MemberRole::Voter);
    let whole = voters.count() == 3 && first.members.len() == 3 && first.leader.is_some();
    let same = members.iter().all(|member| {
        (member.founding, member.leader, &member.members, member.applied_index)
            == (first.founding, first.leader, &first.members, first.applied_index)
    });
    (whole && same).then_some(first.founding)
}
