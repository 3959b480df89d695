//! How racks get their numbers and founders.

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, ApiError, Applied, Batch, Charter, Command, Incarnation, Kind, Lineage, RackInfo,
};
use bookmesh_storage::view::{FOUNDER_PATIENCE_MS, Registry, View};

struct Ork {
    view: Registry,
    time_ms: u64,
    data: Incarnation,
}

impl Ork {
    fn new() -> Self {
        Self { view: Registry::default(), time_ms: 1, data: Incarnation::generate() }
    }

    fn run(&mut self, action: Action) -> Result<RackInfo, ApiError> {
        let command = Command { key: None, request_id: "test".parse().unwrap(), action };
        let batch = Batch { time_ms: self.time_ms, commands: vec![command] };
        match self.view.apply(0, &batch).remove(0)? {
            Applied::Rack(info) => Ok(info),
            other => panic!("{other:?}"),
        }
    }

    fn register(
        &mut self,
        rack: &str,
        founder: u8,
        number: Option<u32>,
    ) -> Result<RackInfo, ApiError> {
        self.register_with(rack, founder, number, self.data)
    }

    fn register_with(
        &mut self,
        rack: &str,
        founder: u8,
        number: Option<u32>,
        incarnation: Incarnation,
    ) -> Result<RackInfo, ApiError> {
        let (rack, founder) = (rack.parse().unwrap(), peer(founder));
        let lineage = Lineage { founding: self.data, recoveries: 0 };
        let charter = number.map(|number| Charter { number, lineage });
        self.run(Action::RegisterRack { rack, kind: Kind::Book, founder, incarnation, charter })
    }

