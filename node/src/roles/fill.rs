//! Filling a replica by a stream of its own: a member that is about to join, or has been away for
//! long, gets what is committed from another member before it takes part, and openraft only has
//! to bring what was written meanwhile.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    ApiError, Charter, FillPage, FillReplica, Hash, MemberId, MemberState, MemberStatus,
};
use bookmesh_rpc::mesh::{CallError, Context, ItemSink, Items};
use tokio::sync::Semaphore;

use super::rack::{Rack, Stage};
use super::survey::{self, Standing};
use crate::consensus::filling::{FillError, Filling};

/// Replicas that one member fills at once; another is told that it is busy and asks elsewhere.
const MAX_FILLS: usize = 4;
/// How long a reader may take for one page before it counts as gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// How long a source may take to answer, and for each page.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// How far behind the furthest member a source may be: more than a lagging follower is, and little
/// beside what a fill is for.
const SOURCE_BEHIND: u64 = 10_000;
/// What openraft's own appends bring in a moment.
const NEAR_ENTRIES: usize = 1_000;
/// A round that took no longer leaves less than a second's writes.
const NEAR_TIME: Duration = Duration::from_secs(1);
/// Rounds after which it begins to take part all the same: writers then write as fast as this disk.
const MAX_ROUNDS: usize = 16;
/// How often it is said in the log how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A rack's fills: those that this member gives, and the one that it gets.
pub struct Fills {
    given: Semaphore,
    got: Mutex<Option<Progress>>,
}

impl Default for Fills {
    fn default() -> Self {
        Self { given: Semaphore::new(MAX_FILLS), got: Mutex::default() }
    }
}

/// How far a replica is filled.
#[derive(Clone, Copy, Debug)]
struct Progress {
    member: MemberId,
    last_index: u64,
    head_hash: Hash,
    /// The last entry that the source had committed.
    source: u64,
}

/// Why a replica was not filled.
#[derive(Debug, thiserror::Error)]
pub enum NotFilled {
    /// This node's own log can't be read or written.
    #[error(transparent)]
    Log(#[from] crate::consensus::log_store::LogError),
    /// Nobody has what it needs, or everybody who has it failed.
    #[error("no member could fill this replica: {0}")]
    NoSource(String),
    /// What is committed here is not what is committed there.
    #[error(
        "this replica's history is another one from entry {index} on, although it was committed \
         here: it belongs to another rack of this name, or its log was changed"
    )]
    OtherHistory {
        /// The first entry that is known to be another one.
        index: u64,
    },
}

/// Fills the log in `store` from members elsewhere until it is less than a second, or a thousand
/// entries, behind them. `leader` is who admitted this member, and its rack's `charter`; those
/// that it knows of are asked as well, and a follower is preferred, since it has nobody waiting.
/// One of another charter is never asked: it has the history that a recovery gave up.
///
/// Goes on where the log ends, be it after a crash or with another source. A log that
/// [never took part](Filling::took_part) and has another history is emptied and filled anew; one
/// that did is cut where it leaves the source's, down to what was committed, so **this must not be
/// called for a voter**, and not while consensus runs on the log.
///
/// # Errors
/// [`NotFilled`]; what is there stays, and calling again goes on with it.
pub async fn fill(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    member: MemberId,
    leader: PeerId,
    charter: Charter,
) -> Result<(), NotFilled> {
    let mut filling = Filling::new(store.clone()).map_err(own)?;
    rounds(rack, &mut filling, member, (leader, charter)).await?;
    filling.finish(member).await.map_err(own)
}

/// What is no source's fault.
fn own(error: FillError) -> NotFilled {
    match error {
        FillError::Log(error) => error.into(),
        error => NotFilled::NoSource(error.to_string()),
    }
}

