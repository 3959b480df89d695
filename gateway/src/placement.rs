//! Which rack takes a new thing whose client does not care.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{CLIENT_KEY_MS, ClientKey, Kind, RackId, RackRoute};
use rand::seq::IndexedRandom;

use bookmesh_rpc::routing::directory::Table;

/// How long what was placed here counts although the routes do not show it yet: they are a second
/// or two behind.
const ROUTES_LAG: Duration = Duration::from_secs(3);
/// Racks whose fill begins with the same so many bits are taken as equally full: a step is one
/// part in a hundred or less.
const FILL_BITS: u32 = 7;
/// By how much the clocks of the registry and of this gateway may differ, and how long a route
/// takes to get here; an hour is plenty.
const SLACK_MS: u64 = 60 * 60 * 1000;

/// What this gateway has placed of late. The routes tell how full racks were a moment ago, and all
/// that come in that moment would go to the same one.
#[derive(Debug, Default)]
pub(crate) struct Placement(Mutex<HashMap<RackId, Placed>>);

/// How full a rack is, by what was placed there.
#[derive(Debug)]
struct Placed {
    things: u64,
    at: Instant,
}

impl Placement {
    /// Chooses a rack, and counts the thing as placed there: of the healthy racks one of those that
    /// are least filled. While none is healthy any that was founded, since it may become so in
    /// time; but never one of `tried`.
    pub(crate) fn choose(
        &self,
        table: &Table,
        kind: Kind,
        tried: &[RackId],
    ) -> Option<Arc<RackRoute>> {
        let mut placed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        placed.retain(|_, placed| placed.at.elapsed() < ROUTES_LAG);
        let open = table.of_kind(kind).filter(|rack| rack.confirmed && !tried.contains(&rack.id));
        let rank = |rack: &RackRoute| {
            (!is_healthy(rack), rack.leader.is_none(), step(fill(&placed, rack)))
        };
        let ranked: Vec<_> = open.map(|rack| (rank(rack), rack)).collect();
        let best = ranked.iter().map(|(rank, _)| *rank).min()?;
        let equal: Vec<_> = ranked.iter().filter(|(rank, _)| *rank == best).collect();
        let (_, rack) = equal.choose(&mut rand::rng())?;
        let rack = Arc::clone(rack);
        note(&mut placed, &rack);
        Some(rack)
    }

    /// Counts a thing whose client chose the rack.
    pub(crate) fn count(&self, rack: &RackRoute) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), rack);
    }
}

/// Whether a rack can take a write right now, as far as is known.
pub(crate) const fn is_healthy(rack: &RackRoute) -> bool {
    rack.confirmed && rack.leader.is_some() && rack.writable
}

fn fill(placed: &HashMap<RackId, Placed>, rack: &RackRoute) -> u64 {
    placed.get(&rack.id).map_or(rack.things, |placed| placed.things.max(rack.things))
}

fn note(placed: &mut HashMap<RackId, Placed>, rack: &RackRoute) {
    let things = fill(placed, rack) + 1;
    placed.insert(rack.id.clone(), Placed { things, at: Instant::now() });
}

/// The fill with only its first bits.
const fn step(things: u64) -> u64 {
    let rest = (u64::BITS - things.leading_zeros()).saturating_sub(FILL_BITS);
    (things >> rest) << rest
}

