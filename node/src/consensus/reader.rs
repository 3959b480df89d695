//! Linearizable reads share their proof: one confirmation of leadership covers all reads that
//! wait when it begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{ApiError, GroupId};
use bookmesh_rpc::timing;
use tokio::sync::{mpsc, oneshot, watch};

use super::proposer::{stopped, unreadable};
use super::types::Raft;

/// Reads that may wait for a confirmation; beyond that callers are told the node is busy.
const QUEUE: usize = 16 * 1024;
/// How long what is committed may take to be applied. It is a matter of microseconds; a member
/// that takes longer has failed, and readers had better ask again elsewhere.
const APPLY_DEADLINE: Duration = Duration::from_secs(5);

type Answer = oneshot::Sender<Result<(), Arc<ApiError>>>;

/// Where a group's reads wait until the view is fresh enough.
#[derive(Clone, Debug)]
pub struct Reader {
    queue: mpsc::Sender<Answer>,
}

impl Reader {
    /// A reader for `raft`, whose view has applied what `applied` says; and the task that has to
    /// be run for it.
    pub fn new(
        raft: Raft,
        group: GroupId,
        applied: watch::Receiver<Option<u64>>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, run(raft, group, applied, waiting))
    }

    /// Returns once the view shows every write that was acknowledged before this call.
    ///
    /// # Errors
    /// Not the leader, no majority, too many waiting.
    pub async fn confirm(&self) -> Result<(), ApiError> {
        let began = Instant::now();
        let (answer, confirmed) = oneshot::channel();
        self.queue.try_send(answer).map_err(|_| ApiError::Busy)?;
        let confirmed = confirmed.await;
        timing::note_commit(began.elapsed(), Duration::ZERO);
        match confirmed {
            Ok(result) => result.map_err(|error| ApiError::clone(&error)),
            Err(_) => Err(stopped()),
        }
    }
}

async fn run(
    raft: Raft,
    group: GroupId,
    mut applied: watch::Receiver<Option<u64>>,
    mut queue: mpsc::Receiver<Answer>,
) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, QUEUE).await > 0 {
        let result = confirm(&raft, &group, &mut applied).await.map_err(Arc::new);
        for answer in waiting.drain(..) {
            drop(answer.send(result.clone()));
        }
    }
}

async fn confirm(
    raft: &Raft,
    group: &GroupId,
    applied: &mut watch::Receiver<Option<u64>>,
) -> Result<(), ApiError> {
    let (read, _) = raft.get_read_log_id().await.map_err(|error| unreadable(raft, group, error))?;
    let read = read.map(|id| id.index);
    match tokio::time::timeout(APPLY_DEADLINE, applied.wait_for(|now| *now >= read)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(stopped()),
        Err(_) => Err(ApiError::Unavailable {
            what: "this member".into(),
            why: format!("it has not applied what is committed within {APPLY_DEADLINE:?}"),
        }),
    }
}
