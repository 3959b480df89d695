//! Lists by the indexes are those that a look at every thing gives, whatever happened before.

use std::collections::BTreeSet;

use bookmesh_rpc::api::{
    Action, Batch, Command, Consistency, Filter, Incarnation, Kind, ListThings, NewThing,
    OnConflict, Status, StatusRule, Thing, ThingId, ThingPatch, words,
};
use proptest::prelude::*;

use super::Things;
use crate::view::View;

const NUMBER: u32 = 3;

/// What a filter takes, by the thing alone.
fn takes(filter: &Filter, thing: &Thing) -> bool {
    let info = &thing.info;
    let all = |text: &str| words(text).collect::<BTreeSet<_>>();
    let there = &all(&info.name) | &all(&info.author);
    let has = |word: &String| !all(word).is_empty() && all(word).is_subset(&there);
    (thing.active || filter.inactive)
        && filter.status.is_none_or(|status| status == info.status)
        && filter.tags.iter().all(|tag| thing.tags.contains(tag))
        && filter.author.as_ref().is_none_or(|a| a.to_lowercase() == info.author.to_lowercase())
        && filter.words.iter().all(has)
}

fn check(view: &Things, query: &ListThings) -> Result<(), TestCaseError> {
    let matching: Vec<_> =
        view.things.values().filter(|thing| takes(&query.filter, thing)).collect();
    let behind = matching.iter().filter(|thing| query.after.is_none_or(|after| thing.id > after));
    let page = behind.skip(query.offset as usize).take(query.limit as usize);
    let list = view.list(query);
    prop_assert_eq!(list.total, matching.len() as u64);
    prop_assert!(list.things.iter().eq(page.copied()), "{:?}", query);
    prop_assert!(!list.cut);
    Ok(())
}

/// Few, so that many things share them, and with what is not quite the same.
const TEXTS: [&str; 8] = [
    "Dune",
    "the dune",
    "War & Peace",
    "Ursula K. Le Guin",
    "URSULA k. le guin",
    "Emma",
    "1984!",
    "Война и мир",
];
const WANTED: [&str; 10] =
    ["dune", "The", "peace", "guin", "k", "gui", "le-guin", "МИР", "1984", "&"];

fn text(of: u8) -> String {
    TEXTS[usize::from(of) % TEXTS.len()].to_owned()
}

fn tags(of: u8) -> Vec<String> {
    (0..of % 4)
        .map(|n| ["fiction", "Fiction", "sand", "war"][usize::from((of / 4 + n) % 4)])
        .map(str::to_owned)
        .collect()
}

fn action() -> impl Strategy<Value = Action> {
    let id = || (1_u64..25).prop_map(|sequence| ThingId::new(NUMBER, sequence).unwrap());
    let status = |n: u8| if n.is_multiple_of(3) { Status::CheckedOut } else { Status::Available };
    let register = any::<[u8; 4]>().prop_map(move |[name, author, tag, rest]| {
        let (holder, extra) = (None, [].into());
        let (name, author, status) = (text(name), text(author), status(rest));
        let on_conflict = if rest > 200 { OnConflict::Update } else { OnConflict::Allow };
        let thing = NewThing { tags: tags(tag), name, author, status, holder, extra };
        Action::Register { thing, on_conflict }
    });
    let update = (id(), any::<[u8; 5]>()).prop_map(move |(id, [what, name, author, tag, to])| {
        let patch = ThingPatch {
            tags: (what & 1 != 0).then(|| tags(tag)),
            name: (what & 2 != 0).then(|| text(name)),
            author: (what & 4 != 0).then(|| text(author)),
            status: (what & 8 != 0).then(|| status(to)),
            ..ThingPatch::default()
        };
        Action::Update { id, patch, status_rule: StatusRule::Edit, if_version: None }
    });
    let withdraw = id().prop_map(|id| Action::Withdraw { id, if_version: None });
    let forget = proptest::collection::vec(id(), 1..3)
        .prop_map(|ids| Action::Forget { ids, if_version: None });
    prop_oneof![6 => register, 6 => update, 3 => withdraw, 2 => forget]
}

fn query() -> impl Strategy<Value = ListThings> {
    let some = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let author = proptest::option::weighted(0.3, any::<u8>());
    let after = proptest::option::of((2_u32..5, 1_u64..25));
    let status = proptest::option::weighted(0.4, any::<bool>());
    let filter = (some(2), author, some(3), status, any::<bool>()).prop_map(
        |(tag, author, wanted, out, inactive)| Filter {
            tags: tag.into_iter().flat_map(|of| tags(of).into_iter().take(1)).collect(),
            status: out.map(|out| if out { Status::CheckedOut } else { Status::Available }),
            author: author.map(text),
            words: wanted.iter().map(|n| WANTED[usize::from(*n) % WANTED.len()].into()).collect(),
            inactive,
        },
    );
    (filter, after, 0_u64..12, 0_u32..12).prop_map(|(filter, after, offset, limit)| {
        let rack = "book-rack-001".parse().unwrap();
        let after = after.map(|(number, sequence)| ThingId::new(number, sequence).unwrap());
        let consistency = Consistency::Linearizable;
        ListThings { rack, filter, after, offset, limit, consistency }
    })
}

fn apply(view: &mut Things, index: u64, actions: Vec<Action>) {
    let command = |action| Command { key: None, request_id: "test".parse().unwrap(), action };
    let commands = actions.into_iter().map(command).collect();
    view.apply(index, &Batch { time_ms: 1000, commands });
}

/// A view made of a checkpoint of this one, to which these are applied after each of its slices.
fn restored(view: &mut Things, index: &mut u64, meanwhile: Vec<Action>) -> Things {
    let (mut restored, mut after) = (Things::default(), None);
    let mut meanwhile = meanwhile.chunks(3);
    view.begin_full();
    loop {
        let (parts, next) = view.slice(after);
        parts.iter().for_each(|part| restored.restore(part).unwrap());
        if let Some(actions) = meanwhile.next() {
            apply(view, *index, actions.to_vec());
            *index += 1;
        }
        if next.is_none() {
            break;
        }
        after = next;
    }
    view.take_delta().iter().for_each(|part| restored.restore(part).unwrap());
    restored
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_page_is_what_a_scan_finds(
        before in proptest::collection::vec(action(), 0..60),
        meanwhile in proptest::collection::vec(action(), 0..4),
        later in proptest::collection::vec(action(), 0..20),
        queries in proptest::collection::vec(query(), 1..20),
    ) {
        let (rack, founding) = ("book-rack-001".parse().unwrap(), Incarnation::default());
        let found = Action::FoundRack { rack, kind: Kind::Book, number: NUMBER, founding };
        let mut view = Things::default();
        apply(&mut view, 0, vec![found]);
        apply(&mut view, 1, before);
        queries.iter().try_for_each(|query| check(&view, query))?;
        let mut index = 2;
        let mut restored = restored(&mut view, &mut index, meanwhile);
        queries.iter().try_for_each(|query| check(&restored, query))?;
        apply(&mut restored, index, later);
        queries.iter().try_for_each(|query| check(&restored, query))?;
    }
}
