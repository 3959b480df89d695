//! Views on disk: a start reads the last checkpoint and applies the rest of the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bookmesh_rpc::api::{Hash, MemberId};
use bookmesh_rpc::codec;
use bookmesh_storage::view::View;
use bookmesh_storage::{Checkpointer, StoreError};
use bytes::Bytes;
use openraft::{LogId, StoredMembership};
use serde::{Deserialize, Serialize};

use super::log_store::{LogError, LogStore};
use super::machine::{SharedView, Shown};
use super::types::Seat;

/// How often it is looked whether a checkpoint is worth it.
const TICK: Duration = Duration::from_secs(5);
/// Entries that make one worth it: about what a start applies in a few milliseconds.
const ENTRIES: u64 = 256;

/// What stands beside the view's parts.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    applied: Option<LogId<MemberId>>,
    membership: StoredMembership<MemberId, Seat>,
    hash: Hash,
}

/// A view made of the last checkpoint, or an empty one; and who saves the next.
///
/// A checkpoint that is damaged, or whose chain is not the log's, is of no use, but the log is:
/// the view is made of it from the first entry.
///
/// # Errors
/// When the log itself can't be read.
pub async fn load<V: View>(
    group: &bookmesh_storage::Group,
    log: &LogStore,
) -> Result<(Shown<V>, Saver), LogError> {
    let mut checkpointer = Checkpointer::new(group.clone());
    let reader = group.clone();
    let restored = tokio::task::spawn_blocking(move || restore::<V>(&reader)).await;
    match restored.map_err(|_| LogError::Closed)? {
        Ok(Some(shown)) if is_of(&shown, log).await? => {
            return Ok((shown, Saver::new(checkpointer)));
        }
        Ok(None) => {}
        Ok(Some(_)) => {
            let group = group.name();
            tracing::warn!(%group, "the checkpoint is not of this log; applying it from its start");
            checkpointer.set_full_next();
        }
        Err(error) => {
            tracing::warn!(group = %group.name(), %error, "applying the log from its start");
            checkpointer.set_full_next();
        }
    }
    Ok((Shown::default(), Saver::new(checkpointer)))
}

fn restore<V: View>(group: &bookmesh_storage::Group) -> Result<Option<Shown<V>>, StoreError> {
    let Some(checkpoint) = group.checkpoint()? else { return Ok(None) };
    let Ok(head) = codec::decode::<Head>(checkpoint.head()) else { return Ok(None) };
    let view = checkpoint.restore()?;
    let Head { applied, membership, hash } = head;
    Ok(Some(Shown { view, applied, membership, hash }))
}

/// Whether the log has that history.
async fn is_of<V>(shown: &Shown<V>, log: &LogStore) -> Result<bool, LogError> {
    let Some(applied) = shown.applied else { return Ok(true) };
    let same_entry = log.log_id_at(applied.index).await? == Some(applied);
    Ok(same_entry && log.hash_at(applied.index).await? == shown.hash)
}

/// Saves one view's checkpoints, one at a time.
#[derive(Clone)]
pub struct Saver(Arc<Mutex<Checkpointer>>);

impl Saver {
    fn new(checkpointer: Checkpointer) -> Self {
        Self(Arc::new(Mutex::new(checkpointer)))
    }

    /// Saves what the view shows now. One that fails is tried again with the next, and costs
    /// nothing but a longer start.
    pub async fn save<V: View>(&self, shared: &Arc<SharedView<V>>) {
        let (saver, shared) = (self.0.clone(), shared.clone());
        let saved = tokio::task::spawn_blocking(move || {
            // Held while the disk is written, on a thread that may wait.
            let mut checkpointer = saver.lock().unwrap_or_else(PoisonError::into_inner);
            checkpointer.save(shared.lock(), head)
        });
        if let Ok(Err(error)) = saved.await {
            tracing::warn!(%error, "the view was not checkpointed");
        }
    }

    /// Saves now and then, until the group ends.
    pub async fn run<V: View>(self, shared: Arc<SharedView<V>>) {
        let applied = || shared.read(|shown| shown.applied.map_or(0, |id| id.index));
        let mut saved = applied();
        loop {
            tokio::time::sleep(TICK).await;
            let now = applied();
            if now >= saved + ENTRIES {
                self.save(&shared).await;
                saved = now;
            }
        }
    }
}

fn head<V>(shown: &mut Shown<V>) -> Bytes {
    let head =
        Head { applied: shown.applied, membership: shown.membership.clone(), hash: shown.hash };
    // A membership that is too large to encode makes a head that is none, which the next start
    // takes as no checkpoint.
    codec::encode(&head).unwrap_or_default().into()
}
