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
