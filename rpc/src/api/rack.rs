//! Registration, membership, routes, status.

use serde::{Deserialize, Serialize};

use super::{Hash, Incarnation, Kind, MemberId, RackId};
use crate::peer::PeerId;

/// A rack, as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackInfo {
    /// Name.
    pub id: RackId,
    /// What it holds.
    pub kind: Kind,
    /// Number within its kind, given once.
    pub number: u32,
    /// The node that may begin its group, or did.
    pub founder: PeerId,
    /// With which data.
    pub incarnation: Incarnation,
    /// Whether the group has begun. Nothing is acknowledged before.
    pub confirmed: bool,
}

/// Asks the registry for a rack; one that is unknown is registered with the caller as founder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRack {
    /// Name.
    pub rack: RackId,
    /// What it holds.
    pub kind: Kind,
    /// The caller's data.
    pub incarnation: Incarnation,
    /// The number in the rack's own log, when the caller holds it.
    pub number: Option<u32>,
}

/// Tells the registry that the caller has begun the rack's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmRack {
    /// Name.
    pub rack: RackId,
    /// The caller's data.
    pub incarnation: Incarnation,
}

/// All racks of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRacks;

/// One rack of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRack {
    /// Name.
    pub rack: RackId,
}

/// All nodes that the orchestrators heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListNodes;

/// Asks a member how it stands with one rack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetMember {
    /// Name.
    pub rack: RackId,
}

/// Asks a rack's leader for a member number. The caller begins its replica with it, then asks to
/// be seated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmitMember {
    /// Name.
    pub rack: RackId,
    /// The caller's data.
    pub incarnation: Incarnation,
}

/// Asks a rack's leader to replicate to the caller, and to make it a voter once it has caught up
/// and a place is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatMember {
    /// Name.
    pub rack: RackId,
    /// The number that was handed out.
    pub member: MemberId,
    /// The caller's data.
    pub incarnation: Incarnation,
}

/// Part of the quorum, or a copy beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberRole {
    /// Counts towards the quorum.
    Voter,
    /// Follows the log only.
    Learner,
}

impl MemberRole {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
        }
    }
}

/// What a member does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// Takes the writes.
    Leader,
    /// Follows, and votes.
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows only.
    Learner,
    /// Has stopped: its log or its disk failed.
    Failed,
}

impl MemberState {
    /// The name in JSON; a candidate shows as the follower it was.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower | Self::Candidate => "follower",
            Self::Learner => "learner",
            Self::Failed => "failed",
        }
    }
}

/// One member in a rack's membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub member: MemberId,
    /// The node.
    pub peer: PeerId,
    /// Voter or learner.
    pub role: MemberRole,
}

/// How one member stands with a rack; what it knows of the others is its own view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The rack.
    pub rack: RackId,
    /// What it holds.
    pub kind: Kind,
    /// Its number within its kind, once known.
    pub number: Option<u32>,
    /// This member's number.
    pub member: MemberId,
    /// What it does.
    pub state: MemberState,
    /// The term it is in.
    pub term: u64,
    /// The leader it follows.
    pub leader: Option<PeerId>,
    /// Who belongs to the rack.
    pub members: Vec<Member>,
    /// The last entry in its log.
    pub last_index: u64,
    /// The last entry it knows to be on a majority.
    pub committed_index: u64,
    /// The last entry in its view.
    pub applied_index: u64,
    /// The chain at its applied index.
    pub head_hash: Hash,
    /// How many things it has.
    pub things: u64,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeRole {
    /// Keeps the registry.
    Ork,
    /// Keeps racks.
    Worker,
    /// Speaks HTTP.
    Gateway,
}

impl NodeRole {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ork => "ork",
            Self::Worker => "worker",
            Self::Gateway => "gateway",
        }
    }
}

/// A node, as the orchestrators know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Which.
    pub peer: PeerId,
    /// What.
    pub role: NodeRole,
    /// The program's version.
    pub version: String,
    /// Where it listens, as multiaddresses.
    pub addresses: Vec<String>,
    /// The racks it holds.
    pub racks: Vec<RackId>,
    /// When it was last heard of, milliseconds since 1970 by the orchestrator's clock.
    pub last_seen_ms: u64,
}

/// A node tells an orchestrator that it is there, and how its racks stand. Sent every second and
/// when something changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// What it is.
    pub role: NodeRole,
    /// Its version.
    pub version: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// How its racks stand.
    pub racks: Vec<MemberStatus>,
}

/// Where a rack is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackRoute {
    /// Name.
    pub id: RackId,
    /// What it holds.
    pub kind: Kind,
    /// Number within its kind.
    pub number: u32,
    /// Whether its founding is confirmed.
    pub confirmed: bool,
    /// The leader last heard of.
    pub leader: Option<PeerId>,
    /// That leader's term.
    pub term: u64,
    /// Nodes that hold it.
    pub members: Vec<PeerId>,
    /// How many things it had when last heard of.
    pub things: u64,
}

/// All that a gateway needs to know to reach every rack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// By kind and number.
    pub racks: Vec<RackRoute>,
}

/// Asks an orchestrator for the route table now and whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRoutes;
