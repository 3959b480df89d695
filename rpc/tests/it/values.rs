//! Values of every kind of request and reply, drawn from bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::*;
use bytes::Bytes;

/// Kinds of requests that [`Source::request`] draws.
pub(crate) const REQUESTS: usize = Request::METHODS.len();
/// Kinds of replies that [`Source::reply`] draws: one for each request, and the errors.
pub(crate) const REPLIES: usize = REQUESTS + 1;

/// Draws values from bytes, and zeros when they are used up.
pub(crate) struct Source<'a>(std::slice::Iter<'a, u8>);

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    fn number(&mut self) -> u64 {
        // Small and large ones: their encodings differ in length.
        let shift = u32::from(self.byte() % 64);
        (u64::from(self.byte()) << 8 | u64::from(self.byte())).rotate_right(shift)
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()].clone()
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 4).map(|_| one(self)).collect()
    }

    fn maybe<T>(&mut self, one: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| one(self))
    }

    fn text(&mut self) -> String {
        let parts = self.list(|s| s.pick(&["a", "é", "書", " ", "\u{0}", "\u{10ffff}", "\""]));
        parts.concat()
    }

    fn bytes(&mut self) -> Bytes {
        self.list(Self::byte).into()
    }

    fn peer(&mut self) -> PeerId {
        PeerId::from_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn hash(&mut self) -> Hash {
        Hash(std::array::from_fn(|_| self.byte()))
    }

    fn rack(&mut self) -> RackId {
        self.pick(&["a", "book-rack-001", "0-"]).parse().unwrap()
    }

    fn kind(&mut self) -> Kind {
        self.pick(&[Kind::Book, Kind::Order])
    }

    fn thing_id(&mut self) -> ThingId {
        ThingId::from_u64(self.number() % (1 << 40) + 1).unwrap_or(ThingId::new(0, 1).unwrap())
    }

    fn incarnation(&mut self) -> Incarnation {
        if self.flag() { Incarnation::generate() } else { Incarnation::default() }
    }

    fn key(&mut self) -> RequestKey {
        if self.flag() {
            return RequestKey::Client(self.client_key());
        }
        let session = u128::from(self.number()) << 64 | u128::from(self.number());
        let (sequence, part) = (self.number(), self.number() as u32);
        RequestKey::Retry(RetryKey { session, sequence, part })
    }

    fn client_key(&mut self) -> ClientKey {
        let key = ClientKey::new(&self.text(), &[&self.bytes()]);
        ClientKey { part: self.number() as u32, ..key }
    }

    fn status(&mut self) -> Status {
        self.pick(&[Status::Available, Status::CheckedOut])
    }

    fn consistency(&mut self) -> Consistency {
        if self.flag() {
            return Consistency::Linearizable;
        }
        Consistency::Eventual { max_lag_ms: self.maybe(|s| s.number() as u32) }
    }

    fn extra<T>(&mut self, mut value: impl FnMut(&mut Self) -> T) -> BTreeMap<String, T> {
        self.list(|s| (s.text(), value(s))).into_iter().collect()
    }

    fn json(&mut self) -> JsonText {
        JsonText::from_compact(self.text())
    }

    fn new_thing(&mut self) -> NewThing {
        NewThing {
            tags: self.list(Self::text),
            name: self.text(),
            author: self.text(),
            status: self.status(),
            holder: self.maybe(Self::text),
            extra: self.extra(Self::json),
        }
    }

    fn thing(&mut self) -> Arc<Thing> {
        let new = self.new_thing();
        Arc::new(Thing {
            id: self.thing_id(),
            kind: self.kind(),
            tags: new.tags,
            info: Info {
                name: new.name,
                author: new.author,
                status: new.status,
                holder: new.holder,
                created_at_ms: self.number(),
                updated_at_ms: self.number(),
                extra: new.extra,
            },
            version: self.number(),
            active: self.flag(),
        })
    }

    fn terms(&mut self) -> OrderTerms {
        OrderTerms {
            book: self.thing_id(),
            title: self.text(),
            author: self.text(),
            quantity: self.number() as u32,
            unit_price: Cents::new(self.number()),
        }
    }

    fn order(&mut self) -> Arc<Order> {
        let (id, terms) = (self.thing_id(), self.terms());
        Arc::new(Order { id, terms, created_at_ms: self.number() })
    }

    fn position(&mut self) -> Position {
        Position { index: self.number(), part: self.number() as u32 }
    }

    fn change(&mut self) -> Change {
        let if_version = self.maybe(Self::number);
        let action = match self.pick(&[0, 1, 2, 3, 4]) {
            0 => Action::Register { thing: self.new_thing(), on_conflict: OnConflict::Update },
            1 => Action::Update {
                id: self.thing_id(),
                patch: self.patch(),
                status_rule: StatusRule::Exclusive,
                if_version,
            },
            2 => Action::Forget { ids: self.list(Self::thing_id), if_version },
            3 => Action::Withdraw { id: self.thing_id(), if_version },
            _ => Action::PlaceOrder { terms: self.terms() },
        };
        Change {
            at: self.position(),
            time_ms: self.number(),
            request_id: "r-1".parse().unwrap(),
            action,
            id: self.thing_id(),
            version: self.number(),
        }
    }

    fn patch(&mut self) -> ThingPatch {
        ThingPatch {
            tags: self.maybe(|s| s.list(Self::text)),
            name: self.maybe(Self::text),
            author: self.maybe(Self::text),
            status: self.maybe(Self::status),
            holder: self.maybe(|s| s.maybe(Self::text)),
            extra: self.extra(|s| s.maybe(Self::json)),
        }
    }

    fn filter(&mut self) -> Filter {
        Filter {
            tags: self.list(Self::text),
            status: self.maybe(Self::status),
            author: self.maybe(Self::text),
            words: self.list(Self::text),
            inactive: self.flag(),
        }
    }

    fn member(&mut self) -> Member {
        let role = self.pick(&[MemberRole::Voter, MemberRole::Learner]);
        Member { member: self.number(), peer: self.peer(), role }
    }

    fn charter(&mut self) -> Charter {
        let lineage = Lineage { founding: self.incarnation(), recoveries: self.number() as u32 };
        Charter { number: self.number() as u32, lineage }
    }

    fn group(&mut self) -> GroupId {
        self.maybe(Self::rack).map_or(GroupId::Registry, GroupId::Rack)
    }

    fn settings(&mut self) -> Settings {
        Settings {
            rack_replicas: self.maybe(|s| s.number() as u8),
            replace_after_ms: self.maybe(Self::number),
        }
    }

    fn registry_status(&mut self) -> RegistryStatus {
        RegistryStatus {
            incarnation: self.incarnation(),
            wanted: self.number() as u8,
            member: self.maybe(|s| RegistryMember {
                founding: s.incarnation(),
                member: s.number(),
                state: s.pick(&[MemberState::Leader, MemberState::Follower]),
                term: s.number(),
                leader: s.maybe(Self::peer),
                members: s.list(Self::member),
                last_index: s.number(),
                applied_index: s.number(),
            }),
        }
    }

    fn member_status(&mut self) -> MemberStatus {
        let states = [
            MemberState::Leader,
            MemberState::Follower,
            MemberState::Candidate,
            MemberState::Learner,
            MemberState::Joining,
            MemberState::Failed,
        ];
        MemberStatus {
            rack: self.rack(),
            kind: self.kind(),
            charter: self.maybe(Self::charter),
            member: self.number(),
            state: self.pick(&states),
            term: self.number(),
            leader: self.maybe(Self::peer),
            members: self.list(Self::member),
            last_index: self.number(),
            last_term: self.number(),
            committed_index: self.number(),
            applied_index: self.number(),
            head_hash: self.hash(),
            things: self.number(),
            writable: self.flag(),
            blocked_by: self.list(Self::rack),
        }
    }

    fn role(&mut self) -> NodeRole {
        self.pick(&[NodeRole::Ork, NodeRole::Worker, NodeRole::Gateway])
    }

    fn node(&mut self) -> NodeInfo {
        NodeInfo {
            peer: self.peer(),
            role: self.role(),
            version: self.text(),
            addresses: self.list(Self::text),
            racks: self.list(Self::rack),
            last_seen_ms: self.number(),
        }
    }

    fn rack_info(&mut self) -> RackInfo {
        RackInfo {
            id: self.rack(),
            kind: self.kind(),
            number: self.number() as u32,
            founder: self.peer(),
            incarnation: self.incarnation(),
            recoveries: self.number() as u32,
            confirmed: self.flag(),
            since_ms: self.number(),
            retired: self.flag(),
        }
    }

    fn log_record(&mut self) -> LogRecord {
        let kinds = [RecordKind::Blank, RecordKind::Commands, RecordKind::Membership];
        LogRecord {
            index: self.number(),
            term: self.number(),
            kind: self.pick(&kinds),
            hash: self.hash(),
            commands: self.bytes(),
        }
    }

    fn registered(&mut self) -> Registered {
        self.pick(&[Registered::Created, Registered::Skipped, Registered::Updated])
    }

    pub(crate) fn request(&mut self, variant: usize) -> Request {
        match Request::METHODS[variant] {
            "ping" => Ping { payload: self.bytes() }.into(),
            "consensus" => {
                let group = self.group();
                Consensus { group, to: self.number(), body: self.bytes() }.into()
            }
            "announce" => Announce {
                role: self.role(),
                version: self.text(),
                addresses: self.list(Self::text),
                racks: self.list(Self::member_status),
            }
            .into(),
            "registerRack" => RegisterRack {
                rack: self.rack(),
                kind: self.kind(),
                incarnation: self.incarnation(),
                charter: self.maybe(Self::charter),
            }
            .into(),
            "confirmRack" => {
                ConfirmRack { rack: self.rack(), incarnation: self.incarnation() }.into()
            }
            "listRacks" => ListRacks.into(),
            "getRack" => GetRack { rack: self.rack() }.into(),
            "listNodes" => ListNodes.into(),
            "getMember" => GetMember { rack: self.rack() }.into(),
            "admitMember" => {
                AdmitMember { group: self.group(), incarnation: self.incarnation() }.into()
            }
            "seatMember" => {
                let (group, member) = (self.group(), self.number());
                SeatMember { group, member, incarnation: self.incarnation() }.into()
            }
            "unseatMember" => {
                let (group, member) = (self.group(), self.number());
                UnseatMember { group, member, incarnation: self.incarnation() }.into()
            }
            "retireRack" => RetireRack { rack: self.rack(), force: self.flag() }.into(),
            "closeRack" => CloseRack { rack: self.rack(), force: self.flag() }.into(),
            "recoverRack" => {
                let (rack, member) = (self.rack(), self.number());
                RecoverRack { rack, member, last_index: self.number() }.into()
            }
            "getSettings" => GetSettings.into(),
            "setSettings" => SetSettings { settings: self.settings() }.into(),
            "getRegistry" => GetRegistry.into(),
            other => self.request_for_things(other),
        }
    }

    fn request_for_things(&mut self, method: &str) -> Request {
        let (rack, key) = (self.rack(), self.key());
        match method {
            "registerThing" => RegisterThing { rack, key, thing: self.new_thing() }.into(),
            "registerThings" => {
                let rules =
                    [OnConflict::Allow, OnConflict::Skip, OnConflict::Update, OnConflict::Fail];
                let on_conflict = self.pick(&rules);
                let things = self.list(Self::new_thing);
                RegisterThings { rack, key, on_conflict, things }.into()
            }
            "updateThing" => UpdateThing {
                rack,
                key,
                id: self.thing_id(),
                patch: self.patch(),
                status_rule: self.pick(&[StatusRule::Edit, StatusRule::Exclusive]),
                if_version: self.maybe(Self::number),
            }
            .into(),
            "forgetThings" => {
                let ids = self.list(Self::thing_id);
                ForgetThings { rack, key, ids, if_version: self.maybe(Self::number) }.into()
            }
            "settleKey" => SettleKey { rack, key: self.client_key() }.into(),
            "getThing" => {
                GetThing { rack, id: self.thing_id(), consistency: self.consistency() }.into()
            }
            "listThings" => ListThings {
                rack,
                filter: self.filter(),
                after: self.maybe(Self::thing_id),
                offset: self.number(),
                limit: self.number() as u32,
                consistency: self.consistency(),
            }
            .into(),
            "readLog" => ReadLog { rack, from: self.number(), limit: self.number() as u32 }.into(),
            "withdrawThing" => {
                let (id, if_version) = (self.thing_id(), self.maybe(Self::number));
                WithdrawThing { rack, key, id, if_version }.into()
            }
            "readHistory" => ReadHistory {
                rack,
                id: self.thing_id(),
                after: self.number(),
                limit: self.number() as u32,
                consistency: self.consistency(),
            }
            .into(),
            "placeOrder" => {
                let (book, quantity) = (self.thing_id(), self.number() as u32);
                PlaceOrder { rack, key, book, quantity }.into()
            }
            "getOrder" => {
                GetOrder { rack, id: self.thing_id(), consistency: self.consistency() }.into()
            }
            "listOrders" => ListOrders {
                rack,
                after: self.maybe(Self::thing_id),
                offset: self.number(),
                limit: self.number() as u32,
                consistency: self.consistency(),
            }
            .into(),
            other => panic!("no value of the method {other} is drawn: add it"),
        }
    }

    pub(crate) fn stream_request(&mut self) -> StreamRequest {
        let (rack, from) = (self.rack(), self.number());
        match self.pick(&[0, 1, 2, 3]) {
            0 => TailLog { rack, from }.into(),
            1 => FillReplica { rack, from }.into(),
            2 => {
                let since = [Since::Beginning, Since::After(self.position()), Since::Now];
                WatchChanges { rack, from: self.pick(&since) }.into()
            }
            _ => WatchRoutes.into(),
        }
    }

    pub(crate) fn reply(&mut self, variant: usize) -> Result<Reply, ApiError> {
        let Some(method) = Request::METHODS.get(variant) else { return Err(self.error()) };
        Ok(match *method {
            "ping" => Reply::Ping(self.bytes()),
            "consensus" => Reply::Consensus(self.bytes()),
            "announce" => Reply::Announce(Announced {
                registry: self.maybe(Self::incarnation),
                applied_index: self.number(),
                superseded: self.list(Self::rack),
                retired: self.list(Self::rack),
                settings: self.settings(),
            }),
            "registerRack" => Reply::RegisterRack(self.rack_info()),
            "confirmRack" => Reply::ConfirmRack(self.rack_info()),
            "listRacks" => Reply::ListRacks(self.list(Self::rack_info)),
            "getRack" => Reply::GetRack(self.rack_info()),
            "listNodes" => Reply::ListNodes(self.list(Self::node)),
            "getMember" => Reply::GetMember(self.member_status()),
            "admitMember" => Reply::AdmitMember(self.number()),
            "seatMember" => Reply::SeatMember(()),
            "unseatMember" => Reply::UnseatMember(self.pick(&[Unseated::Left, Unseated::Needed])),
            "retireRack" => Reply::RetireRack(self.rack_info()),
            "closeRack" => Reply::CloseRack(()),
            "recoverRack" => Reply::RecoverRack(self.member_status()),
            "getSettings" => Reply::GetSettings(self.settings()),
            "setSettings" => Reply::SetSettings(self.settings()),
            "getRegistry" => Reply::GetRegistry(self.registry_status()),
            "registerThing" => Reply::RegisterThing(self.thing()),
            "registerThings" => Reply::RegisterThings(self.list(|s| {
                if s.flag() { Ok((s.registered(), s.thing_id())) } else { Err(s.error()) }
            })),
            "updateThing" => Reply::UpdateThing(self.thing()),
            "forgetThings" => Reply::ForgetThings(self.list(Self::thing)),
            "settleKey" => {
                let settled = self.pick(&[0, 1, 2]);
                Reply::SettleKey(match settled {
                    0 => Settled::Nothing,
                    1 => Settled::Thing(self.thing()),
                    _ => Settled::Order(self.order()),
                })
            }
            "getThing" => {
                Reply::GetThing(ThingRead { thing: self.thing(), applied_index: self.number() })
            }
            "listThings" => Reply::ListThings(ThingList {
                things: self.list(Self::thing),
                total: self.number(),
                cut: self.flag(),
                applied_index: self.number(),
            }),
            "readLog" => Reply::ReadLog(LogPage {
                records: self.list(Self::log_record),
                previous: self.hash(),
                committed_index: self.number(),
            }),
            "withdrawThing" => Reply::WithdrawThing(self.thing()),
            "readHistory" => Reply::ReadHistory(HistoryPage {
                changes: self.list(Self::change),
                total: self.number(),
                applied_index: self.number(),
            }),
            "placeOrder" => Reply::PlaceOrder(self.order()),
            "getOrder" => {
                Reply::GetOrder(OrderRead { order: self.order(), applied_index: self.number() })
            }
            "listOrders" => Reply::ListOrders(OrderList {
                orders: self.list(Self::order),
                total: self.number(),
                cut: self.flag(),
                applied_index: self.number(),
            }),
            other => panic!("no reply of the method {other} is drawn: add it"),
        })
    }

    fn error(&mut self) -> ApiError {
        match self.byte() % 25 {
            0 => {
                ApiError::Invalid(self.list(|s| FieldError { field: s.text(), message: s.text() }))
            }
            1 => ApiError::IdInvalid { id: self.text() },
            2 => ApiError::ThingNotFound { id: self.thing_id() },
            3 => ApiError::RackNotFound { rack: self.rack() },
            4 => ApiError::CheckedOut { id: self.thing_id() },
            5 => ApiError::NotCheckedOut { id: self.thing_id() },
            6 => ApiError::Conflict { id: self.thing_id() },
            7 => ApiError::VersionMismatch { id: self.thing_id(), version: self.number() },
            8 => ApiError::KeyConflict,
            9 => ApiError::NotLeader { rack: self.rack(), leader: self.maybe(Self::peer) },
            10 => ApiError::NotMember { rack: self.rack() },
            11 => ApiError::Unavailable { what: self.text(), why: self.text() },
            12 => ApiError::Busy,
            13 => ApiError::DeadlinePassed,
            14 => ApiError::NotServed { method: self.text() },
            17 => ApiError::RackRetired { rack: self.rack() },
            18 => ApiError::RackNotEmpty { rack: self.rack(), things: self.number() },
            15 => ApiError::NotRegistryLeader { leader: self.maybe(Self::peer) },
            16 => ApiError::KeysFull {
                what: self.text(),
                most: self.number() as u32,
                free_in_s: self.number(),
            },
            19 => ApiError::OutcomeForgotten,
            20 => ApiError::TooFarBehind { rack: self.rack(), lag_ms: self.maybe(Self::number) },
            21 => ApiError::BookNotFound { id: self.thing_id() },
            22 => ApiError::NotForSale { id: self.thing_id() },
            23 => ApiError::BooksUnavailable {
                rack: self.rack(),
                why: self.text(),
                retry_after_s: self.number(),
            },
            _ => ApiError::Internal { what: self.text() },
        }
    }
}
