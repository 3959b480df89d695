//! The table of methods: name, request, reply. One line adds one.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use std::sync::Arc;

use super::*;

/// Liveness and round-trip time; the payload comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Anything, up to a frame.
    pub payload: Bytes,
}

/// A message of a consensus group, opaque to the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consensus {
    /// The group.
    pub group: GroupId,
    /// The member it is for; one that has another number refuses it.
    pub to: MemberId,
    /// The encoded message.
    pub body: Bytes,
}

/// A request with one reply.
pub trait Method: Into<Request> + Send + 'static {
    /// What answers it.
    type Reply: Send + 'static;
    /// The name in logs and metrics.
    const NAME: &'static str;
    /// Takes the reply out of what came over the wire; `None` when a peer mixed methods up.
    fn reply(reply: Reply) -> Option<Self::Reply>;
}

/// A request that is answered with a stream of items.
pub trait StreamMethod: Into<StreamRequest> + Send + 'static {
    /// What the stream carries.
    type Item: Serialize + DeserializeOwned + Send + 'static;
    /// The name in logs and metrics.
    const NAME: &'static str;
}

macro_rules! methods {
    ($($variant:ident = $name:literal: $request:ty => $reply:ty;)*) => {
        /// Every request that has one reply.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum Request { $($variant($request),)* }

        /// Every reply, by the method it answers.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum Reply { $($variant($reply),)* }

        impl Request {
            /// The names of all methods that have one reply.
            pub const METHODS: &'static [&'static str] = &[$($name),*];

            /// The method's name.
            pub const fn method(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }

        $(
            impl From<$request> for Request {
                fn from(request: $request) -> Self { Self::$variant(request) }
            }

            impl Method for $request {
                type Reply = $reply;
                const NAME: &'static str = $name;
                fn reply(reply: Reply) -> Option<$reply> {
                    match reply { Reply::$variant(reply) => Some(reply), _ => None }
                }
            }
        )*
    };
}

macro_rules! streams {
    ($($variant:ident = $name:literal: $request:ty => $item:ty;)*) => {
        /// Every request that is answered with a stream.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum StreamRequest { $($variant($request),)* }

        impl StreamRequest {
            /// The names of all methods that are answered with a stream.
            pub const METHODS: &'static [&'static str] = &[$($name),*];

            /// The method's name.
            pub const fn method(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }

        $(
            impl From<$request> for StreamRequest {
                fn from(request: $request) -> Self { Self::$variant(request) }
            }

            impl StreamMethod for $request {
                type Item = $item;
                const NAME: &'static str = $name;
            }
        )*
    };
}

methods! {
    Ping = "ping": Ping => Bytes;
    Consensus = "consensus": Consensus => Bytes;
    Announce = "announce": Announce => Announced;
    RegisterRack = "registerRack": RegisterRack => RackInfo;
    ConfirmRack = "confirmRack": ConfirmRack => RackInfo;
    RetireRack = "retireRack": RetireRack => RackInfo;
    GetSettings = "getSettings": GetSettings => Settings;
    SetSettings = "setSettings": SetSettings => Settings;
    GetRegistry = "getRegistry": GetRegistry => RegistryStatus;
    ListRacks = "listRacks": ListRacks => Vec<RackInfo>;
    GetRack = "getRack": GetRack => RackInfo;
    ListNodes = "listNodes": ListNodes => Vec<NodeInfo>;
    GetMember = "getMember": GetMember => MemberStatus;
    AdmitMember = "admitMember": AdmitMember => MemberId;
    SeatMember = "seatMember": SeatMember => ();
    UnseatMember = "unseatMember": UnseatMember => Unseated;
    CloseRack = "closeRack": CloseRack => ();
    RecoverRack = "recoverRack": RecoverRack => MemberStatus;
    RegisterThing = "registerThing": RegisterThing => Arc<Thing>;
    RegisterThings = "registerThings": RegisterThings
        => Vec<Result<(Registered, ThingId), ApiError>>;
    UpdateThing = "updateThing": UpdateThing => Arc<Thing>;
    ForgetThings = "forgetThings": ForgetThings => Vec<Arc<Thing>>;
    SettleKey = "settleKey": SettleKey => Settled;
    GetThing = "getThing": GetThing => ThingRead;
    ListThings = "listThings": ListThings => ThingList;
    ReadLog = "readLog": ReadLog => LogPage;
    WithdrawThing = "withdrawThing": WithdrawThing => Arc<Thing>;
    ReadHistory = "readHistory": ReadHistory => HistoryPage;
    PlaceOrder = "placeOrder": PlaceOrder => Arc<Order>;
    GetOrder = "getOrder": GetOrder => OrderRead;
    ListOrders = "listOrders": ListOrders => OrderList;
}

streams! {
    TailLog = "tailLog": TailLog => LogRecord;
    WatchChanges = "watchChanges": WatchChanges => ChangePage;
    FillReplica = "fillReplica": FillReplica => FillPage;
    WatchRoutes = "watchRoutes": WatchRoutes => RouteTable;
}
