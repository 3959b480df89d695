//! A slow check of what the racks of a worker have on disk, so that damage is found while the
//! other members can still mend it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::RackId;
use bookmesh_storage::{GroupName, Progress, Scrub, StoreError};

use super::rack::Rack;
use super::worker::Worker;

/// One step for one rack, so often.
const EVERY: Duration = Duration::from_secs(1);
/// What a step reads: a rack of a million books is gone over in some minutes, and a disk that
/// reads hundreds of megabytes a second hardly notices.
const STEP_BYTES: usize = 2 * 1024 * 1024;

/// Goes over one rack after the other, again and again, until the task is ended.
pub async fn run(worker: Arc<Worker>) {
    let mut scrubs = BTreeMap::new();
    loop {
        for rack in worker.racks() {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = step(rack, &mut scrubs).await
                && matches!(error, StoreError::Corrupt { .. } | StoreError::CorruptValue { .. })
            {
                tracing::error!(rack = %rack.place.id, %error, "damage was found on disk");
                rack.set_damage(error);
            }
        }
    }
}

/// One step. A log that is opened anew, or can't be read now, is begun from its start.
async fn step(
    rack: &Arc<Rack>,
    scrubs: &mut BTreeMap<RackId, Scrub>,
) -> Result<Progress, StoreError> {
    let id = &rack.place.id;
    let Ok(group) = rack.group() else {
        scrubs.remove(id);
        return Ok(Progress::default());
    };
    let applied = group.read(|shown| shown.applied.map(|id| id.index));
    let (disk, name) = (rack.place.disk.clone(), GroupName::rack(id));
    let scrub = scrubs.remove(id);
    let done = tokio::task::spawn_blocking(move || {
        let mut scrub = match scrub {
            Some(scrub) => scrub,
            None => Scrub::new(disk.group(&name)?),
        };
        let progress = scrub.step(applied, STEP_BYTES)?;
        Ok((scrub, progress))
    });
    let (scrub, progress) = done.await.map_err(|_| StoreError::Closed)??;
    // At its end it lets the log go, which may be closed and opened again meanwhile.
    if !progress.wrapped {
        scrubs.insert(id.clone(), scrub);
    }
    Ok(progress)
}