/// Asks one source after the other, and the same again for what was written meanwhile.
async fn rounds(
    rack: &Rack,
    filling: &mut Filling,
    member: MemberId,
    (leader, charter): (PeerId, Charter),
) -> Result<(), NotFilled> {
    let mut failed = BTreeSet::new();
    let mut trouble = None;
    for _ in 0..MAX_ROUNDS {
        let context = Context::within(SENT_WITHIN);
        let known = survey::members(rack, &[leader], &context).await;
        let Some((source, _)) = choose(known, charter, &failed) else { break };
        let mut round = Round { rack, member, source, told: Told::new() };
        let began = Instant::now();
        trouble = match round.run(filling).await {
            Ok(seen) if seen < NEAR_ENTRIES || began.elapsed() < NEAR_TIME => return Ok(()),
            Ok(_) => None,
            Err(Trouble::Fill(FillError::Differs { .. })) => round.reconcile(filling).await.err(),
            Err(error) => Some(error),
        };
        match &trouble {
            None => continue,
            Some(Trouble::Fill(FillError::Log(_)) | Trouble::OtherHistory(_)) => break,
            Some(_) => {}
        }
        let why = trouble.as_ref().map(ToString::to_string);
        tracing::warn!(rack = %rack.place.id, source = %source.short(), why, "not filled by it");
        failed.insert(source);
    }
    match trouble {
        Some(Trouble::Fill(error)) => Err(own(error)),
        Some(Trouble::OtherHistory(index)) => Err(NotFilled::OtherHistory { index }),
        Some(error) => Err(NotFilled::NoSource(error.to_string())),
        None if filling.is_shared() => Ok(()),
        None => Err(NotFilled::NoSource("none is known".into())),
    }
}

/// Whoever has this history, is far enough and has not failed: one that does not lead first, then
/// the furthest.
fn choose(
    mut known: Vec<Standing>,
    charter: Charter,
    failed: &BTreeSet<PeerId>,
) -> Option<Standing> {
    known.retain(|(_, status)| status.charter == Some(charter));
    let furthest = known.iter().map(|(_, status)| status.applied_index).max()?;
    let serves = |status: &MemberStatus| {
        !matches!(status.state, MemberState::Joining | MemberState::Failed)
            && status.applied_index.saturating_add(SOURCE_BEHIND) >= furthest
    };
    known.into_iter().filter(|(peer, status)| serves(status) && !failed.contains(peer)).min_by_key(
        |(_, status)| (status.state == MemberState::Leader, Reverse(status.applied_index)),
    )
}

/// Why a source was of no use.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error("it sent nothing for {SENT_WITHIN:?}")]
    Silent,
    #[error("it has less than this replica")]
    Behind,
    #[error("it has another history at entry {0}, which was committed here")]
    OtherHistory(u64),
}

/// One source's stream, from where the replica ends to what the source had when it was asked.
struct Round<'a> {
    rack: &'a Rack,
    member: MemberId,
    source: PeerId,
    told: Told,
}

