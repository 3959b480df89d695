//! Equal logs give equal views, however often a replica was restarted from a checkpoint.

use std::sync::RwLock;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, Batch, Cents, Charter, ClientKey, Command, Incarnation, JsonText, Kind, Lineage,
    NewThing, OnConflict, OrderTerms, RackId, RequestId, RequestKey, RetryKey, Status, StatusRule,
    ThingId, ThingPatch,
};
use bookmesh_storage::Checkpointer;
use bookmesh_storage::view::{Registry, Things, View};
use bytes::Bytes;
use proptest::prelude::*;

use crate::support::{group, open};

/// What a consensus layer holds under one lock.
#[derive(Default)]
pub(crate) struct State<V>(pub(crate) V);

impl<V> AsMut<V> for State<V> {
    fn as_mut(&mut self) -> &mut V {
        &mut self.0
    }
}

fn text(of: u8) -> String {
    ["Dune", "Emma", "Ulysses", "a much longer title of a book"][usize::from(of % 4)].to_owned()
}

fn new_thing(seed: u8) -> NewThing {
    let status = if seed.is_multiple_of(5) { Status::CheckedOut } else { Status::Available };
    let extra =
        (seed.is_multiple_of(3)).then(|| ("year".to_owned(), JsonText::from_compact("1".into())));
    NewThing {
        tags: vec![text(seed / 4)],
        name: text(seed),
        author: text(seed / 2),
        status,
        holder: (seed.is_multiple_of(2)).then(|| text(seed)),
        extra: extra.into_iter().collect(),
    }
}

fn thing_action() -> impl Strategy<Value = Action> {
    let id = || (1_u64..12).prop_map(|id| ThingId::from_u64(id).unwrap());
    let version = || proptest::option::weighted(0.2, 1_u64..4);
    let conflict = (0_u8..4).prop_map(|n| {
        [OnConflict::Allow, OnConflict::Skip, OnConflict::Update, OnConflict::Fail][usize::from(n)]
    });
    let register = (any::<u8>(), conflict)
        .prop_map(|(seed, on_conflict)| Action::Register { thing: new_thing(seed), on_conflict });
    let update = (id(), any::<u8>(), any::<bool>(), version()).prop_map(
        |(id, seed, exclusive, if_version)| {
            let new = new_thing(seed);
            let patch = ThingPatch {
                name: (seed.is_multiple_of(2)).then_some(new.name),
                status: (seed % 7 < 5).then_some(new.status),
                holder: (seed.is_multiple_of(3)).then_some(new.holder),
                ..ThingPatch::default()
            };
            let status_rule = if exclusive { StatusRule::Exclusive } else { StatusRule::Edit };
            Action::Update { id, patch, status_rule, if_version }
        },
    );
    let forget = (proptest::collection::vec(id(), 1..3), version())
        .prop_map(|(ids, if_version)| Action::Forget { ids, if_version });
    let withdraw =
        (id(), version()).prop_map(|(id, if_version)| Action::Withdraw { id, if_version });
    let admit = any::<u8>().prop_map(|n| Action::AdmitMember {
        peer: PeerId::from_bytes([n % 4; 32]),
        incarnation: Incarnation::default(),
    });
    let recover = (1_u64..4).prop_map(|member| Action::RecoverRack { member });
    prop_oneof![8 => register, 8 => update, 4 => forget, 3 => withdraw, 2 => admit, 1 => recover]
}

fn order_action() -> impl Strategy<Value = Action> {
    (0_u32..3, any::<u8>()).prop_map(|(quantity, seed)| {
        let (title, author) = (text(seed), text(seed / 2));
        let (book, unit_price) = (ThingId::from_u64(7).unwrap(), Cents::new(seed.into()));
        Action::PlaceOrder { terms: OrderTerms { book, title, author, quantity, unit_price } }
    })
}

fn registry_action() -> impl Strategy<Value = Action> {
    let rack = |n: u8| format!("rack-{}", n % 4).parse::<RackId>().unwrap();
    let kind = |n: u8| if n.is_multiple_of(3) { Kind::Order } else { Kind::Book };
    let peer = |n: u8| PeerId::from_bytes([n % 3; 32]);
    (any::<u8>(), any::<u8>(), any::<bool>(), proptest::option::weighted(0.3, 0_u32..5)).prop_map(
        move |(n, founder, confirm, number)| {
            let (rack, founder) = (rack(n), peer(founder));
            let incarnation = Incarnation::default();
            let lineage = Lineage { founding: incarnation, recoveries: u32::from(n % 2) };
            let charter = number.map(|number| Charter { number, lineage });
            match n {
                0..16 => return Action::RetireRack { rack },
                16..24 => return Action::BeginRegistry { founding: incarnation },
                _ if confirm => return Action::ConfirmRack { rack, founder, incarnation },
                _ => {}
            }
            Action::RegisterRack { rack, kind: kind(n), founder, incarnation, charter }
        },
    )
}

