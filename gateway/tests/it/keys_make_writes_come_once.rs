//! A write that comes again under its key, the client's or the gateway's own, is applied once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::api::{ApiError, ClientKey, RackRoute};
use serde_json::{Value, json};

use crate::support::fake_worker::Mishap;
use crate::support::world::{book, route};
use crate::support::{Request, World};

#[tokio::test]
async fn the_same_key_gives_the_first_answer_again() {
    let world = World::start(1).await;
    let create = || world.keyed("POST", "/books", "create", Some(book("r0", "N")));
    let first = create().await;
    assert_eq!((first.status, first.header("location")), (201, Some("/books/1")));
    let rename = json!({"info": {"name": "M"}});
    let change = || world.keyed("PUT", "/books/1", "change", Some(rename.clone()));
    let changed = change().await;
    assert_eq!(changed.data()["version"], 2);
    let take = json!({"id": "1", "info": {"status": "checked-out", "userId": "u"}});
    let checkout = |key: &'static str| world.keyed("POST", "/checkout", key, Some(take.clone()));
    let (taken, late) = (checkout("take").await, checkout("late").await);
    assert_eq!((taken.status, late.error(409)), (200, "ERR_BOOK_CHECKED_OUT".into()));
    let back = json!({"id": "1", "info": {"status": "available"}});
    assert_eq!(world.post("/checkout", back).await.status, 200);
    let remove = || world.keyed("DELETE", "/books/1", "remove", None);
    let removed = remove().await;
    assert_eq!(removed.status, 200);

    for (before, after) in [
        (&first, create().await),
        (&changed, change().await),
        (&taken, checkout("take").await),
        (&removed, remove().await),
    ] {
        assert_eq!((before.status, &before.body), (after.status, &after.body));
        assert_eq!(before.header("etag"), after.header("etag"));
        assert_eq!(before.header("location"), after.header("location"));
    }
    assert_eq!(checkout("late").await.error(409), "ERR_BOOK_CHECKED_OUT");
    assert_eq!(world.get("/books").await.header("x-total-count"), Some("0"));
}

#[tokio::test]
async fn a_batch_under_a_key_is_answered_again_as_a_whole() {
    let world = World::start(1).await;
    let books = |name: &str| {
        let book = json!({"info": {"name": name, "author": "A"}});
        json!({"books": [book, {}, {"info": {"name": "other", "author": "A"}}]})
    };
    let send = |body: Value| world.keyed("POST", "/books/batch", "k", Some(body));
    let first = send(books("a")).await;
    let statuses: Vec<_> = first.data().as_array().unwrap().clone();
    assert_eq!(
        statuses.iter().map(|r| &r["status"]).collect::<Vec<_>>(),
        ["created", "error", "created"]
    );
    assert_eq!(send(books("a")).await.body, first.body);
    assert_eq!(send(books("b")).await.error(409), "ERR_IDEMPOTENCY_CONFLICT");
    assert_eq!(world.get("/books").await.header("x-total-count"), Some("2"));
}

#[tokio::test]
async fn a_key_stands_for_one_request_alone() {
    let world = World::start(1).await;
    world.book("r0", "N").await;
    world.book("r0", "M").await;
    let rename = |name: &str| Some(json!({"info": {"name": name}}));
    assert_eq!(world.keyed("PUT", "/books/1", "k", rename("A")).await.status, 200);
    let other_body = world.keyed("PUT", "/books/1", "k", rename("B")).await;
    let other_path = world.keyed("PUT", "/books/2", "k", rename("A")).await;
    let other_method = world.keyed("DELETE", "/books/1", "k", None).await;
    let guarded = Request::new("PUT", "/books/1").header("idempotency-key", "k");
    let guarded = guarded.header("if-match", "\"2\"").json(json!({"info": {"name": "A"}}));
    let other_condition = guarded.send(world.at).await;
    for refused in [other_body, other_path, other_method, other_condition] {
        assert_eq!(refused.error(409), "ERR_IDEMPOTENCY_CONFLICT");
    }
    assert_eq!(world.get("/books/1").await.data()["info"]["name"], "A");
    assert_eq!(world.get("/books/2").await.data()["info"]["name"], "M");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let world = World::start(1).await;
    for key in ["", "\u{e4}", &"x".repeat(256)] {
        let refused = world.keyed("POST", "/books", key, Some(book("r0", "N"))).await;
        assert_eq!(refused.error(400), "ERR_VALIDATION", "{key:?}");
        assert_eq!(refused.fields(), ["Idempotency-Key"]);
    }
    let twice = Request::new("POST", "/books").header("idempotency-key", "a");
    let twice = twice.header("idempotency-key", "b").json(book("r0", "N"));
    assert_eq!(twice.send(world.at).await.fields(), ["Idempotency-Key"]);
    let longest = world.keyed("POST", "/books", &"x".repeat(255), Some(book("r0", "N"))).await;
    assert_eq!(longest.status, 201);
}