impl Round<'_> {
    /// Answers how many entries were new.
    async fn run(&mut self, filling: &mut Filling) -> Result<usize, Trouble> {
        let from = filling.begin();
        let mut pages = self.ask(from).await?;
        let (rack, source) = (&self.rack.place.id, self.source.short());
        tracing::info!(%rack, %source, from, "filling this replica");
        let (mut seen, mut first) = (0, true);
        while let Some(page) = next(&mut pages).await? {
            let source = page.committed_index;
            if first && page.records.is_empty() {
                // Without an entry that both have nothing says that they are of one rack.
                return if filling.took_part()? { Ok(0) } else { Err(Trouble::Behind) };
            }
            first = false;
            seen += page.records.len();
            let bytes = filling.take(page).await?;
            let (last_index, head_hash) = (filling.last_index(), filling.head_hash());
            let progress = Progress { member: self.member, last_index, head_hash, source };
            self.rack.fills.note(progress);
            self.rack.set_stage(Stage::Waiting(progress.to_string()));
            self.told.add(bytes, self.rack, self.source, progress);
        }
        Ok(seen)
    }

    async fn ask(&self, from: u64) -> Result<Items<FillPage>, CallError> {
        let request = FillReplica { rack: self.rack.place.id.clone(), from };
        let context = Context::within(SENT_WITHIN);
        self.rack.place.mesh.stream(self.source, &context, request).await
    }

    /// The source has another entry where this log ends: cuts off what is not shared.
    async fn reconcile(&self, filling: &mut Filling) -> Result<(), Trouble> {
        let rack = &self.rack.place.id;
        let from = if filling.took_part()? { self.parting(filling).await? } else { 0 };
        tracing::warn!(%rack, from, "what this log has there is not the rack's; cutting it off");
        Ok(filling.cut(from).await?)
    }

    /// The first entry that differs: all before one that is the same are the same.
    async fn parting(&self, filling: &mut Filling) -> Result<u64, Trouble> {
        let mut differs = filling.last_index();
        let mut same = filling.known_committed()?;
        if let Some(committed) = same
            && !self.has(filling, committed).await?
        {
            return Err(Trouble::OtherHistory(committed));
        }
        while same.map_or(0, |same| same + 1) < differs {
            let low = same.map_or(0, |same| same + 1);
            let middle = low + (differs - low) / 2;
            if self.has(filling, middle).await? {
                same = Some(middle);
            } else {
                differs = middle;
            }
        }
        Ok(differs)
    }

    /// Whether the source has the same entry as this log.
    async fn has(&self, filling: &Filling, index: u64) -> Result<bool, Trouble> {
        let mut pages = self.ask(index).await?;
        let page = next(&mut pages).await?;
        let record = page.and_then(|page| page.records.into_iter().next());
        let record = record.filter(|record| record.index == index).ok_or(Trouble::Behind)?;
        Ok(filling.has(&record).await?)
    }
}

async fn next(pages: &mut Items<FillPage>) -> Result<Option<FillPage>, Trouble> {
    match tokio::time::timeout(SENT_WITHIN, pages.next()).await {
        Ok(page) => Ok(page.transpose()?),
        Err(_) => Err(Trouble::Silent),
    }
}

/// What was said of a fill, so that it is said every few seconds.
struct Told {
    at: Instant,
    bytes: usize,
}

impl Told {
    fn new() -> Self {
        Self { at: Instant::now(), bytes: 0 }
    }

    fn add(&mut self, bytes: usize, rack: &Rack, source: PeerId, progress: Progress) {
        self.bytes += bytes;
        let elapsed = self.at.elapsed();
        if elapsed < TELL_EVERY {
            return;
        }
        // A rate for people: the digits that are lost don't matter.
        #[allow(clippy::cast_precision_loss)]
        let rate = self.bytes as f64 / elapsed.as_secs_f64() / 1e6;
        tracing::info!(
            rack = %rack.place.id, source = %source.short(), "{progress}, {rate:.1} MB/s"
        );
        *self = Self::new();
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { last_index, source, .. } = self;
        let percent = last_index.saturating_mul(100) / (*source).max(1);
        write!(f, "being filled: entry {last_index} of {source} ({} %)", percent.min(100))
    }
}

