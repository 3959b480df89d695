//! A call reaches the peer's service and its reply, or its typed error, comes back.

use std::sync::Arc;

use bookmesh_rpc::api::{ApiError, GetRack, ListNodes, ListRacks};
use bookmesh_rpc::mesh::{CallError, Context};

use crate::support::{Example, node, pair, ping, rack, soon};

async fn answers(transport: &str) {
    let (one, two) = pair(transport).await;
    let to = two.peer_id();
    assert_eq!(one.call(to, &soon(), ping("hello")).await.unwrap(), "hello");
    let large = ping(&"x".repeat(4 << 20));
    assert_eq!(one.call(to, &soon(), large.clone()).await.unwrap(), large.payload);
    let missing = GetRack { rack: rack("book-rack-001") };
    let error = one.call(to, &soon(), missing).await.unwrap_err();
    assert_eq!(error, CallError::Api(ApiError::RackNotFound { rack: rack("book-rack-001") }));
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn over_tcp() {
    answers("tcp").await;
}

#[tokio::test]
async fn over_quic() {
    answers("quic").await;
}

#[tokio::test]
async fn both_ways_over_one_connection() {
    let (one, two) = pair("tcp").await;
    one.serve(Arc::new(Example::default()));
    assert_eq!(one.call(two.peer_id(), &soon(), ping("to")).await.unwrap(), "to");
    assert_eq!(two.call(one.peer_id(), &soon(), ping("back")).await.unwrap(), "back");
}

#[tokio::test]
async fn a_call_to_oneself_goes_to_the_service() {
    let mesh = node(None, &[]).await;
    let me = mesh.peer_id();
    let early = mesh.call(me, &soon(), ping("x")).await;
    assert_eq!(early, Err(CallError::Busy { peer: me }));
    mesh.serve(Arc::new(Example::default()));
    assert_eq!(mesh.call(me, &soon(), ping("x")).await.unwrap(), "x");
}

#[tokio::test]
async fn a_panic_of_the_service_fails_one_call_and_no_other() {
    let (one, two) = pair("tcp").await;
    let failed = one.call(two.peer_id(), &soon(), ListNodes).await;
    assert!(matches!(failed, Err(CallError::Api(ApiError::Internal { .. }))), "{failed:?}");
    assert_eq!(one.call(two.peer_id(), &soon(), ping("on")).await.unwrap(), "on");
}

#[tokio::test]
async fn before_there_is_a_service_calls_are_answered_as_busy() {
    let (one, two) = (node(None, &[]).await, node(None, &[]).await);
    one.learn(two.peer_id(), &two.addresses()).await;
    let early = one.call(two.peer_id(), &soon(), ping("x")).await;
    assert_eq!(early, Err(CallError::Api(ApiError::Busy)));
    two.serve(Arc::new(Example::default()));
    assert_eq!(one.call(two.peer_id(), &soon(), ping("x")).await.unwrap(), "x");
}

#[tokio::test]
async fn a_deadline_ends_the_wait() {
    let (one, two) = pair("tcp").await;
    let to = two.peer_id();
    one.call(to, &soon(), ping("x")).await.unwrap();
    let context = Context::within(std::time::Duration::from_millis(50));
    let late = one.call(to, &context, ListRacks).await;
    let expected = [
        CallError::Timeout { peer: to },
        // The answering side may notice first.
        CallError::Api(ApiError::DeadlinePassed),
    ];
    assert!(expected.contains(&late.clone().unwrap_err()), "{late:?}");
}

#[tokio::test]
async fn a_closed_mesh_says_so() {
    let (one, two) = pair("tcp").await;
    one.call(two.peer_id(), &soon(), ping("x")).await.unwrap();
    one.close().await;
    let late = one.call(two.peer_id(), &soon(), ping("x")).await;
    assert_eq!(late, Err(CallError::Closed));
}

#[tokio::test]
async fn a_peer_that_nobody_knows_is_unreachable() {
    let mesh = node(None, &[]).await;
    let nobody = bookmesh_rpc::NodeKey::generate().peer_id().unwrap();
    let failed = mesh.call(nobody, &soon(), ping("x")).await;
    assert!(matches!(failed, Err(CallError::Unreachable { .. })), "{failed:?}");
}