#[tokio::test]
async fn what_a_rack_can_not_remember_is_said_at_once_and_not_tried_again() {
    let world = World::start(1).await;
    let full = ApiError::KeysFull { what: "r0".into(), most: 500, free_in_s: 4_321 };
    world.workers[0].fails(full);
    let refused = world.keyed("POST", "/books", "k", Some(book("r0", "N"))).await;
    assert_eq!(refused.error(503), "ERR_RACK_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("4321"));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("r0 remembers 500") && message.contains("4321 s"), "{message}");
    world.workers[0].fails(ApiError::OutcomeForgotten);
    let unknown = world.keyed("POST", "/books", "k", Some(book("r0", "N"))).await;
    assert_eq!(unknown.error(504), "ERR_TIMEOUT");
    assert_eq!(world.workers[0].count("registerThing"), 2);
}

fn anywhere() -> Option<Value> {
    Some(json!({"info": {"name": "N", "author": "A"}}))
}

/// A key with this text, for which `r1` weighs more than `r0` or less.
fn key_of(first: bool) -> String {
    let weight = |key: &ClientKey, rack: &str| key.weight(&rack.parse().unwrap());
    let fits = |text: &String| {
        let key = ClientKey::new(text, &[]);
        (weight(&key, "r0") > weight(&key, "r1")) == first
    };
    (0..).map(|n| format!("key {n}")).find(fits).unwrap()
}

#[tokio::test]
async fn a_key_without_a_rack_finds_the_same_one_however_full_they_are() {
    let world = World::start(2).await;
    for (first, rack) in [(true, "r0"), (false, "r1")] {
        let key = key_of(first);
        let created = world.keyed("POST", "/books", &key, anywhere()).await;
        assert_eq!(created.data()["rack_id"], rack);
        world.book(rack, "makes it the fuller one").await;
        let again = world.keyed("POST", "/books", &key, anywhere()).await;
        assert_eq!((again.status, again.body), (201, created.body));
    }
    assert_eq!(world.workers[0].count("settleKey"), 0, "both were there all day");
}

#[tokio::test]
async fn a_rack_that_came_since_does_not_take_a_write_that_another_has() {
    let world = World::start(2).await;
    let (old, new) = (route(&world.workers[0]), route(&world.workers[1]));
    world.ork.set_retired(&["r1"]);
    world.until(|| async { world.get("/racks/r1").await.status == 404 }).await;
    let key = key_of(false);
    let created = world.keyed("POST", "/books", &key, anywhere()).await;
    assert_eq!(created.data()["rack_id"], "r0");

    let since_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    world.ork.set_retired(&[]);
    world.ork.set(vec![old, RackRoute { since_ms, ..new }]);
    world.until(|| async { world.get("/racks/r1").await.status == 200 }).await;
    let again = world.keyed("POST", "/books", &key, anywhere()).await;
    assert_eq!((again.status, again.body), (201, created.body));
    assert_eq!(world.workers[1].count("registerThing"), 0);

    // A key that is new goes to the new rack, once the old one has promised not to take it.
    let fresh = (0..).map(|n| format!("fresh {n}")).find(|text| {
        let key = ClientKey::new(text, &[]);
        key.weight(&world.workers[1].rack) > key.weight(&world.workers[0].rack)
    });
    let created = world.keyed("POST", "/books", &fresh.unwrap(), anywhere()).await;
    assert_eq!(created.data()["rack_id"], "r1");
    assert_eq!(world.workers[0].count("settleKey"), 2);

    // Without that promise it does not.
    let unavailable = ApiError::Unavailable { what: "r0".into(), why: "no leader".into() };
    *world.workers[0].always.lock().unwrap() = Some(Mishap::Error(unavailable));
    let refused = world.keyed("POST", "/books", &key, anywhere()).await;
    assert_eq!(refused.error(503), "ERR_RACK_UNAVAILABLE");
}

async fn impatient() -> World {
    let config = GatewayConfig {
        request_timeout: Duration::from_secs(8),
        replicas: 1,
        ..GatewayConfig::default()
    };
    World::start_with(1, config).await
}

/// All kinds of writes, to books 1 to 3, and what each answers.
async fn write_all(world: &World) -> Vec<u16> {
    let take = json!({"id": "2", "info": {"status": "checked-out"}});
    let batch = json!({"on_conflict": "fail", "books": [{"info": {"name": "B", "author": "A"}}]});
    let (created, changed, taken, removed) = tokio::join!(
        world.post("/books", book("r0", "new")),
        world.put("/books/1", json!({"info": {"name": "changed"}})),
        world.post("/checkout", take),
        Request::new("DELETE", "/books/3").send(world.at),
    );
    let batched = world.post("/books/batch", batch).await;
    assert_eq!(batched.data()[0]["status"], "created");
    [created, changed, taken, removed, batched].iter().map(|reply| reply.status).collect()
}

#[tokio::test]
async fn every_kind_of_write_is_sent_again_until_it_is_answered_and_applied_once() {
    let mut world = impatient().await;
    for name in ["a", "b", "c"] {
        world.book("r0", name).await;
    }
    let twin = world.twin(0).await;
    let (leader, other) = (&world.workers[0], &world.workers[twin]);
    // The first four lose their answers, meet a rack that elects, and so does the batch.
    for _ in 0..4 {
        leader.will(Mishap::LostAnswer);
    }
    let elects = ApiError::NotLeader { rack: leader.rack.clone(), leader: None };
    for worker in [other, leader] {
        for _ in 0..4 {
            worker.fails(elects.clone());
        }
    }
    leader.will(Mishap::LostAnswer);
    assert_eq!(write_all(&world).await, [201, 200, 200, 200, 200]);
    let all = world.get("/books").await;
    assert_eq!(all.header("x-total-count"), Some("4"), "3 + 1 - 1 + 1");
    let versions: Vec<_> =
        all.data().as_array().unwrap().iter().map(|book| book["version"].clone()).collect();
    assert_eq!(versions, [2, 2, 1, 1]);
}

#[tokio::test]
async fn a_write_whose_connection_broke_is_applied_once() {
    for path in ["/books", "/books/batch"] {
        let mut world = impatient().await;
        let twin = world.twin(0).await;
        world.workers[0].will(Mishap::LostAnswer);
        let body = match path {
            "/books" => book("r0", "N"),
            _ => json!({"books": [{"info": {"name": "N", "author": "A"}}]}),
        };
        let method = if path == "/books" { "registerThing" } else { "registerThings" };
        let breaking = async {
            world.until(|| async { world.workers[0].count(method) == 1 }).await;
            world.lose_worker(0).await;
        };
        let (reply, ()) = tokio::join!(world.post(path, body), breaking);
        assert!([200, 201].contains(&reply.status), "{:?}", reply.json());
        assert_eq!(world.workers[twin].count(method), 1);
        world
            .until(|| async {
                let list = world.get("/books").await;
                list.status == 200 && list.header("x-total-count") == Some("1")
            })
            .await;
    }
}
