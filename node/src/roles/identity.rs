//! What a member on this disk is, kept beside its log.

use bookmesh_rpc::api::{ApiError, Incarnation, MemberId};
use bookmesh_rpc::codec;
use bookmesh_storage::{Group, MetaKey};
use serde::{Deserialize, Serialize};

use super::rack_life::blocking;
use super::setback::Setback;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Made with the data, and gone with them.
    pub(super) incarnation: Incarnation,
    /// The number that the group gave to these data.
    pub(super) member: Option<MemberId>,
    /// How far it came.
    pub(super) step: Step,
}

/// How far a member came, as far as this disk knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// On its way: founding or joining.
    Begun,
    /// A member.
    Seated,
    /// A member once, that was taken out when its worker stopped.
    Left,
}

impl Identity {
    /// What stands beside the log, or a new one.
    pub(super) async fn load(store: &Group) -> Result<Self, Setback> {
        if let Some(bytes) = store.get(MetaKey::Member)? {
            return codec::decode(&bytes)
                .map_err(|error| Setback::Other(format!("the member's identity: {error}")));
        }
        let incarnation = Incarnation::generate();
        let identity = Self { incarnation, member: None, step: Step::Begun };
        identity.save(store).await?;
        Ok(identity)
    }

    /// Keeps it; it is on disk when this returns.
    pub(super) async fn save(&self, store: &Group) -> Result<(), Setback> {
        let value = codec::encode(self).map_err(ApiError::internal)?.into();
        let store = store.clone();
        Ok(blocking(move || store.put_blocking(MetaKey::Member, value)).await??)
    }
}