/// Batches whose clock jumps, also back, and whose keys come again.
fn batches(action: impl Strategy<Value = Action> + Clone) -> impl Strategy<Value = Vec<Batch>> {
    let command = (proptest::option::of(0_u64..80), action).prop_map(|(key, action)| Command {
        key: key.map(key_of),
        request_id: "test".parse::<RequestId>().unwrap(),
        action,
    });
    // Minutes mostly, and days at times: both kinds of keys grow old.
    let time = prop_oneof![9 => 0_u64..2_000_000, 1 => 0_u64..300_000_000];
    let batch = (time, proptest::collection::vec(command, 1..6))
        .prop_map(|(time_ms, commands)| Batch { time_ms, commands });
    proptest::collection::vec(batch, 1..40)
}

/// Of both kinds; clients' come as parts of batches too, and now and then with another request.
fn key_of(n: u64) -> RequestKey {
    let sequence = n / 2;
    if n.is_multiple_of(2) {
        return RequestKey::Retry(RetryKey { session: 1, sequence, part: 0 });
    }
    let body = if n.is_multiple_of(7) { "other" } else { "body" };
    let key = ClientKey::new(&format!("key {}", sequence / 4), &[body.as_bytes()]);
    RequestKey::Client(key).with_part((sequence % 4) as u32)
}

fn founded(kind: Kind, mut batches: Vec<Batch>) -> Vec<Batch> {
    let rack = "book-rack-001".parse().unwrap();
    let action = Action::FoundRack { rack, kind, number: 0, founding: Incarnation::default() };
    let request_id = "found".parse().unwrap();
    let first = Batch { time_ms: 1, commands: vec![Command { key: None, request_id, action }] };
    batches.insert(0, first);
    batches
}

/// Applies all; and in another view with checkpoints taken at some places, of which the last
/// one is restored and the rest applied again.
fn check<V: View + PartialEq + std::fmt::Debug>(
    batches: &[Batch],
    saves: &[usize],
) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = group(&store);
    let mut whole = V::default();
    let outcomes: Vec<_> = (0..).zip(batches).map(|(at, batch)| whole.apply(at, batch)).collect();

    let state = RwLock::new(State(V::default()));
    let mut checkpointer = Checkpointer::new(log.clone());
    for (index, batch) in (0..).zip(batches) {
        let given = state.write().unwrap().0.apply(index, batch);
        prop_assert_eq!(&given, &outcomes[index as usize], "every replica answers the same");
        let place = index as usize;
        if saves.contains(&place) {
            if place.is_multiple_of(3) {
                checkpointer.set_full_next();
            }
            checkpointer.save(&state, |_| Bytes::from_static(b"head")).unwrap();
            let saved = log.checkpoint().unwrap().unwrap();
            prop_assert_eq!(saved.applied_index(), index);
            let restored: V = saved.restore().unwrap();
            prop_assert_eq!(&restored, &state.read().unwrap().0);
            *state.write().unwrap() = State(restored);
        }
    }
    prop_assert_eq!(&state.read().unwrap().0, &whole);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_rack_and_the_rest_of_its_log_is_the_rack(
        batches in batches(thing_action().boxed()).prop_map(|all| founded(Kind::Book, all)),
        saves in proptest::collection::vec(0_usize..40, 0..6),
    ) {
        check::<Things>(&batches, &saves)?;
    }

    #[test]
    fn a_restored_order_rack_and_the_rest_of_its_log_is_the_rack(
        batches in batches(order_action().boxed()).prop_map(|all| founded(Kind::Order, all)),
        saves in proptest::collection::vec(0_usize..40, 0..6),
    ) {
        check::<Things>(&batches, &saves)?;
    }

    #[test]
    fn a_restored_registry_and_the_rest_of_its_log_is_the_registry(
        batches in batches(registry_action().boxed()),
        saves in proptest::collection::vec(0_usize..40, 0..6),
    ) {
        check::<Registry>(&batches, &saves)?;
    }
}
