//! What a node answers when it can't do what was asked. Typed over the wire, so that the gateway
//! can turn each into its status without reading texts.

use serde::{Deserialize, Serialize};

use super::{RackId, ThingId};
use crate::peer::PeerId;

/// One field of a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where, as the client wrote it: `info.name`, `books[3].tags`.
    pub field: String,
    /// The rule: "must be at least 1".
    pub message: String,
}

/// "This call failed": the node itself is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ApiError {
    /// One or more fields break a rule; all of them are listed.
    #[error("{}", list(.0))]
    Invalid(Vec<FieldError>),
    /// The text is no thing id.
    #[error("{id:?} is not an id: a whole number from 1 to 9007199254740991")]
    IdInvalid {
        /// What was given, cut at 64 characters.
        id: String,
    },
    /// No such thing, or no longer.
    #[error("there is no thing {id}")]
    ThingNotFound {
        /// Which.
        id: ThingId,
    },
    /// Nobody registered that rack.
    #[error("there is no rack {rack}")]
    RackNotFound {
        /// Which.
        rack: RackId,
    },
    /// It is out of use: it takes no more writes.
    #[error("rack {rack} was retired")]
    RackRetired {
        /// Which.
        rack: RackId,
    },
    /// It holds things, and was to be retired only if it held none.
    #[error("rack {rack} still holds things ({things}): move or remove them first, or use force")]
    RackNotEmpty {
        /// Which.
        rack: RackId,
        /// How many.
        things: u64,
    },
    /// Somebody else has the book.
    #[error("book {id} is checked out")]
    CheckedOut {
        /// Which.
        id: ThingId,
    },
    /// A book that is available can't be returned.
    #[error("book {id} is not checked out")]
    NotCheckedOut {
        /// Which.
        id: ThingId,
    },
    /// A book with the same import key is in the rack, and the caller asked to fail then.
    #[error("the rack has a book with this name and author: {id}")]
    Conflict {
        /// The one that is there.
        id: ThingId,
    },
    /// The caller's precondition names another version.
    #[error("thing {id} is at version {version}")]
    VersionMismatch {
        /// Which.
        id: ThingId,
        /// The version it has.
        version: u64,
    },
    /// The request key was used for another request.
    #[error("this request key was used for another request")]
    KeyConflict,
    /// The rack remembers as many clients' keys as it may, so it can't take another. Nothing was
    /// applied.
    #[error(
        "{what} remembers {most} idempotency keys, the most it may; \
         the oldest is forgotten in {free_in_s} s"
    )]
    KeysFull {
        /// The rack.
        what: String,
        /// How many answers that is.
        most: u32,
        /// When the oldest goes, in seconds.
        free_in_s: u64,
    },
    /// The write was sent before and may have been applied, but its answer is no longer known.
    #[error("the outcome of this request is no longer known; read before you send it again")]
    OutcomeForgotten,
    /// This member's view is older than the reader takes; another may do.
    #[error("this member of {rack} is {} behind its leader", lag(.lag_ms))]
    TooFarBehind {
        /// Which rack.
        rack: RackId,
        /// By how much, milliseconds; `None` when it has not heard of its leader for long, or
        /// never.
        lag_ms: Option<u64>,
    },
    /// Writes and linearizable reads go to the leader; ask it instead.
    #[error("not the leader of {rack}")]
    NotLeader {
        /// Of which rack.
        rack: RackId,
        /// Who is, as far as this node knows.
        leader: Option<PeerId>,
    },
    /// The registry's writes and linearizable reads go to its leader; ask it instead.
    #[error("not the leader of the registry")]
    NotRegistryLeader {
        /// Who is, as far as this node knows.
        leader: Option<PeerId>,
    },
    /// This node holds no replica of the rack.
    #[error("not a member of {rack}")]
    NotMember {
        /// Which.
        rack: RackId,
    },
    /// It can't be done now: no leader, no quorum, not caught up, no room. Worth trying again.
    #[error("{what} is unavailable: {why}")]
    Unavailable {
        /// A rack's id, or `registry`.
        what: String,
        /// The reason, for people.
        why: String,
    },
    /// The node has as much in flight as it may; worth trying again a little later.
    #[error("the node is at its limit of calls in flight")]
    Busy,
    /// The deadline in the request has passed.
    #[error("the deadline passed before the answer was there")]
    DeadlinePassed,
    /// The method is not one of this node's role.
    #[error("a node of this role does not answer {method}")]
    NotServed {
        /// The method's name.
        method: String,
    },
    /// An order of a book that does not exist.
    #[error("there is no book {id}")]
    BookNotFound {
        /// Which.
        id: ThingId,
    },
    /// An order of a book that has no price.
    #[error("book {id} has no price")]
    NotForSale {
        /// Which.
        id: ThingId,
    },
    /// The book's rack could not be asked, or was not, since it failed again and again of late.
    #[error("the books' rack {rack} is unavailable: {why}")]
    BooksUnavailable {
        /// The book's rack.
        rack: RackId,
        /// The reason, for people.
        why: String,
        /// When it is worth asking again, in seconds.
        retry_after_s: u64,
    },
    /// A fault of the node's own. The cause is in its log; users never see it.
    #[error("internal: {what}")]
    Internal {
        /// For logs only.
        what: String,
    },
}

impl ApiError {
    /// The error of one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// An internal fault, its cause for the log.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self::Internal { what: what.to_string() }
    }
}

fn lag(lag_ms: &Option<u64>) -> String {
    lag_ms.map_or_else(|| "an unknown time".to_owned(), |lag| format!("{lag} ms"))
}

fn list(errors: &[FieldError]) -> String {
    let each: Vec<_> = errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
    each.join("; ")
}