impl Fills {
    fn note(&self, progress: Progress) {
        *self.got.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    /// The member runs now, and speaks for itself.
    pub(super) fn end(&self) {
        *self.got.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Rack {
    /// How the replica stands that is being filled here, if one is.
    pub(super) fn filled(&self) -> Option<MemberStatus> {
        if !matches!(self.stage(), Stage::Waiting(_)) {
            return None;
        }
        let progress = *self.fills.got.lock().unwrap_or_else(PoisonError::into_inner);
        let Progress { member, last_index, head_hash, source } = progress?;
        Some(MemberStatus {
            rack: self.place.id.clone(),
            kind: self.place.kind,
            charter: None,
            member,
            state: MemberState::Joining,
            term: 0,
            last_term: 0,
            leader: None,
            members: Vec::new(),
            last_index,
            committed_index: source,
            applied_index: 0,
            head_hash,
            things: 0,
            writable: self.writable().is_ok(),
            blocked_by: Vec::new(),
        })
    }

    /// Sends what is committed now from an index on, in pages, to a replica that is being filled.
    ///
    /// # Errors
    /// Before there is a member, when it fills enough others, or when its log can't be read.
    pub async fn fill_replica(
        &self,
        request: FillReplica,
        mut items: ItemSink,
    ) -> Result<(), ApiError> {
        let group = self.group()?;
        let _place = self.fills.given.try_acquire().map_err(|_| ApiError::Busy)?;
        let nothing = || self.unavailable("nothing is committed here yet");
        let end = group.committed().ok_or_else(nothing)?.saturating_add(1);
        let mut next = request.from;
        loop {
            let page = group.fill_page(next..end).await?;
            let last = page.records.last().map(|record| record.index + 1);
            match tokio::time::timeout(TAKEN_WITHIN, items.send(&page)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(()),
                // An end without an error would tell the replica that it has everything.
                Err(_) => return Err(self.unavailable("the replica took nothing for long")),
            }
            match last {
                Some(last) if last < end => next = last,
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::samples;
    use crate::roles::samples::charter;

    fn member(byte: u8, state: MemberState, applied_index: u64) -> Standing {
        let status = MemberStatus {
            charter: Some(charter(1)),
            member: u64::from(byte),
            last_index: applied_index,
            committed_index: applied_index,
            applied_index,
            ..samples::status(state)
        };
        (PeerId::from_bytes([byte; 32]), status)
    }

    fn chosen(known: &[Standing], failed: &[u8]) -> Option<u64> {
        let failed = failed.iter().map(|byte| PeerId::from_bytes([*byte; 32])).collect();
        choose(known.to_vec(), charter(1), &failed).map(|(_, status)| status.member)
    }

    #[test]
    fn a_follower_that_is_far_enough_is_the_source_and_the_leader_the_last_resort() {
        let known = [
            member(1, MemberState::Leader, 50_000),
            member(2, MemberState::Follower, 49_000),
            member(3, MemberState::Learner, 49_500),
            member(4, MemberState::Follower, 30_000),
            member(5, MemberState::Joining, 60_000 - SOURCE_BEHIND),
            member(6, MemberState::Failed, 50_000),
        ];
        assert_eq!(chosen(&known, &[]), Some(3));
        assert_eq!(chosen(&known, &[3]), Some(2));
        assert_eq!(chosen(&known, &[3, 2]), Some(1));
        assert_eq!(chosen(&known, &[3, 2, 1]), None);
    }

    #[test]
    fn what_a_recovery_gave_up_is_no_source() {
        let mut known = [
            member(1, MemberState::Leader, 20),
            member(2, MemberState::Leader, 40_000),
            member(3, MemberState::Follower, 40_000),
        ];
        known[1].1.charter = Some(charter(0));
        known[2].1.charter = None;
        let source = |recoveries| {
            let chosen = choose(known.to_vec(), charter(recoveries), &BTreeSet::new());
            chosen.map(|(_, status)| status.member)
        };
        assert_eq!(source(1), Some(1), "however far the others are");
        assert_eq!(source(0), Some(2));
        assert_eq!(source(2), None);
    }

    #[test]
    fn progress_is_said_in_entries_and_percent() {
        let progress = |last_index, source| {
            Progress { member: 1, last_index, head_hash: Hash::ZERO, source }.to_string()
        };
        assert_eq!(progress(412, 1000), "being filled: entry 412 of 1000 (41 %)");
        assert_eq!(progress(0, 0), "being filled: entry 0 of 0 (0 %)");
        assert!(progress(1001, 1000).contains("(100 %)"));
    }
}
