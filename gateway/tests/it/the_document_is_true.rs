//! `/openapi.json` says what the gateway does. Answers of all tests are held against it as they
//! come (`support::contract`); here every operation is made to succeed once, with the document's
//! own examples where it has them.

use std::collections::BTreeSet;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{Kind, Member, MemberRole, MemberState, ThingId};
use serde_json::{Value, json};

use crate::support::contract::{Contract, Operation};
use crate::support::{Reply, Request, World};

/// The request of an operation that should succeed, with ids that are there.
fn request(operation: &Operation, id: &str, plan: &Value) -> Request {
    let order = ThingId::new(1, 1).unwrap().to_string();
    let part = match operation.path.as_str() {
        path if path.starts_with("/racks") => "r0",
        path if path.starts_with("/v1/orders") => order.as_str(),
        path if path.starts_with("/docs") => "swagger-ui.css",
        _ => id,
    };
    let path = operation.path.replace("{id}", part).replace("{file}", part);
    let method = match operation.method.as_str() {
        "get" => "GET",
        "put" => "PUT",
        "post" => "POST",
        "delete" => "DELETE",
        other => panic!("{other}"),
    };
    let request = Request::new(method, path);
    match operation.id.as_str() {
        "recoverRack" => request.json(plan["choice"].clone()),
        "checkout" => {
            let mut body = operation.example.clone().unwrap();
            body["id"] = json!(id);
            request.json(body)
        }
        _ => match &operation.example {
            Some(example) => request.json(example.clone()),
            None => request,
        },
    }
}

#[tokio::test]
async fn every_operation_answers_as_it_is_documented() {
    let world = World::start(2).await;
    // One rack for books, and one for orders.
    world.ork.routes.send_modify(|table| table.racks[1].kind = Kind::Order);
    let orders = || async { world.get("/racks/r1").await.data()["type"] == "order" };
    world.until(orders).await;
    let contract = Contract::at(world.at).await.unwrap();
    let mut succeeded = BTreeSet::new();
    for operation in contract.operations() {
        // A stream has no end.
        if ["tailLog", "streamEvents"].contains(&operation.id.as_str()) {
            succeeded.insert(operation.id.clone());
            continue;
        }
        let id = world.book("r0", "a book").await;
        let plan =
            if operation.id == "recoverRack" { lose_the_majority(&world).await } else { json!({}) };
        let reply = request(operation, &id, &plan).send(world.at).await;
        assert!((200..300).contains(&reply.status), "{}: {}", operation.id, text(&reply));
        succeeded.insert(operation.id.clone());
    }
    assert_eq!(succeeded.len(), contract.operations().len(), "an id names one operation");
}

fn text(reply: &Reply) -> String {
    format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))
}

/// The rack's worker is all that is left of three; gives the plan of its recovery.
async fn lose_the_majority(world: &World) -> Value {
    let worker = &world.workers[0];
    let me = worker.peer;
    worker.claims(|status| {
        let seat =
            |number: u8, peer| Member { member: number.into(), peer, role: MemberRole::Voter };
        let others = [2, 3].map(|number| seat(number, PeerId::from_bytes([number; 32])));
        status.members = [vec![seat(1, me)], others.to_vec()].concat();
        (status.state, status.leader) = (MemberState::Follower, None);
    });
    let plan = world.get("/racks/r0/recovery").await.data();
    assert_eq!(plan["possible"], true, "{plan}");
    plan
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let world = World::start(1).await;
    let page = world.get("/docs").await;
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(!text.contains("://"), "{text}");
    let quoted = text.split('"').filter_map(|part| part.strip_prefix("docs/"));
    let files: Vec<_> = quoted.collect();
    assert_eq!(files.len(), 4, "{text}");
    for file in files {
        let reply = world.get(&format!("/docs/{file}")).await;
        assert_eq!((reply.status, reply.body.is_empty()), (200, false), "{file}");
    }
    assert_eq!(world.get("/docs/index.html").await.error(404), "ERR_NOT_FOUND");
}

#[tokio::test]
async fn the_document_is_of_this_version() {
    let world = World::start(1).await;
    let document = world.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}