/// The racks that a client's key may have chosen within the day that keys are remembered, oldest
/// first; the last is the one that it chooses now.
///
/// A key chooses the rack with the highest weight of those that are there. A rack that was founded
/// since the first attempt may be a higher one: then the key has to be settled at those before,
/// or a retry would be applied at both. Mostly there are none before.
pub(crate) fn homes(
    racks: impl Iterator<Item = Arc<RackRoute>>,
    key: &ClientKey,
    now_ms: u64,
) -> Vec<Arc<RackRoute>> {
    let mut racks: Vec<_> = racks.filter(|rack| rack.confirmed).collect();
    racks.sort_by_key(|rack| (rack.since_ms, rack.number));
    let old = now_ms.saturating_sub(CLIENT_KEY_MS + SLACK_MS);
    let mut homes: Vec<(u64, Arc<RackRoute>)> = Vec::new();
    for rack in racks {
        let weight = key.weight(&rack.id);
        match homes.last_mut() {
            Some((highest, _)) if *highest >= weight => {}
            // Those that were all there before the day began were one set.
            Some(home) if rack.since_ms < old => *home = (weight, rack),
            _ => homes.push((weight, rack)),
        }
    }
    homes.into_iter().map(|(_, rack)| rack).collect()
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::peer::PeerId;

    use super::*;

    fn route(number: u32, things: u64) -> RackRoute {
        RackRoute {
            id: format!("r{number}").parse().unwrap(),
            kind: Kind::Book,
            number,
            confirmed: true,
            leader: Some(PeerId::from_bytes([1; 32])),
            term: 1,
            members: Vec::new(),
            things,
            writable: true,
            since_ms: u64::from(number),
        }
    }

    fn choose(placement: &Placement, racks: &[RackRoute]) -> u32 {
        let table = Table::new(racks.iter().cloned());
        placement.choose(&table, Kind::Book, &[]).unwrap().number
    }

    #[test]
    fn a_new_thing_goes_where_there_is_most_room_and_a_healthy_leader() {
        let dead = RackRoute { leader: None, ..route(0, 0) };
        let unfounded = RackRoute { confirmed: false, ..route(1, 0) };
        let full_disk = RackRoute { writable: false, ..route(2, 0) };
        let racks = [dead.clone(), unfounded.clone(), full_disk.clone(), route(3, 9), route(4, 4)];
        assert_eq!(choose(&Placement::default(), &racks), 4);
        assert_eq!(choose(&Placement::default(), &[dead.clone(), unfounded.clone(), full_disk]), 2);
        assert_eq!(choose(&Placement::default(), &[dead.clone(), unfounded.clone()]), 0);
        let placement = Placement::default();
        assert!(placement.choose(&Table::new([unfounded]), Kind::Book, &[]).is_none());
        assert!(placement.choose(&Table::new([route(0, 0)]), Kind::Order, &[]).is_none());
        let (table, tried) = (Table::new([route(0, 0)]), [route(0, 0).id]);
        assert!(placement.choose(&table, Kind::Book, &tried).is_none());
    }

    #[test]
    fn what_comes_before_the_routes_change_is_spread() {
        let placement = Placement::default();
        let racks = [route(0, 10), route(1, 0), route(2, 0)];
        let mut counts = [0_u32; 3];
        for _ in 0..20 {
            counts[choose(&placement, &racks) as usize] += 1;
        }
        assert_eq!(counts, [0, 10, 10]);
        placement.count(&route(1, 0));
        assert_eq!(choose(&placement, &[route(1, 0), route(2, 0)]), 2);
    }

    #[test]
    fn racks_that_are_nearly_equal_share_the_load() {
        let placement = Placement::default();
        let racks = [route(0, 100_000), route(1, 100_100), route(2, 200_000)];
        let chosen: Vec<_> = (0..200).map(|_| choose(&placement, &racks)).collect();
        let count = |number| chosen.iter().filter(|chosen| **chosen == number).count();
        assert!(count(0) > 20 && count(1) > 20 && count(2) == 0, "{chosen:?}");
    }

    #[test]
    fn a_key_is_looked_for_wherever_it_may_have_been_within_a_day() {
        const DAY: u64 = CLIENT_KEY_MS + SLACK_MS;
        let racks: Vec<_> = (0..6).map(|number| Arc::new(route(number, 0))).collect();
        let mut several = 0;
        for n in 0..200 {
            let key = ClientKey::new(&format!("key {n}"), &[]);
            let home = |count: usize| homes(racks[..count].iter().cloned(), &key, u64::MAX);
            let all = homes(racks.iter().cloned(), &key, 0);
            several += usize::from(all.len() > 1);
            // Whatever the key would have chosen when there were fewer is among them.
            for count in 1..=6 {
                let alone = home(count);
                assert_eq!(alone.len(), 1, "after a day there is one set");
                assert!(all.contains(&alone[0]));
            }
            assert_eq!(all.last(), home(6).last());
            // Racks 0, 1 and 2 were there before the day began.
            let some = homes(racks.iter().cloned(), &key, DAY + 3);
            assert_eq!(some[0], home(3)[0]);
        }
        assert!(several > 100);
    }
}
