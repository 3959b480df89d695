//! A rack whose majority is gone is recovered from one member, on an operator's word alone.

use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{ApiError, Member, MemberRole, MemberState, Request};
use serde_json::json;

use crate::support::World;
use crate::support::fake_worker::FakeWorker;

/// The worker is what is left of a rack of three; `state` is what it takes itself for.
fn is_left_alone(worker: &FakeWorker, state: MemberState) {
    let me = worker.peer;
    worker.claims(|status| {
        let seat = |member, peer| Member { member, peer, role: MemberRole::Voter };
        status.members = vec![
            seat(1, me),
            seat(2, PeerId::from_bytes([2; 32])),
            seat(3, PeerId::from_bytes([3; 32])),
        ];
        (status.last_index, status.last_term, status.state) = (412, 7, state);
        status.leader = None;
    });
}

#[tokio::test]
async fn one_member_goes_on_after_the_operator_saw_what_is_lost() {
    let world = World::start(1).await;
    let worker = &world.workers[0];
    is_left_alone(worker, MemberState::Follower);
    let plan = world.get("/racks/r0/recovery").await.data();
    assert_eq!((&plan["possible"], &plan["leader"]), (&json!(true), &json!(null)), "{plan}");
    assert_eq!((&plan["voters"], &plan["voters_reachable"]), (&json!(3), &json!(1)));
    let losses = plan["losses"].to_string();
    assert!(losses.contains("members 2 and 3") && losses.contains("entry 412"), "{losses}");
    let numbers = plan["members"].as_array().unwrap().iter().map(|m| m["member"].clone());
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3]);

    let reply = world.post("/racks/r0/recover", plan["choice"].clone()).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    assert_eq!((&reply.data()["member"], &reply.data()["state"]), (&json!(1), &json!("leader")));
    let (_, asked) = worker.last_asked();
    let Request::RecoverRack(asked) = asked else { panic!("{asked:?}") };
    assert_eq!((asked.member, asked.last_index), (1, 412));
}

#[tokio::test]
async fn a_leader_that_was_left_alone_is_none() {
    let world = World::start(1).await;
    let worker = &world.workers[0];
    is_left_alone(worker, MemberState::Leader);
    let lost = || ApiError::Unavailable { what: "r0".into(), why: "no majority".into() };
    worker.fails(lost());
    let plan = world.get("/racks/r0/recovery").await.data();
    assert_eq!(plan["possible"], true, "{plan}");
    worker.fails(lost());
    assert_eq!(world.post("/racks/r0/recover", plan["choice"].clone()).await.status, 200);
}

#[tokio::test]
async fn a_rack_with_a_leader_or_a_majority_is_left_in_peace() {
    let world = World::start(1).await;
    let body = json!({"member": 1, "last_index": 0});
    let plan = world.get("/racks/r0/recovery").await.data();
    assert_eq!((&plan["possible"], &plan["choice"]), (&json!(false), &json!(null)));
    let reply = world.post("/racks/r0/recover", body.clone()).await;
    assert_eq!(reply.error(409), "ERR_RECOVERY_REFUSED");
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("has a leader"));

    world.workers[0].claims(|status| (status.leader, status.state) = (None, MemberState::Follower));
    let reply = world.post("/racks/r0/recover", body).await;
    assert_eq!(reply.error(409), "ERR_RECOVERY_REFUSED");
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("1 of its 1 voters"));
    assert_eq!(world.workers[0].count("recoverRack"), 0);
}

#[tokio::test]
async fn only_what_the_operator_saw_is_recovered() {
    let world = World::start(1).await;
    is_left_alone(&world.workers[0], MemberState::Follower);
    let recover = |member: u64, last_index: u64| {
        world.post("/racks/r0/recover", json!({"member": member, "last_index": last_index}))
    };
    assert_eq!(recover(1, 411).await.error(409), "ERR_RECOVERY_REFUSED");
    assert_eq!(recover(2, 412).await.error(503), "ERR_RACK_UNAVAILABLE");
    let unknown = recover(9, 412).await;
    assert_eq!(
        (unknown.error(400).as_str(), unknown.fields()),
        ("ERR_VALIDATION", vec!["member".into()])
    );
    let mistaken = world.post("/racks/r0/recover", json!({"member": "one", "colour": 1})).await;
    assert_eq!(mistaken.error(400), "ERR_VALIDATION");
    let mut fields = mistaken.fields();
    fields.sort();
    assert_eq!(fields, ["colour", "last_index", "member"]);
    assert_eq!(world.get("/racks/r9/recovery").await.error(404), "ERR_RACK_NOT_FOUND");
    assert_eq!(world.get("/racks/r0/recovery?x=1").await.error(400), "ERR_VALIDATION");
    assert_eq!(world.get("/racks/r0/recovery?member=0").await.error(400), "ERR_VALIDATION");
    assert_eq!(world.get("/racks/r0/recovery?member=2").await.data()["possible"], false);
    assert_eq!(world.get("/racks/NO/recovery").await.error(400), "ERR_VALIDATION");
    assert_eq!(world.workers[0].count("recoverRack"), 0);
}

#[tokio::test]
async fn a_rack_of_which_nobody_is_left_says_so() {
    let config = GatewayConfig {
        request_timeout: Duration::from_secs(5),
        replicas: 1,
        ..GatewayConfig::default()
    };
    let world = World::start_with(1, config).await;
    world.lose_worker(0).await;
    let plan = world.get("/racks/r0/recovery").await.data();
    assert_eq!(
        (&plan["possible"], &plan["members"][0]["reachable"]),
        (&json!(false), &json!(false))
    );
    assert!(plan["reason"].as_str().unwrap().contains("no member"), "{plan}");
}
