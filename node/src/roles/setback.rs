//! What keeps a rack from its seat on a worker.

use bookmesh_rpc::api::{ApiError, Kind};
use bookmesh_rpc::mesh::CallError;
use bookmesh_storage::StoreError;

use super::fill::NotFilled;
use crate::consensus::GroupError;
use crate::consensus::log_store::LogError;
use crate::consensus::recovery::RecoveryError;

/// Why a round did not get there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Setback {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("its data are none of this group's, as its other members have it")]
    Foreign,
    #[error("another history is the rack's now, and these data are not of it")]
    Superseded,
    #[error("it is no rack of {0}s: start this worker with the rack's own --type, or name another")]
    OtherKind(Kind),
    #[error("{0}")]
    Other(String),
}

impl From<NotFilled> for Setback {
    fn from(error: NotFilled) -> Self {
        match error {
            NotFilled::Log(error) => Self::Group(error.into()),
            NotFilled::OtherHistory { .. } => Self::Foreign,
            NotFilled::NoSource(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<RecoveryError> for Setback {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Log(error) => Self::Group(error.into()),
            _ => Self::Other(error.to_string()),
        }
    }
}

impl Setback {
    /// The data here are of no use, but those of the other members are.
    pub(super) const fn is_damage(&self) -> bool {
        use StoreError::{BelowHighWater, Corrupt, CorruptValue};
        let error = match self {
            Self::Foreign
            | Self::Superseded
            | Self::Group(GroupError::Log(LogError::Record(_))) => return true,
            Self::Store(error) | Self::Group(GroupError::Log(LogError::Store(error))) => error,
            _ => return false,
        };
        matches!(error, BelowHighWater { .. } | Corrupt { .. } | CorruptValue { .. })
    }
}
