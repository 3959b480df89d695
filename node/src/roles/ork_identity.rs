//! What an orchestrator's member on this disk is, kept beside the registry's log.

use bookmesh_rpc::api::{ApiError, Incarnation, MemberId};
use bookmesh_rpc::codec;
use bookmesh_storage::{Group, MetaKey};
use serde::{Deserialize, Serialize};

use super::rack_life::blocking;
use super::setback::Setback;

pub(super) use super::identity::Step;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrkIdentity {
    /// Made with the data, and gone with them.
    pub(super) incarnation: Incarnation,
    /// The number that the registry gave to these data.
    pub(super) member: Option<MemberId>,
    /// How far it came.
    pub(super) step: Step,
    /// Which registry: the data with which it began.
    pub(super) founding: Option<Incarnation>,
}

impl OrkIdentity {
    /// What stands beside the log, or a new one.
    pub(super) async fn load(log: &Group) -> Result<Self, Setback> {
        if let Some(bytes) = log.get(MetaKey::Member)? {
            return codec::decode(&bytes)
                .map_err(|error| Setback::Other(format!("the member's identity: {error}")));
        }
        let incarnation = Incarnation::generate();
        let identity = Self { incarnation, member: None, step: Step::Begun, founding: None };
        identity.save(log).await?;
        Ok(identity)
    }

    /// Keeps it; it is on disk when this returns.
    pub(super) async fn save(&self, log: &Group) -> Result<(), Setback> {
        let value = codec::encode(self).map_err(ApiError::internal)?.into();
        let log = log.clone();
        Ok(blocking(move || log.put_blocking(MetaKey::Member, value)).await??)
    }
}
