//! What became of a rack's things: one thing's history, and all changes as they come. The view
//! knows where in the log they stand, the log what they were.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::{
    ApiError, Change, ChangePage, HistoryPage, MAX_HISTORY, MemberState, Position, ReadHistory,
    Since, WatchChanges,
};
use bookmesh_rpc::mesh::ItemSink;
use bookmesh_storage::view::{NotedChange, Things};

use super::rack::Rack;
use crate::consensus::Group;
use crate::consensus::membership::state_in;

/// Changes of one page of a watch, and what else the last one's command changed.
const MAX_CHANGES: usize = 1_000;
/// How long a reader may take for one page before it counts as gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// How long a member may hear nothing of its rack while it is watched, and so often it is looked
/// at. Longer than a failover takes.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// How long a member that has not come to a watch's place yet may take to get there: a reader
/// brings one from another member that was a moment ahead.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(1);

impl Rack {
    /// A page of one thing's history, be it there still or not.
    ///
    /// # Errors
    /// No such thing ever; for a linearizable read not the leader, unavailable; for an eventual one
    /// too far behind, or nothing to read yet.
    pub async fn history(&self, request: ReadHistory) -> Result<HistoryPage, ApiError> {
        let ReadHistory { id, after, limit, consistency, .. } = request;
        let limit = limit.min(MAX_HISTORY) as usize;
        let group = self.fresh(consistency).await?;
        self.holds(id)?;
        let (history, applied_index) = group.read(|shown| {
            (shown.view.history(id, after, limit), shown.applied.map_or(0, |id| id.index))
        });
        let (noted, total) = history.ok_or(ApiError::ThingNotFound { id })?;
        let changes = self.read_changes(&group, noted).await?;
        Ok(HistoryPage { changes, total, applied_index })
    }

    /// The rack's changes from a place on, and then as this member applies them, until the reader
    /// goes or the member ends.
    ///
    /// # Errors
    /// A place that the log has not come to; before there is a member, or when its log can't be
    /// read.
    pub async fn watch_changes(
        self: Arc<Self>,
        request: WatchChanges,
        mut items: ItemSink,
    ) -> Result<(), ApiError> {
        let group = self.confirmed()?;
        let (mut applied, mut standing) = (group.applied(), group.standing());
        let mut after = begin(&group, request.from).await?;
        let mut is_first = true;
        loop {
            let (noted, last) = group.read(|shown| {
                let last = shown.applied.map_or(0, |id| id.index);
                (shown.view.changes_behind(after, MAX_CHANGES), last)
            });
            let wanted = noted.len();
            let changes = self.read_changes(&group, noted).await?;
            let is_whole = wanted < MAX_CHANGES && changes.len() == wanted;
            let through = match changes.last() {
                Some(change) if !is_whole => change.at,
                // What it begins behind may be further within the last entry.
                _ => after.unwrap_or_default().max(Position::end_of(last)),
            };
            after = Some(through);
            if is_first || !changes.is_empty() {
                let page = ChangePage { changes, through };
                match tokio::time::timeout(TAKEN_WITHIN, items.send(&page)).await {
                    Ok(Ok(())) => is_first = false,
                    Ok(Err(_)) | Err(_) => return Ok(()),
                }
            }
            if is_whole {
                // The mesh drops this future when the reader goes.
                let grown = applied.wait_for(|now| now.is_some_and(|now| now > last));
                let ended = async { while standing.changed().await.is_ok() {} };
                tokio::select! {
                    () = cut_off(&group) => {
                        return Err(self.unavailable("this member hears nothing of its rack"));
                    }
                    grown = grown => drop(grown.map_err(|_| Group::<Things>::stopped())?),
                    () = ended => return Err(Group::<Things>::stopped()),
                }
            }
        }
    }

    async fn read_changes(
        &self,
        group: &Group<Things>,
        noted: Vec<NotedChange>,
    ) -> Result<Vec<Change>, ApiError> {
        let _place = self.log_reads.acquire().await.map_err(ApiError::internal)?;
        group.changes(noted).await
    }
}

/// Ends once this member has heard nothing of its rack for a while: what it would tell goes on at
/// the others, and its reader should ask one of them.
async fn cut_off(group: &Group<Things>) {
    loop {
        tokio::time::sleep(HEARD_WITHIN).await;
        let leads = state_in(&group.metrics().borrow()) == MemberState::Leader;
        let hears = if leads {
            matches!(tokio::time::timeout(HEARD_WITHIN, group.confirm()).await, Ok(Ok(())))
        } else {
            group.lag_ms().is_some_and(|lag| u128::from(lag) <= HEARD_WITHIN.as_millis())
        };
        if !hears {
            return;
        }
    }
}

/// The place behind which a watch begins; `None` for all there is.
async fn begin(group: &Group<Things>, from: Since) -> Result<Option<Position>, ApiError> {
    let last = || group.read(|shown| shown.applied.map_or(0, |id| id.index));
    match from {
        Since::Beginning => Ok(None),
        Since::Now => Ok(Some(Position::end_of(last()))),
        Since::After(after) => {
            let mut applied = group.applied();
            let there = applied.wait_for(|now| now.is_some_and(|now| now >= after.index));
            match tokio::time::timeout(CATCHES_UP_WITHIN, there).await {
                Ok(Ok(_)) => Ok(Some(after)),
                Ok(Err(_)) => Err(Group::<Things>::stopped()),
                Err(_) => {
                    let rule = format!("is ahead of the log, which ends with entry {}", last());
                    Err(ApiError::invalid("from", rule))
                }
            }
        }
    }
}
