//! What a rack of orders answers, and that checkpoints have all of them.

use std::sync::Arc;

use bookmesh_rpc::api::{
    Action, ApiError, Applied, Batch, Cents, ClientKey, Command, Consistency, Incarnation, Kind,
    ListOrders, NewThing, OnConflict, Order, OrderTerms, Outcome, RequestKey, Status, ThingId,
};
use bookmesh_storage::view::{Things, View};

/// Above what a page holds, with the titles below.
const MANY: u64 = 3_000;
const LONG_TITLE: usize = 3_000;

struct Rack {
    view: Things,
    index: u64,
    time_ms: u64,
}

impl Rack {
    fn of(kind: Kind) -> Self {
        let mut rack = Self { view: Things::default(), index: 0, time_ms: 1_000 };
        let (id, founding) = ("a-rack".parse().unwrap(), Incarnation::default());
        rack.run(None, Action::FoundRack { rack: id, kind, number: 2, founding }).unwrap();
        rack
    }

    fn run(&mut self, key: Option<RequestKey>, action: Action) -> Outcome {
        let command = Command { key, request_id: "test".parse().unwrap(), action };
        self.index += 1;
        let batch = Batch { time_ms: self.time_ms, commands: vec![command] };
        self.view.apply(self.index, &batch).remove(0)
    }

    fn place(&mut self, terms: &OrderTerms) -> Result<Arc<Order>, ApiError> {
        self.place_keyed(None, terms)
    }

    fn place_keyed(
        &mut self,
        key: Option<RequestKey>,
        terms: &OrderTerms,
    ) -> Result<Arc<Order>, ApiError> {
        match self.run(key, Action::PlaceOrder { terms: terms.clone() })? {
            Applied::Order(order) => Ok(order),
            other => panic!("{other:?}"),
        }
    }

    /// The view that a full checkpoint gives, with orders placed after its first slice.
    fn restored(&mut self, meanwhile: &[OrderTerms]) -> Things {
        self.view.begin_full();
        let (mut parts, mut next) = self.view.slice(None);
        for terms in meanwhile {
            self.place(terms).unwrap();
        }
        while next.is_some() {
            let (more, then) = self.view.slice(next);
            parts.extend(more);
            next = then;
        }
        parts.extend(self.view.take_delta());
        restore(Things::default(), &parts)
    }

    fn list(&self, after: Option<ThingId>, offset: u64, limit: u32) -> (Vec<u64>, u64, bool) {
        let rack = "a-rack".parse().unwrap();
        let consistency = Consistency::Linearizable;
        let query = ListOrders { rack, after, offset, limit, consistency };
        let list = self.view.list_orders(&query);
        let ids = list.orders.iter().map(|order| order.id.sequence()).collect();
        (ids, list.total, list.cut)
    }
}

fn restore(mut view: Things, parts: &[bytes::Bytes]) -> Things {
    parts.iter().for_each(|part| view.restore(part).unwrap());
    view
}

fn terms(title: impl Into<String>) -> OrderTerms {
    OrderTerms {
        book: ThingId::new(0, 7).unwrap(),
        title: title.into(),
        author: "Jane Austen".into(),
        quantity: 3,
        unit_price: Cents::new(1290),
    }
}

fn key(text: &str) -> Option<RequestKey> {
    Some(RequestKey::Client(ClientKey::new(text, &[b"POST", b"/v1/orders", b"{}"])))
}

#[test]
fn orders_are_numbered_and_stamped_as_they_come() {
    let mut rack = Rack::of(Kind::Order);
    let first = rack.place(&terms("Emma")).unwrap();
    rack.time_ms = 5_000;
    let second = rack.place(&terms("Persuasion")).unwrap();
    assert_eq!(first.id, ThingId::new(2, 1).unwrap());
    assert_eq!(second.id, ThingId::new(2, 2).unwrap());
    assert_eq!((first.created_at_ms, second.created_at_ms), (1_000, 5_000));
    assert_eq!(first.terms, terms("Emma"));
    assert_eq!(rack.view.order(first.id), Some(&first));
    assert_eq!(rack.view.len(), 2);
    for (number, sequence) in [(2, 3), (0, 1)] {
        let absent = ThingId::new(number, sequence).unwrap();
        assert_eq!(rack.view.order(absent), None, "{absent}");
    }
}

#[test]
fn a_page_is_what_was_asked_for() {
    let mut rack = Rack::of(Kind::Order);
    for title in ["a", "b", "c", "d", "e"] {
        rack.place(&terms(title)).unwrap();
    }
    let id = |sequence| Some(ThingId::new(2, sequence).unwrap());
    assert_eq!(rack.list(None, 0, 2), (vec![1, 2], 5, false));
    assert_eq!(rack.list(None, 3, 9), (vec![4, 5], 5, false));
    assert_eq!(rack.list(id(2), 1, 1), (vec![4], 5, false));
    assert_eq!(rack.list(id(5), 0, 9), (vec![], 5, false));
    assert_eq!(rack.list(None, 0, 0), (vec![], 5, false));
    assert_eq!(rack.list(None, u64::MAX, 9), (vec![], 5, false));
}

