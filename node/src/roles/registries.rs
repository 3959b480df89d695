//! What an orchestrator without a registry does next, by what the others say: the decision alone.

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{Incarnation, MemberState, RegistryMember, RegistryStatus};

/// What was seen of the mesh's orchestrators.
pub(super) struct Looked<'a> {
    /// Who looks.
    pub(super) me: PeerId,
    /// How many orchestrators it was told to be one of.
    pub(super) wanted: usize,
    /// The registry that its log is of, if it has one.
    pub(super) founding: Option<Incarnation>,
    /// Whether it has looked for so long that nobody else is likely to be there.
    pub(super) long_enough: bool,
    /// All that answered.
    pub(super) seen: &'a [(PeerId, RegistryStatus)],
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Become a member of this registry.
    Join(Incarnation),
    /// Begin one.
    Begin,
    /// Look again later; the text says what is missing.
    Wait(String),
}

/// Decides; see the module.
pub(super) fn decide(looked: &Looked<'_>) -> Move {
    let mut begun: Vec<_> = looked
        .seen
        .iter()
        .filter_map(|(_, status)| Some(status.member.as_ref()?.founding))
        .collect();
    begun.sort_unstable();
    begun.dedup();
    if let Some(own) = looked.founding {
        return match begun.as_slice() {
            _ if begun.contains(&own) => Move::Join(own),
            [] => Move::Wait("its registry's other orchestrators have to run: start them".into()),
            [other, ..] => Move::Wait(format!(
                "its data are of registry {own}, and this mesh has registry {other}: start that \
                 one's orchestrators, or this one with empty data"
            )),
        };
    }
    match begun.as_slice() {
        [] => first(looked),
        [one] => Move::Join(*one),
        [one, two, ..] => Move::Wait(format!(
            "there are two registries in this mesh, {one} and {two}: stop the orchestrators of one"
        )),
    }
}

/// Nobody has begun: of those that are to form the registry together, the first one does.
fn first(looked: &Looked<'_>) -> Move {
    let waiting = || looked.seen.iter().map(|(peer, status)| (*peer, usize::from(status.wanted)));
    if let Some((other, fewer)) = waiting().find(|(_, wanted)| *wanted < looked.wanted) {
        let (other, wanted) = (other.short(), looked.wanted);
        return Move::Wait(format!(
            "{other} was told ORK_REPLICAS={fewer} and this one {wanted}: set the same for all"
        ));
    }
    let mut equals: Vec<_> =
        waiting().filter(|(_, wanted)| *wanted == looked.wanted).map(|(peer, _)| peer).collect();
    equals.push(looked.me);
    equals.sort_unstable();
    if equals.len() < looked.wanted {
        let (here, wanted) = (equals.len(), looked.wanted);
        return Move::Wait(format!("{here} of {wanted} orchestrators are there: start the others"));
    }
    if !looked.long_enough && looked.wanted == 1 {
        return Move::Wait("looking whether there is a registry already".into());
    }
    if equals[0] == looked.me {
        return Move::Begin;
    }
    Move::Wait(format!("{} is about to begin the registry", equals[0].short()))
}

/// The members of a registry, its leader first.
pub(super) fn same_registry(
    seen: &[(PeerId, RegistryStatus)],
    founding: Incarnation,
) -> Vec<PeerId> {
    let ours = seen.iter().filter_map(|(peer, status)| Some((*peer, status.member.as_ref()?)));
    let mut ours: Vec<_> = ours.filter(|(_, member)| member.founding == founding).collect();
    ours.sort_by_key(|(_, member)| (member.state != MemberState::Leader, member.leader.is_none()));
    ours.into_iter().map(|(peer, _)| peer).collect()
}

