//! One member goes on alone, when the majority of its group is gone for good.
//!
//! No election can be won without a majority, so the member's own log is given one entry from
//! outside of consensus: a membership of this member alone. It stands behind all that the log has,
//! in a term that is later than any that this member knows; the member then is the only voter,
//! elects itself and commits its whole log.
//!
//! What that means for entries: all in this log count from then on, also those that no majority
//! had, and what was acknowledged and is not in this log is lost.
//!
//! The steps are on disk before they are acted upon: the decision, the vote, the entry. Whoever
//! opens a member calls [`carry_out`] first, so that a crash in between changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use bookmesh_rpc::api::{MemberId, RequestKey, RetryKey};
use bookmesh_storage::{Group as Store, MetaKey};
use openraft::{CommittedLeaderId, EntryPayload, LogId, Membership, Vote};
use serde::{Deserialize, Serialize};

use super::log_store::{LogError, LogStore};
use super::types::{Entry, Seat, to_record};

/// A recovery that was decided and is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The place and term of the entry that makes the member the only one.
    entry: LogId<MemberId>,
    /// What stands for the member in it.
    seat: Seat,
    /// Of the command that tells everyone: it is counted once, however often it is proposed.
    pub key: RequestKey,
    /// All that were members then or before an earlier recovery, but this one.
    given_up: BTreeSet<MemberId>,
    /// Whether all of it is done.
    done: bool,
}

/// Why a recovery can't go on.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log can't be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is nothing to go on with.
    #[error("its log is empty")]
    Empty,
    /// A member is made the only one, and this is none.
    #[error("it is in no membership")]
    NoMember,
    /// Somebody wrote the log in between.
    #[error("its log has changed since it was decided to recover it: decide again")]
    Changed,
}

impl From<bookmesh_storage::StoreError> for RecoveryError {
    fn from(error: bookmesh_storage::StoreError) -> Self {
        Self::Log(error.into())
    }
}

/// Writes down that this member shall be the only one. Consensus must not run on the log.
///
/// # Errors
/// [`RecoveryError`]; nothing was decided then.
pub async fn decide(
    store: &Store,
    member: MemberId,
    members: &BTreeMap<MemberId, Seat>,
    last_index: u64,
) -> Result<(), RecoveryError> {
    let log = LogStore::open(store.clone())?;
    if store.last_index() != Some(last_index) {
        return Err(RecoveryError::Changed);
    }
    let seat = members.get(&member).cloned().ok_or(RecoveryError::NoMember)?;
    let mut given_up = given_up(store)?;
    given_up.extend(members.keys().filter(|other| **other != member));
    let last = log.log_id_at(last_index).await?.ok_or(RecoveryError::Empty)?;
    let vote: Option<Vote<MemberId>> = log.get(MetaKey::Vote)?;
    let voted = vote.map_or(0, |vote| vote.leader_id().term);
    let term = last.leader_id.term.max(voted) + 1;
    let entry = LogId::new(CommittedLeaderId::new(term, member), last_index + 1);
    let key = RequestKey::Retry(RetryKey { session: rand::random(), sequence: 0, part: 0 });
    let recovery = Recovery { entry, seat, key, given_up, done: false };
    Ok(log.put(MetaKey::Recovery, &Some(recovery)).await?)
}

/// Does what was decided, as far as it is not done yet, and answers what it is; `None` when
/// nothing was, or by another log than this. To be called before consensus runs on the log.
///
/// # Errors
/// [`RecoveryError`]; worth trying again.
pub async fn carry_out(store: &Store) -> Result<Option<Recovery>, RecoveryError> {
    let log = LogStore::open(store.clone())?;
    let Some(recovery) = read(&log)?.filter(|recovery| !recovery.done) else { return Ok(None) };
    let (at, member) = (recovery.entry, recovery.entry.leader_id.node_id);
    if store.last_index() == at.index.checked_sub(1) {
        // The vote first: an entry of a term that this member has not reached is none it can have.
        let vote = Vote::new(at.leader_id.term, member);
        log.put(MetaKey::Vote, &vote).await?;
        append(store, recovery.entry_of(member)).await?;
    } else if log.log_id_at(at.index).await? != Some(at) {
        // Nobody writes the log between a decision and this; if somebody did, it was decided by
        // what is there no more.
        tracing::error!(group = %store.name(), "the log has changed since it was to be recovered");
        conclude(store).await?;
        return Ok(None);
    }
    Ok(Some(recovery))
}

/// Notes that all of it is done.
///
/// # Errors
/// When it can't be written; then it is done once more after the next start, which changes
/// nothing.
pub async fn conclude(store: &Store) -> Result<(), RecoveryError> {
    let log = LogStore::open(store.clone())?;
    let Some(recovery) = read(&log)? else { return Ok(()) };
    Ok(log.put(MetaKey::Recovery, &Some(Recovery { done: true, ..recovery })).await?)
}

/// The members that this one goes on without. Should they come back and agree with each other,
/// they would lead it back to before the recovery: it hears nothing of them any more.
///
/// # Errors
/// When what stands beside the log can't be read.
pub fn given_up(store: &Store) -> Result<BTreeSet<MemberId>, LogError> {
    let recovery = read(&LogStore::open(store.clone())?)?;
    Ok(recovery.map(|recovery| recovery.given_up).unwrap_or_default())
}

fn read(log: &LogStore) -> Result<Option<Recovery>, LogError> {
    let recovery: Option<Option<Recovery>> = log.get(MetaKey::Recovery)?;
    Ok(recovery.flatten())
}

impl Recovery {
    fn entry_of(&self, member: MemberId) -> Entry {
        let seats = BTreeMap::from([(member, self.seat.clone())]);
        let members = Membership::new(vec![[member].into()], seats);
        Entry { log_id: self.entry, payload: EntryPayload::Membership(members) }
    }
}

async fn append(store: &Store, entry: Entry) -> Result<(), LogError> {
    let record = to_record(&entry)?;
    let store = store.clone();
    let appended = tokio::task::spawn_blocking(move || store.append_blocking(vec![record])).await;
    Ok(appended.map_err(|_| LogError::Closed)??)
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