#[test]
fn a_page_is_cut_where_it_would_be_too_large_and_goes_on_there() {
    let mut rack = Rack::of(Kind::Order);
    for _ in 0..MANY {
        rack.place(&terms("x".repeat(LONG_TITLE))).unwrap();
    }
    let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (ids, total, cut) = rack.list(after, 0, u32::MAX);
        assert_eq!(total, MANY);
        after = ids.last().map(|last| ThingId::new(2, *last).unwrap());
        all.extend(ids);
        pages += 1;
        if !cut {
            break;
        }
    }
    assert!(pages > 1);
    assert_eq!(all, (1..=MANY).collect::<Vec<_>>());
}

#[test]
fn a_rack_takes_what_is_of_its_kind_and_nothing_else() {
    let thing = NewThing {
        tags: vec![],
        name: "Emma".into(),
        author: "Jane Austen".into(),
        status: Status::Available,
        holder: None,
        extra: [].into(),
    };
    let register = Action::Register { thing, on_conflict: OnConflict::Allow };
    let wrong = |refused: Result<(), ApiError>| match refused {
        Err(ApiError::Invalid(faults)) => assert_eq!(faults[0].field, "rack_id", "{faults:?}"),
        other => panic!("{other:?}"),
    };
    let mut orders = Rack::of(Kind::Order);
    wrong(orders.run(None, register.clone()).map(drop));
    let id = ThingId::new(2, 1).unwrap();
    wrong(orders.run(None, Action::Forget { ids: vec![id], if_version: None }).map(drop));
    wrong(orders.run(None, Action::Withdraw { id, if_version: None }).map(drop));
    let mut books = Rack::of(Kind::Book);
    wrong(books.place(&terms("Emma")).map(drop));
    assert!(orders.view.is_empty() && books.view.is_empty());
    let none = OrderTerms { quantity: 0, ..terms("Emma") };
    assert!(matches!(orders.place(&none), Err(ApiError::Invalid(_))));
    assert_eq!(orders.place(&terms("Emma")).unwrap().id.sequence(), 1, "a refusal takes no number");
}

#[test]
fn a_retired_rack_takes_no_order() {
    let mut rack = Rack::of(Kind::Order);
    rack.place(&terms("Emma")).unwrap();
    let kept = rack.run(None, Action::CloseRack { force: false });
    assert!(matches!(kept, Err(ApiError::RackNotEmpty { things: 1, .. })), "{kept:?}");
    rack.run(None, Action::CloseRack { force: true }).unwrap();
    assert!(matches!(rack.place(&terms("Emma")), Err(ApiError::RackRetired { .. })));
    assert_eq!(rack.view.len(), 1);
}

#[test]
fn an_order_sent_again_is_the_same_one_before_and_after_a_restart() {
    let mut rack = Rack::of(Kind::Order);
    let first = rack.place_keyed(key("mine"), &terms("Emma")).unwrap();
    // By then the book has another price.
    let dearer = OrderTerms { unit_price: Cents::new(2_000), ..terms("Emma") };
    assert_eq!(rack.place_keyed(key("mine"), &dearer), Ok(first.clone()));
    let view = rack.restored(&[]);
    assert_eq!(view, rack.view);
    rack.view = view;
    assert_eq!(rack.place_keyed(key("mine"), &dearer), Ok(first.clone()));
    assert_eq!(rack.view.first_answer(&key("mine").unwrap()), Some(Ok(Applied::Order(first))));
    assert_eq!(rack.view.len(), 1);
    assert_eq!(rack.place(&dearer).unwrap().id.sequence(), 2);
}

#[test]
fn a_checkpoint_has_all_orders_those_among_its_slices_too() {
    let mut rack = Rack::of(Kind::Order);
    for n in 0..MANY {
        rack.place(&terms(format!("{n} {}", "x".repeat(LONG_TITLE)))).unwrap();
    }
    let meanwhile: Vec<_> = (0..10).map(|n| terms(format!("late {n}"))).collect();
    let restored = rack.restored(&meanwhile);
    assert_eq!(restored, rack.view);
    assert_eq!(restored.len() as u64, MANY + 10);

    for n in 0..600 {
        rack.place(&terms(format!("then {n}"))).unwrap();
    }
    let mut parts = Vec::new();
    while let Some(more) = rack.view.delta_slice() {
        parts.extend(more);
        rack.place(&terms("among the delta")).unwrap();
    }
    parts.extend(rack.view.take_delta());
    assert_eq!(restore(restored, &parts), rack.view);
}

#[test]
fn a_checkpoint_that_lacks_an_order_is_refused() {
    let mut rack = Rack::of(Kind::Order);
    rack.place(&terms("Emma")).unwrap();
    rack.view.take_delta();
    rack.place(&terms("Persuasion")).unwrap();
    let second = rack.view.take_delta();
    let mut view = Things::default();
    let whole = second.iter().try_for_each(|part| view.restore(part));
    assert!(whole.is_err(), "the first order is not in it");
}
