//! The trees of one group, and the small values in them.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Engine, Fault};
use crate::error::StoreError;
use crate::key::Cipher;
use crate::names::{GroupName, TreeKind};
use crate::sealed::SealedTree;

/// The small values that are durable in the same order as the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaKey {
    /// The term and whom this member voted for.
    Vote,
    /// The last entry known to be on a majority; [`crate::Group::put_lazy`] is enough for it.
    Committed,
    /// How far the consensus layer believes that the log was purged.
    Purged,
    /// This member's number, and the incarnation that was made with these data.
    Member,
    /// A recovery that was decided and is not finished.
    Recovery,
}

impl MetaKey {
    pub(crate) const ALL: [Self; 5] =
        [Self::Vote, Self::Committed, Self::Purged, Self::Member, Self::Recovery];

    /// What stands on disk; 0 to 15 are storage's own.
    pub(crate) const fn key(self) -> [u8; 1] {
        match self {
            Self::Vote => [16],
            Self::Committed => [17],
            Self::Purged => [18],
            Self::Member => [19],
            Self::Recovery => [20],
        }
    }
}

/// Says that the group's making was finished.
const MADE: [u8; 1] = [0];
/// See [`crate::checkpoint`].
pub(crate) const CHECKPOINT: [u8; 1] = [1];

/// The trees of one group.
pub(crate) struct Trees {
    pub(crate) meta: SealedTree,
    pub(crate) log: SealedTree,
    pub(crate) view: SealedTree,
}

impl Trees {
    pub(crate) fn open(
        engine: &Engine,
        cipher: &Arc<Cipher>,
        group: &GroupName,
    ) -> Result<Self, Fault> {
        let open = |kind| SealedTree::open(engine, cipher, kind, group);
        let (meta, log, view) =
            (open(TreeKind::Meta)?, open(TreeKind::Log)?, open(TreeKind::View)?);
        Ok(Self { meta, log, view })
    }

    pub(crate) fn is_made(&self, group: &GroupName) -> Result<bool, StoreError> {
        self.value(group, "the group's mark", MADE).map(|made| made.is_some())
    }

    pub(crate) fn set_made(&self) -> Result<(), Fault> {
        self.meta.insert_sealed(&MADE, self.meta.seal(&MADE, &[])?)
    }

    pub(crate) fn value(
        &self,
        group: &GroupName,
        what: &str,
        key: [u8; 1],
    ) -> Result<Option<Bytes>, StoreError> {
        self.meta.get(&key).map_err(|Fault(why)| StoreError::CorruptValue {
            group: group.clone(),
            what: what.to_owned(),
            why,
        })
    }
}
