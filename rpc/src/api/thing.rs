//! What a rack stores, and what is asked of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ClientKey, Kind, Order, RackId, RequestKey, ThingId};

/// A value of any JSON type, kept as its compact text: bincode can't carry a value whose type it
/// does not know, and a gateway that renders it need not parse it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JsonText(String);

impl JsonText {
    /// The compact text of a JSON value.
    pub fn from_compact(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a book can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Free to be checked out.
    #[default]
    Available,
    /// Somebody has it.
    CheckedOut,
}

impl Status {
    /// The name in JSON: `available`, `checked-out`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::CheckedOut => "checked-out",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Available, Self::CheckedOut].into_iter().find(|status| status.name() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known of a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// A book's title. 1 to 512 characters.
    pub name: String,
    /// 1 to 2,048 characters.
    pub author: String,
    /// Decided by the rack's log.
    pub status: Status,
    /// Who has it (`userId` in JSON), while it is checked out and the caller said so.
    pub holder: Option<String>,
    /// When it was registered, milliseconds since 1970, stamped by the leader.
    pub created_at_ms: u64,
    /// When it last changed.
    pub updated_at_ms: u64,
    /// Further keys that callers sent.
    pub extra: BTreeMap<String, JsonText>,
}

/// One thing. Its rack follows from its kind and id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// Unique within its kind.
    pub id: ThingId,
    /// What it is.
    pub kind: Kind,
    /// In the order the caller gave.
    pub tags: Vec<String>,
    /// All else.
    pub info: Info,
    /// 1 at first, one more with every change.
    pub version: u64,
    /// False once it was withdrawn: users see it no more, unless they ask for such.
    pub active: bool,
}

/// A thing that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewThing {
    /// See [`Thing::tags`].
    pub tags: Vec<String>,
    /// See [`Info::name`].
    pub name: String,
    /// See [`Info::author`].
    pub author: String,
    /// A book may be registered as checked out.
    pub status: Status,
    /// See [`Info::holder`].
    pub holder: Option<String>,
    /// See [`Info::extra`].
    pub extra: BTreeMap<String, JsonText>,
}

/// A change to a thing; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThingPatch {
    /// Replaces all tags.
    pub tags: Option<Vec<String>>,
    /// A new name.
    pub name: Option<String>,
    /// A new author.
    pub author: Option<String>,
    /// Checks out or returns; see [`Thing`] and [`StatusRule`].
    pub status: Option<Status>,
    /// `Some(None)` removes it.
    pub holder: Option<Option<String>>,
    /// Merged by key; `None` removes the key.
    pub extra: BTreeMap<String, Option<JsonText>>,
}

/// What a change of status means when the thing has that status already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusRule {
    /// An edit: writing back what is there is no change. Checking out what another holder has is
    /// refused all the same.
    #[default]
    Edit,
    /// A checkout or return: exactly one caller wins.
    Exclusive,
}

/// What a book that is there already (same import key) does to one that is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnConflict {
    /// Nothing: a rack may hold several copies.
    #[default]
    Allow,
    /// The new one is not registered; the answer names the old one.
    Skip,
    /// The old one takes over the new one's tags and info.
    Update,
    /// The new one is refused.
    Fail,
}

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// It sees every write that was acknowledged before it began.
    #[default]
    Linearizable,
    /// Any replica's own state.
    Eventual {
        /// Milliseconds that it may be behind the rack, by the clocks of the two nodes; a leader
        /// that confirms itself is never behind. `None` takes any.
        max_lag_ms: Option<u32>,
    },
}

/// Registers one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterThing {
    /// Where.
    pub rack: RackId,
    /// Makes a retry safe.
    pub key: RequestKey,
    /// What.
    pub thing: NewThing,
}

/// Registers up to [`super::MAX_BATCH`] things; each is answered on its own, by its id alone, so
/// that the answer to many large things stays small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterThings {
    /// Where.
    pub rack: RackId,
    /// Makes a retry safe; its parts are the places in the list.
    pub key: RequestKey,
    /// What to do with those that are there already.
    pub on_conflict: OnConflict,
    /// What.
    pub things: Vec<NewThing>,
}

/// What became of one thing of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registered {
    /// It is new.
    Created,
    /// One with its import key was there.
    Skipped,
    /// The one that was there took over its values.
    Updated,
}

/// Changes one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateThing {
    /// Where it is.
    pub rack: RackId,
    /// Makes a retry safe.
    pub key: RequestKey,
    /// Which.
    pub id: ThingId,
    /// The change.
    pub patch: ThingPatch,
    /// What the same status means.
    pub status_rule: StatusRule,
    /// Refuse unless the thing has this version.
    pub if_version: Option<u64>,
}

/// Removes things from the current ones; the log keeps their history. Answered with the things
/// as they were; when one can't be removed none is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetThings {
    /// Where they are.
    pub rack: RackId,
    /// Makes a retry safe.
    pub key: RequestKey,
    /// Which, 1 to [`super::MAX_BATCH`].
    pub ids: Vec<ThingId>,
    /// Refuse unless the (single) thing has this version.
    pub if_version: Option<u64>,
}

/// Withdraws one thing, see [`Thing::active`]. Answered with the thing as it is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawThing {
    /// Where it is.
    pub rack: RackId,
    /// Makes a retry safe.
    pub key: RequestKey,
    /// Which.
    pub id: ThingId,
    /// Refuse unless the thing has this version.
    pub if_version: Option<u64>,
}

/// Makes sure that a rack applies nothing under a client's key from here on, unless it has done so
/// already: for a write that another rack takes now, and that this one may have taken before.
/// Answered with what was made under the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleKey {
    /// Where.
    pub rack: RackId,
    /// Which.
    pub key: ClientKey,
}

/// What was made under a client's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settled {
    /// Nothing, and nothing will be.
    Nothing,
    /// A thing.
    Thing(Arc<Thing>),
    /// An order.
    Order(Arc<Order>),
}

/// Reads one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetThing {
    /// Where it is.
    pub rack: RackId,
    /// Which.
    pub id: ThingId,
    /// How fresh.
    pub consistency: Consistency,
}

/// Which things of a rack; an empty filter is all that are active.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// All of these, exactly.
    pub tags: Vec<String>,
    /// This status.
    pub status: Option<Status>,
    /// This author, whatever the case.
    pub author: Option<String>,
    /// Each of these words in the name or the author, whatever the case; see [`super::words`].
    pub words: Vec<String>,
    /// Those that were withdrawn, too.
    pub inactive: bool,
}

/// One page of a rack's things, in id order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListThings {
    /// Where.
    pub rack: RackId,
    /// Which.
    pub filter: Filter,
    /// Only ids above this one.
    pub after: Option<ThingId>,
    /// How many of those to pass over.
    pub offset: u64,
    /// How many at most; 0 asks for the count alone.
    pub limit: u32,
    /// How fresh.
    pub consistency: Consistency,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThingList {
    /// In id order.
    pub things: Vec<Arc<Thing>>,
    /// How many match the filter in the whole rack, wherever the page is.
    pub total: u64,
    /// The page ends before its limit because it is as large as an answer may be: ask on.
    pub cut: bool,
    /// The log index that the answer shows.
    pub applied_index: u64,
}

/// One thing, and how fresh it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThingRead {
    /// The thing.
    pub thing: Arc<Thing>,
    /// The log index that the answer shows.
    pub applied_index: u64,
}