/// What an operator should set so that all orchestrators take part.
pub(super) fn advice(
    wanted: usize,
    own: &RegistryMember,
    seen: &[(PeerId, RegistryStatus)],
) -> Option<String> {
    let told = seen.iter().map(|(_, status)| usize::from(status.wanted));
    if let Some(theirs) = told.into_iter().find(|theirs| *theirs != wanted) {
        return Some(format!(
            "another orchestrator was told ORK_REPLICAS={theirs} and this one {wanted}: set the \
             same for all, the number of orchestrators that form the registry"
        ));
    }
    let more = own.members.len() > wanted;
    (more && own.state == MemberState::Learner).then(|| {
        let members = own.members.len();
        format!(
            "this is one of {members} orchestrators and ORK_REPLICAS is {wanted}: it follows the \
             registry and has no vote; set ORK_REPLICAS=3 (or 5) for all, or stop it"
        )
    })
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::RegistryMember;

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    fn waits(n: u8, wanted: u8) -> (PeerId, RegistryStatus) {
        let incarnation = Incarnation::default();
        (peer(n), RegistryStatus { incarnation, wanted, member: None })
    }

    fn member(n: u8, founding: Incarnation, state: MemberState) -> (PeerId, RegistryStatus) {
        let member = RegistryMember {
            founding,
            member: u64::from(n),
            state,
            term: 1,
            leader: None,
            members: Vec::new(),
            last_index: 0,
            applied_index: 0,
        };
        let (peer, status) = waits(n, 3);
        (peer, RegistryStatus { member: Some(member), ..status })
    }

    fn looked(me: u8, wanted: usize, seen: &[(PeerId, RegistryStatus)]) -> Looked<'_> {
        Looked { me: peer(me), wanted, founding: None, long_enough: true, seen }
    }

    fn waits_for(next: &Move, what: &str) -> bool {
        matches!(next, Move::Wait(why) if why.contains(what))
    }

    #[test]
    fn of_three_the_lowest_begins_and_only_once_all_are_there() {
        let others = |me: u8| (1..=3).filter(|n| *n != me).map(|n| waits(n, 3)).collect::<Vec<_>>();
        assert_eq!(decide(&looked(1, 3, &others(1))), Move::Begin);
        for me in [2, 3] {
            assert!(waits_for(&decide(&looked(me, 3, &others(me))), "about to begin"));
        }
        assert!(waits_for(&decide(&looked(1, 3, &[waits(2, 3)])), "2 of 3"));
        assert!(waits_for(&decide(&looked(1, 3, &[])), "1 of 3"));
        assert!(waits_for(&decide(&looked(1, 3, &[waits(2, 3), waits(3, 5)])), "2 of 3"));
    }

    #[test]
    fn a_registry_that_has_begun_is_joined_by_all() {
        let (one, two) = (Incarnation::generate(), Incarnation::generate());
        let seen = [waits(1, 3), member(2, one, MemberState::Follower)];
        assert_eq!(decide(&looked(9, 3, &seen)), Move::Join(one));
        assert_eq!(decide(&looked(9, 1, &seen)), Move::Join(one));
        let both = [seen[1].clone(), member(3, two, MemberState::Leader)];
        assert!(waits_for(&decide(&looked(9, 3, &both)), "two registries"));
    }

    #[test]
    fn one_alone_begins_after_a_look_and_after_its_equals() {
        let soon = Looked { long_enough: false, ..looked(1, 1, &[]) };
        assert!(waits_for(&decide(&soon), "looking"));
        assert_eq!(decide(&looked(1, 1, &[])), Move::Begin);
        assert_eq!(decide(&looked(2, 1, &[waits(3, 1), waits(1, 3)])), Move::Begin);
        assert!(waits_for(&decide(&looked(2, 1, &[waits(1, 1)])), "about to begin"));
        let told = [waits(2, 3), waits(3, 3), waits(4, 1)];
        assert!(waits_for(&decide(&looked(1, 3, &told)), "ORK_REPLICAS=1"));
    }

    #[test]
    fn one_that_was_a_member_goes_back_to_its_own_registry_alone() {
        let (own, other) = (Incarnation::generate(), Incarnation::generate());
        let back = |seen: Vec<_>| decide(&Looked { founding: Some(own), ..looked(1, 1, &seen) });
        assert!(waits_for(&back(Vec::new()), "have to run"));
        assert!(waits_for(&back(vec![waits(2, 1)]), "have to run"));
        let theirs = member(2, other, MemberState::Leader);
        assert!(waits_for(&back(vec![theirs.clone()]), "its data are of registry"));
        assert_eq!(back(vec![theirs, member(3, own, MemberState::Follower)]), Move::Join(own));
    }

    #[test]
    fn the_leader_of_a_registry_is_asked_first() {
        let (one, two) = (Incarnation::generate(), Incarnation::generate());
        let seen = [
            member(1, one, MemberState::Follower),
            member(2, two, MemberState::Leader),
            waits(3, 3),
            member(4, one, MemberState::Leader),
        ];
        assert_eq!(same_registry(&seen, one), [peer(4), peer(1)]);
    }
}
