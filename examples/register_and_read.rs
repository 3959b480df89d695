//! A mesh in this process, and one book put into it and read back over RPC, as a gateway does it.

use std::error::Error;
use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_node::up::{RACK, Up, UpConfig};
use bookmesh_rpc::api::{
    Consistency, GetThing, NewThing, RegisterThing, RequestKey, RetryKey, Status,
};
use bookmesh_rpc::mesh::Context;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (up, _http) = Up::start(&UpConfig::new(dir.path(), 1), GatewayConfig::default()).await?;
    let (mesh, leader) = (&up.gateway.mesh, up.leader().ok_or("the rack has no leader")?);

    // The key makes the write safe to send again: it is applied once.
    let key = RequestKey::Retry(RetryKey { session: 1, sequence: 1, part: 0 });
    let thing = NewThing {
        tags: vec!["classic".into()],
        name: "Emma".into(),
        author: "Jane Austen".into(),
        status: Status::Available,
        holder: None,
        extra: Default::default(),
    };
    let context = Context::within(Duration::from_secs(5));
    let register = RegisterThing { rack: RACK.parse()?, key, thing };
    let written = mesh.call(leader, &context, register.clone()).await?;
    let again = mesh.call(leader, &context, register).await?;
    assert_eq!(written, again, "the same key is the same write");

    let consistency = Consistency::Linearizable;
    let get = GetThing { rack: RACK.parse()?, id: written.id, consistency };
    let read = mesh.call(leader, &context, get).await?;
    println!("{} {}: {}", read.thing.id, read.thing.info.author, read.thing.info.name);
    up.stop().await;
    Ok(())
}