    fn confirm(&mut self, rack: &str, founder: u8) -> Result<RackInfo, ApiError> {
        let (rack, founder, incarnation) = (rack.parse().unwrap(), peer(founder), self.data);
        self.run(Action::ConfirmRack { rack, founder, incarnation })
    }
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

#[test]
fn numbers_go_up_within_a_type_and_an_adopted_one_is_not_given_again() {
    let mut ork = Ork::new();
    assert_eq!(ork.register("a", 1, None).unwrap().number, 0);
    let adopted = ork.register("b", 2, Some(5)).unwrap();
    assert_eq!((adopted.number, adopted.founder, adopted.confirmed), (5, peer(2), true));
    assert_eq!(ork.register("c", 1, None).unwrap().number, 6);
    assert!(matches!(ork.register("d", 1, Some(5)), Err(ApiError::Invalid(_))), "it is b's");
    assert!(matches!(ork.register("b", 1, Some(7)), Err(ApiError::Invalid(_))), "b has 5");
    let order = Action::RegisterRack {
        rack: "o".parse().unwrap(),
        kind: Kind::Order,
        founder: peer(1),
        incarnation: ork.data,
        charter: None,
    };
    assert_eq!(ork.run(order).unwrap().number, 0);
    assert_eq!(ork.view.list().len(), 4);
}

#[test]
fn a_founder_keeps_its_rack_until_it_has_been_silent_for_too_long() {
    let mut ork = Ork::new();
    let first = ork.register("a", 1, None).unwrap();
    ork.time_ms += FOUNDER_PATIENCE_MS - 1;
    assert_eq!(ork.register("a", 2, None), Ok(first.clone()));
    assert!(matches!(ork.confirm("a", 2), Err(ApiError::Invalid(_))));
    ork.time_ms += 1;
    let second = ork.register("a", 2, None).unwrap();
    assert_eq!(second.number, first.number);
    assert_eq!((second.founder, second.confirmed), (peer(2), false));
    assert!(matches!(ork.confirm("a", 1), Err(ApiError::Invalid(_))), "too late");
    let confirmed = ork.confirm("a", 2).unwrap();
    assert_eq!(ork.confirm("a", 2), Ok(confirmed.clone()));
    ork.time_ms += 10 * FOUNDER_PATIENCE_MS;
    assert_eq!(ork.register("a", 3, None), Ok(confirmed), "a confirmed rack stays");
}

#[test]
fn a_founder_that_lost_its_data_begins_anew() {
    let mut ork = Ork::new();
    ork.register("a", 1, None).unwrap();
    let other = Incarnation::generate();
    let again = ork.register_with("a", 1, None, other).unwrap();
    assert_eq!((again.founder, again.incarnation, again.confirmed), (peer(1), other, false));
    assert!(ork.confirm("a", 1).is_err(), "with the data that are gone");
}

#[test]
fn a_rack_that_nobody_registered_is_not_confirmed() {
    assert!(matches!(Ork::new().confirm("a", 1), Err(ApiError::RackNotFound { .. })));
}

/// Registers `a` with what its own log says.
fn chartered(ork: &mut Ork, founding: Incarnation, recoveries: u32) -> Result<RackInfo, ApiError> {
    let lineage = Lineage { founding, recoveries };
    let (rack, incarnation) = ("a".parse().unwrap(), Incarnation::default());
    let charter = Some(Charter { number: 0, lineage });
    let kind = Kind::Book;
    ork.run(Action::RegisterRack { rack, kind, founder: peer(7), incarnation, charter })
}

#[test]
fn of_two_groups_with_one_name_the_one_that_was_confirmed_stays() {
    let mut ork = Ork::new();
    let (first, second) = (ork.data, Incarnation::generate());
    let known = chartered(&mut ork, first, 0).unwrap();
    assert_eq!((known.confirmed, known.lineage().founding), (true, first));
    assert!(matches!(chartered(&mut ork, second, 0), Err(ApiError::Invalid(_))));
    assert!(matches!(chartered(&mut ork, second, 9), Err(ApiError::Invalid(_))));
    assert_eq!(ork.register("a", 1, None), Ok(known), "nothing of the second was taken over");
}

#[test]
fn a_rack_that_was_recovered_counts_from_then_on_and_never_less() {
    let mut ork = Ork::new();
    let founding = ork.data;
    let first = chartered(&mut ork, founding, 0).unwrap();
    let recovered = chartered(&mut ork, founding, 2).unwrap();
    assert_eq!(recovered, RackInfo { recoveries: 2, ..first });
    for older in [0, 1, 2] {
        assert_eq!(chartered(&mut ork, founding, older), Ok(recovered.clone()));
    }
}

#[test]
fn a_group_that_has_begun_takes_the_place_of_a_founder_that_has_not() {
    let mut ork = Ork::new();
    let existing = Incarnation::generate();
    let waiting = ork.register("a", 1, None).unwrap();
    assert!(!waiting.confirmed);
    let adopted = chartered(&mut ork, existing, 1).unwrap();
    assert_eq!((adopted.confirmed, adopted.recoveries), (true, 1));
    assert_eq!((adopted.founder, adopted.incarnation), (peer(7), existing));
    assert!(ork.confirm("a", 1).is_err(), "the founder comes too late");
}

#[test]
fn a_retired_rack_keeps_its_number_and_begins_no_more() {
    let mut ork = Ork::new();
    ork.register("a", 1, None).unwrap();
    let retire = |rack: &str| Action::RetireRack { rack: rack.parse().unwrap() };
    let retired = ork.run(retire("a")).unwrap();
    assert_eq!((retired.retired, retired.number), (true, 0));
    assert_eq!(ork.run(retire("a")), Ok(retired.clone()));
    assert!(matches!(ork.confirm("a", 1), Err(ApiError::RackRetired { .. })));
    ork.time_ms += 10 * FOUNDER_PATIENCE_MS;
    assert_eq!(ork.register("a", 2, None), Ok(retired.clone()), "it is told so");
    let data = ork.data;
    assert_eq!(chartered(&mut ork, data, 3), Ok(retired), "and so is its group");
    assert_eq!(ork.register("b", 1, None).unwrap().number, 1);
    assert!(matches!(ork.register("c", 1, Some(0)), Err(ApiError::Invalid(_))), "it is a's");
    assert!(matches!(ork.run(retire("z")), Err(ApiError::RackNotFound { .. })));
}

#[test]
fn a_registry_has_one_beginning() {
    let mut ork = Ork::new();
    assert_eq!(ork.view.founding(), None);
    let mut begin = |founding| {
        let action = Action::BeginRegistry { founding };
        let command = Command { key: None, request_id: "test".parse().unwrap(), action };
        ork.view.apply(0, &Batch { time_ms: 1, commands: vec![command] }).remove(0)
    };
    let first = Incarnation::generate();
    assert_eq!(begin(first), Ok(Applied::Done));
    assert_eq!(begin(first), Ok(Applied::Done));
    assert!(matches!(begin(Incarnation::generate()), Err(ApiError::Invalid(_))));
    assert_eq!(ork.view.founding(), Some(first));
}
