//! Reads that may be old are answered by any member that is fresh enough, or say why by none.

use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::api::{ApiError, Consistency};

use crate::support::World;
use crate::support::fake_worker::Mishap;

async fn world() -> World {
    let config = GatewayConfig {
        request_timeout: Duration::from_millis(1_500),
        replicas: 1,
        ..GatewayConfig::default()
    };
    let mut world = World::start_with(1, config).await;
    world.book("r0", "N").await;
    world.twin(0).await;
    world
}

fn behind(world: &World, worker: usize, lag_ms: Option<u64>) {
    let worker = &world.workers[worker];
    let error = ApiError::TooFarBehind { rack: worker.rack.clone(), lag_ms };
    *worker.always.lock().unwrap() = Some(Mishap::Error(error));
}

const ONE: &str = "/books/1?consistency=eventual&max_lag_ms=250";
const LIST: &str = "/books?consistency=eventual&max_lag_ms=250";

#[tokio::test]
async fn a_member_that_is_too_far_behind_hands_on_to_the_next() {
    let world = world().await;
    behind(&world, 0, Some(900));
    for _ in 0..6 {
        let one = world.get(ONE).await;
        assert_eq!((one.status, one.header("x-applied-index")), (200, Some("1")));
        let list = world.get(LIST).await;
        assert_eq!((list.status, list.header("x-applied-index")), (200, Some("r0=1")));
    }
    let (_, asked) = world.workers[1].last_asked();
    let bookmesh_rpc::api::Request::ListThings(asked) = asked else { panic!("{asked:?}") };
    assert_eq!(asked.consistency, Consistency::Eventual { max_lag_ms: Some(250) });
    // A start drawn at random: both were asked first at some time.
    assert!(world.workers[0].count("getThing") + world.workers[0].count("listThings") > 0);
}

#[tokio::test]
async fn when_no_member_is_fresh_enough_the_answer_says_which_rack_and_why() {
    let world = world().await;
    behind(&world, 0, Some(900));
    behind(&world, 1, None);
    for path in [ONE, LIST] {
        let refused = world.get(path).await;
        assert_eq!(refused.error(503), "ERR_RACK_UNAVAILABLE");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("r0") && message.contains("900 ms"), "{message}");
    }
}

#[tokio::test]
async fn a_lag_is_asked_of_eventual_reads_alone() {
    let world = World::start(1).await;
    for path in ["/books?max_lag_ms=5", "/books/1?consistency=linearizable&max_lag_ms=5"] {
        let refused = world.get(path).await;
        assert_eq!(refused.error(400), "ERR_VALIDATION");
        assert_eq!(refused.fields(), ["max_lag_ms"]);
    }
}
