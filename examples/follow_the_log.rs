//! A rack's log as it grows: every committed entry with the chain after it, recomputed here from
//! the bytes alone.

use std::error::Error;
use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_node::up::{RACK, Up, UpConfig};
use bookmesh_rpc::api::{Batch, Hash, RecordKind, TailLog};
use bookmesh_rpc::codec;
use bookmesh_rpc::mesh::Context;

/// Founding writes three commands: the rack's name, its first member, its confirmation.
const FOUNDING_ENTRIES: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (up, _http) = Up::start(&UpConfig::new(dir.path(), 1), GatewayConfig::default()).await?;
    let (mesh, leader) = (&up.gateway.mesh, up.leader().ok_or("the rack has no leader")?);
    let context = Context::within(Duration::from_secs(5));
    let tail = TailLog { rack: RACK.parse()?, from: 0 };
    let mut records = mesh.stream(leader, &context, tail).await?;

    let (mut chain, mut seen) = (Hash::ZERO, 0);
    while seen < FOUNDING_ENTRIES {
        let record = records.next().await.ok_or("the log ended")??;
        if record.kind == RecordKind::Commands {
            chain = chain.extend(&record.commands);
            let batch: Batch = codec::decode(&record.commands)?;
            println!("{} {:?} {:?}", record.index, record.hash, batch.commands[0].action);
            seen += 1;
        }
        assert_eq!(chain, record.hash, "entry {} is not what was written", record.index);
    }
    drop(records);
    up.stop().await;
    Ok(())
}
