//! What a group's log keeps: batches of commands. And what applying one answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    ApiError, Charter, Incarnation, Kind, MemberId, NewThing, OnConflict, Order, OrderTerms,
    RackId, RackInfo, Registered, RequestId, RequestKey, Settings, StatusRule, Thing, ThingId,
    ThingPatch,
};
use crate::peer::PeerId;

/// The most bytes of one encoded [`Batch`]: sled keeps larger values in files that nobody syncs.
pub const MAX_ENTRY_BYTES: usize = 64 * 1024;

/// One log entry: all commands that waited at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Milliseconds since 1970 by the leader's clock. The view never lets time run backwards.
    pub time_ms: u64,
    /// In the order they arrived.
    pub commands: Vec<Command>,
}

/// One user's write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Applied once for each key; `None` for what is harmless to repeat.
    pub key: Option<RequestKey>,
    /// Who asked, for the history.
    pub request_id: RequestId,
    /// What.
    pub action: Action,
}

/// What a command does. Logs hold these: new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The first entry of a rack: its name and number, which are in its own log too.
    FoundRack {
        /// Name.
        rack: RackId,
        /// What it holds.
        kind: Kind,
        /// Number within its kind.
        number: u32,
        /// The founder's data.
        founding: Incarnation,
    },
    /// The first entry of a rack after its majority was given up: it counts its recoveries.
    RecoverRack {
        /// The one that is left.
        member: MemberId,
    },
    /// The rack takes no more writes.
    CloseRack {
        /// Even while it holds things.
        force: bool,
    },
    /// Hands out the next member number to a node's data, or the one it has already.
    AdmitMember {
        /// The node.
        peer: PeerId,
        /// Its data.
        incarnation: Incarnation,
    },
    /// Registers a thing.
    Register {
        /// What.
        thing: NewThing,
        /// What to do with one that is there already.
        on_conflict: OnConflict,
    },
    /// Changes a thing.
    Update {
        /// Which.
        id: ThingId,
        /// How.
        patch: ThingPatch,
        /// What the same status means.
        status_rule: StatusRule,
        /// Only at this version.
        if_version: Option<u64>,
    },
    /// Removes things, all or none.
    Forget {
        /// Which.
        ids: Vec<ThingId>,
        /// Only at this version.
        if_version: Option<u64>,
    },
    /// Nothing, under a client's key: see [`super::SettleKey`].
    Settle,
    /// Registry: a rack's name is wanted by a founder.
    RegisterRack {
        /// Name.
        rack: RackId,
        /// What it holds.
        kind: Kind,
        /// Who would found it.
        founder: PeerId,
        /// With which data.
        incarnation: Incarnation,
        /// What the rack's own log says, when it was founded before this registry was.
        charter: Option<Charter>,
    },
    /// Registry: a rack is out of use.
    RetireRack {
        /// Name.
        rack: RackId,
    },
    /// Registry: replaces the settings of the mesh.
    SetSettings {
        /// All of them.
        settings: Settings,
    },
    /// Registry: the founder's group has begun.
    ConfirmRack {
        /// Name.
        rack: RackId,
        /// Who.
        founder: PeerId,
        /// With which data.
        incarnation: Incarnation,
    },
    /// The first entry of the registry: what tells it from one that began elsewhere.
    BeginRegistry {
        /// The beginner's data.
        founding: Incarnation,
    },
    /// Takes a thing out of use: it is listed only to those who ask for such, and has a history.
    Withdraw {
        /// Which.
        id: ThingId,
        /// Only at this version.
        if_version: Option<u64>,
    },
    /// Makes an order.
    PlaceOrder {
        /// What of.
        terms: OrderTerms,
    },
}

/// What applying a command answered; every replica gets the same.
pub type Outcome = Result<Applied, ApiError>;

/// The answer of a command that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// Nothing to say.
    Done,
    /// A member's number.
    Member(MemberId),
    /// A thing, as it is now.
    Thing(Arc<Thing>),
    /// A thing of a batch.
    Registered(Registered, Arc<Thing>),
    /// Things, as they were.
    Forgotten(Vec<Arc<Thing>>),
    /// A rack, as the registry has it.
    Rack(RackInfo),
    /// The settings of the mesh.
    Settings(Settings),
    /// An order.
    Order(Arc<Order>),
}
