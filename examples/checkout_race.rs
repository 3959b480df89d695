//! Eight callers want the same book at the same moment. The rack's log puts them in an order, so
//! exactly one has it.

use std::error::Error;
use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_node::up::{RACK, Up, UpConfig};
use bookmesh_rpc::api::{
    NewThing, RegisterThing, RequestKey, RetryKey, Status, StatusRule, ThingPatch, UpdateThing,
};
use bookmesh_rpc::mesh::Context;
use tokio::task::JoinSet;

const CALLERS: u64 = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (up, _http) = Up::start(&UpConfig::new(dir.path(), 3), GatewayConfig::default()).await?;
    let (mesh, leader) = (&up.gateway.mesh, up.leader().ok_or("the rack has no leader")?);
    let context = Context::within(Duration::from_secs(10));
    let thing = NewThing {
        tags: Vec::new(),
        name: "The only copy".into(),
        author: "Somebody".into(),
        status: Status::Available,
        holder: None,
        extra: Default::default(),
    };
    let key = RequestKey::Retry(RetryKey { session: 1, sequence: 0, part: 0 });
    let book = mesh.call(leader, &context, RegisterThing { rack: RACK.parse()?, key, thing });
    let id = book.await?.id;

    let mut callers = JoinSet::new();
    for caller in 1..=CALLERS {
        let (mesh, context) = (mesh.clone(), context.clone());
        let checkout = UpdateThing {
            rack: RACK.parse()?,
            key: RequestKey::Retry(RetryKey { session: 1, sequence: caller, part: 0 }),
            id,
            patch: ThingPatch {
                status: Some(Status::CheckedOut),
                holder: Some(Some(format!("caller {caller}"))),
                ..ThingPatch::default()
            },
            status_rule: StatusRule::Exclusive,
            if_version: None,
        };
        callers.spawn(async move { mesh.call(leader, &context, checkout).await });
    }
    let mut winners = Vec::new();
    while let Some(answer) = callers.join_next().await {
        match answer? {
            Ok(book) => winners.extend(book.info.holder.clone()),
            Err(error) => println!("refused: {error}"),
        }
    }
    println!("it went to {}", winners.join(", "));
    assert_eq!(winners.len(), 1);
    up.stop().await;
    Ok(())
}
