//! Registration, membership, routes, status.

use serde::{Deserialize, Serialize};

use super::{GroupId, Hash, Incarnation, Kind, MemberId, RackId};
use crate::peer::PeerId;

/// Which history a rack's log is. Two groups may bear one name after a registry was lost, or when
/// members come back that a recovery had given up; the one that is not the registry's is
/// superseded, and nobody may be served by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage {
    /// The founder's data, whose first entry began it.
    pub founding: Incarnation,
    /// How often a part of its members was given up by an operator's decision.
    pub recoveries: u32,
}

/// What a rack's own log says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Charter {
    /// Its number within its kind.
    pub number: u32,
    /// Its history.
    pub lineage: Lineage,
}

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
    /// How often it was recovered; see [`Lineage`].
    pub recoveries: u32,
    /// Whether the group has begun. Nothing is acknowledged before.
    pub confirmed: bool,
    /// When the registry learnt that it has begun, milliseconds since 1970 by its entries' time;
    /// 0 before.
    pub since_ms: u64,
    /// Whether it is out of use. Its number is never given again.
    pub retired: bool,
}

impl RackInfo {
    /// The history that counts.
    pub const fn lineage(&self) -> Lineage {
        Lineage { founding: self.incarnation, recoveries: self.recoveries }
    }
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
    /// What the rack's own log says, when the caller has read it.
    pub charter: Option<Charter>,
}

/// Tells the registry that the caller has begun the rack's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmRack {
    /// Name.
    pub rack: RackId,
    /// The caller's data.
    pub incarnation: Incarnation,
}

/// Takes a rack out of use: it gets no more writes, its name and number are never given again.
/// What is on its workers' disks stays there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireRack {
    /// Name.
    pub rack: RackId,
    /// Even while it holds things, or can't be asked whether it does.
    pub force: bool,
}

/// Asks a rack's leader to take no more writes, ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRack {
    /// Name.
    pub rack: RackId,
    /// Even while it holds things.
    pub force: bool,
}

/// Makes one member the only one of its rack, because the majority is gone for good. What was
/// acknowledged and is not in this member's log is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverRack {
    /// Name.
    pub rack: RackId,
    /// The member, by the number it has now.
    pub member: MemberId,
    /// The last entry in its log when this was decided; refused when it has another one now.
    pub last_index: u64,
}

/// What the mesh as a whole is told, kept in the registry. `None` leaves each node its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Voters that a rack aims for.
    pub rack_replicas: Option<u8>,
    /// How long a voter may be silent before another takes its place, milliseconds.
    pub replace_after_ms: Option<u64>,
}

/// The settings of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSettings;

/// Replaces the settings of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSettings {
    /// All of them.
    pub settings: Settings,
}

/// Asks an orchestrator how it stands with the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRegistry;

/// How an orchestrator stands with the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryStatus {
    /// Its data.
    pub incarnation: Incarnation,
    /// How many orchestrators it was told to be one of.
    pub wanted: u8,
    /// The registry it is a member of; `None` while it looks for one, or for others to begin one.
    pub member: Option<RegistryMember>,
}

/// A member of the registry's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryMember {
    /// The data with which this registry began; another registry has another.
    pub founding: Incarnation,
    /// This member's number.
    pub member: MemberId,
    /// What it does.
    pub state: MemberState,
    /// The term it is in.
    pub term: u64,
    /// The leader it follows.
    pub leader: Option<PeerId>,
    /// Who belongs to it.
    pub members: Vec<Member>,
    /// The last entry in its log.
    pub last_index: u64,
    /// The last entry in its view.
    pub applied_index: u64,
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

/// Asks a group's leader for a member number. The caller begins its replica with it, then asks to
/// be seated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmitMember {
    /// Which group.
    pub group: GroupId,
    /// The caller's data.
    pub incarnation: Incarnation,
}

/// Asks a group's leader to replicate to the caller, and to make it a voter once it has caught up
/// and a place is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatMember {
    /// Which group.
    pub group: GroupId,
    /// The number that was handed out.
    pub member: MemberId,
    /// The caller's data.
    pub incarnation: Incarnation,
}

/// Asks a group's leader to take the caller out of the membership, since it is about to stop.
/// Answered when that is committed, or when it can't be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnseatMember {
    /// Which group.
    pub group: GroupId,
    /// The caller's number.
    pub member: MemberId,
    /// The caller's data.
    pub incarnation: Incarnation,
}

/// What became of a member that wants to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unseated {
    /// It is in the membership no more.
    Left,
    /// It has to stay in: without it the group could not go on.
    Needed,
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
    /// Is being filled, and not seated yet.
    Joining,
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
            Self::Joining => "joining",
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
    /// What its log says it is, once its founding is confirmed there.
    pub charter: Option<Charter>,
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
    /// The term of that entry; 0 while there is none. Of two logs the one whose last entry has the
    /// higher term knows more, whatever their lengths.
    pub last_term: u64,
    /// The last entry it knows to be on a majority; for one that is being filled, the last one
    /// that its source had.
    pub committed_index: u64,
    /// The last entry in its view.
    pub applied_index: u64,
    /// The chain at its applied index.
    pub head_hash: Hash,
    /// How many things it has.
    pub things: u64,
    /// Whether its disk has room for entries.
    pub writable: bool,
    /// Racks that it needs for what it does and does not reach: their circuit breakers are open.
    pub blocked_by: Vec<RackId>,
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

/// What an orchestrator answers to an announcement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The registry it answers for, by the data with which that began; `None` while it is a member
    /// of none. Nodes that hear of two keep to one of them.
    pub registry: Option<Incarnation>,
    /// How much of that registry's log stands behind the answer; what an older one says of the
    /// settings does not count.
    pub applied_index: u64,
    /// The announced racks whose history is not the one that counts; see [`Lineage`].
    pub superseded: Vec<RackId>,
    /// The announced racks that are out of use.
    pub retired: Vec<RackId>,
    /// What holds for the whole mesh.
    pub settings: Settings,
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
    /// Whether its leader's disk has room.
    pub writable: bool,
    /// See [`RackInfo::since_ms`].
    pub since_ms: u64,
}

/// All that a gateway needs to know to reach every rack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// By kind and number.
    pub racks: Vec<RackRoute>,
    /// Racks that are out of use. They stand apart, since a rack that a table does not name may
    /// only be one that its orchestrator has not heard of yet.
    pub retired: Vec<RackId>,
}

/// Asks an orchestrator for the route table now and whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRoutes;
